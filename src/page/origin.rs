//! Where a request comes from: only the page itself may ask.

use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::message;
use crate::api::Reply;
use crate::connections::{AllowedHosts, HostError};

/// The header that scripts of the page send with every request that may change something. A form of another site cannot send it, and a
/// script of one would have to ask first, which nobody answers.
const OWN: &str = "x-logphase-page";

/// The answer to a request that is refused for where it comes from.
pub(super) fn refusal(head: &Parts, hosts: &AllowedHosts) -> Option<Reply> {
    if let Err(error) = hosts.check(head.version, &head.uri, &head.headers) {
        let status = match error {
            HostError::Malformed => StatusCode::BAD_REQUEST,
            HostError::Host { .. } => StatusCode::MISDIRECTED_REQUEST,
            HostError::Origin { .. } => StatusCode::FORBIDDEN,
        };
        return Some(message(status, &error.to_string()));
    }
    let is_api = head.uri.path().starts_with("/api/");
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let problem = foreign(head, is_api).or_else(|| (!reads).then(|| unmarked(&head.headers)).flatten());
    problem.map(|(status, problem)| message(status, problem))
}

/// What says that the request comes from the page of somebody else.
fn foreign(head: &Parts, is_api: bool) -> Option<(StatusCode, &'static str)> {
    let host = head.uri.authority().map(|host| host.as_str().as_bytes());
    let host = host.or_else(|| head.headers.get(HOST).map(|host| host.as_bytes()));
    // The host check has left out what is not `scheme://host`.
    let of_origin =
        |origin: &[u8]| origin.windows(3).position(|part| part == b"://").map(|at| origin[at + 3..].to_vec());
    let is_own = |origin: &[u8]| {
        of_origin(origin).is_some_and(|origin| host.is_some_and(|host| origin.eq_ignore_ascii_case(host)))
    };
    if head.headers.get_all(ORIGIN).iter().any(|origin| !is_own(origin.as_bytes())) {
        return Some((StatusCode::FORBIDDEN, "only the page itself may ask: the request has another origin"));
    }
    // W3C Fetch Metadata: a browser says from where it was sent to ask. Links from elsewhere may open the page itself.
    let site = head.headers.get("sec-fetch-site").filter(|_| is_api);
    site.filter(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
        .map(|_| (StatusCode::FORBIDDEN, "only the page itself may ask: the request comes from another site"))
}

/// What a request lacks that a script of the page sends with every change.
fn unmarked(headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    if headers.get(OWN).is_none_or(|own| own != "1") {
        return Some((StatusCode::FORBIDDEN, "only the page itself may ask: the header X-Logphase-Page is missing"));
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim();
    (!media.eq_ignore_ascii_case("application/json"))
        .then_some((StatusCode::UNSUPPORTED_MEDIA_TYPE, "the Content-Type of a request is application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn status(method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let hosts = AllowedHosts::new(&["page.example.com".to_owned()], "page.allowed_hosts");
        refusal(&head, &hosts).map_or(200, |reply| reply.status().as_u16())
    }

    /// Scenario: requests of the page itself, of a link, of pages of other origins, ports and sites, with foreign names, and changes
    /// without the page's header or with a form's content type. Guarantees: only those of the page itself get through; a link may open
    /// the page, and no API.
    #[test]
    fn only_the_page_asks() {
        const HOST: (&str, &str) = ("host", "127.0.0.1:8002");
        const MARKED: [(&str, &str); 2] =
            [("x-logphase-page", "1"), ("content-type", "application/json; charset=utf-8")];
        let get = |headers: &[(&str, &str)]| status("GET", "/api/events", &[&[HOST], headers].concat());
        assert_eq!(get(&[]), 200);
        assert_eq!(get(&[("origin", "http://127.0.0.1:8002"), ("sec-fetch-site", "same-origin")]), 200);
        assert_eq!(get(&[("sec-fetch-site", "none")]), 200);
        assert_eq!(get(&[("sec-fetch-site", "same-site")]), 403);
        assert_eq!(get(&[("sec-fetch-site", "cross-site")]), 403);
        assert_eq!(get(&[("origin", "http://127.0.0.1:8003")]), 403);
        assert_eq!(get(&[("origin", "null")]), 403);
        assert_eq!(get(&[("origin", "http://evil.example")]), 403);
        assert_eq!(status("GET", "/", &[HOST, ("sec-fetch-site", "cross-site")]), 200);
        assert_eq!(status("GET", "/", &[("host", "evil.example")]), 421);
        assert_eq!(status("GET", "/", &[("host", "page.example.com")]), 200);
        assert_eq!(status("GET", "/", &[]), 400);
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let change = |headers: &[(&str, &str)]| status(method, "/api/admin/services", &[&[HOST], headers].concat());
            assert_eq!(change(&MARKED), 200, "{method}");
            assert_eq!(change(&MARKED[..1]), 415);
            assert_eq!(change(&MARKED[1..]), 403);
            assert_eq!(change(&[MARKED[0], ("content-type", "application/x-www-form-urlencoded")]), 415);
            assert_eq!(change(&[MARKED[0], MARKED[1], ("origin", "https://127.0.0.1:8002.evil.example")]), 403);
        }
    }
}
