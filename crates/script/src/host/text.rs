//! Text arguments and numbers as text, the way ngx_lua takes and writes them.

use mlua::{Lua, Value as Lv};

use crate::runtime::{bad_argument, check, kind_name, lua_number, raise, script_error, wrong_type};
use crate::source::numeral;

/// The longest text that a function of `ngx` takes, in bytes. It keeps a call within the deadline, and exceeds what
/// snippets use.
pub(crate) const MAX_TEXT: usize = 8 << 20;

/// The number that ngx_lua takes `value` for: strings are converted.
pub(crate) fn to_number(value: &Lv) -> Option<f64> {
    match value {
        Lv::Integer(number) => Some(*number as f64),
        Lv::Number(number) => Some(*number),
        Lv::String(text) => numeral::parse(&text.as_bytes()),
        _ => None,
    }
}

/// What `tostring` makes of `value`. It does not show addresses.
pub(crate) fn shown(value: &Lv) -> String {
    match value {
        Lv::Nil => "nil".to_owned(),
        Lv::Boolean(value) => value.to_string(),
        Lv::Integer(number) => lua_number(*number as f64),
        Lv::Number(number) => lua_number(*number),
        Lv::String(text) => text.to_string_lossy(),
        Lv::LightUserData(pointer) if pointer.0.is_null() => "userdata: NULL".to_owned(),
        Lv::Error(problem) => script_error(problem).message,
        other => kind_name(other).to_owned(),
    }
}

/// The text that ngx_lua takes `value` for: a string, a number, a boolean or nil.
///
/// # Errors
/// It is something else, or longer than [`MAX_TEXT`].
pub(crate) fn text_of(lua: &Lua, value: &Lv, function: &str, position: usize) -> mlua::Result<Vec<u8>> {
    Ok(match value {
        Lv::String(text) if text.as_bytes().len() > MAX_TEXT => {
            return Err(bad_argument(lua, position, function, &format!("longer than {MAX_TEXT} bytes")));
        }
        Lv::String(text) => {
            let text = text.as_bytes();
            crate::runtime::work(text.len());
            check()?;
            text.to_vec()
        }
        Lv::Nil | Lv::Boolean(false) => Vec::new(),
        Lv::Integer(number) => lua_number(*number as f64).into_bytes(),
        Lv::Number(number) => lua_number(*number).into_bytes(),
        Lv::Boolean(true) => b"true".to_vec(),
        other => return Err(wrong_type(lua, position, function, "string", other)),
    })
}

/// Calls `work` with one chunk of `text` after the other, and stops in between once the script's time is over.
///
/// # Errors
/// The script has to stop.
pub(crate) fn in_chunks(text: &[u8], mut work: impl FnMut(&[u8])) -> mlua::Result<()> {
    for chunk in text.chunks(64 << 10) {
        crate::runtime::work(chunk.len());
        check()?;
        work(chunk);
    }
    Ok(())
}

/// Bytes of a text that the host makes in steps, which does not count towards the VM's memory until it is complete.
const MAX_RESULT_BYTES: usize = 8 << 20;

/// Fails if the script has to stop, or if `result` is too long. To be called at each step.
///
/// # Errors
/// One of both.
pub(crate) fn check_result(lua: &Lua, result: &[u8]) -> mlua::Result<()> {
    check()?;
    if result.len() > MAX_RESULT_BYTES {
        return Err(raise(lua, &format!("the result is longer than {MAX_RESULT_BYTES} bytes")));
    }
    Ok(())
}

/// The offset of Lua's position `init` in a text of `length` bytes: positions begin at 1, and negative ones count from the end.
/// It may be past the end.
pub(crate) fn first_offset(length: usize, init: f64) -> usize {
    let init = init.trunc();
    (if init < 0.0 { length as f64 + init } else { init - 1.0 }).max(0.0) as usize
}
