//! The modules `cjson` and `cjson.safe` (OpenResty's lua-cjson).
//!
//! The modules themselves are shared by all snippets of a VM: an option that a snippet sets on them holds until its
//! call ends. One set on an instance that `new()` made stays with that instance.

mod decode;
mod encode;

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::rc::Rc;

use mlua::{IntoLuaMulti, Lua, MultiValue, Table, Value as Lv, Variadic};

use super::super::convert::kind_name;
use super::super::environment::frozen;
use super::super::interrupt::OUT_OF_TIME;
use super::super::pdk::{Module, raise};
use super::super::state::State;
use super::super::vm::NOT_ENOUGH_MEMORY;

/// What NaN and the infinities become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

/// cjson's options, by default as there.
#[derive(Debug, Clone, Copy)]
struct Options {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth: i64,
    decode_depth: i64,
    precision: i64,
    keep_buffer: bool,
    invalid_numbers: Invalid,
    decode_invalid_numbers: bool,
    empty_table_as_object: bool,
    array_with_array_mt: bool,
    escape_slash: bool,
    skip_unsupported: bool,
}

const DEFAULTS: Options = Options {
    sparse_convert: false,
    sparse_ratio: 2,
    sparse_safe: 10,
    encode_depth: DEEPEST as i64,
    decode_depth: DEEPEST as i64,
    precision: 14,
    keep_buffer: true,
    invalid_numbers: Invalid::Refused,
    decode_invalid_numbers: false,
    empty_table_as_object: true,
    array_with_array_mt: false,
    escape_slash: true,
    skip_unsupported: false,
};

/// Levels of nesting, whatever the options say.
const DEEPEST: usize = 1000;

/// The options of one instance.
struct Settings {
    options: Cell<Options>,
    /// The call that set them; `None` where they last.
    call: Option<Cell<u64>>,
}

impl Settings {
    fn get(&self, state: &State) -> Options {
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

/// Why a value or a text was refused.
enum Problem {
    /// cjson's words, without a place.
    Text(String),
    /// The VM's own error, as for want of memory.
    Vm(mlua::Error),
}

impl From<mlua::Error> for Problem {
    fn from(error: mlua::Error) -> Self {
        Self::Vm(error)
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// The module; `safe` answers nil and the error in place of raising it.
pub(super) fn module(lua: &Lua, state: &Rc<State>, safe: bool) -> mlua::Result<Lv> {
    // Instances made by `new` end here, so that the table can be written to by the snippet that made it alone.
    Ok(Lv::Table(frozen(instance(lua, state, safe, false)?)))
}

fn instance(lua: &Lua, state: &Rc<State>, safe: bool, lasting: bool) -> mlua::Result<Table> {
    let call = if lasting { None } else { Some(Cell::new(0)) };
    let settings = Rc::new(Settings { options: Cell::new(DEFAULTS), call });
    let mut module = Module::new(lua, state)?;
    converters(&mut module, &settings, safe)?;
    options(&mut module, &settings)?;
    let table = module.done();
    let owner = state.clone();
    table.raw_set("new", lua.create_function(move |lua, (): ()| instance(lua, &owner, safe, true))?)?;
    table.raw_set("null", Lv::NULL)?;
    table.raw_set("_NAME", if safe { "cjson.safe" } else { "cjson" })?;
    table.raw_set("_VERSION", "2.1.0.14")?;
    table.raw_set("array_mt", state.array_mark.clone())?;
    table.raw_set("empty_array_mt", state.array_mark.clone())?;
    let empty = lua.create_table()?;
    empty.set_metatable(Some(state.array_mark.clone()))?;
    table.raw_set("empty_array", frozen(empty))?;
    Ok(table)
}

fn converters(module: &mut Module<'_>, settings: &Rc<Settings>, safe: bool) -> mlua::Result<()> {
    let options = settings.clone();
    module.function("encode", move |lua, state, arguments: Variadic<Lv>| {
        let value = only(lua, "encode", &arguments)?;
        let json = encode::encode(state, options.get(state), value);
        answer(lua, safe, json.and_then(|json| Ok(Lv::String(lua.create_string(json)?))))
    })?;
    let options = settings.clone();
    module.function("decode", move |lua, state, arguments: Variadic<Lv>| {
        let text = only(lua, "decode", &arguments)?;
        let bytes = match text {
            Lv::String(text) => text.as_bytes().to_vec(),
            Lv::Integer(number) => number.to_string().into_bytes(),
            Lv::Number(number) => number.to_string().into_bytes(),
            other => {
                let problem = format!("bad argument #1 to 'decode' (string expected, got {})", kind_name(other));
                return answer(lua, safe, Err(Problem::Text(problem)));
            }
        };
        answer(lua, safe, decode::decode(lua, state, options.get(state), &bytes))
    })
}

/// The one argument. What cjson refuses and this does not are further ones that are nil, as of a function that has a
/// second result at times.
fn only<'a>(lua: &Lua, function: &str, arguments: &'a [Lv]) -> mlua::Result<&'a Lv> {
    match arguments {
        [value, rest @ ..] if rest.iter().all(Lv::is_nil) => Ok(value),
        _ => Err(raise(lua, &format!("bad argument #1 to '{function}' (expected 1 argument)"))),
    }
}

fn answer(lua: &Lua, safe: bool, result: Result<Lv, Problem>) -> mlua::Result<MultiValue> {
    match result {
        Ok(value) => value.into_lua_multi(lua),
        Err(Problem::Vm(error)) => Err(error),
        Err(Problem::Text(text)) if text == OUT_OF_TIME || text == NOT_ENOUGH_MEMORY => Err(mlua::Error::runtime(text)),
        Err(Problem::Text(text)) if safe => (Lv::Nil, text).into_lua_multi(lua),
        Err(Problem::Text(text)) => Err(raise(lua, &text)),
    }
}

fn options(module: &mut Module<'_>, settings: &Rc<Settings>) -> mlua::Result<()> {
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
    let own = settings.clone();
    module.function("encode_invalid_numbers", move |lua, state, value: Lv| {
        let mut options = own.get(state);
        options.invalid_numbers = match &value {
            Lv::String(text) if text.as_bytes() == *b"null" => Invalid::Null,
            other => match boolean(lua, "encode_invalid_numbers", 1, other)? {
                None => options.invalid_numbers,
                Some(true) => Invalid::Written,
                Some(false) => Invalid::Refused,
            },
        };
        own.set(state, options);
        match options.invalid_numbers {
            Invalid::Null => Ok(Lv::String(lua.create_string("null")?)),
            other => Ok(Lv::Boolean(other == Invalid::Written)),
        }
    })?;
    let own = settings.clone();
    module.function("encode_sparse_array", move |lua, state, (convert, ratio, safe): (Lv, Lv, Lv)| {
        let mut options = own.get(state);
        let (name, range) = ("encode_sparse_array", 0..=i64::from(i32::MAX));
        options.sparse_convert = boolean(lua, name, 1, &convert)?.unwrap_or(options.sparse_convert);
        options.sparse_ratio = integer(lua, name, 2, &range, &ratio)?.unwrap_or(options.sparse_ratio);
        options.sparse_safe = integer(lua, name, 3, &range, &safe)?.unwrap_or(options.sparse_safe);
        own.set(state, options);
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
        _ => Err(raise(lua, &format!("bad argument #{position} to '{function}' (invalid option)"))),
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
        let message = format!("bad argument #{position} to '{function}' (expected integer between {from} and {to})");
        raise(lua, &message)
    })
}
