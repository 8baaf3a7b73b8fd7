//! `http` and `https` URLs of a configuration.

use hyper::Uri;
use hyper::http::uri::InvalidUri;

/// An absolute URL with the scheme `http` or `https` and no user information.
#[derive(Debug, Clone)]
pub struct HttpUrl {
    uri: Uri,
    https: bool,
    host: String,
    port: u16,
    authority: String,
}

/// A text is not such a URL. The message is a fragment that follows the name of a setting.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum UrlError {
    #[error("not a URL: {0}")]
    Syntax(#[from] InvalidUri),
    #[error("must begin with http:// or https://")]
    Scheme,
    #[error("has no host")]
    NoHost,
    #[error("contains a user; give user and password in their own fields")]
    UserInformation,
}

impl HttpUrl {
    /// Reads `url`. Whitespace around it is ignored.
    ///
    /// # Errors
    /// The text is not a URL of this kind.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let uri: Uri = url.trim().parse()?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(UrlError::Scheme),
        };
        let authority = uri.authority().ok_or(UrlError::NoHost)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::UserInformation);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(UrlError::NoHost);
        }
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        let authority = authority.as_str().to_owned();
        Ok(Self { uri, https, host, port, authority })
    }

    /// The whole URL.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether the scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: the one in the URL, or the scheme's default.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as the URL has them: the port only if it is given.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Host and port, always with the port and with brackets around an IPv6 address.
    pub fn host_and_port(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{open}{}{close}:{}", self.host, self.port)
    }

    /// Path and query.
    pub fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: URLs with and without a port, of both schemes, with an IPv6 address.
    /// Guarantees: host and port are those to connect to, and the authority is as written.
    #[test]
    fn splits_host_and_port() {
        for (url, authority, host_and_port, path) in [
            ("http://a", "a", "a:80", "/"),
            (" https://a/b?c ", "a", "a:443", "/b?c"),
            ("https://[::1]/", "[::1]", "[::1]:443", "/"),
            ("http://[::1]:81", "[::1]:81", "[::1]:81", "/"),
        ] {
            let parsed = HttpUrl::parse(url).expect(url);
            assert_eq!(
                (parsed.authority(), &*parsed.host_and_port(), parsed.path_and_query()),
                (authority, host_and_port, path)
            );
        }
        assert_eq!(HttpUrl::parse("http://[::1]").expect("a URL").host(), "::1");
    }

    /// Scenario: texts that are not such URLs. Guarantees: each is refused with its reason.
    #[test]
    fn refuses_other_urls() {
        for (url, expected) in [
            ("a:8081", "must begin with http:// or https://"),
            ("socks5://p", "must begin with http:// or https://"),
            ("", "not a URL: "),
            ("http://u:p@a", "contains a user; "),
        ] {
            let error = HttpUrl::parse(url).expect_err(url).to_string();
            assert!(error.starts_with(expected), "{url}: {error}");
        }
    }
}
