//! What every room reads and shows: files that somebody names, and text that somebody else wrote.

pub mod file;
pub mod printable;
