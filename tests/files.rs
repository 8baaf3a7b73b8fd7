//! file-log with files that cannot be written.

use std::os::unix::fs::symlink;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::service::{Home, Load, Messages, Service, configuration, transaction, wait_until};

fn service(path: &str) -> Service {
    let home = Home::new();
    let config = json!({"path": home.text(path)});
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": config}])));
    // A test links to this device only later.
    let home = home.set("LOGPHASE_CONFINEMENT_PATHS", "/dev/full");
    home.set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1").start()
}

/// Scenario: the file's directory is missing, a directory has the file's name, the disk is full; each until it is
/// repaired.
/// Guarantees: transactions are accepted meanwhile, the log says what to do, and then everything is written, once.
#[test]
fn until_it_is_mended() {
    type Step = fn(&Service);
    let cases: [(&str, Step, &str, Step); 3] = [
        (
            "logs/messages.log",
            |_| {},
            "does not exist",
            |service| std::fs::create_dir(service.home.path("logs")).unwrap(),
        ),
        (
            "place",
            |service| std::fs::create_dir(service.home.path("place")).unwrap(),
            "is a directory",
            |service| std::fs::remove_dir(service.home.path("place")).unwrap(),
        ),
        (
            "full.log",
            |service| symlink("/dev/full", service.home.path("full.log")).unwrap(),
            "no space left",
            |service| std::fs::remove_file(service.home.path("full.log")).unwrap(),
        ),
    ];
    for (path, harm, said, mend) in cases {
        let mut service = service(path);
        harm(&service);
        for id in 0..10 {
            service.accept(transaction(id).to_string());
        }
        wait_until(&format!("the log says {said:?}"), || service.has_logged(said));
        mend(&service);
        let path = service.home.path(path);
        let ids = (0..10).collect();
        wait_until("everything is written", || Messages::read(&path).missing(&ids).is_empty());
        assert_eq!(service.stop(), 0);
        Messages::read(&path).assert_once(&ids);
    }
}

/// Scenario: the system limits files to 100 kB, a load exceeds this, and then the limit is raised.
/// Guarantees: no line is torn; everything is written once.
#[test]
fn full_in_the_middle_of_a_line() {
    let mut service = service("messages.log");
    let path = service.home.path("messages.log");
    let limit = |bytes| {
        let id = i32::try_from(service.id()).ok().and_then(Pid::from_raw);
        prlimit(id, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    };
    limit(Some(100_000));
    let load = Load::start(service.home.http);
    load.await_more(300);
    wait_until("the file is full", || service.has_logged("messages.log"));
    let full = std::fs::read(&path).unwrap();
    assert!(full.len() > 90_000 && full.len() <= 100_000 && full.ends_with(b"\n"), "{} bytes", full.len());
    limit(None);
    let sent = load.finish();
    assert_eq!(service.stop(), 0);
    Messages::read(&path).assert_once(&sent.accepted);
}

/// Scenario: a file-log with a queue on disk is killed by SIGKILL under load four times; after each kill the file loses a
/// part of its end, as after a power cut, so that it ends within a line.
/// Guarantees: everything that was accepted is in the file, whole; each kill leaves at most one incomplete line, on a line
/// of its own; an orderly stop leaves nothing in the queue.
#[test]
fn killed_with_a_queue_on_disk() {
    let home = Home::new();
    home.write(
        "kong.yml",
        &configuration(&json!([{"name": "file-log", "config": {"path": home.text("messages.log")}}])),
    );
    let mut service = home.set("LOGPHASE_QUEUE_DURABILITY", "disk").start();
    let path = service.home.path("messages.log");
    let load = Load::start(service.home.http);
    for _ in 0..4 {
        load.await_more(100);
        service.kill();
        let bytes = std::fs::read(&path).unwrap();
        // Less than what was written since the last sync; the whole lines before it are in the queue, too.
        let last = bytes.len() - bytes[..bytes.len() - 1].iter().rev().position(|byte| *byte == b'\n').unwrap_or(0);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len((last + 9) as u64).unwrap();
        service.start_again();
    }
    let sent = load.finish();
    assert_eq!(service.stop(), 0);
    assert!(service.has_logged("nothing is left in the queues"), "{}", service.log());
    let found = Messages::read(&path);
    assert!(found.torn.len() <= 4 && !found.torn.is_empty(), "{:?}", found.torn);
    assert!(found.missing(&sent.accepted).is_empty(), "{:?}", found.missing(&sent.accepted));
}

/// Scenario: a file ends with half a message when the service starts; its queue is in memory.
/// Guarantees: the first message is on a line of its own, and readable.
#[test]
fn half_a_line_of_an_earlier_run() {
    let mut service = service("messages.log");
    let path = service.home.path("messages.log");
    std::fs::write(&path, "{\"j\":1,\"p\":\"half").unwrap();
    service.accept(transaction(1).to_string());
    assert_eq!(service.stop(), 0);
    let found = Messages::read(&path);
    assert_eq!(found.torn, ["{\"j\":1,\"p\":\"half"]);
    assert!(found.missing(&[1].into()).is_empty());
}
