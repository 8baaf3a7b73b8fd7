//! The text that is parsed, and its way back to the file.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Place, SourceFile};

/// A file's text after the replacement of environment variables. Offsets into it lead back into the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    file: Arc<SourceFile>,
    expanded: Option<String>,
    pieces: Vec<Piece>,
}

/// A part of the expanded text that stands for a part of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) expanded: Range<usize>,
    pub(super) source: Range<usize>,
}

impl Text {
    /// The file's text as it is.
    pub fn plain(file: Arc<SourceFile>) -> Self {
        Self { file, expanded: None, pieces: Vec::new() }
    }

    /// A text in which `pieces`, in order, were replaced.
    pub(super) fn expanded(file: Arc<SourceFile>, text: String, pieces: Vec<Piece>) -> Self {
        Self { file, expanded: Some(text), pieces }
    }

    /// What is parsed.
    pub fn as_str(&self) -> &str {
        self.expanded.as_deref().unwrap_or(&self.file.text)
    }

    /// Where `span` of this text stands in the file. A replaced part stands where its expression does.
    pub fn place(&self, span: Range<usize>) -> Place {
        Place::new(self.file.clone(), self.to_source(span.start, false)..self.to_source(span.end, true))
    }

    fn to_source(&self, offset: usize, end: bool) -> usize {
        let before = self
            .pieces
            .partition_point(|piece| if end { piece.expanded.start < offset } else { piece.expanded.start <= offset });
        let Some(piece) = before.checked_sub(1).map(|at| &self.pieces[at]) else { return offset };
        match offset.checked_sub(piece.expanded.end) {
            Some(past) => piece.source.end + past,
            None if end => piece.source.end,
            None => piece.source.start,
        }
    }
}
