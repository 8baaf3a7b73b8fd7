//! Built-in and own mappings.
