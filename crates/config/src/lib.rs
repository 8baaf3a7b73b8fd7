//! Configuration as text: documents that know where each value stands, the schema of their fields, and the
//! diagnostics that point into them.

pub mod diagnostic;
pub mod document;
pub mod schema;
