//! The text that is parsed, and how its offsets map to the file.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Place, SourceFile};

/// A file's text with its environment variables expanded. Offsets into it map to offsets of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    file: Arc<SourceFile>,
    expanded: Option<String>,
    replacements: Vec<Replacement>,
}

/// One expanded expression: its bytes in the expanded text, and those of the expression in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replacement {
    pub(super) expanded: Range<usize>,
    pub(super) source: Range<usize>,
}

impl Text {
    /// The file's text without any expansion.
    pub fn plain(file: Arc<SourceFile>) -> Self {
        Self { file, expanded: None, replacements: Vec::new() }
    }

    /// A text with `replacements`, which are in order.
    pub(super) fn expanded(file: Arc<SourceFile>, text: String, replacements: Vec<Replacement>) -> Self {
        Self { file, expanded: Some(text), replacements }
    }

    /// What is parsed.
    pub fn as_str(&self) -> &str {
        self.expanded.as_deref().unwrap_or(&self.file.text)
    }

    /// The place of `span` of this text in the file. That of an expanded value is the place of its expression.
    pub fn place(&self, span: Range<usize>) -> Place {
        Place::new(self.file.clone(), self.to_source(span.start, false)..self.to_source(span.end, true))
    }

    fn to_source(&self, offset: usize, end: bool) -> usize {
        let starts_before = |replacement: &Replacement| match end {
            true => replacement.expanded.start < offset,
            false => replacement.expanded.start <= offset,
        };
        let before = self.replacements.partition_point(starts_before);
        let Some(last) = before.checked_sub(1).map(|at| &self.replacements[at]) else { return offset };
        match offset.checked_sub(last.expanded.end) {
            Some(past) => last.source.end + past,
            None if end => last.source.end,
            None => last.source.start,
        }
    }
}
