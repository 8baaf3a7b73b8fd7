//! An error, warning or note about a configuration: what, where, and what to do.
//!
//! Every reader collects [`Diagnostic`]s instead of stopping at the first. [`render_all`] writes them for people (source
//! lines, caret, suggestion, Kong's own wording) or one per line for editors; [`field_errors`] gives those of a request
//! as Kong's Admin API does.

pub mod codes;
mod excerpt;
mod field;
mod origin;
mod render;

pub use field::{FieldError, FieldPath, Segment, field_errors, violation_message};
pub(crate) use origin::floor_boundary;
pub use origin::{Origin, Place, SourceFile};
pub use render::{Format, MAX_SHOWN, render_all};

/// How serious a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration is usable, but probably does not have the intended effect.
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

/// One error, warning or note. Built with [`Diagnostic::error`] and its siblings, and completed by the setters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code from [`codes::CODES`].
    pub code: &'static str,
    /// How serious it is.
    pub severity: Severity,
    /// The problem, as a lowercase sentence fragment.
    pub message: String,
    /// Where the value comes from.
    pub origin: Origin,
    /// Text at the caret.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
    /// Path inside the document, like `plugins[0].config.timeoutt`.
    pub path: Option<String>,
    /// Kong's wording, like `schema violation (config.timeoutt: unknown field)`.
    pub kong: Option<String>,
    /// The same by field, if it is a violation of an entity's schema.
    pub field: Option<FieldError>,
    /// Other values that matter, each with the text at its caret.
    pub related: Vec<(Origin, String)>,
}

impl Diagnostic {
    /// A diagnostic of any severity.
    pub fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(codes::explain(code).is_some(), "{code} is not in the table of codes");
        Self {
            code,
            severity,
            message: message.into(),
            origin: Origin::Unknown,
            label: String::new(),
            help: None,
            path: None,
            kong: None,
            field: None,
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

    /// Sets where the value comes from.
    pub fn at(mut self, origin: impl Into<Origin>) -> Self {
        self.origin = origin.into();
        self
    }

    /// The place of the caret, if the value comes from a file.
    pub fn place(&self) -> Option<&Place> {
        self.origin.place()
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

    /// Sets Kong's wording of an error that is not about the schema of an entity.
    pub fn kong(mut self, kong: impl Into<String>) -> Self {
        self.kong = Some(kong.into());
        self
    }

    /// Makes it a violation of an entity's schema: `wording` is Kong's text about the field at `path`.
    pub fn violation(mut self, path: impl Into<FieldPath>, wording: impl Into<String>) -> Self {
        let (path, message) = (path.into(), wording.into());
        self.kong = Some(match path.is_entity() {
            true => format!("schema violation ({message})"),
            false => format!("schema violation ({path}: {message})"),
        });
        self.field = Some(FieldError { path, message });
        self
    }

    /// Adds another value that matters.
    pub fn related(mut self, origin: impl Into<Origin>, label: impl Into<String>) -> Self {
        self.related.push((origin.into(), label.into()));
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

/// Suggestions among names that the user chose. There can be as many wrong words as names, and comparing all of them takes
/// the product: after [`Self::COMPARISONS`] nothing more is suggested.
#[derive(Debug)]
pub struct Suggestions {
    left: std::cell::Cell<usize>,
}

impl Default for Suggestions {
    fn default() -> Self {
        Self { left: std::cell::Cell::new(Self::COMPARISONS) }
    }
}

impl Suggestions {
    /// Compared pairs of words.
    pub const COMPARISONS: usize = 200_000;

    /// `diagnostic` with "did you mean" at the caret, if one of `names` is close to `word`.
    pub fn add<'a>(&self, diagnostic: Diagnostic, word: &str, names: impl Iterator<Item = &'a str>) -> Diagnostic {
        match self.find(word, names) {
            Some(found) => diagnostic.label(format!("did you mean `{found}`?")),
            None => diagnostic,
        }
    }

    /// The one of `names` that `word` was probably meant to be.
    pub fn find<'a>(&self, word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        suggest(word, names.take(self.left.get()).inspect(|_| self.left.set(self.left.get() - 1)))
    }
}

/// Whether any of `diagnostics` is an error.
pub fn any_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}

/// Words with more bytes are no typing mistakes, and comparing them takes the product of their lengths.
const MAX_SUGGESTED_BYTES: usize = 100;

/// The candidate that `word` was probably meant to be.
///
/// Case and the difference between `-`, `_` and `.` cost nothing; otherwise about one typing mistake per three
/// characters is allowed.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    near(word, candidates, word.chars().count().div_ceil(3).min(4))
}

/// The candidate that differs from `word` by one or two typing mistakes, and so is hardly another word.
pub fn misspelt<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    near(word, candidates, (word.chars().count() / 4).min(2))
}

/// The candidate with the fewest typing mistakes, of which `allowed` are allowed.
fn near<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>, allowed: usize) -> Option<&'a str> {
    if word.len() > MAX_SUGGESTED_BYTES {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['_', '.', ' '], "-");
    let wanted = plain(word);
    // Each mistake adds or removes one letter at most: most candidates are out without a comparison.
    let letters = |text: &str| text.chars().filter(|c| !matches!(c, '-' | '_' | '.' | ' ')).count();
    let (wanted_letters, near) = (letters(&wanted), allowed + 1);
    candidates
        .into_iter()
        .filter(|candidate| letters(candidate).abs_diff(wanted_letters) <= near)
        .filter(|candidate| *candidate != word && candidate.len() <= MAX_SUGGESTED_BYTES)
        .map(|candidate| (distance(&wanted, &plain(candidate)), candidate))
        // One letter for another is no typing mistake if there is only one.
        .filter(|(distance, _)| *distance <= allowed && *distance < wanted.chars().count().max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Typing mistakes between two words: swapped neighbours count as one, a missing hyphen as none.
fn distance(a: &str, b: &str) -> usize {
    if a.replace('-', "") == b.replace('-', "") { 0 } else { strsim::osa_distance(a, b) }
}

#[cfg(test)]
mod tests;
