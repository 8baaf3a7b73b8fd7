//! Edits: when one takes effect, and why one fails.

use super::deferred;

/// When an edit takes effect (`kong.log.set_serialize_value`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Always.
    #[default]
    Set,
    /// Only if the member does not exist.
    Add,
    /// Only if the member exists.
    Replace,
}

/// A failed edit. The message is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The path leads through a scalar (Kong's wording, kong/pdk/log.lua).
    #[error("The key '{key}' could not be used as a serialize value. Subkey '{subkey}' is not a table. It's {found}.")]
    NotATable {
        /// The whole key.
        key: String,
        /// The part whose value is not a table.
        subkey: String,
        /// That value, as Lua's `tostring` shows it.
        found: String,
    },
    /// The value would exceed the nesting limit of the message (cjson's wording and limit).
    #[error("Cannot serialise, excessive nesting ({}) (key '{key}')", MAX_DEPTH + 1)]
    TooDeep {
        /// The beginning of the key.
        key: String,
    },
    /// There are too many edits of bodies, or they are too large.
    #[error("more than {} edits of bodies, or more than {} bytes of them", deferred::MAX_EDITS, deferred::MAX_BYTES)]
    TooManyOfBodies,
    /// The index is so far past the end of the array that most elements would be holes (cjson's wording and rule).
    #[error("Cannot serialise table: excessively sparse array (key '{key}')")]
    Sparse {
        /// The whole key.
        key: String,
    },
}

/// Levels of nesting that an edit may reach, including the outermost object: cjson's limit in Kong. Every walk through a
/// message recurses once per level.
pub(super) const MAX_DEPTH: usize = 1000;
