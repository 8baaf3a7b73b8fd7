//! A small file system that fills up with a backlog, and is empty again when the receivers have taken it.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use super::random::{Mood, Protocol, Receiver, Rng};
use crate::service::{Home, Load, Service, configuration, transaction, wait_until};

/// Bytes of each message: some thousand messages fill the disk.
const PADDING: usize = 10_000;

fn padded(id: u64) -> Value {
    let mut transaction = transaction(id);
    transaction["padding"] = id.to_string().repeat(PADDING / id.to_string().len()).into();
    transaction
}

fn later(id: u64) -> Value {
    padded(id + 100_000_000)
}

/// The files that the service holds open although they are removed.
fn removed(service: &Service) -> Vec<PathBuf> {
    let open = std::fs::read_dir(format!("/proc/{}/fd", service.id())).unwrap().flatten();
    let files = open.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
    files.filter(|file| file.extension().is_some_and(|end| end == "seg (deleted)")).collect()
}

/// Scenario: with default settings, the data directory is a file system of 48 MiB; an HTTP and a TCP receiver are away until
/// nothing more is accepted; then both come back and take everything.
/// Guarantees: everything that was answered arrives; 200 is answered again without a restart, no removed file stays open,
/// and the room is free.
#[test]
fn a_full_disk_heals() {
    let http = Receiver::start(Protocol::Http, Rng::new(0), padded);
    let tcp = Receiver::start(Protocol::LINES, Rng::new(0), padded);
    for receiver in [&http, &tcp] {
        receiver.set_mood(Mood::Away);
    }
    let endpoint = format!("http://127.0.0.1:{}/", http.port);
    let batches = json!({"max_batch_size": 50, "max_coalescing_delay": 0.01});
    let kong = configuration(&json!([
        {"name": "http-log", "config": {"http_endpoint": endpoint, "queue": batches}},
        {"name": "tcp-log", "config": {"host": "127.0.0.1", "port": tcp.port}},
    ]));
    let home = Home::with(&kong).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1");
    let mut service = home.with_data_of("48m").start();
    let load = Load::start_with(service.home.http, padded);
    wait_until("the disk is full", || {
        service.has_logged("No space left on device") && service.has_logged("nothing is accepted for this plugin")
    });
    for receiver in [&http, &tcp] {
        receiver.set_mood(Mood::Good);
    }
    let sent = load.finish();
    let arrived = |receiver: &Receiver| sent.accepted.is_subset(&receiver.arrivals().ids());
    wait_until("everything has arrived", || arrived(&http) && arrived(&tcp));
    let (start, load) = (Instant::now(), Load::start_with(service.home.http, later));
    load.await_more(20);
    eprintln!("answered again {:?} after everything had arrived", start.elapsed());
    wait_until("no removed file is open", || removed(&service).is_empty());
    // The room is free, and not only enough for a few: half as much as before fits.
    for receiver in [&http, &tcp] {
        receiver.set_mood(Mood::Away);
    }
    load.await_more(sent.accepted.len() as u64 / 2);
    for receiver in [&http, &tcp] {
        receiver.set_mood(Mood::Good);
    }
    load.finish();
    assert_eq!(service.stop(), 0);
}
