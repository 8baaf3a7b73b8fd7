//! Diagnostics as text.

use logphase_io::count::counted;
use std::borrow::Cow;
use std::fmt::Write as _;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Level, Message, Renderer};
use logphase_io::printable;

use super::excerpt::{Mark, excerpts};
use super::{Diagnostic, Severity, floor_boundary};

/// How [`render_all`] writes diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// With source lines and carets, for people.
    #[default]
    Pretty,
    /// One line each, for editors and scripts.
    Short,
}

/// Diagnostics of one severity that [`render_all`] writes. Whoever has more mistakes corrects some first, and a file of a
/// hostile size must not fill the log.
pub const MAX_SHOWN: usize = 100;
/// Bytes of one text of a diagnostic that are written: a file can have a name of any size.
const MAX_TEXT_BYTES: usize = 600;

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
        let title = level.primary_title(shown(&self.message)).id(self.code);
        let group = title.elements(self.excerpts()).elements(self.footer().into_iter().map(Element::from));
        // Between a place and its excerpt the renderer writes a line with nothing but the sign of a second file.
        let is_sign = |line: &str| line.contains('⸬') && !line.contains(['│', ':']);
        let mut text = String::new();
        for line in renderer.render(&[group]).lines().filter(|line| !is_sign(line)) {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The diagnostic as one line without a newline: `file:line:col: error[K0102]: message; label`. What comes from no
    /// file has no place in front.
    pub fn short(&self) -> String {
        let mut line = String::new();
        if let Some(place) = self.place() {
            let _ = write!(line, "{place}: ");
        }
        let _ = write!(line, "{}[{}]: {}", self.severity.word(), self.code, shown(&self.message));
        if !self.label.is_empty() {
            let _ = write!(line, "; {}", shown(&self.label));
        }
        printable::line(&line.replace(['\n', '\r'], " ")).into_owned()
    }

    fn excerpts(&self) -> Vec<Element<'_>> {
        let Some(place) = self.place() else { return Vec::new() };
        let primary = Mark { place, label: shown(&self.label), kind: AnnotationKind::Primary };
        let related = self.related.iter().filter_map(|(origin, label)| {
            Some(Mark { place: origin.place()?, label: shown(label), kind: AnnotationKind::Context })
        });
        excerpts(std::iter::once(primary).chain(related).collect())
    }

    fn footer(&self) -> Vec<Message<'_>> {
        let named = [("path", &self.path), ("kong", &self.kong), ("help", &self.help)];
        named
            .into_iter()
            .filter_map(|(name, text)| Some(Level::NOTE.with_name(Some(name)).message(shown(text.as_deref()?))))
            .collect()
    }
}

/// One text of a diagnostic, cut if it is long, with hidden characters as escapes.
fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT_BYTES {
        return printable::lines(text);
    }
    Cow::Owned(format!("{}…", printable::lines(&text[..floor_boundary(text, MAX_TEXT_BYTES)])))
}

/// `diagnostics`, errors first and at most [`MAX_SHOWN`] of each severity, and a closing line that counts all of them.
pub fn render_all(diagnostics: &[Diagnostic], format: Format, color: bool) -> String {
    let mut text = String::new();
    let mut counts = Vec::new();
    for (severity, noun) in [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")] {
        let mut all = diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity);
        for diagnostic in all.by_ref().take(MAX_SHOWN) {
            match format {
                Format::Pretty => text.push_str(&diagnostic.render(color)),
                Format::Short => text.push_str(&diagnostic.short()),
            }
            text.push('\n');
        }
        let more = all.count();
        if more > 0 {
            let _ = writeln!(text, "... and {}", counted(more, &format!("more {noun}")));
        }
        counts.push(diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count());
    }
    let _ = match (counts[0], counts[1]) {
        (0, 0) => writeln!(text, "no errors"),
        (errors, 0) => writeln!(text, "{}", counted(errors, "error")),
        (0, warnings) => writeln!(text, "no errors, {}", counted(warnings, "warning")),
        (errors, warnings) => writeln!(text, "{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    };
    text
}
