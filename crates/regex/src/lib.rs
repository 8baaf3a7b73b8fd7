//! Regular expressions with PCRE's rules, for OpenResty's `ngx.re`; independent of Lua.
//!
//! Each search calls its caller's check regularly, and its memory is bounded, so that no pattern and no text can block a
//! thread.

mod ast;
mod backtrack;
mod fuzzing;
mod hints;
mod linear;
mod options;
mod parse;
mod pattern;
mod program;
mod set;
#[cfg(test)]
mod tests;

pub use backtrack::{Scratch, SearchError, UNSET};
#[doc(hidden)]
pub use fuzzing::search as search_checked;
pub use options::Options;
pub use pattern::{Pattern, Patterns};
