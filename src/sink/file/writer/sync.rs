//! Confirmation of lines for queues on disk: a line is confirmed when it is on the disk of its file, and when it is so old
//! that a `copytruncate` cannot remove it any more.
//!
//! One sync covers everything that was written before it began. It runs beside the writes, at most every [`SYNC_PAUSE`].
//! After a sync that fails, the system may have dropped any part of what was written: the lines that are not confirmed are
//! written again.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::target::OpenTarget;
use super::{Appended, RESEND_AGE, State, Writer};

/// The pause between two syncs.
const SYNC_PAUSE: Duration = Duration::from_millis(150);
/// The pause after a failure.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// Lines written within this time have one age: that of the last.
const MARK_SPAN: Duration = Duration::from_millis(100);

/// How files are synced; tests replace it.
pub(super) type SyncFile = Arc<dyn Fn(&File) -> io::Result<()> + Send + Sync>;

/// The place of a line among those that a writer has written for queues on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The number of failed syncs before it.
    epoch: usize,
    /// The number of lines before it.
    lines: u64,
}

/// What is known of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is not confirmed yet.
    Open,
    /// It is confirmed.
    Confirmed,
    /// It is to be written again.
    Lost,
}

/// What the writer knows of lines, for its sinks.
#[derive(Default)]
pub(super) struct Confirmed {
    progress: Mutex<Progress>,
    /// Notified when something is confirmed or lost.
    pub changed: Notify,
    /// Ends the pause before a sync.
    pub hurry: Notify,
}

#[derive(Default)]
struct Progress {
    /// Lines that are confirmed.
    lines: u64,
    /// The lines that were confirmed at each failed sync.
    failures: Vec<u64>,
    error: String,
}

/// The part of the writer's state that is about syncs.
#[derive(Default)]
pub(super) struct Unsynced {
    /// Lines written for queues on disk so far.
    written: u64,
    /// How many of them are synced.
    synced: u64,
    /// How many of them are old.
    aged: u64,
    epoch: usize,
    /// How often lines were written again after a truncation.
    replays: u64,
    /// Line counts, each with the time of the first and of the last of its lines.
    marks: VecDeque<(Instant, Instant, u64)>,
    /// Files that were closed since the last sync.
    closed: Vec<OpenTarget>,
    /// How many files were opened, and how many of their names are synced.
    names: u64,
    synced_names: u64,
}

impl Unsynced {
    /// Counts `lines` that were written, and returns the position after them.
    pub(super) fn add(&mut self, lines: usize) -> Position {
        self.written += lines as u64;
        let now = Instant::now();
        match self.marks.back_mut() {
            Some((first, last, end)) if now.duration_since(*first) < MARK_SPAN => (*last, *end) = (now, self.written),
            _ => self.marks.push_back((now, now, self.written)),
        }
        Position { epoch: self.epoch, lines: self.written }
    }

    /// Keeps a file that is not written any more until it is synced. The oldest descriptor of a file gets its errors.
    pub(super) fn keep(&mut self, old: OpenTarget) {
        if self.synced < self.written && !self.closed.iter().any(|kept| kept.is_same_file(&old)) {
            self.closed.push(old);
        }
    }

    /// Lines were written again, after a truncation: what is not confirmed is synced again, and has the age of now.
    pub(super) fn note_replay(&mut self) {
        self.replays += 1;
        self.synced = self.synced.min(self.aged);
        self.marks.clear();
        if self.aged < self.written {
            let now = Instant::now();
            self.marks.push_back((now, now, self.written));
        }
    }

    /// A file is opened that may be new.
    pub(super) fn note_new_name(&mut self) {
        self.names += 1;
    }

    /// How many lines are synced, and were written at least [`RESEND_AGE`] before `now`.
    fn confirmed(&mut self, now: Instant) -> u64 {
        let is_old = |last: &Instant| now.duration_since(*last) >= RESEND_AGE;
        while let Some(&(_, _, end)) = self.marks.front().filter(|(_, last, _)| is_old(last)) {
            self.aged = end;
            self.marks.pop_front();
        }
        self.aged.min(self.synced)
    }

    /// Whether there is nothing to do before more is written.
    fn is_done(&self) -> bool {
        self.synced == self.written && self.aged == self.written
    }
}

impl Confirmed {
    /// What is known of the line before `position`.
    pub(super) fn fate(&self, position: Position) -> Fate {
        let progress = self.progress.lock();
        match progress.failures.get(position.epoch) {
            Some(confirmed) if position.lines > *confirmed => Fate::Lost,
            None if position.lines > progress.lines => Fate::Open,
            _ => Fate::Confirmed,
        }
    }

    /// Why lines are lost.
    pub(super) fn error(&self) -> String {
        self.progress.lock().error.clone()
    }
}

/// Confirms what is written to the file of `writer` until everything is confirmed.
pub(super) async fn run(writer: Arc<Writer>) {
    let mut pause = SYNC_PAUSE;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = writer.confirmed.hurry.notified() => {}
        }
        let syncing = writer.clone();
        // It fails only when the runtime ends.
        let Ok(result) = tokio::task::spawn_blocking(move || syncing.sync()).await else {
            writer.is_confirming.store(false, Ordering::SeqCst);
            return;
        };
        writer.confirmed.changed.notify_waiters();
        match result {
            Ok(true) => return,
            Ok(false) => pause = SYNC_PAUSE,
            Err(()) => pause = FAILURE_PAUSE,
        }
    }
}

impl Writer {
    /// Syncs what was written, and confirms what is old. True if everything is confirmed; an error if nothing is known.
    fn sync(&self) -> Result<bool, ()> {
        let looked = Instant::now();
        let (files, written, replays, names) = {
            let mut state = self.state.lock();
            let mut outcome = Appended::default();
            // A truncation that nobody has seen yet; the next write reports an error.
            state.resend_if_truncated(&mut outcome).map_err(drop)?;
            if let Some(warning) = outcome.warning {
                tracing::warn!("{}: {warning}", self.target);
            }
            let State { file, unsynced, .. } = &mut *state;
            let waits = unsynced.synced < unsynced.written;
            let current = file.as_ref().filter(|_| waits).map(OpenTarget::another).transpose();
            let current = current.map_err(drop)?;
            let mut files = std::mem::take(&mut unsynced.closed);
            files.extend(current);
            let names = (unsynced.names > unsynced.synced_names && waits).then_some(unsynced.names);
            (files, unsynced.written, unsynced.replays, names)
        };
        let synced = files.iter().try_for_each(|file| file.sync(&*self.sync_file));
        let result = if names.is_some() { synced.and_then(|()| self.target.sync_directory()) } else { synced };
        let mut state = self.state.lock();
        let unsynced = &mut state.unsynced;
        match result {
            Ok(()) => {
                if unsynced.replays == replays {
                    unsynced.synced = unsynced.synced.max(written);
                }
                unsynced.synced_names = names.unwrap_or(unsynced.synced_names);
                let confirmed = unsynced.confirmed(looked);
                self.confirmed.progress.lock().lines = confirmed;
                Ok(self.end_if_done(unsynced))
            }
            Err(error) => {
                let confirmed = unsynced.confirmed(looked);
                // Numbers go on, so that none has two meanings.
                (unsynced.synced, unsynced.aged) = (unsynced.written, unsynced.written);
                unsynced.marks.clear();
                unsynced.closed.clear();
                unsynced.epoch += 1;
                let mut progress = self.confirmed.progress.lock();
                progress.failures.push(confirmed);
                progress.lines = unsynced.written;
                progress.error = format!("cannot sync {}: {error}; its newest lines are written again", self.target);
                drop(progress);
                state.close();
                Ok(self.end_if_done(&state.unsynced))
            }
        }
    }

    /// Whether nothing is left to do: then the next line starts the task again.
    fn end_if_done(&self, unsynced: &Unsynced) -> bool {
        let done = unsynced.is_done();
        if done {
            self.is_confirming.store(false, Ordering::SeqCst);
        }
        done
    }
}
