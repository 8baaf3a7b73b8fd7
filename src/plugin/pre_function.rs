//! pre-function: Lua functions that run before all other plugins.

use serde_json::{Map, Value};

use super::Definition;
use logphase_config::schema::{Default, Field, Problem, Record, Shown, Violation};

/// The plugin.
pub const DEFINITION: Definition = Definition::silent("pre-function", 1_000_000, &SCHEMA);

/// The fields of both pre-function and post-function: a list of functions for each phase of Kong.
pub(super) static SCHEMA: Record = Record {
    fields: &[
        phase("certificate").required(),
        replayed("rewrite"),
        replayed("access"),
        replayed("header_filter"),
        replayed("body_filter"),
        Field::array("log", &CODE)
            .required()
            .default(Default::Strings(&[]))
            .about("Functions for the log phase, run in order."),
        of_websocket("ws_handshake"),
        of_websocket("ws_client_frame"),
        of_websocket("ws_upstream_frame"),
        of_websocket("ws_close"),
        Field::array("functions", &CODE).instead("`access`").shown(Shown::IfSet),
    ],
    checks: &[some_function],
};

/// The fields with functions for other phases than the log phase, each with the phase's name, in Kong's order of the phases.
/// `functions` is the old name of `access`.
pub const EARLIER: [(&str, &str); 10] = [
    ("certificate", "certificate"),
    ("rewrite", "rewrite"),
    ("access", "access"),
    ("functions", "access"),
    ("header_filter", "header_filter"),
    ("body_filter", "body_filter"),
    ("ws_handshake", "ws_handshake"),
    ("ws_client_frame", "ws_client_frame"),
    ("ws_upstream_frame", "ws_upstream_frame"),
    ("ws_close", "ws_close"),
];

const CODE: Field = Field::string("").about("Lua code; if it returns a function, that function runs.");

/// The functions of a phase that Kong runs, and Logphase only where Kong did not.
const fn replayed(name: &'static str) -> Field {
    Field::array(name, &CODE).required().default(Default::Strings(&[])).about(
        "Functions for another phase: run in Kong, and here for other proxies if `replay_phases` names the phase.",
    )
}

/// The functions of a phase that runs in Kong alone.
const fn phase(name: &'static str) -> Field {
    Field::array(name, &CODE).default(Default::Strings(&[])).about("Functions for another phase: run in Kong alone.")
}

/// The functions of a phase of WebSocket connections, which Kong Gateway Enterprise has.
const fn of_websocket(name: &'static str) -> Field {
    Field::array(name, &CODE).since("3.0").shown(Shown::IfSet).about("Functions for another phase: run in Kong alone.")
}

fn some_function(config: &Map<String, Value>) -> Result<(), Problem> {
    if config.values().any(|functions| functions.as_array().is_some_and(|list| !list.is_empty())) {
        return Ok(());
    }
    let names: Vec<_> =
        SCHEMA.fields.iter().filter(|field| field.shown == Shown::Always).map(|field| field.name).collect();
    Err(Problem {
        field: "log",
        message: "no function for any phase".into(),
        kong: Violation::AtLeastOne(format!(
            "at least one of these fields must be non-empty: 'config.{}'",
            names.join("', 'config.")
        )),
    })
}
