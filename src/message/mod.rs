//! The message: a transaction with the edits applied, encoded as one line of JSON.

mod encode;
mod key_path;
mod tree;

pub use encode::Style;
pub use key_path::{KeyPath, Part};
pub use tree::{EditError, Message, Mode};

#[cfg(test)]
mod tests;
