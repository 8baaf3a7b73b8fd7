//! Where requests of HTTP/1 begin and end, and what is refused before hyper reads it.
//!
//! hyper answers some bad heads with an empty response, closes on others without one, and takes what RFC 9112 lets a server
//! refuse. Two readers of one request that disagree about its end are how requests are smuggled past a proxy. So a head is
//! held back until it is complete, and passed on only if there is one way to read it.

use hyper::{Uri, Version};
use memchr::memchr_iter;

use super::error::RequestError;

/// Bytes of a head, at most. Kong's own limit is 32 kB.
pub(super) const MAX_HEAD_BYTES: usize = 32 << 10;

/// Headers of a request, at most.
pub(super) const MAX_HEADERS: usize = 100;

/// The start of an HTTP/2 connection (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How the body of a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was passed on yet: it may be HTTP/2.
    Start,
    Head,
    /// So many bytes of a body are left.
    Length(u64),
    Chunked(Chunk),
    /// HTTP/2, or a body that hyper refuses: everything is passed on.
    Raw,
}

/// The place in a chunked body (RFC 9112, 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Size(u64),
    Extension(u64),
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    DataEndLf,
    /// The start of a line after the last chunk.
    Trailer,
    TrailerLine,
    TrailerLineLf,
    TrailerLf,
    End,
}

/// Follows the requests of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    /// Bytes of the held head that are known to hold no end.
    scanned: usize,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self { state: State::Start, scanned: 0 }
    }

    /// Whether what follows is HTTP/2.
    pub(super) fn is_raw(&self) -> bool {
        self.state == State::Raw
    }

    /// How many of `bytes`, which begin with those that were not passed on before, may be passed on now. The rest is a head
    /// that is not complete. The error is about the head after those that may be passed on.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (usize, Option<RequestError>) {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Raw => return (bytes.len(), None),
                State::Start if bytes.starts_with(HTTP2_PREFACE) => self.state = State::Raw,
                State::Start if HTTP2_PREFACE.starts_with(bytes) => return (0, None),
                State::Start => self.state = State::Head,
                State::Head => match self.head(&bytes[at..]) {
                    Ok(None) => return (at, None),
                    Ok(Some((length, body))) => {
                        at += length;
                        self.scanned = 0;
                        self.state = match body {
                            Body::Length(0) => State::Head,
                            Body::Length(length) => State::Length(length),
                            Body::Chunked => State::Chunked(Chunk::Size(0)),
                        };
                    }
                    Err(error) => return (at, Some(error)),
                },
                State::Length(left) => {
                    let here = left.min((bytes.len() - at) as u64);
                    at += usize::try_from(here).unwrap_or(usize::MAX);
                    self.state = if here == left { State::Head } else { State::Length(left - here) };
                }
                State::Chunked(Chunk::Data(left)) => {
                    let here = left.min((bytes.len() - at) as u64);
                    at += usize::try_from(here).unwrap_or(usize::MAX);
                    self.state = State::Chunked(if here == left { Chunk::DataEnd } else { Chunk::Data(left - here) });
                }
                State::Chunked(chunk) => {
                    self.state = match chunk.after(bytes[at]) {
                        Some(Chunk::End) => State::Head,
                        Some(next) => State::Chunked(next),
                        // hyper refuses it, and the connection ends.
                        None => State::Raw,
                    };
                    at += 1;
                }
            }
        }
        (at, None)
    }

    /// The length of the head at the start of `bytes`, and how its body ends; `None` if it is not complete.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<(usize, Body)>, RequestError> {
        // Empty lines before a request are allowed (RFC 9112, 2.2).
        let blank = bytes.chunks(2).take_while(|pair| *pair == b"\r\n").count() * 2;
        let mut line = self.scanned.max(blank);
        for end in memchr_iter(b'\n', &bytes[line..]).map(|end| self.scanned.max(blank) + end) {
            if end == 0 || bytes[end - 1] != b'\r' {
                return Err(RequestError::bad_head("a line of the request does not end with CR LF"));
            }
            if end == line + 1 {
                if end >= MAX_HEAD_BYTES {
                    return Err(too_large(bytes));
                }
                return check(&bytes[blank..=end]).map(|body| Some((end + 1, body)));
            }
            line = end + 1;
        }
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(too_large(bytes));
        }
        if self.scanned == 0 {
            // What is not HTTP at all need not be waited for.
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            httparse::Request::new(&mut headers).parse(bytes).map_err(unreadable)?;
        }
        self.scanned = line;
        Ok(None)
    }
}

impl Chunk {
    /// The place after one more byte that is not data; `None` if it may not be there.
    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size(size) | Self::Extension(size), b'\r') => Self::SizeEnd(size),
            (Self::Size(size), b';' | b' ' | b'\t') => Self::Extension(size),
            (Self::Size(size), digit) => {
                let digit = char::from(digit).to_digit(16)?;
                Self::Size(size.checked_mul(16)?.checked_add(digit.into())?)
            }
            (Self::Extension(_), b'\n') => return None,
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::SizeEnd(0), b'\n') => Self::Trailer,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataEnd, b'\r') => Self::DataEndLf,
            (Self::DataEndLf, b'\n') => Self::Size(0),
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::Trailer | Self::TrailerLine, b'\n') => return None,
            (Self::Trailer, _) => Self::TrailerLine,
            (Self::TrailerLine, b'\r') => Self::TrailerLineLf,
            (Self::TrailerLine, _) => Self::TrailerLine,
            (Self::TrailerLineLf, b'\n') => Self::Trailer,
            (Self::TrailerLf, b'\n') => Self::End,
            _ => return None,
        })
    }
}

/// The refusal of a head that is too large.
fn too_large(head: &[u8]) -> RequestError {
    let first = &head[..head.len().min(MAX_HEAD_BYTES)];
    if first.trim_ascii_start().contains(&b'\n') {
        RequestError::head_too_large()
    } else {
        RequestError::uri_too_long()
    }
}

fn unreadable(error: httparse::Error) -> RequestError {
    match error {
        httparse::Error::TooManyHeaders => RequestError::too_many_headers(),
        error => RequestError::bad_head(&format!("the request cannot be read: {error}")),
    }
}

/// Checks a complete head. Returns how its body ends.
fn check(head: &[u8]) -> Result<Body, RequestError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    if request.parse(head).map_err(unreadable)?.is_partial() {
        return Err(RequestError::bad_head("the request cannot be read"));
    }
    let version = if request.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let target = request.path.unwrap_or_default();
    if target != "/" && target.parse::<Uri>().is_err() {
        return Err(RequestError::bad_head("the request's target is not a path or a URL"));
    }
    if request.method == Some("CONNECT") {
        return Err(RequestError::method_not_allowed("CONNECT").closing());
    }
    let values = |name: &'static str| {
        let named = request.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value.trim_ascii())
    };
    match values("host").count() {
        1 => {}
        0 if version == Version::HTTP_10 => {}
        0 => return Err(RequestError::bad_head("the request has no Host header")),
        _ => return Err(RequestError::bad_head("the request has more than one Host header")),
    }
    let mut length = None;
    for value in values("content-length") {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let given = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse::<u64>().ok());
        // hyper's own limit.
        let Some(given) = given.filter(|given| *given < u64::MAX - 2) else {
            return Err(RequestError::bad_head("the request's Content-Length is not a number of bytes"));
        };
        if length.replace(given).is_some_and(|before| before != given) {
            return Err(RequestError::bad_head("the request has two values of Content-Length"));
        }
    }
    let mut codings = values("transfer-encoding");
    let Some(coding) = codings.next() else { return Ok(Body::Length(length.unwrap_or(0))) };
    if length.is_some() || version == Version::HTTP_10 {
        return Err(RequestError::bad_head("the request has a Transfer-Encoding that it may not have"));
    }
    if !coding.eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
        return Err(RequestError::unsupported_transfer_encoding());
    }
    Ok(Body::Chunked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &[u8] = b"\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{\n}\
        POST /a?b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n2;a=b\r\n{}\r\n0a\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\nX: y\r\n\r\n\
        GET / HTTP/1.0\r\n\r\nPUT / HTTP/1.1\r\nHost: y\r\n\r\n";

    /// Passes `bytes` in pieces that end at `cuts`. Returns what was passed on, and the error after it.
    fn pass(bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, Option<RequestError>) {
        let (mut framing, mut held, mut passed) = (Framing::new(), Vec::new(), Vec::new());
        for cut in cuts.windows(2) {
            held.extend_from_slice(&bytes[cut[0]..cut[1]]);
            let (length, error) = framing.pass(&held);
            passed.extend(held.drain(..length));
            if error.is_some() {
                return (passed, error);
            }
        }
        (passed, None)
    }

    proptest! {
        /// Scenario: requests of every form, one after the other, and then a bad one, cut into reads anywhere.
        /// Guarantees: the good ones are passed on, byte by byte, and the bad one is not.
        #[test]
        fn cuts_do_not_matter(cuts in proptest::collection::vec(0usize..400, 0..12), bad in any::<bool>()) {
            let bytes = [GOOD, if bad { b"GET / HTTP/1.1\r\nA: b\r\n\r\n" } else { b"" }].concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let (passed, error) = pass(&bytes, &cuts);
            prop_assert_eq!(passed, GOOD);
            prop_assert_eq!(error.is_some(), bad);
        }

        /// Scenario: any bytes, beginning like a request or not.
        /// Guarantees: no panic, and never more bytes than there are.
        #[test]
        fn any_bytes(start in 0usize..GOOD.len(), more in proptest::collection::vec(any::<u8>(), 0..300)) {
            let bytes = [&GOOD[..start], &more].concat();
            prop_assert!(pass(&bytes, &[0, start, bytes.len()]).0.len() <= bytes.len());
        }
    }

    /// Scenario: heads that can be read in more than one way, or are too large.
    /// Guarantees: each is refused with its status, and nothing of it is passed on.
    #[test]
    fn refusals() {
        let post = |headers: &str| format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n");
        let crowd = "X: y\r\n".repeat(101);
        let cases = [
            (400, post("X: y")),
            (400, post("Host: x\r\nhost: x")),
            (400, post("Host: x\r\nContent-Length: -1")),
            (400, post("Host: x\r\nContent-Length: +1")),
            (400, post("Host: x\r\nContent-Length: 1, 1")),
            (400, post("Host: x\r\nContent-Length: 1\r\nContent-Length: 2")),
            (400, post("Host: x\r\nContent-Length: 18446744073709551616")),
            (400, post("Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked")),
            (501, post("Host: x\r\nTransfer-Encoding: gzip, chunked")),
            (501, post("Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
            (400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()),
            (400, "POST / HTTP/1.1\nHost: x\n\n".to_owned()),
            (400, "POST / HTTP/1.1\r\nHost: x\r\nX: y\n\r\n".to_owned()),
            (400, post("Host : x")),
            (400, post("Host: x\r\n folded")),
            (400, "POST / HTTP/9.9\r\n\r\n".to_owned()),
            (400, "\u{16}\u{3}\u{1}".to_owned()),
            (405, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_owned()),
            (431, post(&format!("{crowd}Host: x"))),
            (431, post(&format!("Host: x\r\nX: {}", "y".repeat(300_000)))),
            (431, format!("POST / HTTP/1.1\r\n{}", "X: y\r\n".repeat(10_000))),
            (414, format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(300_000))),
        ];
        for (status, text) in cases {
            let (passed, error) = pass(text.as_bytes(), &[0, text.len()]);
            let error = error.unwrap_or_else(|| panic!("{text} is passed on"));
            assert_eq!((error.status.as_u16(), passed.len()), (status, 0), "{}", &text[..text.len().min(80)]);
        }
        assert_eq!(pass(HTTP2_PREFACE, &[0, 3, 24]).0, HTTP2_PREFACE);
    }
}
