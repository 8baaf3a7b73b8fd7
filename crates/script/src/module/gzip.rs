//! `kong.tools.gzip`.

use std::io::{Read, Write};
use std::rc::Rc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use mlua::{IntoLuaMulti, Lua, MultiValue, Value as Lv};

use crate::host::arguments::bounded_string;
use crate::host::text::check_result;
use crate::host::{Module, State};
use crate::runtime::{check, work};

/// Bytes that both functions take.
const MAX_INPUT: usize = 8 << 20;
/// Bytes between two looks at the script's time.
const CHUNK: usize = 32 << 10;
/// How many times the time of a copy a byte takes, roughly.
const COST: usize = 16;

/// `inflate_gzip` and `deflate_gzip`. A text that expands to more than 8 MiB is an error, however small it is.
pub(super) fn gzip(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    module.function("inflate_gzip", |lua, _, text: Lv| {
        let text = bounded_string(lua, "inflate_gzip", &text, MAX_INPUT)?;
        inflate(lua, &text)
    })?;
    module.function("deflate_gzip", |lua, _, text: Lv| {
        let text = bounded_string(lua, "deflate_gzip", &text, MAX_INPUT)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        for chunk in text.chunks(CHUNK) {
            work(chunk.len() * COST);
            check()?;
            encoder.write_all(chunk).map_err(mlua::Error::external)?;
        }
        lua.create_string(encoder.finish().map_err(mlua::Error::external)?)
    })?;
    Ok(Lv::Table(module.done()))
}

fn inflate(lua: &Lua, text: &[u8]) -> mlua::Result<MultiValue> {
    let (mut decoder, mut out, mut chunk) = (GzDecoder::new(text), Vec::new(), vec![0; CHUNK]);
    loop {
        match decoder.read(&mut chunk) {
            Ok(0) => return lua.create_string(out)?.into_lua_multi(lua),
            Ok(length) => {
                work(length * COST);
                out.extend_from_slice(&chunk[..length]);
                check_result(lua, &out)?;
            }
            Err(_) => return (Lv::Nil, "INFLATE: data error").into_lua_multi(lua),
        }
    }
}
