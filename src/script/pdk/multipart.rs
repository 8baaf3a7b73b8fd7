//! The fields of a `multipart/form-data` body (RFC 7578).

use memchr::memmem;

/// The name and the content of each part that has a name, in order. `None` where the content type has no boundary.
pub(super) fn fields<'a>(body: &'a [u8], content_type: &str) -> Option<impl Iterator<Item = (String, &'a [u8])>> {
    let delimiter = format!("--{}", parameter(content_type, "boundary")?).into_bytes();
    let mut rest = after_delimiter(body, &delimiter).unwrap_or_default();
    Some(
        std::iter::from_fn(move || {
            // What follows the last delimiter begins with two more hyphens.
            if rest.is_empty() || rest.starts_with(b"--") {
                return None;
            }
            let end = find_delimiter(rest, &delimiter)?;
            let part = trim_line_end(&rest[..end]);
            rest = &rest[end + delimiter.len()..];
            Some(part)
        })
        .filter_map(field),
    )
}

fn after_delimiter<'a>(text: &'a [u8], delimiter: &[u8]) -> Option<&'a [u8]> {
    find_delimiter(text, delimiter).map(|at| &text[at + delimiter.len()..])
}

/// Where the delimiter stands at the beginning of a line.
fn find_delimiter(text: &[u8], delimiter: &[u8]) -> Option<usize> {
    memmem::find_iter(text, delimiter).find(|at| *at == 0 || text[at - 1] == b'\n')
}

fn trim_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// A part's name and content: behind the delimiter's line end, heads, an empty line, the content.
fn field(part: &[u8]) -> Option<(String, &[u8])> {
    let mut rest = &part[memchr::memchr(b'\n', part)? + 1..];
    let mut name = None;
    loop {
        let end = memchr::memchr(b'\n', rest);
        let line = String::from_utf8_lossy(trim_line_end(&rest[..end.map_or(rest.len(), |at| at + 1)]));
        rest = end.map_or(&[][..], |at| &rest[at + 1..]);
        if line.is_empty() {
            return name.map(|name| (name, rest));
        }
        let is_disposition = line.split_once(':').filter(|(head, _)| head.eq_ignore_ascii_case("content-disposition"));
        if let Some((_, value)) = is_disposition {
            name = parameter(value, "name");
        }
        if rest.is_empty() {
            return None;
        }
    }
}

/// The parameter `name` of a header's value, without quotes.
fn parameter(value: &str, name: &str) -> Option<String> {
    let found = value.split(';').skip(1).filter_map(|part| part.split_once('=')).find_map(|(key, value)| {
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    });
    found.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::fields;

    fn read(body: &str, content_type: &str) -> Option<Vec<(String, String)>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(fields(body.as_bytes(), content_type)?.map(|(name, value)| (name, text(value))).collect())
    }

    /// Scenario: sound forms, with files, preamble, line ends of either kind, and broken ones. Guarantees: names and
    /// contents as sent; what is broken gives fewer fields, never a panic.
    #[test]
    fn forms_are_read() {
        let kind = "multipart/form-data; boundary=\"B\"";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let sound = "pre\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n--B\r\n\
                     content-disposition: form-data; filename=\"x\"; name=\"f\"\r\n\
                     Content-Type: a/b\r\n\r\n\r\n--B--\r\n";
        assert_eq!(read(sound, kind), Some(vec![pair("a", "1\r\n2"), pair("f", "")]));
        let newlines = "--B\nContent-Disposition: form-data; name=a\n\nx--B\n--B--";
        assert_eq!(read(newlines, kind), Some(vec![pair("a", "x--B")]));
        assert_eq!(read(sound, "multipart/form-data"), None);
        assert_eq!(read(sound, "multipart/form-data; boundary="), None);
        for broken in
            ["", "--B", "--B--", "--B\r\n", "--B\r\n\r\n", "--B\r\nContent-Disposition: x\r\n--B--", "--B--B--B"]
        {
            assert_eq!(read(broken, kind), Some(Vec::new()), "{broken:?}");
        }
    }
}
