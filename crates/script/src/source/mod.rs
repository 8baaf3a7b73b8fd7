//! The text of snippets: its tokens, and what its names stand for. Nothing here knows of a VM.

pub(crate) mod blame;
pub(crate) mod lexer;
pub(crate) mod numeral;
pub(crate) mod scopes;
