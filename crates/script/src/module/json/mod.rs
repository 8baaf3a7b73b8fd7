//! The modules `cjson` and `cjson.safe` (OpenResty's lua-cjson).
//!
//! All snippets of a VM share the modules, so an option that a snippet sets on them lasts until its call ends. An option
//! of an instance created with `new()` stays with that instance.

mod decode;
mod encode;
mod options;

use std::rc::Rc;

use self::options::Settings;
use crate::host::json::ValueError;
use crate::host::{Module, State};
use crate::runtime::{OUT_OF_TIME, bad_argument, frozen, host_function, kind_name, lua_number, raise, work};
use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Table, Value as Lv, Variadic};

/// The module. `safe` returns nil and the error instead of raising it.
pub(super) fn module(lua: &Lua, state: &Rc<State>, safe: bool) -> mlua::Result<Lv> {
    // Instances created with `new` are not frozen: only the snippet that created one can write to it.
    Ok(Lv::Table(frozen(instance(lua, state, safe, false)?)))
}

fn instance(lua: &Lua, state: &Rc<State>, safe: bool, lasting: bool) -> mlua::Result<Table> {
    let settings = Rc::new(Settings::new(lasting));
    let mut module = Module::new(lua, state)?;
    converters(&mut module, &settings, safe)?;
    options::add(&mut module, &settings)?;
    let table = module.done();
    let owner = state.clone();
    table.raw_set("new", host_function(lua, move |lua, (): ()| instance(lua, &owner, safe, true))?)?;
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

/// `kong.tools.cjson`: Kong's own instance, whose empty arrays stay arrays.
pub(super) fn kong(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let instance = instance(lua, state, true, true)?;
    let set = |name: &str| instance.raw_get::<Function>(name);
    set("decode_array_with_array_mt")?.call::<()>(true)?;
    set("encode_sparse_array")?.call::<()>((Lv::Nil, Lv::Nil, 1 << 15))?;
    set("encode_number_precision")?.call::<()>(16)?;
    let module = lua.create_table()?;
    module.raw_set("encode", instance.raw_get::<Lv>("encode")?)?;
    module.raw_set("decode_with_array_mt", instance.raw_get::<Lv>("decode")?)?;
    module.raw_set("array_mt", state.array_mark.clone())?;
    let mark = state.array_mark.clone();
    let new_array = move |lua: &Lua, _: Lv| {
        let array = lua.create_table()?;
        array.set_metatable(Some(mark.clone()))?;
        Ok(array)
    };
    module.raw_set("new_array", host_function(lua, new_array)?)?;
    Ok(Lv::Table(module))
}

/// `kong.tools.json`: `encode` and `decode` of `cjson.safe`.
pub(super) fn tools(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let instance = instance(lua, state, true, false)?;
    let module = lua.create_table()?;
    for name in ["encode", "decode"] {
        module.raw_set(name, instance.raw_get::<Lv>(name)?)?;
    }
    Ok(Lv::Table(module))
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
            Lv::String(text) => {
                work(text.as_bytes().len());
                text.as_bytes().to_vec()
            }
            Lv::Integer(number) => lua_number(*number as f64).into_bytes(),
            Lv::Number(number) => lua_number(*number).into_bytes(),
            other => {
                let problem = format!("bad argument #1 to 'decode' (string expected, got {})", kind_name(other));
                return answer(lua, safe, Err(ValueError::Invalid(problem)));
            }
        };
        answer(lua, safe, decode::decode(lua, state, options.get(state), &bytes))
    })
}

/// The only argument. Unlike cjson this accepts further arguments that are nil, such as the second result of a function.
fn only<'a>(lua: &Lua, function: &str, arguments: &'a [Lv]) -> mlua::Result<&'a Lv> {
    match arguments {
        [value, rest @ ..] if rest.iter().all(Lv::is_nil) => Ok(value),
        _ => Err(bad_argument(lua, 1, function, "expected 1 argument")),
    }
}

fn answer(lua: &Lua, safe: bool, result: Result<Lv, ValueError>) -> mlua::Result<MultiValue> {
    match result {
        Ok(value) => value.into_lua_multi(lua),
        Err(ValueError::Lua(error)) => Err(error),
        Err(ValueError::OutOfTime) => Err(mlua::Error::runtime(OUT_OF_TIME)),
        Err(error) if safe => (Lv::Nil, error.to_string()).into_lua_multi(lua),
        Err(error) => Err(raise(lua, &error.to_string())),
    }
}
