//! What every room reads and shows: files that somebody names, text that somebody else wrote, and counts.

pub mod count;
pub mod file;
pub mod printable;
