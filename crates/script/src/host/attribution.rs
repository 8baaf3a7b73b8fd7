//! Which members of the message snippets have changed, for people who look at it: a tap, a dry run. Nothing is noted otherwise.

use std::cell::{Cell, RefCell};

use crate::message::{KeyPath, Mode};

/// Bounds of what one snippet's edits are noted up to.
const MAX_EDITS: usize = 1000;
const MAX_BYTES: usize = 64 << 10;

/// An edit that has changed the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedEdit {
    /// The key path, as the snippet wrote it.
    pub path: Box<str>,
    /// When it was to take effect.
    pub mode: Mode,
}

/// The edits since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Attribution {
    on: Cell<bool>,
    edits: RefCell<Vec<AppliedEdit>>,
    bytes: Cell<usize>,
    left_out: Cell<usize>,
}

impl Attribution {
    pub(crate) fn turn(&self, on: bool) {
        self.on.set(on);
    }

    pub(crate) fn note(&self, path: &KeyPath, mode: Mode) {
        if !self.on.get() {
            return;
        }
        let mut edits = self.edits.borrow_mut();
        let bytes = self.bytes.get() + path.text().len();
        if edits.len() == MAX_EDITS || bytes > MAX_BYTES {
            self.left_out.set(self.left_out.get() + 1);
            return;
        }
        self.bytes.set(bytes);
        edits.push(AppliedEdit { path: path.text().into(), mode });
    }

    /// The edits, and how many are left out.
    pub(crate) fn take(&self) -> (Vec<AppliedEdit>, usize) {
        self.bytes.set(0);
        (self.edits.take(), self.left_out.take())
    }
}
