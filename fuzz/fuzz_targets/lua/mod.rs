//! Generates Lua source from bytes: any bytes give a value, and every kind of Lua value can be generated.

use std::fmt::Write;

/// Nesting depth of generated tables, without the constructs that nest by themselves.
const MAX_DEPTH: usize = 12;

/// Number of values in a snippet.
const MAX_VALUES: usize = 400;

/// Reads bytes in order; after the end it reads zeros.
pub struct Source<'a> {
    bytes: &'a [u8],
    values: usize,
}

impl<'a> Source<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, values: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    /// A whole snippet.
    pub fn snippet(&mut self) -> String {
        self.values = 0;
        let mut out = "return ".to_owned();
        self.value(&mut out, 0);
        out.push_str(match self.byte() {
            1 => ", {mode = 'add'}",
            2 => ", {mode = 'replace'}",
            3 => ", {mode = {}}",
            _ => "",
        });
        out
    }

    fn value(&mut self, out: &mut String, depth: usize) {
        self.values += 1;
        if depth >= MAX_DEPTH || self.values > MAX_VALUES {
            out.push('0');
            return;
        }
        match self.byte() % 16 {
            0 => out.push_str("nil"),
            1 => out.push_str("true"),
            2 => out.push_str("false"),
            3 => self.small(out),
            4 => self.number(out),
            5 | 6 => self.string(out),
            7 | 8 => self.table(out, depth, |source, out| source.nothing(out)),
            9 | 10 => self.table(out, depth, |source, out| source.key(out)),
            11 => self.again(out, depth),
            12 => self.deep(out),
            13 => self.long(out),
            14 => self.marked(out, depth),
            _ => self.no_json(out),
        }
    }

    fn nothing(&mut self, _: &mut String) {}

    fn small(&mut self, out: &mut String) {
        let _ = write!(out, "{}", self.byte().cast_signed());
    }

    fn number(&mut self, out: &mut String) {
        let mut bytes = [0; 8];
        bytes.fill_with(|| self.byte());
        let number = f64::from_le_bytes(bytes);
        let _ = match number {
            _ if number.is_nan() => write!(out, "(0/0)"),
            _ if number.is_infinite() => write!(out, "({}/0)", number.signum()),
            _ => write!(out, "{number:e}"),
        };
    }

    /// A string of any bytes, written as Lua escapes.
    fn string(&mut self, out: &mut String) {
        out.push('"');
        for _ in 0..self.byte() % 24 {
            let _ = write!(out, "\\{:03}", self.byte());
        }
        out.push('"');
    }

    fn table(&mut self, out: &mut String, depth: usize, key: fn(&mut Self, &mut String)) {
        out.push('{');
        for _ in 0..self.byte() % 16 {
            key(self, out);
            self.value(out, depth + 1);
            out.push(',');
        }
        out.push('}');
    }

    fn key(&mut self, out: &mut String) {
        out.push('[');
        match self.byte() % 8 {
            0..3 => self.string(out),
            // Small numbers give sparse arrays.
            3..6 => self.small(out),
            // NaN cannot be a key.
            6 => {
                let start = out.len();
                self.number(out);
                if &out[start..] == "(0/0)" {
                    out.truncate(start);
                    out.push_str("1e308");
                }
            }
            _ => out.push_str("true"),
        }
        out.push_str("]=");
    }

    /// A table that occurs in several places, or contains itself.
    fn again(&mut self, out: &mut String, depth: usize) {
        out.push_str("(function() local t = {");
        self.value(out, depth + 1);
        out.push_str(match self.byte() % 4 {
            0 => "}; t[1] = t; return t end)()",
            1 => "}; t.self = {t}; return t end)()",
            2 => "}; return {t, t} end)()",
            _ => "}; return {a = t, b = {t}} end)()",
        });
    }

    /// A table nested up to and beyond the depth limit.
    fn deep(&mut self, out: &mut String) {
        let levels = u32::from(self.byte()) * 5;
        let _ = write!(out, "(function() local t = {{}} for _ = 1, {levels} do t = {{t}} end return t end)()");
    }

    fn long(&mut self, out: &mut String) {
        out.push_str("string.rep(");
        self.string(out);
        let _ = write!(out, ", {})", u32::from(self.byte()).pow(2));
    }

    fn marked(&mut self, out: &mut String, depth: usize) {
        let (before, after) = match self.byte() % 4 {
            0 => ("setmetatable(", ", {__index = function() error('ran') end})"),
            1 => ("setmetatable(", ", {__pairs = 1, __len = function() return 9 end})"),
            2 => ("setmetatable(", ", require('cjson').empty_array_mt)"),
            _ => ("setmetatable(", ", {__metatable = false})"),
        };
        out.push_str(before);
        self.table(out, depth, |source, out| source.nothing(out));
        out.push_str(after);
    }

    fn no_json(&mut self, out: &mut String) {
        out.push_str(match self.byte() % 8 {
            0 => "print",
            1 => "coroutine.create(function() end)",
            2 => "function() end",
            3 => "require('cjson').null",
            4 => "require('cjson').empty_array",
            5 => "error({})",
            6 => "error('\\0\\n\\255')",
            _ => "kong.request.get_headers()",
        });
    }
}
