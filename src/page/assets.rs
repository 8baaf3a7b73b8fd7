//! The files of the page, which are embedded in the program (`build.rs`).

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
    VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use crate::api::{Reply, text_reply};

/// A file.
struct Asset {
    /// Its path below the folder, such as `assets/index-4f2a.js`.
    path: &'static str,
    /// What tells its content from others.
    tag: &'static str,
    /// Whether `content` is compressed.
    gzip: bool,
    content: &'static [u8],
}

/// The files of the page; none if the program was built without them.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The names of files in this folder say their content.
const HASHED: &str = "assets/";

const WITHOUT_PAGE: &str =
    "This program was built without its page. Build it with `make page` and then `make build`.\n";

/// Answers a request for a file.
pub(super) fn answer(head: &Parts) -> Reply {
    find(ASSETS, head)
}

fn find(assets: &'static [Asset], head: &Parts) -> Reply {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let mut reply =
            text_reply(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", "Method not allowed\n".into());
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return reply;
    }
    if assets.is_empty() {
        return text_reply(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", WITHOUT_PAGE.into());
    }
    let path = head.uri.path().trim_start_matches('/');
    let path = if path.is_empty() { "index.html" } else { path };
    match assets.iter().find(|asset| asset.path == path) {
        Some(asset) => show(asset, &head.headers),
        None => text_reply(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "Not found\n".into()),
    }
}

fn show(asset: &'static Asset, headers: &HeaderMap) -> Reply {
    let tag = format!("\"{}\"", asset.tag);
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|value| value.split(',')).any(|value| value.trim().trim_start_matches("W/") == tag);
    let takes_gzip = asset.gzip && takes_gzip(headers);
    let content = match () {
        () if is_known => Bytes::new(),
        () if asset.gzip && !takes_gzip => unpacked(asset.content),
        () => Bytes::from_static(asset.content),
    };
    let mut reply = Response::new(Full::from(content).boxed());
    if is_known {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let caching = if asset.path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let answer = reply.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(asset.path)));
    answer.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    answer.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.insert(ETAG, tag);
    }
    if takes_gzip {
        answer.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    reply
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3). All browsers do.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        is_gzip
            && !parts.any(|part| {
                part.replace(' ', "").strip_prefix("q=0").is_some_and(|rest| rest.trim_matches(['.', '0']).is_empty())
            })
    })
}

fn unpacked(content: &[u8]) -> Bytes {
    let mut unpacked = Vec::new();
    // The build has packed it.
    let _ = GzDecoder::new(content).read_to_end(&mut unpacked);
    unpacked.into()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    /// `hello hello hello` and a line end, compressed.
    static PACKED: &[u8] = &[
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 203, 72, 205, 201, 201, 87, 200, 64, 144, 92, 0, 59, 124, 138, 223, 18, 0, 0,
        0,
    ];
    static SOME: &[Asset] = &[
        Asset { path: "index.html", tag: "1", gzip: false, content: b"<p>" },
        Asset { path: "assets/a-1.js", tag: "2", gzip: true, content: PACKED },
    ];

    fn ask(assets: &'static [Asset], path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        find(assets, &request.body(()).unwrap().into_parts().0)
    }

    async fn body(reply: Reply) -> Vec<u8> {
        reply.into_body().collect().await.unwrap().to_bytes().to_vec()
    }

    /// Scenario: the page, a script, and unknown files, by clients with and without gzip, and by one that knows the page already; a program
    /// without the page. Guarantees: each gets what it can read, with the rules for its cache; without the page, the answer says how to
    /// build it.
    #[tokio::test]
    async fn files_of_the_page() {
        let page = ask(SOME, "/", &[]);
        assert_eq!(
            (page.status().as_u16(), &page.headers()[CACHE_CONTROL], &page.headers()[ETAG]),
            (200, &HeaderValue::from_static("no-cache"), &HeaderValue::from_static("\"1\""))
        );
        assert_eq!(body(page).await, b"<p>");
        let known = ask(SOME, "/index.html", &[("if-none-match", "\"0\", W/\"1\"")]);
        assert_eq!(known.status(), 304);
        assert!(body(known).await.is_empty());
        let packed = ask(SOME, "/assets/a-1.js", &[("accept-encoding", "br, gzip;q=0.5")]);
        assert!(packed.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(packed.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
        for coding in ["identity", "gzip;q=0", "gzip; q=0.0", "xgzip"] {
            let plain = ask(SOME, "/assets/a-1.js", &[("accept-encoding", coding)]);
            assert!(!plain.headers().contains_key(CONTENT_ENCODING), "{coding}");
            assert_eq!(body(plain).await, b"hello hello hello\n");
        }
        for unknown in ["/assets/", "/assets", "/../etc/passwd", "/assets/a-1.js/", "/index"] {
            assert_eq!(ask(SOME, unknown, &[]).status(), 404, "{unknown}");
        }
        let none = ask(&[], "/", &[]);
        assert_eq!(none.status(), 503);
        assert!(String::from_utf8(body(none).await).unwrap().contains("make page"));
    }
}
