//! Addresses of upstreams and targets, as Kong reads them (kong/tools/ip.lua).

use std::net::{Ipv4Addr, Ipv6Addr};

/// A name or an address, with the port if there is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address<'a> {
    V4(Ipv4Addr, Option<u16>),
    V6(Ipv6Addr, Option<u16>),
    Name(&'a str, Option<u16>),
}

/// The port of a target that has none.
const DEFAULT_PORT: u16 = 8000;

impl<'a> Address<'a> {
    /// Reads `text`; `None` if it is neither a name nor an address.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.matches(':').count() > 1 {
            let (address, port) = match text.strip_prefix('[') {
                Some(rest) => rest.split_once(']')?,
                None => (text, ""),
            };
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?.parse().ok()?) };
            return Some(Self::V6(address.parse().ok()?, port));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port {
            Some(port) if digits(port) => Some(port.parse().ok()?),
            Some(_) => return None,
            None => None,
        };
        if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Some(Self::V4(v4(host)?, port));
        }
        is_name(host).then_some(Self::Name(host, port))
    }
}

/// Four numbers, which may begin with zeros.
fn v4(text: &str) -> Option<Ipv4Addr> {
    let numbers: Vec<u8> = text.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    <[u8; 4]>::try_from(numbers).ok().map(Ipv4Addr::from)
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let labels = text.strip_suffix('.').unwrap_or(text);
    !text.is_empty()
        && text.bytes().all(allowed)
        && labels.split('.').all(|label| !label.is_empty() && !label.ends_with('-'))
}

/// A target as Kong stores it: with a port, addresses of IPv6 written out.
pub(super) fn with_port(target: &str) -> Option<String> {
    Some(match Address::parse(target)? {
        Address::V4(address, port) => format!("{address}:{}", port.unwrap_or(DEFAULT_PORT)),
        Address::Name(name, port) => format!("{name}:{}", port.unwrap_or(DEFAULT_PORT)),
        Address::V6(address, port) => {
            let groups = address.segments().map(|group| format!("{group:04x}")).join(":");
            format!("[{groups}]:{}", port.unwrap_or(DEFAULT_PORT))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: targets of each form. Guarantees: they are stored as Kong stores them, and what is no address is none.
    #[test]
    fn targets() {
        let cases = [
            ("example.com", Some("example.com:8000")),
            ("example.com:80", Some("example.com:80")),
            ("001.2.3.4", Some("1.2.3.4:8000")),
            ("::1", Some("[0000:0000:0000:0000:0000:0000:0000:0001]:8000")),
            ("[::1]:80", Some("[0000:0000:0000:0000:0000:0000:0000:0001]:80")),
            ("a b", None),
            ("1.2.3", None),
            ("a:70000", None),
            ("a-.com", None),
            ("a..com", None),
        ];
        for (target, stored) in cases {
            assert_eq!(with_port(target).as_deref(), stored, "{target}");
        }
    }
}
