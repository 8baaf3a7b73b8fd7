//! Addresses of collectors.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// The parts of `HOST:PORT` or `[IPV6]:PORT`, by the rules of Go's `net.SplitHostPort`; neither is empty. The port may be a name.
pub fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let is_split = !host.is_empty() && !port.is_empty() && !host.contains(['[', ']']) && !port.contains(['[', ']']);
    is_split.then_some((host, port))
}

/// Which addresses of collectors are meant: `HOST:PORT`, where the host may be `*`, `*.ZONE` or a network such as `10.0.0.0/8` or
/// `[fd00::/8]`, and the port may be `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPattern {
    host: HostPattern,
    /// None is any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// In lower case.
    Name(String),
    /// What a name ends in: a dot, and a zone in lower case.
    Zone(String),
    /// An address that is written as such; names are not resolved.
    Network(IpNet),
}

/// The error of a text that is no [`AddressPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT, like logs.example:5000, *.example:5000, 10.0.0.0/8:5000 or [fd00::/8]:*")]
pub struct AddressPatternError;

impl FromStr for AddressPattern {
    type Err = AddressPatternError;

    fn from_str(text: &str) -> Result<Self, AddressPatternError> {
        let (host, port) = split_host_port(text).ok_or(AddressPatternError)?;
        let port = match port {
            "*" => None,
            port => Some(port.parse().ok().filter(|port| *port > 0).ok_or(AddressPatternError)?),
        };
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || ".-_".contains(c));
        let host = match (host.parse::<IpNet>(), host.parse::<IpAddr>(), host.strip_prefix('*')) {
            (Ok(network), ..) => HostPattern::Network(network),
            (_, Ok(address), _) => HostPattern::Network(address.into()),
            (.., Some("")) => HostPattern::Any,
            (.., Some(zone)) if zone.starts_with('.') && is_name(&zone[1..]) => HostPattern::Zone(zone.to_lowercase()),
            _ if is_name(host) => HostPattern::Name(host.to_lowercase()),
            _ => return Err(AddressPatternError),
        };
        Ok(Self { host, port })
    }
}

impl AddressPattern {
    /// Whether `address`, `HOST:PORT`, is meant.
    pub fn matches(&self, address: &str) -> bool {
        let Some((host, port)) = split_host_port(address) else { return false };
        if self.port.is_some_and(|own| port.parse() != Ok(own)) {
            return false;
        }
        match &self.host {
            HostPattern::Any => true,
            HostPattern::Name(name) => host.to_lowercase() == *name,
            HostPattern::Zone(zone) => host.len() > zone.len() && host.to_lowercase().ends_with(zone),
            HostPattern::Network(network) => {
                host.parse::<IpAddr>().is_ok_and(|address| network.contains(&address.to_canonical()))
            }
        }
    }

    /// Whether it means every host.
    pub fn is_of_any_host(&self) -> bool {
        match &self.host {
            HostPattern::Any => true,
            HostPattern::Network(network) => network.prefix_len() == 0,
            HostPattern::Name(_) | HostPattern::Zone(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressPattern, split_host_port};

    /// Scenario: patterns of every form, and addresses beside them. Guarantees: only what is meant matches: a zone is a whole label, a
    /// network means addresses alone, and an address of IPv4 within IPv6 is one of IPv4.
    #[test]
    fn patterns_of_addresses() {
        for (pattern, good, bad) in [
            (
                "logs.example:5000",
                &["logs.example:5000", "LOGS.example:5000"][..],
                &["logs.example:5001", "x.logs.example:5000"][..],
            ),
            (
                "*.example:5000",
                &["a.example:5000", "a.b.EXAMPLE:5000"],
                &["example:5000", ".example:5000", "anexample:5000"],
            ),
            (
                "10.0.0.0/8:*",
                &["10.1.2.3:1", "[::ffff:10.1.2.3]:9"],
                &["11.0.0.1:1", "10.example:1", "10.1.2.3.example:1"],
            ),
            ("[fd00::/8]:5000", &["[fd00::1]:5000"], &["[fe80::1]:5000", "10.0.0.1:5000"]),
            ("127.0.0.1:80", &["127.0.0.1:80"], &["127.0.0.2:80", "localhost:80"]),
            ("[::1]:80", &["[::1]:80", "[0:0:0:0:0:0:0:1]:80"], &["[::2]:80"]),
            ("*:5000", &["any:5000", "[::1]:5000"], &["any:5001", "any"]),
        ] {
            let parsed: AddressPattern = pattern.parse().expect(pattern);
            assert!(good.iter().all(|address| parsed.matches(address)), "{pattern}");
            assert!(bad.iter().all(|address| !parsed.matches(address)), "{pattern}");
            assert_eq!(parsed.is_of_any_host(), pattern == "*:5000");
        }
        for bad in
            ["", "logs", "logs:", "logs:0", "logs:name", "*x:1", "*.:1", "a b:1", "10.0.0.0/99:1", "a/8:1", "::1:1"]
        {
            assert!(bad.parse::<AddressPattern>().is_err(), "{bad}");
        }
    }

    /// Scenario: addresses of collectors. Guarantees: the answer is that of Go's `net.SplitHostPort`, with neither part empty.
    #[test]
    fn addresses_are_split_as_in_go() {
        for (good, host, port) in [
            ("kibana:1234", "kibana", "1234"),
            ("127.0.0.1:80", "127.0.0.1", "80"),
            ("[::1]:80", "::1", "80"),
            ("host:name", "host", "name"),
            ("[fe80::1%eth0]:1", "fe80::1%eth0", "1"),
        ] {
            assert_eq!(split_host_port(good), Some((host, port)), "{good}");
        }
        for bad in [
            "", "kibana", "kibana:", ":80", "a:1:2", "::1:80", "[::1]", "[::1]80", "[::1:80", "[]:80", "a]:80", "a:[80",
        ] {
            assert_eq!(split_host_port(bad), None, "{bad}");
        }
    }
}
