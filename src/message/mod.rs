//! The message: a transaction with the edits applied, encoded as one line of JSON.

mod body;
mod encode;
mod key_path;
mod late;
mod redact;
mod shape;
mod stand_in;
mod tree;

pub use body::{BodyError, BodyOptions};
pub use encode::Style;
pub use key_path::{KeyPath, Part};
pub use redact::NO_KEY;
pub use shape::{Shape, ShapeError, ShapeOptions};
pub use tree::{EditError, Message, Mode};

#[cfg(test)]
mod tests;
