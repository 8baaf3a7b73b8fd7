//! Follows files: looks for them, gives each its turns, and saves how far they were read.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::followed::{Followed, TurnState, open_again};
use super::look::{self, Known, Look, New, Start};
use super::notices::{Changes, Notices};
use super::patterns::Found;
use super::position::{FileId, MARK_BYTES, Position};
use super::positions::Positions;
use super::turn::{End, Turn};
use super::{Options, ReadFrom};
use crate::decode::Decode;
use crate::input::{Context, FollowedFiles};
use crate::log::limit::{Limiter, Policy};

/// Turns at the same time. Each has up to 2 MiB of lines in flight, and one line of the largest size.
const MAX_TURNS: usize = 16;

/// Of them, for files for which the queues had no room in their last turn.
const MAX_STALLED_TURNS: usize = 4;

/// How often positions are saved while they change, and how often at the least after a save that took long.
const SAVE_EVERY: Duration = Duration::from_millis(500);

/// The part of the time that looks and saves may take: one twentieth.
const COST: u32 = 20;

/// The pause between a notice of new names and the look at them, in which more may come.
const SOON: Duration = Duration::from_millis(20);

/// What cannot be read is tried again and again.
const FAILURES: Policy =
    Policy { lines: 3, period: Duration::from_secs(60), other_message_after: Duration::from_secs(1) };

/// Files that may be open beyond the limit until it is checked again.
const OPENED: usize = 32;

/// Positions of truncated files that are kept, to know their copies.
const MAX_FORMER: usize = 64;

/// What a task has done.
enum Done {
    Looked(Box<Look>, Duration),
    Turn(FileId, End, Option<Arc<File>>),
    Saved(io::Result<()>, Duration),
    /// What was found of a truncated file.
    Copy(Option<Box<New>>),
}

pub(super) struct Follower<D> {
    context: Context,
    decoder: D,
    options: Arc<Options>,
    positions: Positions,
    files: HashMap<FileId, Followed>,
    by_path: HashMap<PathBuf, FileId>,
    /// Files that wait for a turn, and those for which the queues had no room.
    ready: VecDeque<FileId>,
    stalled: VecDeque<FileId>,
    /// The number of files in `ready`, for turns.
    waiting: Arc<AtomicUsize>,
    turns: usize,
    stalled_turns: usize,
    turn: u64,
    jobs: JoinSet<Done>,
    notices: Notices,
    /// Positions of files before they were truncated.
    former: VecDeque<Position>,
    is_first_look: bool,
    /// Whether positions have changed since they were saved.
    is_news: bool,
    /// `None` while a look or a save is under way.
    look_at: Option<Instant>,
    save_at: Option<Instant>,
    /// How long a look took.
    look_time: Duration,
    stats: Arc<Mutex<FollowedFiles>>,
    failures: Limiter,
    /// Files that were opened since it was last checked how many are open.
    opened: usize,
}

impl<D: Decode> Follower<D> {
    /// Must be called within a Tokio runtime.
    pub(super) fn new(context: Context, decoder: D, options: Options, positions: Positions) -> Self {
        let stats = context.counters().follow_files().clone();
        let now = Instant::now();
        Self {
            context,
            decoder,
            options: Arc::new(options),
            positions,
            files: HashMap::new(),
            by_path: HashMap::new(),
            ready: VecDeque::new(),
            stalled: VecDeque::new(),
            waiting: Arc::default(),
            turns: 0,
            stalled_turns: 0,
            turn: 0,
            jobs: JoinSet::new(),
            notices: Notices::new(),
            former: VecDeque::new(),
            is_first_look: true,
            is_news: false,
            look_at: Some(now),
            save_at: Some(now + SAVE_EVERY),
            look_time: Duration::ZERO,
            stats,
            failures: Limiter::new(FAILURES),
            opened: 0,
        }
    }

    /// Follows until the inputs are told to stop; then waits for the turns, and saves the positions.
    pub(super) async fn run(mut self) {
        let context = self.context.clone();
        let mut stopped = std::pin::pin!(context.stopped());
        loop {
            self.begin_turns();
            let (look_at, save_at) = (self.look_at, self.save_at);
            let at = async |time: Option<Instant>| match time {
                Some(time) => sleep_until(time).await,
                None => std::future::pending().await,
            };
            tokio::select! {
                () = &mut stopped => break,
                Some(done) = self.jobs.join_next() => self.note(done),
                changes = self.notices.next() => self.changed(&changes),
                () = at(look_at) => self.begin_look(),
                () = at(save_at) => self.begin_save(),
            }
        }
        self.finish().await;
    }

    /// Waits for what is in flight, and saves the positions.
    async fn finish(mut self) {
        (self.look_at, self.save_at) = (None, None);
        while self.turns > 0
            && let Some(done) = self.jobs.join_next().await
        {
            self.note(done);
        }
        self.collect();
        let save = self.positions.saving();
        let saved = tokio::task::spawn_blocking(save).await;
        self.saved(saved.unwrap_or_else(|ended| Err(io::Error::other(ended))), Duration::ZERO);
    }

    fn note(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Looked(look, time)) => self.looked(*look, time),
            Ok(Done::Turn(id, end, file)) => self.ended(id, end, file),
            Ok(Done::Saved(result, time)) => self.saved(result, time),
            Ok(Done::Copy(copy)) => {
                if let Some(New { found, file, position }) = copy.map(|copy| *copy) {
                    self.follow(&found, file, position);
                }
            }
            Err(error) => tracing::error!(%error, "following files failed by a bug; please report it"),
        }
    }

    // --- looks ---

    fn begin_look(&mut self) {
        self.look_at = None;
        for directory in self.options.patterns.directories() {
            self.notices.watch(&directory);
        }
        let (known, options) = (self.known(), self.options.clone());
        self.jobs.spawn_blocking(move || {
            let begun = Instant::now();
            let look = look::look(&options, &known);
            Done::Looked(Box::new(look), begun.elapsed())
        });
    }

    fn known(&self) -> Known {
        let room = self.options.max_open_files.saturating_sub(self.open());
        let mut known = Known { room, ..Known::default() };
        known.ids.extend(self.files.keys());
        known.ids.extend(self.positions.entries.keys());
        let former = self.former.iter().copied();
        for position in self.files.values().map(Followed::position).chain(former) {
            if position.head.end() == MARK_BYTES as u64 {
                known.positions.entry(position.head).or_default().push(position);
            }
        }
        for (id, file) in &self.files {
            match (&file.file, file.gone) {
                (Some(open), Some(_)) => known.gone.push((*id, open.clone())),
                (Some(_), None) => {}
                (None, _) => known.closed.push((*id, file.path.clone(), None)),
            }
        }
        if self.is_first_look {
            let read_from = if self.positions.are_damaged { ReadFrom::Beginning } else { self.options.read_from };
            known.start = Some(Start { read_from, saved: self.positions.saved });
            let entries = self.positions.entries.values();
            // What was renamed while no process ran is read to its end.
            let followed = entries.filter(|entry| entry.rest || self.options.patterns.matches(&entry.path));
            known.closed.extend(followed.map(|entry| (entry.id, entry.path.clone(), Some(entry.position.offset))));
        }
        known
    }

    fn looked(&mut self, look: Look, time: Duration) {
        let now = Instant::now();
        self.look_time = time;
        self.look_at = Some(now + self.options.poll_interval.max(time * COST));
        self.is_first_look = false;
        self.report_listing(&look);
        for New { found, file, position } in look.new {
            self.follow(&found, file, position);
        }
        let mut unseen: Vec<FileId> = self.files.keys().copied().collect();
        for found in &look.listing.files {
            if let Some(followed) = self.files.get_mut(&found.id) {
                followed.gone = None;
                followed.is_last = false;
                if followed.path != found.path {
                    self.stats.lock().rotations += 1;
                    self.renamed(found.id, &found.path);
                }
                self.seen(found.id, (found.size, found.modified));
            } else if let Some(position) = self.positions.entries.get(&found.id).map(|entry| entry.position) {
                self.follow(found, None, position);
            }
        }
        let listed: HashSet<FileId> = look.listing.files.iter().map(|found| found.id).collect();
        unseen.retain(|id| !listed.contains(id));
        for (found, file) in look.moved {
            if let Some(followed) = self.files.get_mut(&found.id) {
                followed.file = Some(Arc::new(file));
                self.renamed(found.id, &found.path);
            } else if let Some(position) = self.positions.entries.get(&found.id).map(|entry| entry.position) {
                self.stats.lock().rotations += 1;
                self.follow(&found, Some(file), position);
                self.files.entry(found.id).and_modify(|followed| followed.gone = Some(now));
            }
        }
        for (id, size, modified) in look.gone {
            if self.files.get(&id).is_some_and(|followed| followed.looked != (size, modified)) {
                self.files.entry(id).and_modify(|followed| (followed.gone, followed.is_last) = (Some(now), false));
                self.seen(id, (size, modified));
            }
        }
        for id in unseen {
            self.missing(id, now);
        }
        self.close_excess();
        self.collect();
    }

    /// A file is not where it was.
    fn missing(&mut self, id: FileId, now: Instant) {
        let Some(followed) = self.files.get_mut(&id) else { return };
        let Some(gone) = followed.gone else {
            followed.gone = Some(now);
            if self.by_path.get(&followed.path) == Some(&id) {
                self.by_path.remove(&followed.path);
            }
            self.stats.lock().rotations += 1;
            tracing::debug!(file = %followed.path.display(), "renamed or removed: the rest of it is read");
            return;
        };
        if followed.turn != TurnState::Idle || followed.stalled {
            return;
        }
        if followed.file.is_none() {
            let (path, bytes) = (followed.path.display(), followed.lag());
            if bytes > 0
                && let Some(suppressed) = self.failures.admit()
            {
                tracing::warn!(file = %path, bytes, suppressed, "renamed or removed before all of it was read");
            }
            self.forget(id);
        } else if now.duration_since(gone) >= self.options.rotate_wait {
            // A last line without a line end will not get one any more.
            if followed.looked.0 > followed.position().offset && !followed.is_last {
                followed.is_last = true;
                self.queue(id);
            } else {
                self.forget(id);
            }
        }
    }

    fn forget(&mut self, id: FileId) {
        if let Some(followed) = self.files.remove(&id) {
            self.is_news |= self.positions.set(id, &followed.path, followed.position(), false);
            if self.by_path.get(&followed.path) == Some(&id) {
                self.by_path.remove(&followed.path);
            }
        }
    }

    /// Begins to follow a file.
    fn follow(&mut self, found: &Found, file: Option<File>, position: Position) {
        if self.files.contains_key(&found.id) {
            return;
        }
        if let Some(directory) = found.path.parent() {
            self.notices.watch(directory);
        }
        let matches = self.options.patterns.matches(&found.path);
        let followed = Followed {
            path: found.path.clone(),
            progress: Arc::new(Mutex::new(position.into())),
            intake: self.context.intake().for_sender(None),
            looked: (found.size, found.modified),
            file: file.map(Arc::new),
            used: self.turn,
            turn: TurnState::Idle,
            stalled: false,
            gone: (!matches).then(Instant::now),
            is_last: false,
        };
        self.files.insert(found.id, followed);
        if matches {
            self.by_path.insert(found.path.clone(), found.id);
        }
        self.queue(found.id);
    }

    fn renamed(&mut self, id: FileId, path: &Path) {
        let Some(followed) = self.files.get_mut(&id) else { return };
        if self.by_path.get(&followed.path) == Some(&id) {
            self.by_path.remove(&followed.path);
        }
        path.clone_into(&mut followed.path);
        if followed.gone.is_none() {
            self.by_path.insert(path.to_owned(), id);
        }
    }

    /// A file has this size and time of change now.
    fn seen(&mut self, id: FileId, looked: (u64, SystemTime)) {
        let Some(followed) = self.files.get_mut(&id) else { return };
        if followed.looked != looked {
            followed.looked = looked;
            self.queue(id);
        }
    }

    fn changed(&mut self, changes: &Changes) {
        if changes.names
            && let Some(look_at) = &mut self.look_at
        {
            *look_at = (*look_at).min(Instant::now() + SOON.max(self.look_time * COST));
        }
        for path in &changes.written {
            if let Some(id) = self.by_path.get(path) {
                self.queue(*id);
            }
        }
    }

    // --- turns ---

    /// Lets a file have a turn.
    fn queue(&mut self, id: FileId) {
        let Some(followed) = self.files.get_mut(&id) else { return };
        match followed.turn {
            TurnState::Idle => {
                followed.turn = TurnState::Waiting;
                let queue = if followed.stalled { &mut self.stalled } else { &mut self.ready };
                queue.push_back(id);
            }
            TurnState::Running => followed.turn = TurnState::Again,
            TurnState::Waiting | TurnState::Again => {}
        }
        self.waiting.store(self.ready.len(), Ordering::Relaxed);
    }

    fn begin_turns(&mut self) {
        while self.turns < MAX_TURNS {
            let stalled = if self.stalled_turns < MAX_STALLED_TURNS { self.stalled.pop_front() } else { None };
            let Some(id) = stalled.or_else(|| self.ready.pop_front()) else { break };
            let Some(followed) = self.files.get_mut(&id) else { continue };
            followed.turn = TurnState::Running;
            self.turn += 1;
            followed.used = self.turn;
            self.turns += 1;
            self.stalled_turns += usize::from(followed.stalled);
            let open = followed.file.clone();
            let (context, decoder, intake) = (self.context.clone(), self.decoder.clone(), followed.intake.clone());
            let (path, progress, waiting) = (followed.path.clone(), followed.progress.clone(), self.waiting.clone());
            let (stalled, is_last) = (followed.stalled, followed.is_last);
            self.jobs.spawn(async move {
                let file = match open {
                    Some(file) => file,
                    None => match open_again(path.clone(), id).await {
                        Ok(file) => Arc::new(file),
                        Err(error) => return Done::Turn(id, End::Failed(error), None),
                    },
                };
                let turn =
                    Turn { context, intake, decoder, file: file.clone(), path, progress, stalled, is_last, waiting };
                Done::Turn(id, turn.run().await, Some(file))
            });
        }
        self.waiting.store(self.ready.len(), Ordering::Relaxed);
    }

    fn ended(&mut self, id: FileId, end: End, file: Option<Arc<File>>) {
        self.turns -= 1;
        let Some(followed) = self.files.get_mut(&id) else { return };
        self.stalled_turns -= usize::from(followed.stalled);
        let again = followed.turn == TurnState::Again;
        followed.turn = TurnState::Idle;
        followed.stalled = matches!(end, End::Stalled);
        self.opened += usize::from(followed.file.is_none() && file.is_some());
        followed.file = file;
        match end {
            End::Read if again => self.queue(id),
            End::Read | End::Stopped => {}
            End::GivesWay | End::Stalled => self.queue(id),
            End::Replaced => self.replaced(id),
            End::Failed(error) => {
                // The next look tries again.
                followed.looked.1 = SystemTime::UNIX_EPOCH;
                followed.file = None;
                if error.kind() != io::ErrorKind::NotFound
                    && let Some(suppressed) = self.failures.admit()
                {
                    let path = followed.path.display();
                    tracing::warn!(file = %path, %error, suppressed, "cannot be read now, and is tried again");
                }
            }
        }
        if self.opened > OPENED {
            self.close_excess();
        }
    }

    /// A file has other bytes than those that were read: it begins again, and what was not read of it is looked for in a copy.
    fn replaced(&mut self, id: FileId) {
        let Some(followed) = self.files.get_mut(&id) else { return };
        let position = std::mem::take(&mut *followed.progress.lock()).position;
        let path = followed.path.clone();
        self.queue(id);
        if position.offset == 0 {
            return;
        }
        self.stats.lock().truncations += 1;
        tracing::debug!(file = %path.display(), read = position.offset, "truncated: it is read from its start");
        self.former.push_back(position);
        if self.former.len() > MAX_FORMER {
            self.former.pop_front();
        }
        let known = self.files.keys().copied().collect();
        self.jobs.spawn_blocking(move || Done::Copy(look::find_copy(&path, &position, &known).map(Box::new)));
    }

    /// Closes files that were not read for the longest time, if more are open than may be.
    fn close_excess(&mut self) {
        self.opened = 0;
        let excess = self.open().saturating_sub(self.options.max_open_files);
        if excess == 0 {
            return;
        }
        let mut idle: Vec<&mut Followed> =
            self.files.values_mut().filter(|followed| followed.can_be_closed()).collect();
        idle.sort_unstable_by_key(|followed| followed.used);
        idle.into_iter().take(excess).for_each(|followed| followed.file = None);
    }

    /// Files that are open.
    fn open(&self) -> usize {
        self.files.values().filter(|followed| followed.file.is_some()).count()
    }

    // --- positions ---

    /// Takes the positions of all files, and what is shown of them.
    fn collect(&mut self) {
        let mut shown = FollowedFiles { followed: self.files.len() as u64, ..FollowedFiles::default() };
        for (id, followed) in &self.files {
            self.is_news |= self.positions.set(*id, &followed.path, followed.position(), followed.gone.is_some());
            shown.open += u64::from(followed.file.is_some());
            let lag = followed.lag();
            shown.lag_bytes += lag;
            if lag > shown.most_behind.as_ref().map_or(0, |(_, most)| *most) {
                shown.most_behind = Some((followed.path.clone(), lag));
            }
        }
        let mut stats = self.stats.lock();
        let FollowedFiles { rotations, truncations, left_out, .. } = *stats;
        *stats = FollowedFiles { rotations, truncations, left_out, ..shown };
    }

    fn begin_save(&mut self) {
        self.collect();
        if !std::mem::take(&mut self.is_news) {
            self.save_at = Some(Instant::now() + SAVE_EVERY);
            return;
        }
        self.save_at = None;
        self.positions.expire(self.options.max_files.saturating_mul(2));
        let save = self.positions.saving();
        self.jobs.spawn_blocking(move || {
            let begun = Instant::now();
            Done::Saved(save(), begun.elapsed())
        });
    }

    fn saved(&mut self, result: io::Result<()>, time: Duration) {
        self.save_at = Some(Instant::now() + SAVE_EVERY.max(time * COST));
        self.is_news |= result.is_err();
        if let Err(error) = result
            && let Some(suppressed) = self.failures.admit()
        {
            let path = self.positions.path();
            tracing::error!(
                suppressed,
                "cannot save the positions of files in {}: {error}; after a restart, lines are read again: free space, or \
                 repair the disk",
                path.display()
            );
        }
    }

    fn report_listing(&mut self, look: &Look) {
        let mut stats = self.stats.lock();
        let before = std::mem::replace(&mut stats.left_out, look.listing.left_out);
        drop(stats);
        if look.listing.is_full
            && let Some(suppressed) = self.failures.admit()
        {
            let max = self.options.max_files;
            tracing::warn!(
                suppressed,
                "more than {max} files match inputs.file.include: further ones are not read; raise inputs.file.max_files"
            );
        } else if before == 0 && look.listing.left_out > 0 {
            let files = look.listing.left_out;
            tracing::info!(files, "compressed files match inputs.file.include and are not read");
        }
        for (path, error) in &look.listing.errors {
            if let Some(suppressed) = self.failures.admit() {
                let path = path.display();
                tracing::warn!(
                    suppressed,
                    "cannot read {path}: {error}; files are read with the rights of the service's user, in the directories \
                     that inputs.file.include names and that its files are in at the start"
                );
            }
        }
    }

    /// One look, and all turns that follow from it.
    #[cfg(test)]
    pub(super) async fn pass(&mut self) {
        self.begin_look();
        loop {
            self.begin_turns();
            let Some(done) = self.jobs.join_next().await else { break };
            self.note(done);
        }
    }

    /// Saves the positions.
    #[cfg(test)]
    pub(super) fn save_now(&mut self) {
        self.collect();
        self.positions.saving()().unwrap();
    }
}
