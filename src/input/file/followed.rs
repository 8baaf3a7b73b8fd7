//! A file that is followed.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use logphase_io::file;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::position::{FileId, Position};
use super::turn::Progress;
use crate::phase::Intake;

/// A file that is followed.
pub(super) struct Followed {
    /// Where it was last.
    pub(super) path: PathBuf,
    pub(super) progress: Arc<Mutex<Progress>>,
    pub(super) intake: Intake,
    /// Its size and the time of its last change when it was last looked at.
    pub(super) looked: (u64, SystemTime),
    pub(super) file: Option<Arc<File>>,
    /// The number of its last turn.
    pub(super) used: u64,
    pub(super) turn: TurnState,
    /// Whether the queues had no room in its last turn.
    pub(super) stalled: bool,
    /// Since when it has no name that matches, and has not changed.
    pub(super) gone: Option<Instant>,
    /// Whether nothing more is written to it, as far as can be told: its last turn was begun.
    pub(super) is_last: bool,
}

/// Whether a file has a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnState {
    /// It needs none.
    Idle,
    Waiting,
    Running,
    /// Running, and the file has changed since it began.
    Again,
}

impl Followed {
    /// Up to where everything is safe.
    pub(super) fn position(&self) -> Position {
        self.progress.lock().position
    }

    /// Bytes that were not read.
    pub(super) fn lag(&self) -> u64 {
        self.looked.0.saturating_sub(self.progress.lock().scanned)
    }

    /// Whether it can be closed, and opened again when it changes: what has no name any more cannot.
    pub(super) fn can_be_closed(&self) -> bool {
        self.file.is_some() && matches!(self.turn, TurnState::Idle | TurnState::Waiting) && self.gone.is_none()
    }
}

/// Opens a file that was closed, if it still is where it was.
///
/// # Errors
/// It cannot be opened, or another file is there.
pub(super) async fn open_again(path: PathBuf, id: FileId) -> io::Result<File> {
    let opened = tokio::task::spawn_blocking(move || {
        let file = file::open_regular(&path)?;
        let is_same = FileId::from(&file.metadata()?) == id;
        if is_same { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    });
    opened.await.unwrap_or_else(|ended| Err(io::Error::other(ended)))
}
