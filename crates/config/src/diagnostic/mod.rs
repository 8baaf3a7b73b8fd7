//! A complaint about what a user wrote: what, where, and what to do.
//!
//! Everything that reads a file collects [`Diagnostic`]s instead of stopping at the first. They are rendered for
//! people with [`render_all`] (source lines, caret, suggestion, Kong's own wording) or as one line each for editors.

pub mod codes;
mod render;

use std::ops::Range;
use std::sync::Arc;

pub use render::{Format, render_all};

/// A text that was read, under the name that the user knows it by.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path as given, or a name such as `<stdin>`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl SourceFile {
    /// A shared source file.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into() })
    }

    /// The file at `path`, under that name.
    pub fn read(path: &std::path::Path) -> Result<Arc<Self>, Box<Diagnostic>> {
        let name = path.display().to_string();
        let refused =
            |reason: String| Box::new(Diagnostic::error(codes::UNREADABLE, format!("cannot read {name}: {reason}")));
        let bytes = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(error) => Err(refused(format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))),
        }
    }

    /// Line of the byte `offset`, counted from 1.
    pub fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        memchr::memchr_iter(b'\n', before).count() + 1
    }

    /// Column of the byte `offset` in characters, counted from 1.
    pub fn column(&self, offset: usize) -> usize {
        let end = floor_boundary(&self.text, offset);
        let start = self.text[..end].rfind('\n').map_or(0, |at| at + 1);
        self.text[start..end].chars().count() + 1
    }
}

/// The largest character boundary of `text` that is not past `offset`.
pub(crate) fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A range of bytes in a source file.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// Where the text is from.
    pub file: Arc<SourceFile>,
    /// Byte offsets into the file's text.
    pub span: Range<usize>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.name, self.line(), self.column())
    }
}

impl Place {
    /// The place of `span` in `file`; offsets past the end are brought back to it.
    pub fn new(file: Arc<SourceFile>, span: Range<usize>) -> Self {
        let start = floor_boundary(&file.text, span.start);
        let end = floor_boundary(&file.text, span.end).max(start);
        Self { file, span: start..end }
    }

    /// Line of the first byte, counted from 1.
    pub fn line(&self) -> usize {
        self.file.line(self.span.start)
    }

    /// Column of the first byte in characters, counted from 1.
    pub fn column(&self) -> usize {
        self.file.column(self.span.start)
    }
}

/// How grave a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but probably does not do what was meant.
    Warning,
    /// For information.
    Note,
}

impl Severity {
    /// The word shown to users.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One complaint. Build it with [`Diagnostic::error`] and the `with`-less setters that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code from [`codes::CODES`].
    pub code: &'static str,
    /// How grave.
    pub severity: Severity,
    /// What is wrong, as a lowercase sentence fragment.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// Text at the caret.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
    /// Path inside the document, like `plugins[0].config.timeoutt`.
    pub path: Option<String>,
    /// What Kong says, like `schema violation (config.timeoutt: unknown field)`.
    pub kong: Option<String>,
    /// Other places that matter, each with the text at its caret.
    pub related: Vec<(Place, String)>,
}

impl Diagnostic {
    /// A diagnostic of any severity.
    pub fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(codes::explain(code).is_some(), "{code} is not in the table of codes");
        Self {
            code,
            severity,
            message: message.into(),
            place: None,
            label: String::new(),
            help: None,
            path: None,
            kong: None,
            related: Vec::new(),
        }
    }

    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// A note.
    pub fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, message)
    }

    /// Sets the place.
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Sets the text at the caret.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Sets what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the path inside the document.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Sets Kong's wording.
    pub fn kong(mut self, kong: impl Into<String>) -> Self {
        self.kong = Some(kong.into());
        self
    }

    /// Adds another place.
    pub fn related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related.push((place, label.into()));
        self
    }

    /// Puts "did you mean" at the caret if one of `candidates` is close to `word`.
    pub fn suggest<'a>(mut self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        if let Some(found) = suggest(word, candidates) {
            self.label = format!("did you mean `{found}`?");
        }
        self
    }

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Whether any of `diagnostics` is an error.
pub fn any_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}

/// The one of `candidates` that `word` was probably meant to be.
///
/// Case and the difference between `-`, `_` and `.` cost nothing; otherwise about one typing mistake per three
/// characters is forgiven.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '.', ' '], "-");
    let wanted = plain(word);
    let allowed = (wanted.chars().count().div_ceil(3)).min(4);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| (distance(&wanted, &plain(candidate)), candidate))
        // A single letter that is another one is no typing mistake.
        .filter(|(distance, _)| *distance <= allowed && *distance < wanted.chars().count().max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Typing mistakes between two words; a swap of neighbours is one, and a missing hyphen is none.
fn distance(a: &str, b: &str) -> usize {
    if a.replace('-', "") == b.replace('-', "") { 0 } else { strsim::osa_distance(a, b) }
}

#[cfg(test)]
mod tests;
