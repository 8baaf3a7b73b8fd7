//! pre-function: Lua functions that run before all other plugins.

use serde_json::{Map, Value};

use super::Definition;
use logphase_config::schema::{Default, Field, Problem, Record};

/// The plugin.
pub const DEFINITION: Definition = Definition::silent("pre-function", 1_000_000, &SCHEMA);

/// The fields of both pre-function and post-function: a list of functions for each phase of Kong.
pub(super) static SCHEMA: Record = Record {
    fields: &[
        phase("certificate"),
        phase("rewrite"),
        phase("access"),
        phase("header_filter"),
        phase("body_filter"),
        Field::array("log", &CODE).default(Default::Strings(&[])).about("Functions for the log phase, run in order."),
        phase("ws_handshake").since("3.0"),
        phase("ws_client_frame").since("3.0"),
        phase("ws_upstream_frame").since("3.0"),
        phase("ws_close").since("3.0"),
        Field::array("functions", &CODE).instead("`access`"),
    ],
    checks: &[some_function],
};

const CODE: Field = Field::string("").about("Lua code; if it returns a function, that function runs.");

/// The functions of a phase that does not run here.
const fn phase(name: &'static str) -> Field {
    Field::array(name, &CODE).default(Default::Strings(&[])).about("Functions for another phase; accepted, not run.")
}

fn some_function(config: &Map<String, Value>) -> Result<(), Problem> {
    if config.values().any(|functions| functions.as_array().is_some_and(|list| !list.is_empty())) {
        return Ok(());
    }
    let names: Vec<_> = SCHEMA.fields.iter().filter(|field| field.instead.is_empty()).map(|field| field.name).collect();
    Err(Problem {
        field: "log",
        message: "no function for any phase".into(),
        kong: format!("at least one of these fields must be non-empty: 'config.{}'", names.join("', 'config.")),
    })
}
