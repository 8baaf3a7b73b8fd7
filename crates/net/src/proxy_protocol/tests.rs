//! Headers of both versions: what is read, what is refused, and what is only the beginning of one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

/// A header of version 2 with these addresses and extensions.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [v2::SIGNATURE, &[command, family], &length, rest].concat()
}

/// The header that a proxy sends for a connection from `source`.
fn of(version: u8, source: SocketAddr, extensions: &[u8]) -> Vec<u8> {
    match (version, source.ip()) {
        (1, IpAddr::V4(ip)) => format!("PROXY TCP4 {ip} 192.0.2.2 {} 443\r\n", source.port()).into_bytes(),
        (1, IpAddr::V6(ip)) => format!("PROXY TCP6 {ip} 2001:db8::2 {} 443\r\n", source.port()).into_bytes(),
        (_, IpAddr::V4(ip)) => {
            let rest = [&ip.octets()[..], &[192, 0, 2, 2], &source.port().to_be_bytes(), &[1, 187], extensions];
            binary(0x21, 0x11, &rest.concat())
        }
        (_, IpAddr::V6(ip)) => {
            let rest = [&ip.octets()[..], &[9; 16], &source.port().to_be_bytes(), &[1, 187], extensions];
            binary(0x21, 0x21, &rest.concat())
        }
    }
}

fn header(bytes: &[u8]) -> Header {
    match parse(bytes) {
        Ok(Parsed::Header(header)) => header,
        other => panic!("{other:?} for {}", String::from_utf8_lossy(bytes)),
    }
}

/// Scenario: headers that name no client: of version 1 without and with addresses, of health checks with any family, with
/// an unspecified family, of Unix sockets.
/// Guarantees: each is read whole, and the client is unknown.
#[test]
fn headers_without_a_client() {
    for bytes in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 whatever it is 65535\r\n".to_vec(),
        binary(0x20, 0x00, b""),
        binary(0x20, 0x11, b""),
        binary(0x20, 0x77, b"rest"),
        binary(0x21, 0x00, b"\x03\x00\x04abcd"),
        binary(0x21, 0x31, &[b'a'; 216]),
        binary(0x21, 0x32, &[b'a'; 230]),
    ] {
        assert_eq!(header(&bytes), Header { length: bytes.len(), source: None });
    }
}

/// Scenario: the examples of the specification, and IPv4 over UDP. Guarantees: the client is read.
#[test]
fn examples() {
    let worst =
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    let ffff = SocketAddr::new(Ipv6Addr::from_bits(u128::MAX).into(), 65535);
    assert_eq!(header(worst.as_bytes()), Header { length: worst.len(), source: Some(ffff) });
    let text = b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\nGET / HTTP/1.1\r\n";
    assert_eq!(header(text), Header { length: 56, source: Some(SocketAddr::new(Ipv4Addr::BROADCAST.into(), 65535)) });
    let datagram = binary(0x21, 0x12, &[192, 0, 2, 1, 192, 0, 2, 2, 0, 80, 1, 187]);
    assert_eq!(header(&datagram).source, Some("192.0.2.1:80".parse().unwrap()));
}

/// Scenario: bytes that are no header, each for another reason. Guarantees: each is refused, with the reason.
#[test]
fn what_is_refused() {
    use ProxyProtocolError::{Command, Family, Malformed, NoHeader, TooLong};
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"{\"request\":{}}\n",
        b"\x16\x03\x01",
        b"PROXx",
        b"proxy TCP4",
        b"\r\n\r\n\0\r\nQUIX",
        b"\n",
    ] {
        assert_eq!(parse(bytes), Err(NoHeader), "{}", String::from_utf8_lossy(bytes));
    }
    for text in [
        "TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
        "TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
        "TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        "UNKNOWNX\r\n",
        "\r\n",
        "\n",
    ] {
        let bytes = [v1::SIGNATURE, text.as_bytes()].concat();
        assert!(matches!(parse(&bytes), Err(Malformed(_))), "{text}");
    }
    assert!(matches!(parse(b"PROXY TCP4 \xff\r\n"), Err(Malformed(_))));
    let endless = [v1::SIGNATURE, &[b'x'; 101]].concat();
    assert!(matches!(parse(&endless), Err(Malformed(_))));
    assert_eq!(parse(&endless[..106]), Ok(Parsed::Incomplete));
    assert_eq!(parse(&binary(0x11, 0x11, b"")), Err(Command(0x11)));
    assert_eq!(parse(&binary(0x22, 0x11, b"")), Err(Command(0x22)));
    assert_eq!(parse(&binary(0x21, 0x13, b"")), Err(Family(0x13)));
    assert_eq!(parse(&binary(0x21, 0x41, b"")), Err(Family(0x41)));
    for (family, length) in [(0x11, 11), (0x12, 11), (0x21, 35), (0x22, 35), (0x31, 215)] {
        assert!(matches!(parse(&binary(0x21, family, &vec![0; length])), Err(Malformed(_))), "{family:#x}");
    }
    assert_eq!(header(&binary(0x21, 0x11, &[0; 4080])).length, MAX_HEADER_BYTES);
    assert_eq!(parse(&binary(0x21, 0x11, &[0; 4081])[..16]), Err(TooLong(4097)));
}

fn sources() -> impl Strategy<Value = SocketAddr> {
    let ips = prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ];
    (ips, any::<u16>()).prop_map(SocketAddr::from)
}

proptest! {
    /// Scenario: any client, either version, any extensions, any bytes behind the header, cut anywhere.
    /// Guarantees: the client and the length are those that were written; every beginning of it is incomplete, none is
    /// refused; what follows changes nothing.
    #[test]
    fn what_is_written_is_read(
        version in 1_u8..=2,
        source in sources(),
        extensions in proptest::collection::vec(any::<u8>(), 0..300),
        behind in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let bytes = of(version, source, &extensions);
        let expected = Header { length: bytes.len(), source: Some(source) };
        prop_assert_eq!(header(&bytes), expected);
        prop_assert_eq!(header(&[&bytes[..], &behind].concat()), expected);
        for end in 0..bytes.len() {
            prop_assert_eq!(parse(&bytes[..end]), Ok(Parsed::Incomplete));
        }
    }

    /// Scenario: any bytes, and a header in which some bytes are changed.
    /// Guarantees: no panic; a header is never longer than the bytes and the limit; once refused, always refused, however
    /// many more bytes there are.
    #[test]
    fn anything_is_judged_once(
        version in 1_u8..=2,
        source in sources(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        behind in proptest::collection::vec(any::<u8>(), 0..200),
        random in any::<bool>(),
    ) {
        let mut bytes = if random { Vec::new() } else { of(version, source, b"\x04\0\x01x") };
        bytes.extend(behind);
        for (at, value) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        let mut judged: Option<Result<Parsed, ProxyProtocolError>> = None;
        for end in 0..=bytes.len() {
            let now = parse(&bytes[..end]);
            if let Ok(Parsed::Header(header)) = now {
                prop_assert!(header.length <= end && header.length <= MAX_HEADER_BYTES);
            }
            match judged {
                Some(before) => prop_assert_eq!(now, before),
                None if now != Ok(Parsed::Incomplete) => judged = Some(now),
                None => {}
            }
        }
    }
}
