//! Diagnostics as text.

use std::fmt::Write as _;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Element, Level, Message, Renderer, Snippet};

use super::{Diagnostic, Place, Severity};

/// How [`render_all`] writes diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// With source lines and carets, for people.
    #[default]
    Pretty,
    /// One line each, for editors and scripts.
    Short,
}

/// Lines of source shown before the first marked one.
const LINES_BEFORE: usize = 1;
/// Of a place longer than this many bytes only the first line is marked, so that a whole service is not underlined.
const MAX_MARK_BYTES: usize = 400;

impl Diagnostic {
    /// The diagnostic with its source lines, ending in a newline.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Unicode).term_width(160);
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let title = level.primary_title(self.message.as_str()).id(self.code);
        let group = title.elements(self.snippets()).elements(self.footer().into_iter().map(Element::from));
        let mut text = renderer.render(&[group]);
        text.push('\n');
        text
    }

    /// The diagnostic as one line without a newline: `file:line:col: error[K0102]: message; label`. What comes from no
    /// file has no place in front.
    pub fn short(&self) -> String {
        let mut line = String::new();
        if let Some(place) = self.place() {
            let _ = write!(line, "{place}: ");
        }
        let _ = write!(line, "{}[{}]: {}", self.severity.word(), self.code, self.message);
        if !self.label.is_empty() {
            let _ = write!(line, "; {}", self.label);
        }
        line.replace(['\n', '\r'], " ")
    }

    /// One snippet per file, the marks of a file together.
    fn snippets(&self) -> Vec<Element<'_>> {
        let Some(place) = self.place() else { return Vec::new() };
        let mut files: Vec<Vec<(&Place, &str, AnnotationKind)>> =
            vec![vec![(place, self.label.as_str(), AnnotationKind::Primary)]];
        let related = self.related.iter().filter_map(|(origin, label)| Some((origin.place()?, label)));
        for (related, label) in related {
            let mark = (related, label.as_str(), AnnotationKind::Context);
            match files.iter_mut().find(|marks| std::ptr::eq(&*marks[0].0.file, &*related.file)) {
                Some(marks) => marks.push(mark),
                None => files.push(vec![mark]),
            }
        }
        files.iter().map(|marks| Element::from(snippet(marks))).collect()
    }

    fn footer(&self) -> Vec<Message<'_>> {
        let named = [("path", &self.path), ("kong", &self.kong), ("help", &self.help)];
        named
            .into_iter()
            .filter_map(|(name, text)| Some(Level::NOTE.with_name(Some(name)).message(text.as_deref()?)))
            .collect()
    }
}

/// A snippet with only the lines around the marks, so that a large file costs nothing.
fn snippet<'a>(marks: &[(&'a Place, &'a str, AnnotationKind)]) -> Snippet<'a, Annotation<'a>> {
    let file = &marks[0].0.file;
    let text = file.text.as_str();
    let first = marks.iter().map(|(place, ..)| place.span.start).min().unwrap_or(0);
    let last = marks.iter().map(|(place, ..)| mark_end(place)).max().unwrap_or(0);
    let mut from = text[..first].rfind('\n').map_or(0, |at| at + 1);
    for _ in 0..LINES_BEFORE {
        from = text[..from.saturating_sub(1)].rfind('\n').map_or(0, |at| at + 1);
    }
    // A very long line is truncated after the mark, but not before it, because columns count from its start.
    let end = super::floor_boundary(text, last + MAX_MARK_BYTES);
    let to = text[last..end].find('\n').map_or(end, |at| last + at);
    let to = if text[..to].ends_with('\r') { to - 1 } else { to }.max(last);
    let annotations = marks.iter().map(|(place, label, kind)| {
        let span = place.span.start - from..mark_end(place) - from;
        kind.span(span).label((!label.is_empty()).then_some(*label))
    });
    Snippet::source(&text[from..to]).line_start(file.line(from)).path(file.name.as_str()).annotations(annotations)
}

/// Where the mark of `place` ends: at most at the end of its first line if it is long.
fn mark_end(place: &Place) -> usize {
    let marked = &place.file.text[place.span.clone()];
    if marked.len() <= MAX_MARK_BYTES && !marked.contains('\n') {
        return place.span.end;
    }
    let line = marked.lines().next().unwrap_or("");
    place.span.start + super::floor_boundary(line, MAX_MARK_BYTES)
}

/// All of `diagnostics`, errors first, and a closing line that counts them.
pub fn render_all(diagnostics: &[Diagnostic], format: Format, color: bool) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|diagnostic| diagnostic.severity);
    let mut text = String::new();
    for diagnostic in &sorted {
        match format {
            Format::Pretty => text.push_str(&diagnostic.render(color)),
            Format::Short => text.push_str(&diagnostic.short()),
        }
        text.push('\n');
    }
    let count = |severity| sorted.iter().filter(|d| d.severity == severity).count();
    let _ = match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => writeln!(text, "no errors"),
        (errors, 0) => writeln!(text, "{}", plural(errors, "error")),
        (0, warnings) => writeln!(text, "no errors, {}", plural(warnings, "warning")),
        (errors, warnings) => writeln!(text, "{}, {}", plural(errors, "error"), plural(warnings, "warning")),
    };
    text
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
