//! The message: a transaction with the edits applied, encoded as one line of JSON.

mod body;
mod encode;
mod include;
mod key_path;
mod late;
mod media_range;
mod redact;
mod shape;
mod stand_in;
mod tree;

pub use body::{BodyError, BodyOptions};
pub use encode::Style;
pub use include::Include;
pub use key_path::{KeyPath, Part};
pub use media_range::MediaRange;
pub use redact::{NO_KEY, RedactAction, RedactRule, compile_pattern};
pub use shape::{Shape, ShapeError, ShapeOptions};
pub use tree::{EditError, Message, Mode};

#[cfg(test)]
mod tests;
