//! Parses `multipart/form-data` bodies (RFC 7578).

use std::borrow::Cow;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use multer::Multipart;

/// The parts of a body.
#[derive(Debug, Default)]
pub struct Parts {
    /// The name and the content of each named part, in order, including files.
    pub fields: Vec<(String, Bytes)>,
    /// Why the body after these parts is malformed, if it is.
    pub problem: Option<String>,
}

/// Splits `body` at the boundary of `content_type`. `goes_on` is called after each part; once it returns false, the parts
/// so far are returned with a problem.
pub fn parts(body: &[u8], content_type: &str, goes_on: impl Fn() -> bool) -> Parts {
    let Some(boundary) = boundary(content_type) else {
        return Parts { problem: Some("the content type names no boundary".to_owned()), ..Parts::default() };
    };
    // Kong accepts bare line feeds as well. A text without carriage returns can be converted and back.
    let bare = memchr::memchr(b'\r', body).is_none();
    let body = if bare { Cow::Owned(with_returns(body)) } else { Cow::Borrowed(body) };
    let mut parts = read(Bytes::from(body.into_owned()), boundary, goes_on);
    if bare {
        for (_, content) in &mut parts.fields {
            *content = content.iter().copied().filter(|byte| *byte != b'\r').collect();
        }
    }
    parts
}

fn with_returns(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / 16);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        match line {
            [text @ .., b'\n'] => {
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            text => out.extend_from_slice(text),
        }
    }
    out
}

fn read(body: Bytes, boundary: String, goes_on: impl Fn() -> bool) -> Parts {
    let whole = stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(body)));
    let mut multipart = Multipart::new(whole, boundary);
    let mut fields = Vec::new();
    let reading = async {
        while let Some(field) = multipart.next_field().await? {
            let name = field.name().map(str::to_owned);
            let content = field.bytes().await?;
            fields.extend(name.map(|name| (name, content)));
            if !goes_on() {
                return Ok(Some("it took too long".to_owned()));
            }
        }
        Ok::<_, multer::Error>(None)
    };
    // The whole body is in memory, so the future is always ready.
    let problem = match reading.now_or_never() {
        Some(Ok(problem)) => problem,
        Some(Err(error)) => Some(error.to_string()),
        None => Some("it ends too early".to_owned()),
    };
    Parts { fields, problem }
}

/// The parameter `boundary` of a content type, without quotes.
fn boundary(content_type: &str) -> Option<String> {
    let found = content_type.split(';').skip(1).filter_map(|part| part.split_once('=')).find_map(|(key, value)| {
        key.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"').to_owned())
    });
    found.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parts;

    fn read(body: &str, content_type: &str) -> (Vec<(String, String)>, bool) {
        let parts = parts(body.as_bytes(), content_type, || true);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (parts.fields.into_iter().map(|(name, value)| (name, text(&value))).collect(), parts.problem.is_none())
    }

    /// Scenario: sound forms, with files, preamble, nameless parts, line ends of either kind. Guarantees: names and
    /// contents as sent.
    #[test]
    fn forms_are_read() {
        let kind = "multipart/form-data; boundary=\"B\"";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let sound = "pre\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n--B\r\n\
                     content-disposition: form-data; filename=\"x\"; name=\"f\"\r\n\
                     Content-Type: a/b\r\n\r\n\r\n--B\r\nX: y\r\n\r\nnameless\r\n--B--\r\nafter";
        assert_eq!(read(sound, kind), (vec![pair("a", "1\r\n2"), pair("f", "")], true));
        let bare = "--B\nContent-Disposition: form-data; name=a\n\nx--B\n\ny\n--B--";
        assert_eq!(read(bare, kind), (vec![pair("a", "x--B\n\ny")], true));
        assert_eq!(read("--B--", kind), (Vec::new(), true));
    }

    /// Scenario: no boundary, and bodies that break off or are no forms. Guarantees: a problem, and the fields before
    /// it; never a panic.
    #[test]
    fn broken_forms_have_a_problem() {
        let kind = "multipart/form-data; boundary=B";
        let whole = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n";
        for without in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"\""] {
            assert_eq!(read(whole, without), (Vec::new(), false), "{without}");
        }
        for broken in ["", "--B", "--B\r\n", "--B\r\n\r\n", "--B\r\nContent-Disposition: x\r\n--B--", "--B--B--B", "no"]
        {
            let (fields, sound) = read(broken, kind);
            assert!(fields.is_empty() && (!sound || broken.starts_with("--B--")), "{broken:?}");
        }
        let (fields, sound) = read(&format!("{}\r\nContent-Disp", whole.replace("--B--\r\n", "--B")), kind);
        assert_eq!((fields, sound), (vec![("a".to_owned(), "1".to_owned())], false));
        let two = whole.replace("--B--", whole);
        assert_eq!(read(&two, kind).0.len(), 2);
        let stopped = parts(two.as_bytes(), kind, || false);
        assert_eq!((stopped.fields.len(), stopped.problem.as_deref()), (1, Some("it took too long")));
    }

    proptest! {
        /// Scenario: any bytes, some of them like parts. Guarantees: an end, and no panic.
        #[test]
        fn any_bytes(pieces in prop::collection::vec(prop_oneof![
            Just(b"--B".to_vec()), Just(b"\r\n".to_vec()), Just(b"\n".to_vec()), Just(b"--".to_vec()),
            Just(b"Content-Disposition: form-data; name=\"a\"".to_vec()), prop::collection::vec(any::<u8>(), 0..8),
        ], 0..24)) {
            parts(&pieces.concat(), "multipart/form-data; boundary=B", || true);
        }
    }
}
