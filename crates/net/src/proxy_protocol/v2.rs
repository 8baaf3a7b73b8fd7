//! Version 2: binary, with extensions (TLVs) behind the addresses, which are skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Header, MAX_HEADER_BYTES, Parsed, ProxyProtocolError};

/// The first bytes.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes in front of the addresses: signature, version and command, family and transport, length.
const PREFIX_BYTES: usize = 16;

/// The proxy has made the connection for itself.
const LOCAL: u8 = 0x20;
/// The proxy forwards the connection of another.
const PROXY: u8 = 0x21;

/// Reads the header that `bytes` begin with. They agree with [`SIGNATURE`] as far as both go.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    let command = bytes.get(12).copied();
    if let Some(unknown) = command.filter(|command| !matches!(*command, LOCAL | PROXY)) {
        return Err(ProxyProtocolError::Command(unknown));
    }
    let Some(&[family, high, low]) = bytes.get(13..PREFIX_BYTES) else { return Ok(Parsed::Incomplete) };
    let length = PREFIX_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_HEADER_BYTES {
        return Err(ProxyProtocolError::TooLong(length));
    }
    let Some(addresses) = bytes.get(PREFIX_BYTES..length) else { return Ok(Parsed::Incomplete) };
    // The family of a connection of the proxy's own is to be ignored.
    let source = if command == Some(PROXY) { source(family, addresses)? } else { None };
    Ok(Parsed::Header(Header { length, source }))
}

/// The source address; what follows the addresses are extensions.
fn source(family: u8, addresses: &[u8]) -> Result<Option<SocketAddr>, ProxyProtocolError> {
    const SHORT: ProxyProtocolError = ProxyProtocolError::Malformed("it is shorter than the addresses of its family");
    match family {
        // UNSPEC.
        0x00 => Ok(None),
        // IPv4 over TCP or UDP: two addresses, two ports.
        0x11 | 0x12 => {
            let ([a, b, c, d, _, _, _, _, high, low, _, _], _) = addresses.split_first_chunk::<12>().ok_or(SHORT)?;
            Ok(Some(address(Ipv4Addr::new(*a, *b, *c, *d), *high, *low)))
        }
        // IPv6 over TCP or UDP.
        0x21 | 0x22 => {
            let (whole, _) = addresses.split_first_chunk::<36>().ok_or(SHORT)?;
            let (source, _) = whole.split_first_chunk::<16>().ok_or(SHORT)?;
            Ok(Some(address(Ipv6Addr::from(*source), whole[32], whole[33])))
        }
        // Unix sockets, of streams and datagrams: two paths of 108 bytes.
        0x31 | 0x32 if addresses.len() >= 216 => Ok(None),
        0x31 | 0x32 => Err(SHORT),
        unknown => Err(ProxyProtocolError::Family(unknown)),
    }
}

fn address(address: impl Into<IpAddr>, high: u8, low: u8) -> SocketAddr {
    SocketAddr::new(address.into(), u16::from_be_bytes([high, low]))
}
