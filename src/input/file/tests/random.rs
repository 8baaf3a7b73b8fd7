//! Random sequences of what happens to log files, and to the process that follows them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use proptest::prelude::*;

use super::*;

/// What happens.
#[derive(Debug, Clone)]
enum Event {
    /// Lines are written.
    Append(usize),
    /// The first part of a line is written; the rest comes with the next lines.
    Begin,
    /// Lines are written to the file that was renamed last.
    AppendToRenamed(usize),
    Rename,
    CopyTruncate,
    /// The file is removed, after lines were written to it, and a new one is created.
    Remove(usize),
    Pass,
    Save,
    /// The process ends; after it has saved its positions, or by SIGKILL.
    Restart {
        saves: bool,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..40_usize).prop_map(Event::Append),
        2 => Just(Event::Begin),
        1 => (1..5_usize).prop_map(Event::AppendToRenamed),
        2 => Just(Event::Rename),
        2 => Just(Event::CopyTruncate),
        1 => (1..5_usize).prop_map(Event::Remove),
        5 => Just(Event::Pass),
        2 => Just(Event::Save),
        3 => any::<bool>().prop_map(|saves| Event::Restart { saves }),
    ]
}

/// The program that writes.
struct Writer {
    live: File,
    renamed: Option<(File, usize)>,
    /// Number of the content of the live file: another one after each rotation.
    life: usize,
    lives: usize,
    begun: Option<String>,
    written: BTreeMap<usize, Vec<u64>>,
    next: u64,
    rotations: usize,
    /// Whether a position of the live content is saved.
    is_saved: bool,
}

fn open(logs: &Logs) -> File {
    OpenOptions::new().append(true).create(true).open(logs.path("a.log")).unwrap()
}

impl Writer {
    fn line(&mut self, life: usize) -> String {
        let id = self.next;
        self.next += 1;
        self.written.entry(life).or_default().push(id);
        let padding = "x".repeat(usize::try_from(id * 37 % 90).unwrap());
        format!("{{\"i\":{id},\"p\":\"{padding}\"}}\n")
    }

    fn append(&mut self, count: usize) {
        let mut text = self.begun.take().unwrap_or_default();
        for _ in 0..count {
            text += &self.line(self.life);
        }
        self.live.write_all(text.as_bytes()).unwrap();
    }

    fn begin(&mut self) {
        if self.begun.is_none() {
            let line = self.line(self.life);
            let (first, rest) = line.split_at(line.len() / 2);
            self.live.write_all(first.as_bytes()).unwrap();
            self.begun = Some(rest.to_owned());
        }
    }

    /// Completes the line that has begun, as a program does before it opens its log again.
    fn complete(&mut self) {
        if self.begun.is_some() {
            self.append(0);
        }
    }

    fn next_life(&mut self) {
        self.lives += 1;
        (self.life, self.is_saved) = (self.lives, false);
    }
}

struct World {
    logs: Logs,
    writer: Writer,
    follower: Option<Follower<TextDecoder>>,
}

impl World {
    fn follower(&mut self) -> &mut Follower<TextDecoder> {
        self.follower.as_mut().unwrap()
    }

    /// Something of the content is read, and its position saved: a file that is rotated before anybody has seen it cannot be
    /// known by its new name.
    async fn know(&mut self) {
        if !self.writer.is_saved {
            self.writer.append(3);
            self.follower().pass().await;
            self.follower().save_now();
            self.writer.is_saved = true;
        }
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Append(count) => self.writer.append(count),
            Event::Begin => self.writer.begin(),
            Event::AppendToRenamed(count) => {
                if let Some((mut file, life)) = self.writer.renamed.take() {
                    let text: String = (0..count).map(|_| self.writer.line(life)).collect();
                    file.write_all(text.as_bytes()).unwrap();
                    self.writer.renamed = Some((file, life));
                }
            }
            Event::Rename => {
                self.know().await;
                self.writer.complete();
                self.writer.rotations += 1;
                let name = format!("a.log.{}", self.writer.rotations);
                fs::rename(self.logs.path("a.log"), self.logs.path(&name)).unwrap();
                let renamed = std::mem::replace(&mut self.writer.live, open(&self.logs));
                self.writer.renamed = Some((renamed, self.writer.life));
                self.writer.next_life();
            }
            Event::CopyTruncate => {
                self.know().await;
                self.writer.complete();
                self.writer.rotations += 1;
                let name = format!("a.log.{}", self.writer.rotations);
                fs::copy(self.logs.path("a.log"), self.logs.path(&name)).unwrap();
                self.writer.live.set_len(0).unwrap();
                self.writer.next_life();
            }
            Event::Remove(count) => {
                // Only a file that is open can be read when it has no name.
                self.follower().pass().await;
                self.writer.append(count);
                fs::remove_file(self.logs.path("a.log")).unwrap();
                self.writer.live = open(&self.logs);
                self.writer.next_life();
                self.follower().pass().await;
                self.follower().pass().await;
            }
            Event::Pass => self.follower().pass().await,
            Event::Save => {
                self.follower().pass().await;
                self.follower().save_now();
            }
            Event::Restart { saves } => {
                if saves {
                    self.follower().save_now();
                }
                // The lock of the positions is released first.
                self.follower = None;
                self.follower = Some(self.logs.follower());
            }
        }
    }
}

async fn run(include: fn(&str) -> Options, events: Vec<Event>) {
    let logs = Logs::new(include);
    let live = open(&logs);
    let writer = Writer {
        live,
        renamed: None,
        life: 0,
        lives: 0,
        begun: None,
        written: BTreeMap::new(),
        next: 0,
        rotations: 0,
        is_saved: false,
    };
    let follower = Some(logs.follower());
    let mut world = World { logs, writer, follower };
    for event in events {
        world.happen(event).await;
    }
    world.writer.complete();
    for _ in 0..3 {
        world.follower().pass().await;
    }
    let delivered = world.logs.delivered(0);
    let mut first = BTreeMap::new();
    for (at, id) in delivered.iter().enumerate() {
        first.entry(*id).or_insert(at);
    }
    let written: BTreeSet<u64> = world.writer.written.values().flatten().copied().collect();
    let missing: Vec<&u64> = written.iter().filter(|id| !first.contains_key(id)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert!(first.keys().all(|id| written.contains(id)), "invented");
    assert_eq!(world.logs.counters.rejected_total(), 0, "torn lines");
    for (life, ids) in &world.writer.written {
        let order: Vec<usize> = ids.iter().map(|id| first[id]).collect();
        assert!(order.is_sorted(), "the lines of content {life} are out of order");
    }
}

/// A renamed file is written for as long as a test runs.
fn waiting(options: Options) -> Options {
    Options { rotate_wait: Duration::from_secs(3600), ..options }
}

fn check(include: fn(&str) -> Options, events: Vec<Event>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(include, events));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Scenario: appended, renamed, truncated and removed files, and processes that stop and are killed, in random order; the
    /// names of rotated files do not match.
    /// Guarantees: each line is taken at least once, in the order of its file, and none is torn or invented.
    #[test]
    fn rotated_files_do_not_match(events in proptest::collection::vec(event(), 1..30)) {
        check(|root| waiting(only_log(root)), events);
    }

    /// Scenario: the same with names of rotated files that match.
    /// Guarantees: the same.
    #[test]
    fn rotated_files_match(events in proptest::collection::vec(event(), 1..30)) {
        check(|root| waiting(all(root)), events);
    }
}
