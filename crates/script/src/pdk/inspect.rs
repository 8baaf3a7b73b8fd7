//! Values as text for the log, in the format of the `inspect` library that Kong uses, but on one line, bounded, read raw
//! and without addresses.

use std::ffi::c_void;

use logphase_io::printable;

use crate::runtime::{deadline, kind_name, lua_number};
use mlua::{Table, Value as Lv};

/// Shown levels of nested tables, and members of one table.
const MAX_DEPTH: usize = 16;
const MAX_MEMBERS: usize = 500;

/// Appends `values` with spaces in between, until `line` has `max_bytes` bytes.
pub(super) fn show(line: &mut String, values: &[Lv], max_bytes: usize) {
    let mut printer = Printer { line, max_bytes, seen: Vec::new() };
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            printer.line.push(' ');
        }
        printer.value(value, 0);
        if printer.is_full() {
            return;
        }
    }
}

struct Printer<'a> {
    line: &'a mut String,
    max_bytes: usize,
    /// The values that were numbered so far, with their types.
    seen: Vec<(*const c_void, &'static str)>,
}

impl Printer<'_> {
    fn is_full(&self) -> bool {
        self.line.len() > self.max_bytes || deadline::is_over()
    }

    fn value(&mut self, value: &Lv, depth: usize) {
        if self.is_full() {
            return;
        }
        match value {
            Lv::Nil => self.line.push_str("nil"),
            Lv::Boolean(value) => self.line.push_str(if *value { "true" } else { "false" }),
            Lv::Integer(number) => self.number(*number as f64),
            Lv::Number(number) => self.number(*number),
            Lv::String(text) => self.quoted(&text.as_bytes()),
            Lv::Table(table) => self.table(table, depth),
            other => self.numbered(other),
        }
    }

    fn number(&mut self, number: f64) {
        if number.is_finite() {
            self.line.push_str(&lua_number(number));
        } else {
            let text = if number.is_nan() { "nan" } else { "math.huge" };
            self.line.push_str(if number < 0.0 { "-math.huge" } else { text });
        }
    }

    fn quoted(&mut self, bytes: &[u8]) {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(self.max_bytes)]);
        self.line.push('"');
        for character in shown.chars() {
            match character {
                '"' | '\\' => self.line.extend(['\\', character]),
                c => printable::push(self.line, c),
            }
        }
        self.line.push('"');
    }

    /// A function, a coroutine, a userdata or a repeated table: its type and its number.
    fn numbered(&mut self, value: &Lv) {
        let (pointer, kind) = (value.to_pointer(), kind_name(value));
        if !self.seen.contains(&(pointer, kind)) {
            self.seen.push((pointer, kind));
        }
        let number = self.seen.iter().filter(|(_, other)| *other == kind).position(|(other, _)| *other == pointer);
        self.line.push_str(&format!("<{kind} {}>", number.map_or(1, |at| at + 1)));
    }

    fn table(&mut self, table: &Table, depth: usize) {
        let pointer = table.to_pointer();
        if self.seen.contains(&(pointer, "table")) {
            return self.numbered(&Lv::Table(table.clone()));
        }
        if depth == MAX_DEPTH {
            return self.line.push_str("{...}");
        }
        self.seen.push((pointer, "table"));
        let (members, cut) = members(table);
        if members.is_empty() {
            return self.line.push_str("{}");
        }
        self.line.push_str("{ ");
        let mut next = 1;
        for (at, (key, value)) in members.iter().enumerate() {
            if self.is_full() {
                return;
            }
            if at > 0 {
                self.line.push_str(", ");
            }
            if as_number(key) == Some(f64::from(next)) {
                next += 1;
            } else {
                self.key(key, depth);
                self.line.push_str(" = ");
            }
            self.value(value, depth + 1);
        }
        self.line.push_str(if cut { ", ... }" } else { " }" });
    }

    fn key(&mut self, key: &Lv, depth: usize) {
        if let Lv::String(name) = key {
            let name = name.as_bytes();
            let plain = |(at, byte): (usize, &u8)| {
                *byte == b'_' || byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit())
            };
            if !name.is_empty() && name.len() < 100 && name.iter().enumerate().all(plain) {
                return self.line.push_str(&String::from_utf8_lossy(&name));
            }
        }
        self.line.push('[');
        self.value(key, depth + 1);
        self.line.push(']');
    }
}

/// The members of a table in a fixed order (numbers, strings, others), and whether some were left out.
fn members(table: &Table) -> (Vec<(Lv, Lv)>, bool) {
    let mut members = Vec::new();
    let read = table.for_each(|key: Lv, value: Lv| {
        if members.len() >= MAX_MEMBERS || deadline::is_over() {
            return Err(mlua::Error::runtime(""));
        }
        members.push((key, value));
        Ok(())
    });
    members.sort_by(|(a, _), (b, _)| match (as_number(a), as_number(b), a, b) {
        (Some(a), Some(b), _, _) => a.total_cmp(&b),
        (None, None, Lv::String(a), Lv::String(b)) => a.as_bytes().cmp(&b.as_bytes()),
        _ => rank(a).cmp(&rank(b)),
    });
    (members, read.is_err())
}

fn as_number(key: &Lv) -> Option<f64> {
    match key {
        Lv::Integer(number) => Some(*number as f64),
        Lv::Number(number) => Some(*number),
        _ => None,
    }
}

fn rank(key: &Lv) -> u8 {
    match key {
        Lv::Integer(_) | Lv::Number(_) => 0,
        Lv::String(_) => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use mlua::{Lua, MultiValue};

    use super::show;

    fn shown(code: &str, max_bytes: usize) -> String {
        let lua = Lua::new();
        let values: MultiValue = lua.load(code).eval().expect("sound");
        let mut line = String::new();
        show(&mut line, &values.into_vec(), max_bytes);
        line
    }

    /// Scenario: values of every kind, cycles, metatables that would run, and tables past each bound. Guarantees: one
    /// line in a fixed order, no address, no metamethod, no more than a little past the bound.
    #[test]
    fn values_are_shown() {
        for (code, expected) in [
            ("return 1, 'a\\n\"', nil, true", r#"1 "a\n\"" nil true"#),
            ("return {1, 2, b = {c = 1}, ['x y'] = 2, [9] = 3}", r#"{ 1, 2, [9] = 3, b = { c = 1 }, ["x y"] = 2 }"#),
            ("local t = {} t.t = t return t, {}", "{ t = <table 1> } {}"),
            ("return print, tostring, print", "<function 1> <function 2> <function 1>"),
            ("return 0/0, 1/0, -1/0, 1.5", "nan math.huge -math.huge 1.5"),
            (
                "return setmetatable({a = 1}, {__index = error, __len = error, __iter = error, __tostring = error})",
                "{ a = 1 }",
            ),
        ] {
            assert_eq!(shown(code, 4096), expected, "{code}");
        }
        let deep = shown("local t = {} for i = 1, 1e5 do t = {t} end return t", 4096);
        assert!(deep.contains("{...}"), "{deep}");
        let wide = shown("local t = {} for i = 1, 1e5 do t[i] = i end return t", 4096);
        assert!(wide.ends_with(", ... }") && wide.len() < 4200, "{wide}");
        assert!(shown("return ('x'):rep(1e6), ('y'):rep(1e6)", 100).len() < 210);
    }
}
