//! `kong.response` (kong/pdk/response.lua).

use std::rc::Rc;

use mlua::{Lua, Table};

use super::request::header_pair;
use crate::host::request::body;
use crate::host::{Module, Phases, State, wrong_phase};
use crate::transaction::Level;

const BODY_PHASES: &str = "body_filter";
const HEADER_PHASES: &str = "rewrite, access, balancer, response, header_filter, error, admin_api";
const READ_PHASES: &str = "response, header_filter, body_filter, log, error, admin_api";

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function_in(READ_PHASES, "get_status", |_, state, (): ()| {
        Ok(state.member(Level::Response, "status", |view| view.number()))
    })?;
    header_pair(&mut module, Level::ResponseHeaders, READ_PHASES)?;
    module.function_in(READ_PHASES, "get_source", |_, state, (): ()| {
        if let Some(given) = state.context_text("response_source") {
            return Ok(given);
        }
        // The log object says "upstream" where the PDK says "service".
        let source = state.text(Level::Root, "source");
        Ok(match source.as_deref() {
            Some("upstream") => "service".to_owned(),
            Some("kong") | None => "exit".to_owned(),
            Some(other) => other.to_owned(),
        })
    })?;
    let readable = Phases::of(BODY_PHASES);
    module.function("get_raw_body", move |lua, state, (): ()| {
        let may_read = readable.has(state.phase.get());
        match body(state, "response_body") {
            Some(bytes) if may_read || !state.replays() => lua.create_string(bytes),
            None if may_read => lua.create_string(""),
            _ => Err(wrong_phase(lua, state, readable.text())),
        }
    })?;
    module.changing("kong.response", &["set_raw_body"], BODY_PHASES)?;
    let headers = ["set_status", "set_header", "add_header", "clear_header", "set_headers", "exit", "error"];
    module.changing("kong.response", &headers, HEADER_PHASES)?;
    Ok(module.done())
}
