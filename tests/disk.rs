//! Full disks, and queues whose files are removed under the running service.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::service::{Home, Load, Messages, Service, TcpPeer, configuration, transaction, wait_until};

fn tcp_log(peer: &TcpPeer) -> Home {
    let config = json!({"host": "127.0.0.1", "port": peer.port});
    Home::with(&configuration(&json!([{"name": "tcp-log", "config": config}])))
        .set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1")
}

/// Scenario: the data directory is a file system of 2 MB that fills up under load before anything is delivered; then
/// the receiver starts.
/// Guarantees: the log gives the cause; delivered messages free space although the disk has no room for the cursor; the
/// service continues by itself, and every acknowledged message arrives.
#[test]
fn full_file_system() {
    let peer = TcpPeer::absent();
    let service = tcp_log(&peer).with_data_of("2m").start();
    let load = Load::start(service.home.http);
    wait_until("the log says that the disk is full", || {
        service.has_logged("No space left on device") && service.has_logged("nothing is accepted for this plugin")
    });
    assert_heals(service, load, peer);
}

/// Starts the receiver of a service whose disk is full and that is under load. Asserts that the service accepts again by
/// itself, and that every accepted message arrives.
pub fn assert_heals(mut service: Service, load: Load, mut peer: TcpPeer) {
    peer.restart();
    wait_until("the log reports the recovery", || service.has_logged("the queue can be written again"));
    load.await_more(100);
    let sent = load.finish();
    assert!(sent.unanswered.is_empty(), "{} requests have no answer", sent.unanswered.len());
    assert!(sent.refused.iter().all(|(_, status)| *status == 503), "{:?}", sent.refused.first());
    assert_eq!(service.stop(), 0);
    wait_until("all messages have arrived", || peer.messages().missing(&sent.accepted).is_empty());
    peer.messages().assert_all(&sent.accepted);
}

/// Removes a directory while other processes create files in it.
fn remove(directory: &Path) {
    loop {
        match fs::remove_dir_all(directory) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::DirectoryNotEmpty, "{error}"),
        }
    }
}

fn later(id: u64) -> Value {
    transaction(id + LATER)
}

const LATER: u64 = 100_000_000;

/// Scenario: under load, with an unavailable receiver, the directory of all queues is removed; later the process is
/// killed, and restarts when the receiver is available.
/// Guarantees: the log reports missing files, and the service continues by itself; everything acknowledged from then on
/// is on disk and arrives.
#[test]
fn queues_removed_under_load() {
    let mut peer = TcpPeer::absent();
    let mut service = tcp_log(&peer).start();
    let load = Load::start(service.home.http);
    load.await_more(100);
    remove(&service.home.path("data/queues"));
    wait_until("the log reports the missing files", || service.has_logged("another program has removed or moved it"));
    wait_until("the log reports the recovery", || service.has_logged("the queue can be written again"));
    load.await_more(100);
    load.finish();
    let load = Load::start_with(service.home.http, later);
    load.await_more(300);
    service.kill();
    let sent = load.finish();
    peer.restart();
    service.start_again();
    let answered = sent.accepted.iter().map(|id| id + LATER).collect();
    wait_until("all messages have arrived", || peer.messages().missing(&answered).is_empty());
    peer.messages().assert_all(&answered);
    assert_eq!(service.stop(), 0);
}

/// Scenario: the receiver is available, and the directory of all queues is removed ten times under load.
/// Guarantees: every acknowledged message arrives: messages that do not wait are delivered from memory.
#[test]
fn queues_removed_again_and_again() {
    let peer = TcpPeer::start();
    let mut service = tcp_log(&peer).start();
    let load = Load::start(service.home.http);
    for round in 1..=10 {
        load.await_more(50);
        remove(&service.home.path("data/queues"));
        wait_until("the log reports the failure and the recovery", || {
            service.count_logged("another program has removed") >= round
                && service.count_logged("can be written again") >= round
        });
    }
    load.await_more(50);
    let sent = load.finish();
    assert!(sent.unanswered.is_empty(), "{} requests have no answer", sent.unanswered.len());
    assert_eq!(service.stop(), 0);
    wait_until("all messages have arrived", || Messages::of(peer.lines()).missing(&sent.accepted).is_empty());
}
