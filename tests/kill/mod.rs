//! Kills the process at every failpoint, under load, with sinks that stop and restart; a checker outside the process
//! verifies that every acknowledged message arrives.

mod checker;
mod damage;
mod heals;
mod powercut;
mod random;
mod recovery;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;

use checker::Checker;
use logphase_queue::failpoint::Point;
use serde_json::json;

use crate::kafka::{self, topic};
use crate::service::{Home, Load, Service, Signal, TcpPeer, configuration, transaction, wait_until};

/// How often the service is killed.
const ROUNDS: usize = 20;
/// Small enough that files of 128 KiB are created and removed all the time.
const DISK_BYTES: &str = "1MiB";

/// The failpoints of every queue on disk, each with whether the service reaches it rarely.
const POINTS: &[(Point, bool)] = &[
    (Point::BeforeWrite, false),
    (Point::SegmentCreated, true),
    (Point::AfterWrite, false),
    (Point::CursorRenamed, true),
    (Point::AfterSync, false),
    (Point::BeforeUnlink, true),
    (Point::Answered, false),
    (Point::Rotation, true),
    (Point::BeforeCommit, false),
    (Point::CursorWritten, true),
    (Point::SegmentSynced, true),
    (Point::AfterUnlink, true),
    (Point::CursorSaved, true),
    (Point::Opened, true),
];

/// The failpoint of a round, and how often the service reaches it before it is killed.
fn failpoint(round: usize) -> String {
    let (point, is_rare) = POINTS[round % POINTS.len()];
    let count = if is_rare { 1 + round / POINTS.len() } else { 5 + round * 37 % 100 };
    format!("{}:{count}", point.name())
}

/// Starts the service with an armed failpoint, runs `meanwhile`, and waits until the service is killed.
fn round(service: &mut Service, failpoint: &str, meanwhile: impl FnOnce(&mut Service)) {
    service.arm(failpoint);
    service.launch_again();
    meanwhile(service);
    assert!(service.wait_for_kill(), "{failpoint}: the service was not killed\n{}", service.log());
}

/// Waits for more answers, a full queue, or the end of the service.
fn await_progress(load: &Load, service: &mut Service, transactions: u64) {
    let goal = load.accepted() + transactions;
    wait_until("more is accepted, or the queue is full", || {
        load.accepted() >= goal || service.has_logged("queue is 80 % full") || !service.is_running()
    });
}

/// Scenario: a service that delivers to a TCP receiver and to Kafka is killed by SIGKILL twenty times under load, each
/// time at another failpoint; the TCP receiver and the broker stop and restart.
/// Guarantees: everything that was answered with 200 arrives at both, unchanged and in its sender's order; nothing
/// arrives that was not sent. The test prints the number of duplicates.
#[test]
fn killed_at_every_point() {
    let mut peer = TcpPeer::start();
    let mut broker = kafka::own_broker();
    broker.create_topic("kill", 1, &[]);
    let tcp = json!({"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}});
    let kong = configuration(&json!([tcp, kafka::kafka_log(&broker, "kill", &json!({}))]));
    let home = Home::with(&kong).set("LOGPHASE_QUEUE_MAX_DISK_BYTES", DISK_BYTES);
    let mut service = home.set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1").start();
    let load = Load::start(service.home.http);
    load.await_more(100);
    service.kill();
    for number in 0..ROUNDS {
        round(&mut service, &failpoint(number), |service| match number % 7 {
            2 | 5 => {
                peer.shut_down();
                await_progress(&load, service, 100);
                peer.restart();
            }
            4 => {
                broker.kill();
                await_progress(&load, service, 100);
                broker.restart();
            }
            _ => {}
        });
    }
    service.arm("");
    service.start_again();
    load.await_more(100);
    let sent = load.finish();
    let checker = Checker::of(&sent);
    assert_eq!(service.stop(), 0);
    assert!(service.has_logged("nothing is left in the queues"), "{}", service.log());
    wait_until("the TCP receiver has read everything", || checker.check(peer.lines()).missing.is_empty());
    let in_kafka = topic::read(&broker, "kill").into_iter().map(|record| record.value);
    for (sink, verdict) in [("tcp-log", checker.check(peer.lines())), ("kafka-log", checker.check(in_kafka))] {
        eprintln!("{sink}, killed {ROUNDS} times: {verdict}");
        assert!(verdict.is_kept(), "{sink}: {verdict}");
        assert!(verdict.answered > 1000, "{sink}: {verdict}");
    }
}

/// Scenario: a service with a planted defect, an answer before the write, is killed before a write.
/// Guarantees: the checker finds the lost messages, so the test above can fail.
#[test]
fn an_early_answer_is_found() {
    let mut peer = TcpPeer::start();
    let tcp = json!({"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}});
    let mut service = Home::with(&configuration(&json!([tcp]))).start();
    service.kill();
    let load = Load::start(service.home.http);
    let planted = format!("{},{}:20", Point::AnswerBeforeWrite.name(), Point::BeforeWrite.name());
    round(&mut service, &planted, |_| ());
    service.arm("");
    service.start_again();
    load.await_more(100);
    let checker = Checker::of(&load.finish());
    assert_eq!(service.stop(), 0);
    peer.shut_down();
    let verdict = checker.check(peer.lines());
    assert!(!verdict.missing.is_empty(), "an early answer was not noticed: {verdict}");
    assert!(verdict.unknown.is_empty() && verdict.changed.is_empty(), "{verdict}");
}

/// Scenario: a reload changes the bound of a plugin's queue, so that there are two; at the next start, while one is
/// copied into the other, the process is killed between the copy and the removal.
/// Guarantees: the messages of both arrive, once or twice, and one directory is left.
#[test]
fn killed_while_queues_are_put_together() {
    let mut peer = TcpPeer::absent();
    let kong = |bound: u32| {
        let config = json!({"host": "127.0.0.1", "port": peer.port, "queue": {"max_entries": bound}});
        configuration(&json!([{"name": "tcp-log", "id": "0f4f1c2e-3b1a-4f6e-8c7d-2a1b3c4d5e6f", "config": config}]))
    };
    let home = Home::with(&kong(100)).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1");
    let mut service = home.start();
    service.accept(transaction(1).to_string());
    service.home.write("kong.yml", &kong(200));
    service.signal(Signal::HUP);
    wait_until("the configuration is reloaded", || service.has_logged("configuration reloaded"));
    service.accept(transaction(2).to_string());
    service.kill();
    round(&mut service, Point::Merged.name(), |_| ());
    service.arm("");
    peer.restart();
    service.start_again();
    wait_until("both messages have arrived", || peer.messages().missing(&[1, 2].into()).is_empty());
    let folders = std::fs::read_dir(service.home.path("data/queues")).unwrap();
    assert_eq!(folders.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count(), 1);
    assert_eq!(service.stop(), 0);
}

/// Scenario: docs/queues.md.
/// Guarantees: it names every failpoint.
#[test]
fn every_point_is_documented() {
    let page = include_str!("../../docs/queues.md");
    for point in Point::ALL {
        assert!(page.contains(&format!("`{}`", point.name())), "{}", point.name());
    }
}

/// An HTTP receiver that rejects everything permanently.
fn refuse_all() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut buffer = [0; 64 << 10];
                while matches!(stream.read(&mut buffer), Ok(1..)) {
                    // A request with one small message arrives in one or two pieces; the second is its end.
                    if buffer.starts_with(b"POST") {
                        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
                    }
                    buffer.fill(0);
                }
            });
        }
    });
    port
}

/// The content of all files below a directory.
fn content(directory: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let read = |path: PathBuf| if path.is_dir() { content(&path) } else { std::fs::read(path).unwrap_or_default() };
    entries.flat_map(|entry| read(entry.path())).collect()
}

/// Scenario: a receiver rejects every message permanently; the process is killed when the third is stored as a dead
/// letter and still in the queue.
/// Guarantees: in the end every message is a dead letter.
#[test]
fn killed_with_a_dead_letter() {
    let config = json!({"http_endpoint": format!("http://127.0.0.1:{}/", refuse_all())});
    let home = Home::with(&configuration(&json!([{"name": "http-log", "config": config}])));
    let mut service = home.set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1").start();
    service.kill();
    service.arm(&format!("{}:3", Point::DeadLetterKept.name()));
    service.launch_again();
    let load = Load::start(service.home.http);
    assert!(service.wait_for_kill(), "{}", service.log());
    let sent = load.finish();
    assert!(!sent.accepted.is_empty());
    service.arm("");
    service.start_again();
    let letters = service.home.path("data/dead-letters");
    wait_until("every message is a dead letter", || {
        let kept = String::from_utf8_lossy(&content(&letters)).into_owned();
        sent.accepted.iter().all(|id| kept.contains(&format!("\"id\":\"{id}\"")))
    });
    assert_eq!(service.stop(), 0);
}
