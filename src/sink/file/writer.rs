//! One writer per path for the whole process. It writes whole lines, whatever happens to the file.
//!
//! - A write that fails in the middle of a line is undone in regular files; elsewhere the next write completes the line.
//! - A file that was moved or removed is created again at once: path and descriptor are compared before every batch.
//! - A file that was truncated under the writer (logrotate's `copytruncate`) gets the lines of the last
//!   [`RESEND_AGE`] again: those written between the copy and the truncation are nowhere else. Some lines may then be in
//!   both files, but none is missing.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use bytes::Bytes;

use self::lines::{MAX_LINES_PER_WRITE, write_lines};
use self::target::{Open, Target};
use crate::sink::resend::ResendBuffer;

mod lines;
mod target;
#[cfg(test)]
mod tests;

/// How long before a truncation of the file a line may have been written and not be in the copy that was made.
pub(crate) const RESEND_AGE: Duration = Duration::from_secs(2);

/// The writers of the process, by path.
#[derive(Default)]
pub struct Writers {
    by_target: Mutex<HashMap<Target, Weak<Writer>>>,
}

impl Writers {
    /// The writer of `path`; a new one gets the buffer that `resend` makes.
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
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(State { open: None, resend: resend() }),
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

/// What became of a batch of lines.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    /// How many lines, from the front, are in the file.
    pub written: usize,
    /// Why the next one is not.
    pub failure: Option<String>,
    /// The reader of an inherited pipe has ended, and cannot come back.
    pub reader_gone: bool,
    /// Something else that happened.
    pub warning: Option<String>,
}

/// Appends lines to one target. Every plugin with the same path holds the same writer.
pub(crate) struct Writer {
    target: Target,
    reopen: AtomicBool,
    // At most one blocking thread per path: the others wait here without a thread.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    open: Option<Open>,
    resend: ResendBuffer,
}

impl Writer {
    /// Appends `lines`, each with a newline; opens the file again first if `reopen`.
    pub(crate) async fn append(self: Arc<Self>, lines: Vec<Bytes>, reopen: bool) -> Appended {
        let _turn = self.turn.lock().await;
        let writer = self.clone();
        let written = tokio::task::spawn_blocking(move || writer.append_blocking(&lines, reopen)).await;
        written.unwrap_or_else(|error| Appended {
            failure: Some(format!("the writer of {} failed: {error}", self.target)),
            ..Appended::default()
        })
    }

    fn append_blocking(&self, lines: &[Bytes], reopen: bool) -> Appended {
        let mut state = self.state.lock();
        let mut outcome = Appended::default();
        let reopen = self.reopen.swap(false, Ordering::SeqCst) || reopen;
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
                    let inherited = state.open.as_ref().is_some_and(Open::is_inherited);
                    outcome.reader_gone = inherited && error.kind() == io::ErrorKind::BrokenPipe;
                    outcome.failure = Some(self.target.explain(&error));
                    break;
                }
            }
        }
        outcome
    }
}

impl State {
    /// Opens the file if the path no longer leads to the open one.
    fn prepare(&mut self, target: &Target, reopen: bool) -> io::Result<()> {
        let keep = match &self.open {
            Some(open) => open.is_inherited() || (!reopen || open.is_pipe()) && open.is_at(target),
            None => false,
        };
        if !keep {
            let mut new = target.open()?;
            match self.open.take() {
                Some(old) if old.is_same_file(&new) => new.continue_from(old),
                // Another file: the lines to resend are in the old one.
                _ => self.resend.clear(),
            }
            self.open = Some(new);
        }
        Ok(())
    }

    /// Writes one chunk; returns how many of its lines are written.
    fn write(&mut self, target: &Target, chunk: &[Bytes], outcome: &mut Appended) -> io::Result<usize> {
        self.resend_if_truncated(outcome)?;
        let Some(open) = self.open.as_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        let done = open.complete_partial_line()?.is_some_and(|line| chunk.first() == Some(&line));
        if done {
            return Ok(1);
        }
        let progress = write_lines(open, chunk);
        let truncated = open.note_written(progress.bytes)?;
        if let Some(partial) = progress.partial {
            open.undo_or_complete_later(partial);
        }
        if open.was_removed()? {
            // The lines are in a file without a name. They go to the one that has the name now.
            self.resend.clear();
            self.open = None;
            self.open = Some(target.open()?);
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
        match &self.open {
            Some(open) if open.was_truncated()? => self.replay(&[], outcome),
            _ => Ok(()),
        }
    }

    /// Writes the last lines again. `standing` are lines that were written after the truncation and are not in the buffer
    /// yet: they are in the file unless it is truncated once more meanwhile.
    fn replay(&mut self, standing: &[Bytes], outcome: &mut Appended) -> io::Result<()> {
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        // Ages count from the truncation, which may be long ago.
        self.resend.forget_older_than(RESEND_AGE + open.time_since_change()?);
        let mut lines = self.resend.renew();
        if standing.is_empty() {
            open.accept_length()?;
        }
        if lines.is_empty() {
            return Ok(());
        }
        outcome.warning = Some(format!(
            "the file was truncated under the writer; its last {} lines were written again, so that none is lost",
            lines.len()
        ));
        let replayed = lines.len();
        let mut from = 0;
        while from < lines.len() {
            let chunk = &lines[from..lines.len().min(from + MAX_LINES_PER_WRITE)];
            let progress = write_lines(open, chunk);
            from += chunk.len();
            if open.note_written(progress.bytes)? {
                // Truncated again meanwhile: start over, with the lines that were in the file until now.
                from = 0;
                if lines.len() == replayed {
                    lines.extend_from_slice(standing);
                }
            }
            if let Some(partial) = progress.partial {
                open.undo_or_complete_later(partial);
            }
            if let Some(error) = progress.failure {
                // The next attempt starts over.
                open.force_resend();
                return Err(error);
            }
        }
        Ok(())
    }
}
