//! URLs of the configuration, and what else of text requests and errors need.

use hyper::Uri;
use hyper::header::HeaderValue;

/// An absolute URL of http or https.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) uri: Uri,
    pub(super) https: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and, if it is written, port.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
}

impl Address {
    /// Reads `url`. The error is to follow the name of the setting.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.trim().parse().map_err(|error| format!("is no URL: {error}"))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("must begin with http:// or https://".to_owned()),
        };
        let authority = uri.authority().ok_or("names no host")?;
        if authority.as_str().contains('@') {
            return Err("has a user in it; give user and password in their own fields".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("names no host".to_owned());
        }
        Ok(Self {
            https,
            host,
            port: authority.port_u16().unwrap_or(if https { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            uri,
        })
    }

    /// Host and port, with brackets around an IPv6 address.
    pub(super) fn with_port(&self) -> String {
        let brackets = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{}{}{}:{}", brackets.0, self.host, brackets.1, self.port)
    }
}

/// `text` as a header's value, which is kept out of debugging output.
pub(super) fn header_value(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text).map_err(|_| "holds characters that no header may have".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// `text` with everything escaped that is not unreserved (RFC 3986, 2.3): a segment of a path.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The first `most` bytes of `text`, or a few less where a character would be torn.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: cuts at, inside and past characters. Guarantees: no character is torn, nothing is longer than asked.
    #[test]
    fn beginnings_tear_no_character() {
        for (most, expected) in [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (9, "aéb")] {
            assert_eq!(beginning("aéb", most), expected);
        }
    }
}
