//! Where a value comes from: a place in a file, or a member of a request.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use logphase_io::file::{self, Accept, MAX_TEXT};

use super::{Diagnostic, codes};

/// A text and the name that the user knows it by.
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

    /// The file at `path`, under that name. Fails if it cannot be read, is not UTF-8, or is not what `accept` allows.
    pub fn read(path: &std::path::Path, accept: Accept) -> Result<Arc<Self>, Box<Diagnostic>> {
        let name = path.display().to_string();
        match file::read_to_string(path, accept, MAX_TEXT) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(error) => Err(Box::new(Diagnostic::error(codes::UNREADABLE, format!("cannot read {name}: {error}")))),
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
    /// The file.
    pub file: Arc<SourceFile>,
    /// Byte offsets into the file's text.
    pub span: Range<usize>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.name, self.line(), self.column())
    }
}

impl Place {
    /// The place of `span` in `file`. Offsets past the end are moved back to the end.
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

    /// The text at this place.
    pub fn text(&self) -> &str {
        &self.file.text[self.span.clone()]
    }
}

/// Where a value comes from, so that one validation serves files and requests.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Origin {
    /// A place in a file.
    File(Place),
    /// A member of a request's body.
    Request {
        /// Its path in the body, like `config.headers`; empty for the body itself.
        path: String,
    },
    /// Neither: the program made the value.
    #[default]
    Unknown,
}

impl Origin {
    /// The place in a file, if the value comes from one.
    pub fn place(&self) -> Option<&Place> {
        if let Self::File(place) = self { Some(place) } else { None }
    }
}

impl From<Place> for Origin {
    fn from(place: Place) -> Self {
        Self::File(place)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(place) => place.fmt(f),
            Self::Request { path } if path.is_empty() => f.write_str("request body"),
            Self::Request { path } => write!(f, "`{path}` of the request"),
            Self::Unknown => f.write_str("unknown origin"),
        }
    }
}
