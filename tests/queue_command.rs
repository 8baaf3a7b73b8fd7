//! `logphase queue` on waiting messages and dead letters, with and without a running service.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::service::{Ended, Home, Nginx, Service, TcpPeer, configuration, id_of, transaction, wait_until};

const ID: &str = "0f4f1c2e-3b1a-4f6e-8c7d-2a1b3c4d5e6f";
const OTHER: &str = "7a1d9c44-5e0b-4c1f-9f53-6d2e8b7a0c11";

/// A receiver that rejects permanently while a file `refuse` exists, and otherwise answers 200.
fn refusing() -> Nginx {
    let nginx = Nginx::start("if (-f PATH/refuse) { return 422; }");
    std::fs::write(nginx.path("refuse"), "").unwrap();
    nginx
}

fn http_log(nginx: &Nginx) -> Value {
    let endpoint = format!("http://127.0.0.1:{}/log", nginx.port);
    json!({"name": "http-log", "id": ID, "instance_name": "audit", "config": {"http_endpoint": endpoint}})
}

fn tcp_log(id: &str, port: u16) -> Value {
    json!({"name": "tcp-log", "id": id, "config": {"host": "127.0.0.1", "port": port}})
}

fn home(plugins: &[Value]) -> Home {
    Home::with(&configuration(&json!(plugins)))
        .set("LOGPHASE_SHUTDOWN_TIMEOUT", "1s")
        .set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "100ms")
}

fn queue(home: &Home, arguments: &[&str]) -> Ended {
    home.run(&[&["queue"], arguments].concat(), b"")
}

#[track_caller]
fn does(home: &Home, arguments: &[&str], says: &str) {
    let ended = queue(home, arguments);
    assert_eq!((ended.code(), ended.stderr.as_str()), (0, says), "{arguments:?}\n{}", ended.stdout);
}

fn state<'a>(queues: &'a [Value], name: &str) -> Option<(&'a str, u64)> {
    let found = queues.iter().find(|queue| queue["name"] == name)?;
    Some((found["state"].as_str()?, found["messages"].as_u64()?))
}

fn dead() -> String {
    format!("dead-letters/http-log-{ID}")
}

fn refuse_five(service: &Service) {
    for id in 0..5 {
        service.accept(transaction(id).to_string());
    }
    let refused = || state(&service.home.queues(), &dead()) == Some(("dead_letters", 5));
    wait_until("all messages are dead letters", refused);
}

/// Scenario: the receiver rejects five messages permanently; they are shown; the receiver is repaired; one is resent by
/// its id, two by their number, one is dropped, the last goes to another plugin.
/// Guarantees: each is shown with its reason; what arrives is what was shown, byte by byte; nothing else moves; only
/// its owner can use the socket; short names work, and a wrong name gets the list of names.
#[test]
fn dead_letters_of_a_service_that_runs() {
    let (nginx, peer) = (refusing(), TcpPeer::start());
    let mut service = home(&[http_log(&nginx), tcp_log(OTHER, peer.port)]).start();
    refuse_five(&service);
    let socket = std::fs::metadata(service.home.path("data/control.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let letters = service.home.messages_in(&dead());
    let ids: Vec<_> = letters.iter().map(|letter| id_of(&letter["message"]).unwrap()).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4]);
    assert!(letters.iter().all(|letter| letter["reason"].as_str().unwrap().contains("422")), "{letters:?}");
    let shown = queue(&service.home, &["show", "dead-letters/http", "--limit", "2", "--offset", "1"]);
    assert!(shown.stdout.starts_with("# 1  20") && shown.stdout.lines().count() == 4, "{}", shown.stdout);
    assert_eq!(shown.stderr, "2 more: --limit and --offset show them\n");
    let table = queue(&service.home, &["list"]).stdout;
    assert!(table.contains(&dead()) && table.contains(&format!("http-log-{ID} (audit)")), "{table}");

    std::fs::remove_file(nginx.path("refuse")).unwrap();
    does(
        &service.home,
        &["replay", "dead-letters/audit", "--id", "3"],
        "1 message put into their plugin's queue, 4 left\n",
    );
    nginx.wait_for_status(200, 1);
    let raw = queue(&service.home, &["show", "dead-letters/http", "--limit", "1"]).stdout;
    let raw = raw.lines().nth(1).unwrap().to_owned();
    does(
        &service.home,
        &["replay", "dead-letters/http", "--limit", "2"],
        "2 messages put into their plugin's queue, 2 left\n",
    );
    nginx.wait_for_status(200, 3);
    assert!(nginx.taken().iter().any(|posted| posted.body == raw), "byte by byte");
    does(&service.home, &["drop", "dead-letters/http", "--id", "2", "--yes"], "1 message dropped, 1 left\n");
    let before = peer.count();
    does(
        &service.home,
        &["replay", "dead-letters/http", "--to", "tcp-log"],
        "1 message put into the queue of tcp-log, 0 left\n",
    );
    wait_until("the message reached the other plugin", || peer.count() == before + 1);
    assert_eq!(state(&service.home.queues(), &dead()), None);
    let mut sent: Vec<_> = nginx.taken().iter().map(|posted| id_of(&posted.messages()[0]).unwrap()).collect();
    sent.sort_unstable();
    assert_eq!((sent, peer.messages().duplicates()), (vec![0, 1, 3], vec![4]));

    let wrong = queue(&service.home, &["show", "dead-letters/http"]);
    assert_eq!(wrong.code(), 74);
    assert!(wrong.stderr.contains(&format!("http-log-{ID}")), "{}", wrong.stderr);
    assert_eq!(service.stop(), 0);
}

/// Scenario: dead letters of a stopped service are listed, shown, partly dropped and resent; then the service starts.
/// Guarantees: without `--yes` and a terminal nothing is dropped; the next run delivers resent messages, once; the
/// command reports an empty directory.
#[test]
fn dead_letters_of_a_service_that_does_not_run() {
    let nginx = refusing();
    let mut service = home(&[http_log(&nginx)]).start();
    refuse_five(&service);
    assert_eq!(service.stop(), 0);
    std::fs::remove_file(nginx.path("refuse")).unwrap();
    let home = &service.home;
    assert_eq!(home.messages_in(&dead()).len(), 5);
    assert_eq!(queue(home, &["drop", "dead-letters", "--all"]).code(), 74, "no name begins so");
    let unanswered = queue(home, &["drop", "dead-letters/http", "--all"]);
    assert_eq!((unanswered.code(), unanswered.stderr.contains("--yes")), (1, true));
    does(home, &["drop", "dead-letters/http", "--id", "0", "--id", "4", "--yes"], "2 messages dropped, 3 left\n");
    does(
        home,
        &["replay", "dead-letters/http", "--reason", "422"],
        "3 messages put into their plugin's queue, 0 left; the next run delivers them\n",
    );
    assert_eq!(state(&home.queues(), &format!("http-log-{ID}")), Some(("stopped", 3)));
    let nothing = queue(home, &["replay", &format!("http-log-{ID}")]);
    assert!(nothing.code() == 74 && nothing.stderr.contains("--to"), "{}", nothing.stderr);
    service.start_again();
    nginx.wait_for_status(200, 3);
    assert_eq!(service.stop(), 0);
    nginx.messages().assert_once(&BTreeSet::from([1, 2, 3]));
    assert_eq!(queue(&service.home, &["list"]).stdout, "no messages wait\n");
}

/// Scenario: twenty messages wait for an unavailable receiver; the plugin is removed from the configuration and another
/// one is added; the queue is shown and sent to it.
/// Guarantees: the queue is listed as orphaned; without a target nothing happens; all messages arrive once, in order.
#[test]
fn a_queue_whose_plugin_is_gone() {
    let (away, peer) = (TcpPeer::absent(), TcpPeer::start());
    let mut service = home(&[tcp_log(ID, away.port)]).start();
    let ids: Vec<u64> = (0..20).collect();
    for id in &ids {
        service.accept(transaction(*id).to_string());
    }
    assert_eq!(service.home.messages_in("tcp-log").len(), 20, "what waits is shown while it waits");
    assert_eq!(service.stop(), 0);
    service.home.write("kong.yml", &configuration(&json!([tcp_log(OTHER, peer.port)])));
    service.start_again();
    let name = format!("tcp-log-{ID}");
    assert_eq!(state(&service.home.queues(), &name), Some(("orphaned", 20)));
    assert_eq!(service.home.messages_in(&name).len(), 20);
    let lost = queue(&service.home, &["replay", &name]);
    assert!(lost.code() == 74 && lost.stderr.contains("--to"), "{}", lost.stderr);
    let to_itself = queue(&service.home, &["replay", &format!("tcp-log-{OTHER}"), "--to", &format!("tcp-log-{OTHER}")]);
    assert_eq!(to_itself.code(), 74, "{}", to_itself.stderr);
    does(
        &service.home,
        &["replay", &name, "--to", OTHER],
        &format!("20 messages put into the queue of {OTHER}, 0 left\n"),
    );
    peer.wait_for(20);
    let arrived: Vec<u64> =
        peer.lines().iter().map(|line| id_of(&serde_json::from_slice(line).unwrap()).unwrap()).collect();
    assert_eq!(arrived, ids);
    assert_eq!(state(&service.home.queues(), &name), None);
    assert_eq!(service.stop(), 0);
}

/// Scenario: messages wait, on disk and in memory, for an unavailable receiver, and are dropped; then the receiver
/// starts.
/// Guarantees: none of them arrives, even after a restart; later messages arrive; the dropped ones are counted.
#[test]
fn what_waits_is_dropped() {
    for durability in ["disk", "memory"] {
        let mut peer = TcpPeer::absent();
        let mut service = home(&[tcp_log(ID, peer.port)]).set("LOGPHASE_QUEUE_DURABILITY", durability).start();
        for id in 0..10 {
            service.accept(transaction(id).to_string());
        }
        let name = format!("tcp-log-{ID}");
        wait_until("the plugin fails", || state(&service.home.queues(), &name) == Some(("failing", 10)));
        let single = queue(&service.home, &["drop", &name, "--id", "3", "--yes"]);
        assert!(single.code() == 74 && single.stderr.contains("being delivered"), "{}", single.stderr);
        does(&service.home, &["drop", &name, "--all", "--yes"], "10 messages dropped, 0 left\n");
        service.accept(transaction(10).to_string());
        peer.restart();
        peer.wait_for(1);
        assert_eq!(service.stop(), 0);
        service.start_again();
        service.accept(transaction(11).to_string());
        peer.wait_for(2);
        peer.messages().assert_once(&BTreeSet::from([10, 11]));
        assert_eq!(service.stop(), 0);
    }
}

/// Scenario: a service is killed when dead letters are in their plugin's queue and not yet removed from the source;
/// then a command does the same in the directory of a stopped service.
/// Guarantees: nothing is lost: the moved messages arrive, possibly twice.
#[test]
fn killed_on_the_move() {
    let nginx = refusing();
    let mut service = home(&[http_log(&nginx)]).start();
    refuse_five(&service);
    assert_eq!(service.stop(), 0);
    service.arm("moved");
    service.start_again();
    std::fs::remove_file(nginx.path("refuse")).unwrap();
    assert_eq!(queue(&service.home, &["replay", "dead-letters/http"]).code(), 74, "the service is gone");
    assert!(service.wait_for_kill());
    let killed = queue(&service.home, &["replay", "dead-letters/http"]);
    assert_eq!(killed.code(), -1, "the command is armed too: {}", killed.stderr);
    service.arm("");
    assert_eq!(service.home.messages_in("dead-letters/http").len(), 5);
    assert!(service.home.messages_in("http-log").len() >= 5);
    service.start_again();
    wait_until("all messages have arrived", || nginx.messages().missing(&(0..5).collect()).is_empty());
    assert_eq!(service.stop(), 0);
}
