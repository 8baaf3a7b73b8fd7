//! From an entry to Kong's log object.
//!
//! Members are those of Kong's serializer (`kong.log.serialize`); what Envoy does not know is absent, never invented.

mod common;
mod http;
mod tcp;

use crate::envoy::entry::{Common, HttpEntry, TcpEntry};
use crate::envoy::rule::Rule;
use crate::envoy::source::Sources;
use crate::envoy::stream::Origin;
use crate::json::Writer;
use crate::wire::WireError;

/// Writes entries as Kong's log objects.
#[derive(Debug, Clone, Default)]
pub struct Converter {
    rules: Vec<Rule>,
    intermediate: bool,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// Its log object was appended.
    Written,
    /// It tells the start or the state of a request or connection that has not ended; nothing was written.
    Intermediate,
}

/// Why an entry was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryError {
    /// Not a message of its type.
    Malformed(WireError),
    /// It has no `common_properties`, which every entry of Envoy has.
    Empty,
}

impl std::fmt::Display for EntryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "not an access log entry: {error}"),
            Self::Empty => f.write_str("not an access log entry: it has no common_properties"),
        }
    }
}

impl std::error::Error for EntryError {}

impl Converter {
    /// A converter that names consumers, routes and services by `rules`, of which the first that has a value counts.
    /// `intermediate` says whether records that are not the last of their request or connection are written, too.
    pub fn new(rules: Vec<Rule>, intermediate: bool) -> Self {
        Self { rules, intermediate }
    }

    /// Appends the log object of a [`HttpEntry`] to `out`.
    ///
    /// # Errors
    /// `entry` is none; nothing is appended.
    pub fn http(&self, entry: &[u8], origin: &Origin, out: &mut Vec<u8>) -> Result<Conversion, EntryError> {
        let entry = HttpEntry::decode(entry).map_err(EntryError::Malformed)?;
        let common = entry.common.as_ref().ok_or(EntryError::Empty)?;
        if self.drops(common) {
            return Ok(Conversion::Intermediate);
        }
        let sources = Sources { origin, common, request: entry.request.as_ref() };
        http::write(&mut Writer(out), &entry, common, &self.rules, sources);
        Ok(Conversion::Written)
    }

    /// Appends the log object of a [`TcpEntry`] to `out`.
    ///
    /// # Errors
    /// `entry` is none; nothing is appended.
    pub fn tcp(&self, entry: &[u8], origin: &Origin, out: &mut Vec<u8>) -> Result<Conversion, EntryError> {
        let entry = TcpEntry::decode(entry).map_err(EntryError::Malformed)?;
        let common = entry.common.as_ref().ok_or(EntryError::Empty)?;
        if self.drops(common) {
            return Ok(Conversion::Intermediate);
        }
        let sources = Sources { origin, common, request: None };
        tcp::write(&mut Writer(out), &entry, common, &self.rules, sources);
        Ok(Conversion::Written)
    }

    fn drops(&self, common: &Common<'_>) -> bool {
        !self.intermediate && common.is_intermediate()
    }
}
