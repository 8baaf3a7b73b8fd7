//! Code inside a document, whose lines can be found in the file.

use std::ops::Range;
use std::sync::Arc;

use super::{StringStyle, Text};
use crate::diagnostic::{Origin, Place, SourceFile};

/// The text of a snippet and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct SnippetSource {
    /// The code.
    pub text: String,
    /// Where the whole of it comes from.
    pub origin: Origin,
    scalar: Option<Scalar>,
}

/// The scalar of a document that a snippet is.
#[derive(Debug, Clone, PartialEq)]
struct Scalar {
    text: Arc<Text>,
    span: Range<usize>,
    style: StringStyle,
}

impl SnippetSource {
    /// A snippet that is a whole file, or an argument of the command line under a name.
    pub fn whole(file: &Arc<SourceFile>) -> Self {
        let place = Place::new(file.clone(), 0..file.text.len());
        Self { text: file.text.clone(), origin: place.into(), scalar: None }
    }

    /// A scalar of a document.
    pub(super) fn in_document(value: String, text: Arc<Text>, span: Range<usize>, style: StringStyle) -> Self {
        let origin = text.place(span.clone()).into();
        Self { text: value, origin, scalar: Some(Scalar { text, span, style }) }
    }

    /// A string of a request's body.
    pub(super) fn in_request(value: String, origin: Origin) -> Self {
        Self { text: value, origin, scalar: None }
    }

    /// The place of line `line` (counted from 1) of the code in its file. Lines past the end count as the last one. In
    /// a request, the origin of the whole snippet.
    ///
    /// White space may differ between the code and the file (indentation, folding), other characters cannot: the n-th
    /// of them in the code is the n-th of them in the file.
    pub fn line_origin(&self, line: usize) -> Origin {
        let Origin::File(whole) = &self.origin else { return self.origin.clone() };
        self.line_place(whole, line).into()
    }

    fn line_place(&self, whole: &Place, line: usize) -> Place {
        let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
        let mut lines = self.text.split('\n');
        let before: usize = lines.by_ref().take(line.saturating_sub(1)).map(visible).sum();
        let here = lines.next().map_or(0, visible);
        let marks = self.marks();
        let Some(&(first, _)) = marks.get(before).or(marks.last()) else { return whole.clone() };
        let (last, length) = marks[(before + here.max(1) - 1).min(marks.len() - 1)];
        let end = if here == 0 { first } else { (last + length).max(first) };
        match &self.scalar {
            Some(scalar) => scalar.text.place(scalar.span.start + first..scalar.span.start + end),
            None => Place::new(whole.file.clone(), first..end),
        }
    }

    /// The place of the bytes `span` of the code in its file; the rule of [`Self::line_origin`] holds. In a request, the origin
    /// of the whole snippet.
    pub fn span_origin(&self, span: Range<usize>) -> Origin {
        let Origin::File(whole) = &self.origin else { return self.origin.clone() };
        let visible = |range: Range<usize>| {
            self.text.char_indices().filter(|(at, c)| range.contains(at) && !c.is_whitespace()).count()
        };
        let (before, here) = (visible(0..span.start), visible(span));
        let marks = self.marks();
        let Some(&(first, _)) = marks.get(before).or(marks.last()) else { return self.origin.clone() };
        let (last, length) = marks[(before + here.max(1) - 1).min(marks.len() - 1)];
        let found = first..(last + length).max(first);
        match &self.scalar {
            Some(scalar) => scalar.text.place(scalar.span.start + found.start..scalar.span.start + found.end).into(),
            None => Place::new(whole.file.clone(), found).into(),
        }
    }

    /// Offset and length, in the file's text, of each character that is not white space.
    fn marks(&self) -> Vec<(usize, usize)> {
        let Some(scalar) = &self.scalar else { return plain(&self.text) };
        let raw = scalar.text.as_str().get(scalar.span.clone()).unwrap_or("");
        match scalar.style {
            StringStyle::Plain | StringStyle::Block => plain(raw),
            StringStyle::Single => single(raw).0,
            StringStyle::Double => double(raw).0,
        }
    }
}

/// The length in bytes of the quoted string that `raw` starts with, quotes included.
pub(super) fn quoted_length(raw: &str, style: StringStyle) -> usize {
    if style == StringStyle::Single { single(raw).1 } else { double(raw).1 }
}

fn plain(raw: &str) -> Vec<(usize, usize)> {
    raw.char_indices().filter(|(_, c)| !c.is_whitespace()).map(|(at, c)| (at, c.len_utf8())).collect()
}

/// The characters of a string in single quotes, where two quotes stand for one, and its length with the quotes.
fn single(raw: &str) -> (Vec<(usize, usize)>, usize) {
    let mut marks = Vec::new();
    let mut chars = raw.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        let pair = c == '\'' && chars.next_if(|(_, next)| *next == '\'').is_some();
        if c == '\'' && !pair {
            return (marks, at + 1);
        }
        if !c.is_whitespace() {
            marks.push((at, if pair { 2 } else { c.len_utf8() }));
        }
    }
    (marks, raw.len())
}

/// The characters of a string in double quotes, where an escape (or a surrogate pair) stands for one, and its length
/// with the quotes.
fn double(raw: &str) -> (Vec<(usize, usize)>, usize) {
    let mut marks = Vec::new();
    let mut at = 1;
    while let Some(c) = raw.get(at..).and_then(|rest| rest.chars().next()) {
        let (length, visible) = match c {
            '"' => return (marks, at + 1),
            '\\' => escape(&raw[at..]),
            c => (c.len_utf8(), !c.is_whitespace()),
        };
        if visible {
            marks.push((at, length));
        }
        at += length;
    }
    (marks, raw.len())
}

/// Length of the escape at the start of `raw`, and whether what it stands for is visible.
fn escape(raw: &str) -> (usize, bool) {
    let Some(kind) = raw[1..].chars().next() else { return (1, false) };
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        // YAML's escapes of white space, and an escaped line break.
        'n' | 't' | 'r' | 'v' | 'f' | ' ' | '\t' | '\n' | '\r' | 'N' | '_' | 'L' | 'P' => {
            return (1 + kind.len_utf8(), false);
        }
        _ => return (1 + kind.len_utf8(), true),
    };
    let code = raw.get(2..2 + digits).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0);
    if (0xd800..0xdc00).contains(&code) && raw[6..].starts_with("\\u") {
        return (raw.len().min(12), true);
    }
    (raw.len().min(2 + digits), char::from_u32(code).is_some_and(|c| !c.is_whitespace()))
}
