//! A message of the stream, split into its parts.

use crate::wire::{Field, WireError, strict};

/// A part of `envoy.service.accesslog.v3.StreamAccessLogsMessage`, not decoded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// [`crate::envoy::message::Identifier`], in the first message of a stream.
    Identifier(&'a [u8]),
    /// [`crate::envoy::entry::HttpEntry`].
    Http(&'a [u8]),
    /// [`crate::envoy::entry::TcpEntry`].
    Tcp(&'a [u8]),
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

impl From<WireError> for BatchError {
    fn from(_: WireError) -> Self {
        Self
    }
}

/// The parts of a message, in order. Ends after an error.
///
/// Entries are not decoded together: an empty one takes two bytes in a message and hundreds as a structure.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    rest: &'a [u8],
    /// The list of entries that is being read, and what its entries are.
    list: Option<(Kind<'a>, &'a [u8])>,
}

/// Makes a part of the bytes of an entry.
type Kind<'a> = fn(&'a [u8]) -> Part<'a>;

/// The parts of `message`.
pub fn read(message: &[u8]) -> Parts<'_> {
    Parts { rest: message, list: None }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((entry, list)) = &mut self.list {
                match strict(list) {
                    Ok(Some((1, Field::Bytes(bytes)))) => return Some(Ok(entry(bytes))),
                    Ok(Some(_)) => continue,
                    Ok(None) => self.list = None,
                    Err(error) => return Some(Err(self.end(error.into()))),
                }
            }
            match strict(&mut self.rest) {
                Ok(Some((1, Field::Bytes(bytes)))) => return Some(Ok(Part::Identifier(bytes))),
                Ok(Some((2, Field::Bytes(bytes)))) => self.list = Some((Part::Http, bytes)),
                Ok(Some((3, Field::Bytes(bytes)))) => self.list = Some((Part::Tcp, bytes)),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(self.end(error.into()))),
            }
        }
    }
}

impl Parts<'_> {
    fn end(&mut self, error: BatchError) -> BatchError {
        (self.rest, self.list) = (&[], None);
        error
    }
}
