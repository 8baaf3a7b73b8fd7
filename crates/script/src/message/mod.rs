//! The message: a transaction with the edits applied, encoded as one line of JSON.

mod body;
mod deferred;
mod edit;
mod encode;
mod include;
mod key_path;
mod media_range;
mod placeholder;
mod redact;
mod shape;
mod style;
mod tree;

pub use body::{BodyError, BodyOptions};
pub use edit::{EditError, Mode};
pub use include::Include;
pub use key_path::{KeyPath, Part};
pub use media_range::MediaRange;
pub use redact::{NO_KEY, RedactAction, RedactRule, Redacted, compile_pattern};
pub use shape::{Shape, ShapeError, ShapeOptions};
pub use style::Style;
pub use tree::{Message, Snapshot};

#[cfg(test)]
mod tests;
