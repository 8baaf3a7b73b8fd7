//! Long lines of file-log: a kill comes in the middle of a write.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use super::rng::{Rng, mixed};
use super::senders::Senders;
use super::{assert_kept, from_environment, seed};
use crate::kill::checker::{Checker, lines_of};
use crate::service::{Home, TIMEOUT, configuration, transaction, wait_until};

/// The most rounds: each makes the file some 10 MB longer.
const MOST: u64 = 60;

/// A transaction of up to 900 kB.
fn long(id: u64) -> Value {
    let mut transaction = transaction(id);
    let word = format!("{id:x} ");
    let size = usize::try_from(300_000 + mixed(id) % 600_000).expect("it is small");
    transaction["padding"] = word.repeat(size / word.len()).into();
    transaction
}

fn size(file: &Path) -> u64 {
    file.metadata().map_or(0, |about| about.len())
}

/// Returns when a line is half written, or after some lines that were each written at once.
fn await_half_a_line(path: &Path) {
    let file = File::open(path).unwrap();
    let (start, first) = (Instant::now(), size(path));
    loop {
        let (end, mut last) = (size(path), [b'\n']);
        // The file may have become longer since, which is as good.
        file.read_at(&mut last, end.saturating_sub(1)).unwrap();
        if end > first && (last != *b"\n" || end > first + 5_000_000) {
            return;
        }
        assert!(start.elapsed() < TIMEOUT, "nothing is written");
        thread::yield_now();
    }
}

/// Scenario: file-log with a queue on disk gets lines of up to 900 kB; the service is killed again and again while it
/// writes, also while it writes what the last run has left.
/// Guarantees: everything that was answered with 200 is a whole line of the file, in its sender's order; at most one torn
/// line for each kill is there beside them.
#[test]
fn killed_while_long_lines_are_written() {
    let (seed, rounds) = (seed(), from_environment("KILL_ROUNDS").unwrap_or(12).min(MOST));
    eprintln!("KILL_SEED={seed} KILL_ROUNDS={rounds}");
    let mut rng = Rng::new(seed);
    let home = Home::new();
    let file = home.path("messages.log");
    let config = json!({"path": home.text("messages.log"), "queue": {"durability": "disk"}});
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": config}])));
    let mut senders = Senders::start(home.http, &mut rng, long);
    let mut service = home.start();
    for _ in 0..rounds {
        let some = size(&file) + rng.within(0..8_000_000);
        wait_until("some lines are written", || size(&file) > some);
        await_half_a_line(&file);
        service.kill();
        service.start_again();
    }
    let sent = senders.finish();
    let checker = Checker::with(&sent, long);
    assert_eq!(service.stop(), 0);
    assert!(service.has_logged("nothing is left in the queues"), "{}", service.log());
    let kills = usize::try_from(rounds).expect("it is small");
    assert_kept(
        &format!("seed {seed}, {kills} kills"),
        &[("file-log", checker.judge(&lines_of(&file, long, false)))],
        kills,
    );
}
