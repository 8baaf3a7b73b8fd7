//! Lua values as JSON, in cjson's way. Tables are read raw: no metamethod runs.

use mlua::{Table, Value as Lv};

use super::super::super::convert::{array_length, kind_name};
use super::super::super::deadline;
use super::super::super::interrupt::OUT_OF_TIME;
use super::super::super::state::State;
use super::{DEEPEST, Invalid, Options, Problem};
use crate::transaction::{Escaping, text};

/// Writes `value`, within the bounds of one value of a script's.
pub(super) fn encode(state: &State, options: Options, value: &Lv) -> Result<Vec<u8>, Problem> {
    let mut encoder = Encoder { state, options, out: Vec::new(), nodes: 0, depth: 0 };
    encoder.value(value)?;
    Ok(encoder.out)
}

struct Encoder<'a> {
    state: &'a State,
    options: Options,
    out: Vec<u8>,
    /// How many values so far.
    nodes: usize,
    depth: usize,
}

impl Encoder<'_> {
    fn check(&self) -> Result<(), Problem> {
        let limits = self.state.conversion.limits();
        if self.out.len() > limits.bytes {
            return Err(format!("JSON text is larger than {} bytes", limits.bytes).into());
        }
        if self.nodes > limits.nodes {
            return Err(format!("value has more than {} members and elements", limits.nodes).into());
        }
        if deadline::is_over() { Err(OUT_OF_TIME.to_owned().into()) } else { Ok(()) }
    }

    fn value(&mut self, value: &Lv) -> Result<(), Problem> {
        self.nodes += 1;
        self.check()?;
        match value {
            Lv::Nil => self.out.extend_from_slice(b"null"),
            Lv::Boolean(true) => self.out.extend_from_slice(b"true"),
            Lv::Boolean(false) => self.out.extend_from_slice(b"false"),
            Lv::Integer(number) => self.number(*number as f64)?,
            Lv::Number(number) => self.number(*number)?,
            Lv::String(string) => self.string(&string.as_bytes()),
            Lv::LightUserData(pointer) if pointer.0.is_null() => self.out.extend_from_slice(b"null"),
            Lv::Table(table) => self.table(table)?,
            other => return Err(unsupported(other)),
        }
        Ok(())
    }

    fn number(&mut self, number: f64) -> Result<(), Problem> {
        if number.is_finite() {
            self.out.extend_from_slice(digits(number, self.options.precision.unsigned_abs() as usize).as_bytes());
            return Ok(());
        }
        let word: &[u8] = match self.options.invalid_numbers {
            Invalid::Refused => {
                return Err("Cannot serialise number: must not be NaN or Infinity".to_owned().into());
            }
            Invalid::Null => b"null",
            Invalid::Written if number.is_nan() => b"NaN",
            Invalid::Written if number > 0.0 => b"Infinity",
            Invalid::Written => b"-Infinity",
        };
        self.out.extend_from_slice(word);
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) {
        let escaping = if self.options.escape_slash { Escaping::Kong } else { Escaping::Json };
        self.out.push(b'"');
        // As cjson: bytes that are no UTF-8 stay as they are.
        text::push_escaped(&mut self.out, bytes, escaping);
        self.out.push(b'"');
    }

    fn table(&mut self, table: &Table) -> Result<(), Problem> {
        let deepest = self.options.encode_depth.unsigned_abs().min(DEEPEST as u64) as usize;
        self.depth += 1;
        if self.depth > deepest {
            return Err(format!("Cannot serialise, excessive nesting ({})", self.depth).into());
        }
        if table.metatable().is_some_and(|mark| mark == self.state.array_mark) {
            self.array(table, table.raw_len())?;
        } else {
            self.plain_table(table)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn plain_table(&mut self, table: &Table) -> Result<(), Problem> {
        let mut members = Vec::new();
        let limit = self.state.conversion.limits().nodes;
        let room = limit.saturating_sub(self.nodes);
        let read = table.for_each(|key: Lv, value: Lv| {
            if members.len() >= room {
                return Err(mlua::Error::runtime(""));
            }
            members.push((key, value));
            Ok(())
        });
        if read.is_err() && members.len() >= room {
            return Err(format!("value has more than {limit} members and elements").into());
        }
        read?;
        if members.is_empty() {
            self.out.extend_from_slice(if self.options.empty_table_as_object { b"{}" } else { b"[]" });
            return Ok(());
        }
        match array_length(&members) {
            Some(length) if self.is_sparse(length, members.len())? => self.object(&members),
            Some(length) => {
                drop(members);
                self.array(table, length)
            }
            None => self.object(&members),
        }
    }

    /// Whether an array with holes is to become an object.
    fn is_sparse(&self, length: usize, members: usize) -> Result<bool, Problem> {
        let (ratio, safe) = (self.options.sparse_ratio as f64, self.options.sparse_safe as f64);
        if ratio <= 0.0 || length as f64 <= members as f64 * ratio || length as f64 <= safe {
            return Ok(false);
        }
        if self.options.sparse_convert {
            return Ok(true);
        }
        Err("Cannot serialise table: excessively sparse array".to_owned().into())
    }

    fn array(&mut self, table: &Table, length: usize) -> Result<(), Problem> {
        self.out.push(b'[');
        let mut first = true;
        for at in 1..=length {
            let element = table.raw_get::<Lv>(at)?;
            if self.is_skipped(&element) {
                self.check()?;
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            self.value(&element)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, members: &[(Lv, Lv)]) -> Result<(), Problem> {
        self.out.push(b'{');
        let mut first = true;
        for (key, value) in members {
            if self.is_skipped(value) {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            match key {
                Lv::String(name) => self.string(&name.as_bytes()),
                Lv::Integer(_) | Lv::Number(_) => {
                    let number = key.as_f64().or_else(|| key.as_i64().map(|whole| whole as f64)).unwrap_or(f64::NAN);
                    self.out.push(b'"');
                    self.number(number)?;
                    self.out.push(b'"');
                }
                other => {
                    let kind = kind_name(other);
                    return Err(format!("Cannot serialise {kind}: table key must be a number or string").into());
                }
            }
            self.out.push(b':');
            self.value(value)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn is_skipped(&self, value: &Lv) -> bool {
        let unsupported = match value {
            Lv::Function(_) | Lv::Thread(_) | Lv::UserData(_) => true,
            Lv::LightUserData(pointer) => !pointer.0.is_null(),
            _ => false,
        };
        unsupported && self.options.skip_unsupported
    }
}

fn unsupported(value: &Lv) -> Problem {
    format!("Cannot serialise {}: type not supported", kind_name(value)).into()
}

/// C's `%.Ng` of a finite number.
fn digits(number: f64, precision: usize) -> String {
    if precision == 14 || number == 0.0 {
        let mut out = Vec::new();
        text::push_number(&mut out, number, crate::transaction::Numbers::Kong);
        return String::from_utf8(out).unwrap_or_default();
    }
    let scientific = format!("{number:.*e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..precision as i64).contains(&exponent) {
        let decimals = (precision as i64 - 1 - exponent).unsigned_abs() as usize;
        return trim(&format!("{number:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
}
