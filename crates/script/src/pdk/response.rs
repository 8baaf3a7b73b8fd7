//! `kong.response` (kong/pdk/response.lua).

use std::rc::Rc;

use mlua::{Lua, Table};

use super::request::header_pair;
use crate::host::request::body;
use crate::host::{Module, State, wrong_phase};
use crate::transaction::Level;

const BODY_PHASES: &str = "body_filter";
const HEADER_PHASES: &str = "rewrite, access, balancer, response, header_filter, error, admin_api";

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module
        .function("get_status", |_, state, (): ()| Ok(state.member(Level::Response, "status", |view| view.number())))?;
    header_pair(&mut module, Level::ResponseHeaders)?;
    module.function("get_source", |_, state, (): ()| {
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
    module.function("get_raw_body", |lua, state, (): ()| match body(state, "response_body") {
        Some(bytes) => lua.create_string(bytes),
        None => Err(wrong_phase(lua, BODY_PHASES)),
    })?;
    module.forbidden(&["set_raw_body"], BODY_PHASES)?;
    let headers = ["set_status", "set_header", "add_header", "clear_header", "set_headers", "exit", "error"];
    module.forbidden(&headers, HEADER_PHASES)?;
    Ok(module.done())
}
