//! Lua values as JSON text, the way cjson writes it. Tables are read raw: no metamethod runs.

use mlua::{Table, Value as Lv};

use super::options::{InvalidNumbers, MAX_DEPTH, Options};
use crate::host::State;
use crate::host::json::{Encoding, JsonWriter, SPARSE, Shape, Sharing, ValueError};
use crate::runtime::kind_name;
use crate::transaction::{Escaping, text};

/// Writes `value`, within the limits of one value of a script.
///
/// # Errors
/// The value has no JSON text or exceeds a limit, in cjson's words; or the script has to stop.
pub(super) fn encode(state: &State, options: Options, value: &Lv) -> Result<Vec<u8>, ValueError> {
    let mut limits = state.encoding.limits();
    limits.depth = options.encode_depth.unsigned_abs().min(MAX_DEPTH as u64) as usize;
    let encoding = Cjson { options, array_mark: &state.array_mark };
    JsonWriter::new(&encoding, limits, Sharing::Unchecked).write(value)
}

struct Cjson<'a> {
    options: Options,
    array_mark: &'a Table,
}

impl Encoding for Cjson<'_> {
    const SUBJECT: &'static str = "JSON text";

    fn number(&self, out: &mut Vec<u8>, number: f64) -> Result<(), ValueError> {
        if number.is_finite() {
            out.extend_from_slice(digits(number, self.options.precision.unsigned_abs() as usize).as_bytes());
            return Ok(());
        }
        let word: &[u8] = match self.options.invalid_numbers {
            InvalidNumbers::Refuse => {
                return Err(ValueError::Invalid("Cannot serialise number: must not be NaN or Infinity".to_owned()));
            }
            InvalidNumbers::Null => b"null",
            InvalidNumbers::Write if number.is_nan() => b"NaN",
            InvalidNumbers::Write if number > 0.0 => b"Infinity",
            InvalidNumbers::Write => b"-Infinity",
        };
        out.extend_from_slice(word);
        Ok(())
    }

    fn string(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        let escaping = if self.options.escape_slash { Escaping::Kong } else { Escaping::Json };
        out.push(b'"');
        // Like cjson, this keeps bytes that are not UTF-8.
        text::push_escaped(out, bytes, escaping);
        out.push(b'"');
    }

    fn unsupported(&self, value: &Lv) -> ValueError {
        ValueError::Invalid(format!("Cannot serialise {}: type not supported", kind_name(value)))
    }

    fn unsupported_key(&self, key: &Lv) -> ValueError {
        ValueError::Invalid(format!("Cannot serialise {}: table key must be a number or string", kind_name(key)))
    }

    fn skips(&self, value: &Lv) -> bool {
        let unsupported = match value {
            Lv::Function(_) | Lv::Thread(_) | Lv::UserData(_) => true,
            Lv::LightUserData(pointer) => !pointer.0.is_null(),
            _ => false,
        };
        unsupported && self.options.skip_unsupported
    }

    fn shape(&self, table: &Table) -> Option<Shape> {
        table.metatable().is_some_and(|mark| mark == *self.array_mark).then_some(Shape::Array)
    }

    fn empty(&self, _: &Table) -> Shape {
        if self.options.empty_table_as_object { Shape::Object } else { Shape::Array }
    }

    fn sequence(&self, length: usize, members: usize) -> Result<Shape, ValueError> {
        let (ratio, safe) = (self.options.sparse_ratio as f64, self.options.sparse_safe as f64);
        if ratio <= 0.0 || length as f64 <= members as f64 * ratio || length as f64 <= safe {
            return Ok(Shape::Array);
        }
        if self.options.sparse_convert {
            return Ok(Shape::Object);
        }
        Err(ValueError::Invalid(SPARSE.to_owned()))
    }
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
