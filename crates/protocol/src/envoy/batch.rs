//! A message of the stream, split into its parts.

use bytes::Bytes;

use crate::wire::{FieldError, field};

/// A part of `envoy.service.accesslog.v3.StreamAccessLogsMessage`, not decoded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// [`crate::envoy::message::Identifier`], in the first message of a stream.
    Identifier(Bytes),
    /// [`crate::envoy::message::HttpEntry`].
    Http(Bytes),
    /// [`crate::envoy::message::TcpEntry`].
    Tcp(Bytes),
}

/// A message that is not one of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchError;

impl std::fmt::Display for BatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a message of the access log service")
    }
}

impl std::error::Error for BatchError {}

impl From<FieldError> for BatchError {
    fn from(_: FieldError) -> Self {
        Self
    }
}

/// The parts of a message, in order. Ends after an error.
///
/// Entries are not decoded together: an empty one takes two bytes in a message and hundreds as a structure.
#[derive(Debug, Clone)]
pub struct Parts {
    rest: Bytes,
    /// The list of entries that is being read, and what its entries are.
    list: Option<(Kind, Bytes)>,
}

/// Makes a part of the bytes of an entry.
type Kind = fn(Bytes) -> Part;

/// The parts of `message`.
pub fn read(message: Bytes) -> Parts {
    Parts { rest: message, list: None }
}

impl Iterator for Parts {
    type Item = Result<Part, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((entry, list)) = &mut self.list {
                match field(list) {
                    Ok(Some((1, bytes))) => return Some(Ok(entry(bytes))),
                    Ok(Some(_)) => continue,
                    Ok(None) => self.list = None,
                    Err(error) => return Some(Err(self.end(error.into()))),
                }
            }
            match field(&mut self.rest) {
                Ok(Some((1, bytes))) => return Some(Ok(Part::Identifier(bytes))),
                Ok(Some((2, bytes))) => self.list = Some((Part::Http, bytes)),
                Ok(Some((3, bytes))) => self.list = Some((Part::Tcp, bytes)),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(self.end(error.into()))),
            }
        }
    }
}

impl Parts {
    fn end(&mut self, error: BatchError) -> BatchError {
        (self.rest, self.list) = (Bytes::new(), None);
        error
    }
}
