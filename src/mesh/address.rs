//! Addresses of collectors.

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

#[cfg(test)]
mod tests {
    use super::split_host_port;

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
