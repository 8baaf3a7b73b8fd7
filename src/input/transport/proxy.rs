//! Reading the header of the PROXY protocol, and nothing behind it.

use std::io;
use std::net::SocketAddr;

use logphase_net::proxy_protocol::{MAX_HEADER_BYTES, Parsed, ProxyProtocolError, parse};
use tokio::net::TcpStream;

/// Why there is no header.
#[derive(Debug)]
pub(super) enum HeaderError {
    /// What was received is none.
    Invalid(ProxyProtocolError),
    /// The peer has gone, perhaps without a byte.
    Io(io::Error),
}

impl From<io::Error> for HeaderError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Takes the header from `stream`, and returns the client that it names, if it names one.
///
/// Bytes are looked at before they are taken, so that what follows the header stays for whoever reads the connection. What
/// was looked at and is not the end of the header is taken, so that a peer that sends single bytes causes no work
/// meanwhile.
pub(super) async fn read_header(stream: &TcpStream) -> Result<Option<SocketAddr>, HeaderError> {
    let mut bytes = vec![0; MAX_HEADER_BYTES];
    let mut taken = 0;
    loop {
        // A header that is over the limit was refused before the buffer is full.
        let seen = stream.peek(&mut bytes[taken..]).await?;
        if seen == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let parsed = parse(&bytes[..taken + seen]).map_err(HeaderError::Invalid)?;
        let end = match parsed {
            Parsed::Incomplete => taken + seen,
            Parsed::Header(header) => header.length,
        };
        while taken < end {
            match stream.try_read(&mut bytes[taken..end]) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(read) => taken += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.readable().await?,
                Err(error) => return Err(error.into()),
            }
        }
        if let Parsed::Header(header) = parsed {
            return Ok(header.source);
        }
    }
}
