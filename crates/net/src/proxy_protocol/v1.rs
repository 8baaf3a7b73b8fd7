//! Version 1: a line of text, such as `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Header, Parsed, ProxyProtocolError};

/// The first bytes.
pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Bytes of the line with its end, at most (section 2.1).
const MAX_LINE_BYTES: usize = 107;

/// Reads the line that `bytes` begin with. They agree with [`SIGNATURE`] as far as both go.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    let line = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return if line.len() == MAX_LINE_BYTES {
            Err(ProxyProtocolError::Malformed("the line does not end within 107 bytes"))
        } else {
            Ok(Parsed::Incomplete)
        };
    };
    let text = line[..end].strip_suffix(b"\r").and_then(|text| text.strip_prefix(SIGNATURE));
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    let text = text.ok_or(ProxyProtocolError::Malformed("the line is not text that ends in CR LF"))?;
    Ok(Parsed::Header(Header { length: end + 1, source: source(text)? }))
}

fn source(text: &str) -> Result<Option<SocketAddr>, ProxyProtocolError> {
    let mut fields = text.split(' ');
    let addresses = match fields.next() {
        // What follows is to be ignored.
        Some("UNKNOWN") => return Ok(None),
        Some("TCP4") => addresses::<Ipv4Addr>(fields),
        Some("TCP6") => addresses::<Ipv6Addr>(fields),
        _ => return Err(ProxyProtocolError::Malformed("the protocol is not TCP4, TCP6 or UNKNOWN")),
    };
    addresses.map(Some).ok_or(ProxyProtocolError::Malformed("expected two addresses and two ports after the protocol"))
}

/// The source of `SOURCE DESTINATION SOURCE-PORT DESTINATION-PORT`.
fn addresses<'a, A: FromStr + Into<IpAddr>>(mut fields: impl Iterator<Item = &'a str>) -> Option<SocketAddr> {
    let source: A = fields.next()?.parse().ok()?;
    let _destination: A = fields.next()?.parse().ok()?;
    let port = port(fields.next()?)?;
    let _destination_port = self::port(fields.next()?)?;
    fields.next().is_none().then(|| SocketAddr::new(source.into(), port))
}

/// Digits without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| plain)
}
