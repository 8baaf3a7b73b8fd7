//! The options of `cjson`, and the functions that read and set them.

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::rc::Rc;

use mlua::{Lua, Value as Lv};

use crate::host::{Module, State};
use crate::runtime::bad_argument;

/// How NaN and the infinities are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidNumbers {
    Refuse,
    Write,
    Null,
}

/// The options of cjson.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) sparse_convert: bool,
    pub(super) sparse_ratio: i64,
    pub(super) sparse_safe: i64,
    pub(super) encode_depth: i64,
    pub(super) decode_depth: i64,
    pub(super) precision: i64,
    pub(super) keep_buffer: bool,
    pub(super) invalid_numbers: InvalidNumbers,
    pub(super) decode_invalid_numbers: bool,
    pub(super) empty_table_as_object: bool,
    pub(super) array_with_array_mt: bool,
    pub(super) escape_slash: bool,
    pub(super) skip_unsupported: bool,
}

/// cjson's defaults.
const DEFAULTS: Options = Options {
    sparse_convert: false,
    sparse_ratio: 2,
    sparse_safe: 10,
    encode_depth: MAX_DEPTH as i64,
    decode_depth: MAX_DEPTH as i64,
    precision: 14,
    keep_buffer: true,
    invalid_numbers: InvalidNumbers::Refuse,
    decode_invalid_numbers: true,
    empty_table_as_object: true,
    array_with_array_mt: false,
    escape_slash: true,
    skip_unsupported: false,
};

/// Levels of nesting that no option can exceed.
pub(super) const MAX_DEPTH: usize = 1000;

/// The options of one instance.
pub(super) struct Settings {
    options: Cell<Options>,
    /// The call that set them, with which they end; `None` for options that stay.
    call: Option<Cell<u64>>,
}

impl Settings {
    pub(super) fn new(lasting: bool) -> Self {
        Self { options: Cell::new(DEFAULTS), call: if lasting { None } else { Some(Cell::new(0)) } }
    }

    pub(super) fn get(&self, state: &State) -> Options {
        match &self.call {
            Some(call) if call.get() != state.deadline.call_number() => DEFAULTS,
            _ => self.options.get(),
        }
    }

    fn set(&self, state: &State, options: Options) {
        if let Some(call) = &self.call {
            call.set(state.deadline.call_number());
        }
        self.options.set(options);
    }
}

/// Adds the functions.
///
/// # Errors
/// The VM has no memory left for them.
pub(super) fn add(module: &mut Module<'_>, settings: &Rc<Settings>) -> mlua::Result<()> {
    flag(module, settings, "encode_keep_buffer", |options| &mut options.keep_buffer)?;
    flag(module, settings, "encode_empty_table_as_object", |options| &mut options.empty_table_as_object)?;
    flag(module, settings, "encode_escape_forward_slash", |options| &mut options.escape_slash)?;
    flag(module, settings, "encode_skip_unsupported_value_types", |options| &mut options.skip_unsupported)?;
    flag(module, settings, "decode_array_with_array_mt", |options| &mut options.array_with_array_mt)?;
    flag(module, settings, "decode_invalid_numbers", |options| &mut options.decode_invalid_numbers)?;
    const DEPTHS: RangeInclusive<i64> = 1..=i32::MAX as i64;
    whole(module, settings, "encode_max_depth", DEPTHS, |options| &mut options.encode_depth)?;
    whole(module, settings, "decode_max_depth", DEPTHS, |options| &mut options.decode_depth)?;
    whole(module, settings, "encode_number_precision", 1..=16, |options| &mut options.precision)?;
    let shared = settings.clone();
    module.function("encode_invalid_numbers", move |lua, state, value: Lv| {
        let mut options = shared.get(state);
        options.invalid_numbers = match &value {
            Lv::String(text) if text.as_bytes() == *b"null" => InvalidNumbers::Null,
            other => match boolean(lua, "encode_invalid_numbers", 1, other)? {
                None => options.invalid_numbers,
                Some(true) => InvalidNumbers::Write,
                Some(false) => InvalidNumbers::Refuse,
            },
        };
        shared.set(state, options);
        match options.invalid_numbers {
            InvalidNumbers::Null => Ok(Lv::String(lua.create_string("null")?)),
            other => Ok(Lv::Boolean(other == InvalidNumbers::Write)),
        }
    })?;
    let shared = settings.clone();
    module.function("encode_sparse_array", move |lua, state, (convert, ratio, safe): (Lv, Lv, Lv)| {
        let mut options = shared.get(state);
        let (name, range) = ("encode_sparse_array", 0..=i64::from(i32::MAX));
        options.sparse_convert = boolean(lua, name, 1, &convert)?.unwrap_or(options.sparse_convert);
        options.sparse_ratio = integer(lua, name, 2, &range, &ratio)?.unwrap_or(options.sparse_ratio);
        options.sparse_safe = integer(lua, name, 3, &range, &safe)?.unwrap_or(options.sparse_safe);
        shared.set(state, options);
        Ok((options.sparse_convert, options.sparse_ratio as f64, options.sparse_safe as f64))
    })
}

fn flag(
    module: &mut Module<'_>,
    settings: &Rc<Settings>,
    name: &'static str,
    field: fn(&mut Options) -> &mut bool,
) -> mlua::Result<()> {
    let settings = settings.clone();
    module.function(name, move |lua, state, value: Lv| {
        let mut options = settings.get(state);
        if let Some(value) = boolean(lua, name, 1, &value)? {
            *field(&mut options) = value;
            settings.set(state, options);
        }
        Ok(*field(&mut options))
    })
}

fn whole(
    module: &mut Module<'_>,
    settings: &Rc<Settings>,
    name: &'static str,
    range: RangeInclusive<i64>,
    field: fn(&mut Options) -> &mut i64,
) -> mlua::Result<()> {
    let settings = settings.clone();
    module.function(name, move |lua, state, value: Lv| {
        let mut options = settings.get(state);
        if let Some(value) = integer(lua, name, 1, &range, &value)? {
            *field(&mut options) = value;
            settings.set(state, options);
        }
        Ok(*field(&mut options) as f64)
    })
}

fn boolean(lua: &Lua, function: &str, position: usize, value: &Lv) -> mlua::Result<Option<bool>> {
    match value {
        Lv::Nil => Ok(None),
        Lv::Boolean(value) => Ok(Some(*value)),
        Lv::String(text) if text.as_bytes() == *b"on" => Ok(Some(true)),
        Lv::String(text) if text.as_bytes() == *b"off" => Ok(Some(false)),
        _ => Err(bad_argument(lua, position, function, "invalid option")),
    }
}

fn integer(
    lua: &Lua,
    function: &str,
    position: usize,
    range: &RangeInclusive<i64>,
    value: &Lv,
) -> mlua::Result<Option<i64>> {
    let number = match value {
        Lv::Nil => return Ok(None),
        Lv::Integer(number) => Some(*number),
        Lv::Number(number) if number.trunc() == *number && number.abs() < 1e15 => Some(*number as i64),
        _ => None,
    };
    number.filter(|number| range.contains(number)).map(Some).ok_or_else(|| {
        let (from, to) = (range.start(), range.end());
        bad_argument(lua, position, function, &format!("expected integer between {from} and {to}"))
    })
}
