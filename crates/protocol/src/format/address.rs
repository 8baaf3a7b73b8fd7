//! Addresses of peers.

use std::io::Write;
use std::net::IpAddr;

use super::number;

/// An address of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address<'a> {
    /// An IP address as text, and the port if it is known.
    Ip(&'a [u8], Option<u16>),
    /// The path of a Unix socket, or the name of a listener within Envoy: text without a port.
    Named(&'static str, &'a [u8]),
}

/// What an operator prints of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `ip:port`, `[ip]:port`, or the name.
    Whole,
    /// The IP address or name; with a mask, the network of that many bits, at most as many as the address has.
    WithoutPort(Option<u8>),
    /// The port: of a name there is none.
    Port,
}

impl Address<'_> {
    /// Appends `part`. False if there is none.
    pub(super) fn write(self, part: Part, out: &mut Vec<u8>) -> bool {
        match (self, part) {
            (Self::Ip(_, port), Part::Port) => {
                let Some(port) = port else { return false };
                number::push(out, port.into());
            }
            (Self::Named(..), Part::Port) => return false,
            (Self::Ip(address, port), Part::Whole) => {
                let brackets = port.is_some() && address.contains(&b':');
                out.extend_from_slice(if brackets { b"[" } else { b"" });
                out.extend_from_slice(address);
                out.extend_from_slice(if brackets { b"]" } else { b"" });
                if let Some(port) = port {
                    out.push(b':');
                    number::push(out, port.into());
                }
            }
            (Self::Ip(address, _), Part::WithoutPort(None)) => out.extend_from_slice(address),
            (Self::Ip(address, _), Part::WithoutPort(Some(bits))) => write_network(address, bits, out),
            (Self::Named(scheme, name), _) => {
                out.extend_from_slice(scheme.as_bytes());
                out.extend_from_slice(name);
            }
        }
        true
    }
}

/// Appends the network of `address`; one that cannot be read is printed as it is.
fn write_network(address: &[u8], bits: u8, out: &mut Vec<u8>) {
    let parsed = std::str::from_utf8(address).ok().and_then(|text| text.parse::<IpAddr>().ok());
    // Writing to memory does not fail.
    let _ = match parsed {
        Some(IpAddr::V4(address)) => {
            let bits = bits.min(32);
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            write!(out, "{}/{bits}", std::net::Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        Some(IpAddr::V6(address)) => {
            let bits = bits.min(128);
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            write!(out, "{}/{bits}", std::net::Ipv6Addr::from_bits(address.to_bits() & mask))
        }
        None => {
            out.extend_from_slice(address);
            Ok(())
        }
    };
}
