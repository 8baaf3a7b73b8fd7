//! post-function: Lua functions that run after all other plugins.

use super::{Definition, pre_function};

/// The plugin.
pub const DEFINITION: Definition = Definition::silent("post-function", -1000, &pre_function::SCHEMA);
