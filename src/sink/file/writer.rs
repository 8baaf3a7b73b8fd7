//! One writer per path for the whole process. It writes whole lines, even if the file is rotated, removed or full.
//!
//! - A write that fails in the middle of a line is undone in regular files; elsewhere the next write completes the line.
//! - A file that was moved or removed is created again at once: every batch compares the path with the descriptor.
//! - A file that was truncated under the writer (logrotate's `copytruncate`) gets the lines of the last
//!   [`RESEND_AGE`] again, because lines written between the copy and the truncation are in neither file. Some lines may
//!   then be in both files, but none is missing.
//! - A file that ends within a line (the process was killed, or the disk was full) gets a newline before the next line.
//! - For a queue on disk, lines are confirmed when they are synced ([`sync`]).

use logphase_io::count::{counted, were};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use bytes::Bytes;

use self::lines::{MAX_LINES_PER_WRITE, write_lines};
use self::sync::{Confirmed, SyncFile, Unsynced};
pub(super) use self::sync::{Fate, Position};
use self::target::{OpenTarget, Target};
use crate::sink::resend::ResendBuffer;

mod lines;
mod sync;
mod target;
#[cfg(test)]
mod tests;

/// Lines written up to this long before a truncation may be missing in the copy, and are written again.
pub(crate) const RESEND_AGE: Duration = Duration::from_secs(2);

/// The writers of the process, by path.
pub struct Writers {
    by_target: Mutex<HashMap<Target, Weak<Writer>>>,
    sync_file: SyncFile,
    /// The permissions of new files.
    mode: u32,
}

impl Default for Writers {
    fn default() -> Self {
        Self { by_target: Mutex::default(), sync_file: Arc::new(File::sync_data), mode: 0o644 }
    }
}

impl Writers {
    /// Writers whose new files have these permissions.
    pub(crate) fn creating(mode: u32) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Writers that sync with `sync`.
    #[cfg(test)]
    pub(super) fn syncing_with(sync: impl Fn(&File) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { sync_file: Arc::new(sync), ..Self::default() }
    }

    /// Returns the writer of `path`; `resend` makes the buffer of a new writer.
    pub(crate) fn get(&self, path: &Path, resend: impl FnOnce() -> ResendBuffer) -> Arc<Writer> {
        let target = Target::of(path);
        let mut writers = self.by_target.lock();
        if let Some(writer) = writers.get(&target).and_then(Weak::upgrade) {
            return writer;
        }
        writers.retain(|_, writer| writer.strong_count() > 0);
        let writer = Arc::new(Writer {
            target: target.clone(),
            reopen: AtomicBool::new(false),
            write_lock: tokio::sync::Mutex::new(()),
            state: Mutex::new(State { mode: self.mode, file: None, resend: resend(), unsynced: Unsynced::default() }),
            sync_file: self.sync_file.clone(),
            confirmed: Confirmed::default(),
            is_confirming: AtomicBool::new(false),
        });
        writers.insert(target, Arc::downgrade(&writer));
        writer
    }

    pub(crate) fn reopen_all(&self) {
        let writers = self.by_target.lock();
        for writer in writers.values().filter_map(Weak::upgrade) {
            writer.reopen.store(true, Ordering::SeqCst);
        }
    }
}

/// The result of appending a batch of lines.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    /// How many lines, from the front, are in the file.
    pub written: usize,
    /// Why the next line was not written.
    pub failure: Option<String>,
    /// The reader of an inherited pipe has ended; no other reader can open it.
    pub reader_gone: bool,
    /// A warning for the operator, though nothing failed.
    pub warning: Option<String>,
    /// The position after the last line that was written, if it is to be confirmed.
    pub position: Option<Position>,
}

/// Appends lines to one target. Every plugin with the same path holds the same writer.
pub(crate) struct Writer {
    target: Target,
    reopen: AtomicBool,
    // Limits each path to one blocking thread: other batches wait here without occupying a thread.
    write_lock: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    sync_file: SyncFile,
    confirmed: Confirmed,
    // The task that confirms lines runs.
    is_confirming: AtomicBool,
}

struct State {
    /// The permissions of a new file.
    mode: u32,
    file: Option<OpenTarget>,
    resend: ResendBuffer,
    unsynced: Unsynced,
}

/// How lines are appended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AppendMode {
    /// Open the file again first.
    pub reopen: bool,
    /// Say when the lines are confirmed.
    pub confirm: bool,
}

impl Writer {
    /// Appends `lines`, each with a newline.
    pub(crate) async fn append(self: Arc<Self>, lines: Vec<Bytes>, mode: AppendMode) -> Appended {
        let _guard = self.write_lock.lock().await;
        let writer = self.clone();
        let written = tokio::task::spawn_blocking(move || writer.append_blocking(&lines, mode)).await;
        if written.as_ref().is_ok_and(|written| written.position.is_some())
            && !self.is_confirming.swap(true, Ordering::SeqCst)
        {
            tokio::spawn(sync::run(self.clone()));
        }
        written.unwrap_or_else(|error| Appended {
            failure: Some(format!("the writer of {} failed: {error}", self.target)),
            ..Appended::default()
        })
    }

    /// What is known of the line before `position`.
    pub(crate) fn fate(&self, position: Position) -> Fate {
        self.confirmed.fate(position)
    }

    /// Why lines are to be written again.
    pub(crate) fn sync_error(&self) -> String {
        self.confirmed.error()
    }

    /// Waits until `known` says so; it is called again when lines are confirmed or lost.
    pub(crate) async fn confirmed(&self, mut known: impl FnMut() -> bool) {
        loop {
            // Registered before the check, so that no notification between the check and the wait is missed.
            let changed = self.confirmed.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if known() {
                return;
            }
            changed.await;
        }
    }

    /// Starts the next sync at once.
    pub(crate) fn hurry(&self) {
        self.confirmed.hurry.notify_one();
    }

    fn append_blocking(&self, lines: &[Bytes], mode: AppendMode) -> Appended {
        let mut state = self.state.lock();
        let mut outcome = Appended::default();
        let reopen = self.reopen.swap(false, Ordering::SeqCst) || mode.reopen;
        if let Err(error) = state.prepare(&self.target, reopen) {
            outcome.failure = Some(self.target.explain(&error));
            return outcome;
        }
        while outcome.written < lines.len() {
            let rest = &lines[outcome.written..];
            let chunk = &rest[..rest.len().min(MAX_LINES_PER_WRITE)];
            match state.write(&self.target, chunk, &mut outcome) {
                Ok(written) => outcome.written += written,
                Err(error) => {
                    let inherited = state.file.as_ref().is_some_and(OpenTarget::is_inherited);
                    outcome.reader_gone = inherited && error.kind() == io::ErrorKind::BrokenPipe;
                    outcome.failure = Some(self.target.explain(&error));
                    break;
                }
            }
        }
        if mode.confirm && outcome.written > 0 && state.file.as_ref().is_some_and(OpenTarget::is_regular_file) {
            outcome.position = Some(state.unsynced.add(outcome.written));
        }
        outcome
    }
}

impl State {
    /// Opens the target if it is not open, or if the path no longer leads to the open file.
    fn prepare(&mut self, target: &Target, reopen: bool) -> io::Result<()> {
        let keep = match &self.file {
            Some(file) => file.is_inherited() || (!reopen || file.is_pipe()) && file.is_at(target),
            None => false,
        };
        if !keep {
            self.open(target)?;
        }
        Ok(())
    }

    /// Opens the target, in place of the file that is open.
    fn open(&mut self, target: &Target) -> io::Result<()> {
        let mut new = target.open(self.mode)?;
        if let Some(old) = self.file.take_if(|old| old.is_same_file(&new)) {
            new.continue_from(&old);
            self.unsynced.keep(old);
        } else {
            self.close();
            self.unsynced.note_new_name();
            new.end_torn_line(target)?;
        }
        self.file = Some(new);
        Ok(())
    }

    /// Closes the file.
    fn close(&mut self) {
        // The lines of the resend buffer are in it, and not in the next one.
        self.resend.clear();
        if let Some(old) = self.file.take() {
            self.unsynced.keep(old);
        }
    }

    /// Writes one chunk; returns how many of its lines were written.
    fn write(&mut self, target: &Target, chunk: &[Bytes], outcome: &mut Appended) -> io::Result<usize> {
        self.resend_if_truncated(outcome)?;
        let Some(file) = self.file.as_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        let completed = file.complete_partial_line()?.is_some_and(|line| chunk.first() == Some(&line));
        if completed {
            return Ok(1);
        }
        let progress = write_lines(file, chunk);
        let truncated = file.note_written(progress.bytes)?;
        if let Some(partial) = progress.partial {
            file.undo_or_complete_later(partial);
        }
        if file.was_removed()? {
            // The lines went to an unlinked file. The caller writes them again, to the file that has the path now.
            self.close();
            self.open(target)?;
            return progress.failure.map_or(Ok(0), Err);
        }
        if truncated {
            self.replay(&chunk[..progress.lines], outcome)?;
        }
        self.resend.extend(chunk[..progress.lines].iter().cloned());
        match progress.failure {
            Some(error) if progress.lines == 0 => Err(error),
            _ => Ok(progress.lines),
        }
    }

    /// Writes the last lines again if the file was truncated since the last write.
    fn resend_if_truncated(&mut self, outcome: &mut Appended) -> io::Result<()> {
        match &self.file {
            Some(file) if file.was_truncated()? => self.replay(&[], outcome),
            _ => Ok(()),
        }
    }

    /// Writes the lines of the resend buffer again. `written_since` are the lines written after the truncation, which are not
    /// in the buffer yet: they are in the file unless it is truncated again meanwhile.
    fn replay(&mut self, written_since: &[Bytes], outcome: &mut Appended) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        // Ages are relative to the truncation, which may have happened long ago.
        self.resend.forget_older_than(RESEND_AGE + file.time_since_change()?);
        let mut lines = self.resend.renew();
        if written_since.is_empty() {
            file.accept_length()?;
        }
        if lines.is_empty() {
            return Ok(());
        }
        self.unsynced.note_replay();
        outcome.warning = Some(format!(
            "the file was truncated under the writer; its last {} {} written again, so that nothing is lost",
            counted(lines.len(), "line"),
            were(lines.len() as u64),
        ));
        let replayed = lines.len();
        let mut from = 0;
        while from < lines.len() {
            let chunk = &lines[from..lines.len().min(from + MAX_LINES_PER_WRITE)];
            let progress = write_lines(file, chunk);
            from += chunk.len();
            if file.note_written(progress.bytes)? {
                // Truncated again: start over, and include the lines that the second truncation removed.
                from = 0;
                if lines.len() == replayed {
                    lines.extend_from_slice(written_since);
                }
            }
            if let Some(partial) = progress.partial {
                file.undo_or_complete_later(partial);
            }
            if let Some(error) = progress.failure {
                // The next attempt starts over.
                file.force_resend();
                return Err(error);
            }
        }
        Ok(())
    }
}
