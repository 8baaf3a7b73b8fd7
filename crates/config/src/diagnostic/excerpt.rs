//! The lines of source that a diagnostic shows: few, short, and without hidden characters, whatever the file has.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Element, Origin, Snippet};
use logphase_io::printable;
use unicode_width::UnicodeWidthChar;

use super::{Place, floor_boundary};

/// Lines of source shown before the first marked one.
const LINES_BEFORE: usize = 1;
/// Of a place longer than this many bytes only the first line is marked, so that a whole service is not underlined.
const MAX_MARK_BYTES: usize = 400;
/// Marks of one file that are further apart are shown apart.
const MAX_SNIPPET_BYTES: usize = 64 << 10;
/// Of a line with more bytes only the part around the mark is shown.
const MAX_LINE_BYTES: usize = 300;
/// Columns of that part before the start of the mark, and from there.
const COLUMNS_BEFORE: usize = 50;
const COLUMNS_AFTER: usize = 80;

/// A place to mark, with the text at its caret.
pub(super) struct Mark<'a> {
    pub(super) place: &'a Place,
    pub(super) label: Cow<'a, str>,
    pub(super) kind: AnnotationKind,
}

impl Mark<'_> {
    /// Where the mark ends: at most at the end of its first line if it is long.
    fn end(&self) -> usize {
        let span = &self.place.span;
        let head = floor_boundary(&self.place.file.text, span.start + MAX_MARK_BYTES).min(span.end);
        let marked = &self.place.file.text[span.start..head];
        let line = marked.find('\n').map_or(marked, |end| marked[..end].trim_end_matches('\r'));
        span.start + line.len()
    }

    /// The bytes of the line that the mark starts on, without its end.
    fn line(&self) -> Range<usize> {
        let text = self.place.file.text.as_bytes();
        let start = self.place.span.start;
        let from = memchr::memrchr(b'\n', &text[..start]).map_or(0, |at| at + 1);
        let to = memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |at| start + at);
        from..if to > start && text[to - 1] == b'\r' { to - 1 } else { to }
    }
}

/// Shows `marks`, the first one first: those of one file together, unless they are far apart or on very long lines.
pub(super) fn excerpts<'a>(marks: Vec<Mark<'a>>) -> Vec<Element<'a>> {
    let mut groups: Vec<(bool, Vec<Mark<'a>>)> = Vec::new();
    for mark in marks {
        let is_long = mark.line().len() > MAX_LINE_BYTES;
        let group = groups.iter_mut().find(|(long, marks)| !is_long && !long && fits(marks, &mark));
        match group {
            Some((_, marks)) => marks.push(mark),
            None => groups.push((is_long, vec![mark])),
        }
    }
    let elements = groups.iter().map(|(is_long, marks)| if *is_long { part(&marks[0]) } else { vec![whole(marks)] });
    elements.flatten().collect()
}

/// Whether `mark` can be shown together with `marks`.
fn fits(marks: &[Mark<'_>], mark: &Mark<'_>) -> bool {
    let all = || marks.iter().chain([mark]);
    let first = all().map(|mark| mark.place.span.start).min().unwrap_or(0);
    let last = all().map(Mark::end).max().unwrap_or(0);
    std::ptr::eq(&*marks[0].place.file, &*mark.place.file) && last - first <= MAX_SNIPPET_BYTES
}

/// The lines around `marks`, so that a large file costs nothing.
fn whole<'a>(marks: &[Mark<'a>]) -> Element<'a> {
    let file = &marks[0].place.file;
    let text = file.text.as_str();
    let first = marks.iter().map(|mark| mark.place.span.start).min().unwrap_or(0);
    let last = marks.iter().map(Mark::end).max().unwrap_or(0);
    let mut from = text[..first].rfind('\n').map_or(0, |at| at + 1);
    for _ in 0..LINES_BEFORE {
        let before = text[..from.saturating_sub(1)].rfind('\n').map_or(0, |at| at + 1);
        from = if from - before > MAX_LINE_BYTES { from } else { before };
    }
    let end = floor_boundary(text, last + MAX_LINE_BYTES);
    let to = text[last..end].find('\n').map_or(end, |at| last + at);
    let to = if text[..to].ends_with('\r') { to - 1 } else { to }.max(last);
    let spans = marks.iter().map(|mark| mark.place.span.start - from..mark.end() - from).collect();
    let (shown, spans) = visible(&text[from..to], spans);
    let annotations = marks.iter().zip(spans).map(|(mark, span)| annotation(mark, span));
    let snippet = Snippet::source(shown).line_start(file.line(from)).path(printable::line(&file.name));
    snippet.annotations(annotations).into()
}

/// The part of a very long line around `mark`, with an ellipsis where it is cut. The place is written apart, because columns
/// count from the start of the line.
fn part<'a>(mark: &Mark<'a>) -> Vec<Element<'a>> {
    let Place { file, span } = mark.place;
    let (text, line, start) = (file.text.as_str(), mark.line(), span.start);
    let width = |character: char| match printable::is_hidden(character) {
        // As long as its escape.
        true => 8,
        false => character.width().unwrap_or(1),
    };
    let (mut from, mut columns) = (start, 0);
    for (at, character) in text[line.start..start].char_indices().rev() {
        columns += width(character);
        if columns > COLUMNS_BEFORE {
            break;
        }
        from = line.start + at;
    }
    let (mut to, mut columns) = (start, 0);
    for (at, character) in text[start..line.end.max(start)].char_indices() {
        columns += width(character);
        if columns > COLUMNS_AFTER {
            break;
        }
        to = start + at + character.len_utf8();
    }
    let span = start - from..mark.end().min(to) - from;
    let (shown, spans) = visible(&text[from..to], Vec::from([span]));
    let (before, after) = (if from > line.start { "…" } else { "" }, if to < line.end { "…" } else { "" });
    let shown = format!("{before}{shown}{after}");
    let span = spans.into_iter().next().unwrap_or_default();
    let span = span.start + before.len()..span.end + before.len();
    let origin = Origin::path(printable::line(&file.name)).line(mark.place.line()).char_column(mark.place.column());
    let snippet = Snippet::source(shown).line_start(mark.place.line()).annotation(annotation(mark, span));
    vec![origin.into(), snippet.into()]
}

fn annotation<'a>(mark: &Mark<'a>, span: Range<usize>) -> Annotation<'a> {
    mark.kind.span(span).label((!mark.label.is_empty()).then(|| mark.label.clone()))
}

/// `text` with hidden characters as escapes, and where `spans` are in it.
fn visible(text: &str, spans: Vec<Range<usize>>) -> (Cow<'_, str>, Vec<Range<usize>>) {
    let is_layout = |at: usize, character| match character {
        '\n' | '\t' => true,
        '\r' => text[at..].starts_with("\r\n"),
        _ => false,
    };
    let is_hidden = |(at, character): (usize, char)| printable::is_hidden(character) && !is_layout(at, character);
    if !text.char_indices().any(is_hidden) {
        return (Cow::Borrowed(text), spans);
    }
    let mut shown = String::with_capacity(text.len() + 64);
    // The place in `shown` of each byte of `text` that starts a character, and of its end.
    let mut places = vec![0; text.len() + 1];
    for (at, character) in text.char_indices() {
        places[at] = shown.len();
        if is_hidden((at, character)) { printable::push(&mut shown, character) } else { shown.push(character) }
    }
    places[text.len()] = shown.len();
    let moved = spans.into_iter().map(|span| places[span.start]..places[span.end]);
    let moved = moved.collect();
    (Cow::Owned(shown), moved)
}
