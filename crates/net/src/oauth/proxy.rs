//! The proxy in front of a token endpoint.

use hyper::header::HeaderValue;

use super::settings::TransportSettings;
use crate::config_error::ConfigError;
use crate::http::header::sensitive;
use crate::url::HttpUrl;

/// A proxy that speaks HTTP without TLS.
pub(super) struct Proxy {
    pub(super) url: HttpUrl,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The proxy for `endpoint`: `http_proxy` or `https_proxy`, by the scheme of the endpoint.
    pub(super) fn for_endpoint(endpoint: &HttpUrl, settings: &TransportSettings) -> Result<Option<Self>, ConfigError> {
        let (field, url, authorization) = if endpoint.is_https() {
            ("https_proxy", &settings.https_proxy, &settings.https_proxy_authorization)
        } else {
            ("http_proxy", &settings.http_proxy, &settings.http_proxy_authorization)
        };
        let Some(url) = url.as_deref().filter(|url| !url.is_empty()) else { return Ok(None) };
        let url = HttpUrl::parse(url).map_err(|error| ConfigError::new(field, error))?;
        if url.is_https() {
            let error = ConfigError::new(field, "a proxy that speaks TLS is not supported");
            return Err(error.with_help("give an http:// URL"));
        }
        if settings.no_proxy.as_deref().is_some_and(|hosts| is_excluded(endpoint.host(), hosts)) {
            return Ok(None);
        }
        let authorization = authorization.as_deref().map(sensitive).transpose();
        let authorization = authorization.map_err(|error| ConfigError::new(format!("{field}_authorization"), error))?;
        Ok(Some(Self { url, authorization }))
    }
}

/// Whether `host` is one of the comma-separated `hosts` or in one of them as a domain. `*` is every host.
fn is_excluded(host: &str, hosts: &str) -> bool {
    let host = host.to_ascii_lowercase();
    hosts.split(',').map(|entry| entry.trim().trim_start_matches('.').to_ascii_lowercase()).any(|entry| {
        let is_inside = || host.strip_suffix(&entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        entry == "*" || (!entry.is_empty() && is_inside())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: hosts with and without domains, wildcards and spaces. Guarantees: whole labels are compared.
    #[test]
    fn no_proxy_compares_labels() {
        for (host, hosts, expected) in [
            ("id.example.com", "example.com", true),
            ("id.example.com", "localhost, .Example.com", true),
            ("example.com", "example.com", true),
            ("badexample.com", "example.com", false),
            ("example.com", "id.example.com", false),
            ("example.com", "", false),
            ("example.com", ",", false),
            ("10.0.0.1", "*", true),
        ] {
            assert_eq!(is_excluded(host, hosts), expected, "{host} in {hosts:?}");
        }
    }
}
