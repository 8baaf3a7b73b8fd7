//! file-log: appends each message and a newline to a file.

pub mod sink;
mod writer;

pub use writer::Writers;
