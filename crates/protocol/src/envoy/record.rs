//! Entries on their way to who reads all of them.

use std::sync::Arc;

use bytes::Bytes;

use crate::envoy::batch::Part;
use crate::envoy::stream::Origin;

/// An entry as it was received, with who sent it.
#[derive(Debug, Clone)]
pub struct Record {
    /// What it is.
    pub kind: RecordKind,
    /// The entry, encoded: [`crate::envoy::entry::HttpEntry`] or [`crate::envoy::entry::TcpEntry`].
    pub bytes: Bytes,
    /// Who sent it; the records of a stream share it.
    pub origin: Arc<Origin>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// A request and its response.
    Http,
    /// A connection.
    Tcp,
}

impl RecordKind {
    /// That of a part of a message; none if the part is no entry.
    pub fn of(part: Part<'_>) -> Option<Self> {
        match part {
            Part::Http(_) => Some(Self::Http),
            Part::Tcp(_) => Some(Self::Tcp),
            Part::Identifier(_) => None,
        }
    }
}
