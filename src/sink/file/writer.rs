//! One writer per path for the whole process: whole lines only, whatever happens to the file.
//!
//! - A write that fails half-way through a line is undone (regular files) or the line is completed first next time.
//! - A file that was moved or removed is created again at once: path and descriptor are compared before every batch.
//! - A file that was truncated under the writer (logrotate's `copytruncate`) gets the lines of the
//!   [`RESEND_AGE`] before it once more: those written after the copy was made and before the truncation are nowhere else.
//!   Some of them may then be in both files; none is missing.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use bytes::Bytes;

use self::lines::{LINES_AT_ONCE, write_lines};
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
    /// The writer of `path`; made with a fresh `resend` if there is none yet.
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
pub(crate) struct Outcome {
    /// How many, from the front, stand in the file whole.
    pub written: usize,
    /// Why the next one does not.
    pub failure: Option<String>,
    /// The failure is for ever: the reader of an inherited pipe cannot come back.
    pub gone: bool,
    /// Something else that happened.
    pub warning: Option<String>,
}

/// Appends lines to one target. Every plugin with the same path holds the same writer.
pub(crate) struct Writer {
    target: Target,
    reopen: AtomicBool,
    // One blocking thread per path at most: those whose turn it is not wait here without a thread.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    open: Option<Open>,
    resend: ResendBuffer,
}

impl Writer {
    /// Appends `lines`, each with a newline; opens the file anew before if `fresh`.
    pub(crate) async fn append(self: Arc<Self>, lines: Vec<Bytes>, fresh: bool) -> Outcome {
        let _turn = self.turn.lock().await;
        let writer = self.clone();
        let written = tokio::task::spawn_blocking(move || writer.append_blocking(&lines, fresh)).await;
        written.unwrap_or_else(|error| Outcome {
            failure: Some(format!("the writer of {} failed: {error}", self.target)),
            ..Outcome::default()
        })
    }

    fn append_blocking(&self, lines: &[Bytes], fresh: bool) -> Outcome {
        let mut state = self.state.lock();
        let mut outcome = Outcome::default();
        let fresh = self.reopen.swap(false, Ordering::SeqCst) || fresh;
        if let Err(error) = state.prepare(&self.target, fresh) {
            outcome.failure = Some(self.target.explain(&error));
            return outcome;
        }
        while outcome.written < lines.len() {
            let rest = &lines[outcome.written..];
            let chunk = &rest[..rest.len().min(LINES_AT_ONCE)];
            match state.write(&self.target, chunk, &mut outcome) {
                Ok(written) => outcome.written += written,
                Err(error) => {
                    let inherited = state.open.as_ref().is_some_and(Open::is_inherited);
                    outcome.gone = inherited && error.kind() == io::ErrorKind::BrokenPipe;
                    outcome.failure = Some(self.target.explain(&error));
                    break;
                }
            }
        }
        outcome
    }
}

impl State {
    /// Sees to it that `open` is what the path means now.
    fn prepare(&mut self, target: &Target, fresh: bool) -> io::Result<()> {
        let keep = match &self.open {
            Some(open) => open.is_inherited() || (!fresh || open.is_pipe()) && open.is_still_at(target),
            None => false,
        };
        if !keep {
            let mut new = target.open()?;
            match self.open.take() {
                Some(old) if old.is_same_file(&new) => new.take_over(old),
                // Another file: what the resend holds stands in the old one.
                _ => self.resend.clear(),
            }
            self.open = Some(new);
        }
        Ok(())
    }

    /// Writes one chunk; returns how many of its lines are done. After an error, fewer than the chunk's stand.
    fn write(&mut self, target: &Target, chunk: &[Bytes], outcome: &mut Outcome) -> io::Result<usize> {
        self.mend(outcome)?;
        let Some(open) = self.open.as_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        let done = open.complete_torn_line()?.is_some_and(|line| chunk.first() == Some(&line));
        if done {
            return Ok(1);
        }
        let progress = write_lines(open, chunk);
        let truncated = open.note_written(progress.bytes)?;
        if let Some(torn) = progress.torn {
            open.undo_or_keep(torn);
        }
        if open.was_removed()? {
            // The lines are in a file that has no name any more. They go to the one that has.
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

    /// Writes the resend again if the file was truncated since the last write.
    fn mend(&mut self, outcome: &mut Outcome) -> io::Result<()> {
        match &self.open {
            Some(open) if open.was_truncated()? => self.replay(&[], outcome),
            _ => Ok(()),
        }
    }

    /// Writes the resend again. `standing` are lines that were written since the truncation and are not in the resend yet:
    /// they stand in the file unless it is truncated once more meanwhile.
    fn replay(&mut self, standing: &[Bytes], outcome: &mut Outcome) -> io::Result<()> {
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        // The truncation may be long ago: lines count from it, not from now.
        self.resend.forget_older_than(RESEND_AGE + open.unchanged_for()?);
        let mut lines = self.resend.renew();
        if standing.is_empty() {
            open.forget_end()?;
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
            let chunk = &lines[from..lines.len().min(from + LINES_AT_ONCE)];
            let progress = write_lines(open, chunk);
            from += chunk.len();
            if open.note_written(progress.bytes)? {
                // Truncated once more in the middle of it: from the beginning, and with what stood there until now.
                from = 0;
                if lines.len() == replayed {
                    lines.extend_from_slice(standing);
                }
            }
            if let Some(torn) = progress.torn {
                open.undo_or_keep(torn);
            }
            if let Some(error) = progress.failure {
                // The file is not as long as it should be, so that the next attempt starts over.
                open.expect_more();
                return Err(error);
            }
        }
        Ok(())
    }
}
