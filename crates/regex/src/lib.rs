//! Regular expressions with PCRE's rules, as OpenResty's `ngx.re` has them, without Lua.
//!
//! Each search asks its caller now and then whether it may go on, and its memory is bounded, so that no pattern and
//! no text can hold a thread.

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

pub use backtrack::{Cut, Scratch, UNSET};
#[doc(hidden)]
pub use fuzzing::search as search_checked;
pub use options::Options;
pub use pattern::{Pattern, Patterns};
