//! post-function: Lua after everything else.

use super::{ANY, Definition, HTTP, pre_function};
use logphase_script::message::Include;

/// The plugin.
pub const DEFINITION: Definition = Definition {
    name: "post-function",
    old_names: &[],
    priority: -1000,
    protocols: ANY,
    default_protocols: HTTP,
    on_consumer: false,
    on_consumer_group: false,
    schema: &pre_function::SCHEMA,
    convert: super::nothing_old,
    emits: false,
    include_body: Include::OFF,
    open: None,
};
