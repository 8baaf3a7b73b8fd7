//! post-function: Lua after everything else.

use super::{Definition, pre_function};

/// The plugin.
pub const DEFINITION: Definition = Definition::silent("post-function", -1000, &pre_function::SCHEMA);
