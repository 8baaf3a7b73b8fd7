//! The PROXY protocol, versions 1 and 2: the header with which a proxy says whose connection it forwards
//! (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>).
//!
//! [`parse`] is given what has arrived so far. It needs no state and copies nothing, so its caller can look at received
//! bytes without taking them from the system.

mod v1;
mod v2;

use std::net::SocketAddr;

/// Bytes of a header, its extensions (TLVs) included, at most. nginx has the same limit.
pub const MAX_HEADER_BYTES: usize = 4096;

/// What the bytes received so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header.
    Incomplete,
    /// A header, perhaps with more bytes behind it.
    Header(Header),
}

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header.
    pub length: usize,
    /// The client. `None` if it is unknown (`UNKNOWN`, `UNSPEC`, a Unix socket), or if the proxy has made the connection
    /// for itself (`LOCAL`, a health check): then the client is the proxy.
    pub source: Option<SocketAddr>,
}

/// Bytes that are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyProtocolError {
    /// The first bytes are those of neither version.
    #[error("the connection does not begin with a PROXY protocol header")]
    NoHeader,
    /// A header of version 1 has no end where it must have one, or another form.
    #[error("the PROXY protocol header is malformed: {0}")]
    Malformed(&'static str),
    /// A header of version 2 has a version or command that does not exist.
    #[error("the PROXY protocol header has the unknown version and command {0:#04x}")]
    Command(u8),
    /// A header of version 2 has an address family or a transport that does not exist.
    #[error("the PROXY protocol header has the unknown address family and transport {0:#04x}")]
    Family(u8),
    /// The header has this many bytes, which is over [`MAX_HEADER_BYTES`].
    #[error("the PROXY protocol header has {0} bytes, over the limit of {MAX_HEADER_BYTES}")]
    TooLong(usize),
}

/// Reads the header at the start of `bytes`.
///
/// # Errors
/// The bytes are no header, whatever follows them.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    if begins(bytes, v2::SIGNATURE) {
        v2::parse(bytes)
    } else if begins(bytes, v1::SIGNATURE) {
        v1::parse(bytes)
    } else {
        Err(ProxyProtocolError::NoHeader)
    }
}

/// Whether `bytes` begin with `signature`, or are the beginning of it.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let common = bytes.len().min(signature.len());
    bytes[..common] == signature[..common]
}

#[cfg(test)]
mod tests;
