//! Kills at random moments, with five plugins at once and receivers that misbehave at random. `make kill` runs many rounds
//! with the release build.
//!
//! `KILL_SEED` repeats the choices of a run; how threads and processes interleave is not repeated. `KILL_ROUNDS` is the
//! number of runs of the service.

mod ending;
mod http;
mod lines;
mod receivers;
mod rng;
mod senders;
mod sized;
mod streams;
mod trial;

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

#[cfg(debug_assertions)]
use logphase_queue::failpoint::Point;

pub use ending::Ending;
pub use receivers::{Mood, Protocol, Receiver};
pub use rng::Rng;
pub use trial::{Place, Trial};

use super::checker::Verdict;
use crate::kafka;
use crate::service::wait_until;

/// A number from the environment.
pub fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// The seed of a run: from `KILL_SEED`, or random.
pub fn seed() -> u64 {
    from_environment("KILL_SEED").unwrap_or_else(|| RandomState::new().hash_one(0) % 1_000_000)
}

/// Prints the verdicts, and fails unless all guarantees hold: nothing that was answered is missing, nothing is unknown,
/// changed or out of order, and a file has at most one torn line for each kill.
#[track_caller]
pub fn assert_kept(what: &str, verdicts: &[(&str, Verdict)], kills: usize) {
    for (sink, verdict) in verdicts {
        eprintln!("{what}: {sink}: {verdict}");
    }
    for (sink, verdict) in verdicts {
        assert!(verdict.is_kept(), "{what}: {sink}: {verdict}");
        assert!(verdict.torn <= kills, "{what}: {sink}: more torn lines than kills: {verdict}");
        assert!(verdict.answered > 0, "{what}: {sink}: {verdict}");
    }
}

/// Scenario: http-log, tcp-log, syslog over TCP, file-log and kafka-log with queues on disk; the service is killed at
/// random moments under load, while it starts and while it stops, and sometimes stops; its receivers answer with errors, do
/// not answer, read half, hang, and reset connections with and without unread bytes; the broker stops and is killed.
/// Guarantees: everything that was answered with 200 arrives at all five, unchanged and in its sender's order; nothing
/// arrives that was not sent; the file has whole lines, and at most one torn line of its own for each kill. The test prints
/// the seed and what arrived.
#[test]
fn killed_at_random_moments() {
    let (seed, rounds) = (seed(), from_environment("KILL_ROUNDS").unwrap_or(12));
    eprintln!("KILL_SEED={seed} KILL_ROUNDS={rounds}");
    let mut trial = Trial::prepare(seed, Some(kafka::own_broker()), None);
    for round in 0..rounds {
        let ending = Ending::choose(&mut trial.rng);
        trial.round(ending);
        if round % 25 == 24 {
            eprintln!("{} runs, {} kills, {} answered", round + 1, trial.kills, trial.accepted());
        }
    }
    let kills = trial.kills;
    assert_kept(&format!("seed {seed}, {kills} kills"), &trial.finish(), kills);
}

/// Scenario: two receivers of a TCP stream stop reading, and later reset their connections and are away; the service has
/// seen it when it is stopped, or killed; then they come back.
/// Guarantees: everything that was answered with 200 arrives, also what the receivers' kernels had acknowledged.
#[test]
fn unread_and_reset_before_the_end() {
    let mut trial = Trial::prepare(seed(), None, None);
    for ending in [Ending::Stop(Duration::ZERO), Ending::Kill(Duration::ZERO)] {
        trial.service.start_again();
        [&trial.tcp, &trial.syslog].iter().for_each(|receiver| receiver.set_mood(Mood::Stalled));
        let goal = trial.accepted() + 200;
        wait_until("more is answered", || trial.accepted() > goal);
        [&trial.tcp, &trial.syslog].iter().for_each(|receiver| receiver.set_mood(Mood::Away));
        let broke = |receiver: &Receiver| trial.service.has_logged(&format!("127.0.0.1:{}", receiver.port));
        wait_until("the service has seen it", || broke(&trial.tcp) && broke(&trial.syslog));
        ending.bring(&mut trial.service);
        [&trial.tcp, &trial.syslog].iter().for_each(|receiver| receiver.set_mood(Mood::Good));
    }
    let kills = trial.kills + 1;
    assert_kept("unread and reset before the end", &trial.finish(), kills);
}

/// Scenario: two receivers of a TCP stream reset every connection with unread bytes, much more often than one retries
/// without a pause, before and after the service is killed and stopped; then they behave.
/// Guarantees: everything that was answered with 200 arrives.
#[test]
fn every_connection_is_reset() {
    let mut trial = Trial::prepare(seed(), None, None);
    trial.service.start_again();
    for ending in [Ending::Kill(Duration::ZERO), Ending::Stop(Duration::ZERO)] {
        let goal = trial.accepted() + 100;
        wait_until("more is answered", || trial.accepted() > goal);
        trial.tcp.set_mood(Mood::Breaking);
        trial.syslog.set_mood(Mood::Breaking);
        let before = [trial.tcp.connections(), trial.syslog.connections()];
        wait_until("many connections were reset", || {
            trial.tcp.connections() > before[0] + 30 && trial.syslog.connections() > before[1] + 30
        });
        ending.bring(&mut trial.service);
        trial.service.start_again();
    }
    trial.service.kill();
    let kills = trial.kills + 2;
    assert_kept("every connection is reset", &trial.finish(), kills);
}

/// Scenario: a receiver answers 200 and forgets a message.
/// Guarantees: the same checks find it.
#[test]
fn a_lying_receiver_is_found() {
    let mut trial = Trial::prepare(seed(), None, None);
    trial.service.start_again();
    trial.http.set_mood(Mood::Lying);
    let before = trial.http.count();
    wait_until("it has taken requests", || trial.http.count() > before + 20);
    // A kill would make the service send its newest messages again.
    assert_eq!(trial.service.stop(), 0);
    let verdicts = trial.finish();
    let (sink, verdict) = &verdicts[0];
    assert!(!verdict.missing.is_empty(), "{sink}: a forgotten message was not noticed: {verdict}");
    assert!(verdicts[1..].iter().all(|(_, verdict)| verdict.is_kept()), "{verdicts:?}");
}

/// Scenario: a service with a planted defect, an answer before the write, is killed before a write, twice.
/// Guarantees: the same checks find the lost messages. (Only development builds have the defect.)
#[cfg(debug_assertions)]
#[test]
fn an_early_answer_is_found_at_random() {
    let mut trial = Trial::prepare(seed(), None, None);
    for write in [40, 45] {
        trial.service.arm(&format!("{},{}:{write}", Point::AnswerBeforeWrite.name(), Point::BeforeWrite.name()));
        trial.service.launch_again();
        assert!(trial.service.wait_for_kill(), "{}", trial.service.log());
    }
    trial.service.arm("");
    let verdicts = trial.finish();
    assert!(verdicts.iter().any(|(_, verdict)| !verdict.missing.is_empty()), "not noticed: {verdicts:?}");
}
