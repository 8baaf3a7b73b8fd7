//! Ranges of content types.

use mime::{Mime, STAR};

/// A content type, all of a main type (`text/*`), or all (`*/*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRange(Mime);

impl MediaRange {
    /// Parses a range, ignoring case.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || Err(format!("`{text}` is no content type; write it like application/json, text/* or */*"));
        let Ok(range) = text.trim().parse::<Mime>() else { return wrong() };
        if range.params().next().is_some() {
            return Err(format!("`{text}` has parameters; give the content type alone, like {}", range.essence_str()));
        }
        let (main, sub) = (range.type_(), range.essence_str().split_once('/').map_or("", |(_, sub)| sub));
        let stars_in_place = if main == STAR { sub == "*" } else { !main.as_str().contains('*') };
        if stars_in_place && !sub.is_empty() && (sub == "*" || !sub.contains('*')) { Ok(Self(range)) } else { wrong() }
    }

    /// Whether a `Content-Type` header is within the range, ignoring parameters. Only `*/*` contains a missing header.
    pub fn has(&self, content_type: Option<&str>) -> bool {
        if self.0.type_() == STAR {
            return true;
        }
        let essence = content_type.and_then(|header| header.split(';').next());
        let Some(Ok(found)) = essence.map(|essence| essence.trim().parse::<Mime>()) else { return false };
        match self.0.subtype() == STAR {
            true => found.type_() == self.0.type_(),
            false => found.essence_str() == self.0.essence_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MediaRange;

    /// Scenario: ranges and headers in any case, with parameters and suffixes, and malformed headers.
    /// Guarantees: the range contains exactly the matching headers.
    #[test]
    fn ranges() {
        for (range, header, within) in [
            ("application/json", "application/json", true),
            ("Application/JSON", "application/Json; charset=utf-8", true),
            ("application/json", "application/json;", true),
            ("application/json", "application/jsonp", false),
            ("application/soap+xml", "application/soap+xml", true),
            ("application/soap", "application/soap+xml", false),
            ("text/*", "TEXT/html; q", true),
            ("text/*", "texts/html", false),
            ("text/*", "text", false),
            ("*/*", "nonsense", true),
            ("*/*", "", true),
        ] {
            assert_eq!(MediaRange::parse(range).unwrap().has(Some(header)), within, "{range} {header}");
        }
        assert!(!MediaRange::parse("text/*").unwrap().has(None));
        assert!(MediaRange::parse("*/*").unwrap().has(None));
    }

    /// Scenario: malformed ranges. Guarantees: an error that says what to write instead.
    #[test]
    fn no_ranges() {
        for text in
            ["", "json", "*", "*/json", "text/*x", "te*t/x", "text/", "/x", "a b/c", "text/plain; charset=utf-8"]
        {
            let error = MediaRange::parse(text).expect_err(text);
            assert!(error.contains("no content type") || error.contains("text/plain"), "{error}");
        }
    }
}
