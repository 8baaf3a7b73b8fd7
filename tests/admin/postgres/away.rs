//! A database that is away.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{Admin, Cluster, all, await_logged, is_reachable, scrape, send, status};
use crate::service::{Home, Messages, transaction, wait_until};

const JSON: &str = "Content-Type: application/json\r\n";

/// The answer to a new consumer.
fn create(node: &Admin, name: &str) -> (u16, String) {
    let body = json!({ "username": name }).to_string();
    let answer = send(node.port, "POST", "/consumers", JSON, body.as_bytes()).unwrap();
    (answer.status, answer.text())
}

/// Scenario: the database is stopped until the pauses between the nodes' attempts are the longest, and is started again. Guarantees: meanwhile
/// transactions are logged, reads are answered, writes are refused with the reason, and status, metrics and log say so; afterwards the nodes
/// come back by themselves, and agree on what is written then.
#[test]
fn nodes_go_on_without_the_database() {
    let mut cluster = Cluster::start();
    let nodes = [cluster.node(), cluster.node()];
    nodes[0].expect(201, "POST", "/plugins", Some(cluster.plugin("a.log", "first")));
    wait_until("the other node has it", || all(&nodes[1], "/plugins").len() == 1);
    cluster.server.stop();
    for (number, node) in (7..).zip(&nodes) {
        wait_until("the database is away", || !is_reachable(node));
        let (status, text) = create(node, "u");
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("is away") && text.contains("nothing is changed"), "{text}");
        assert!(!text.contains(super::server::PASSWORD), "{text}");
        assert_eq!(all(node, "/plugins").len(), 1);
        node.service.accept(transaction(number).to_string());
    }
    for node in &nodes {
        let failures = || scrape(node).sum("logphase_database_failures_total", &[]);
        // Pauses of 0.25, 0.5, 1, 2 and 4 seconds.
        wait_until("the pauses are the longest", || failures() >= 7.0);
        assert_eq!(scrape(node).sum("logphase_database_reachable", &[]), 0.0);
        assert!(node.service.has_logged("refuses writes to the Admin API"), "{}", node.service.log());
        assert!(node.service.count_logged("is away") < 4, "it repeats: {}", node.service.log());
    }
    cluster.server.start_again();
    for node in &nodes {
        wait_until("the node is back", || is_reachable(node));
        wait_until("it says so", || node.service.has_logged("can be used"));
    }
    let (status, text) = create(&nodes[0], "u");
    assert_eq!(status, 201, "{text}");
    wait_until("the other node has it", || all(&nodes[1], "/consumers").len() == 1);
    Messages::read(Path::new(&cluster.file("a.log"))).assert_once(&BTreeSet::from([7, 8]));
}

/// Ends clients, also if the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Scenario: the database is restarted twice while clients write to two nodes. Guarantees: every write is accepted or refused as a whole; all that were
/// accepted are on both nodes.
#[test]
fn a_restart_loses_no_accepted_write() {
    let mut cluster = Cluster::start();
    let nodes = [cluster.node(), cluster.node()];
    let (is_over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let accepted: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(client, node)| {
                let (is_over, count) = (&is_over, &count);
                scope.spawn(move || {
                    let mut accepted = Vec::new();
                    for number in 0.. {
                        let name = format!("u{client}-{number}");
                        match create(node, &name) {
                            (201, _) => {
                                accepted.push(name);
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                            (503, _) if is_over.load(Ordering::Relaxed) => break,
                            (503, _) => thread::sleep(Duration::from_millis(5)),
                            (status, text) => panic!("{status}: {text}"),
                        }
                        if is_over.load(Ordering::Relaxed) && is_reachable(node) {
                            break;
                        }
                    }
                    accepted
                })
            })
            .collect();
        let end = End(&is_over);
        for _ in 0..2 {
            let before = count.load(Ordering::Relaxed);
            wait_until("some writes pass", || count.load(Ordering::Relaxed) > before + 5);
            cluster.server.stop();
            wait_until("the database is away", || nodes.iter().all(|node| !is_reachable(node)));
            cluster.server.start_again();
            wait_until("the database is back", || nodes.iter().all(is_reachable));
        }
        drop(end);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    for node in &nodes {
        for name in &accepted {
            wait_until(&format!("{name} is there"), || status(node, &format!("/consumers/{name}")) == 200);
        }
    }
}

/// Scenario: a node with a key is killed; another one changes the plugin; then the database is stopped, and the first node starts. Guarantees: it
/// starts with its last good copy and says so, logs transactions, answers reads and refuses writes; the copy is for its owner alone and has no
/// secret; once the database is back, the node has the change. A copy of another database is not used.
#[test]
fn a_node_starts_with_its_last_good_copy() {
    let mut cluster = Cluster::start();
    let key = "11".repeat(32);
    let node = |home: Home| Admin::with_database(home.set("LOGPHASE_DATABASE_KEY", &key));
    let (mut one, other) = (node(cluster.home()), node(cluster.home()));
    let made = one.expect(201, "POST", "/plugins", Some(cluster.plugin("a.log", "first")));
    let path = format!("/plugins/{}", made["id"].as_str().unwrap());
    let copy = one.service.home.path("data/entities-copy.db");
    // It is written after the answer.
    one.expect(201, "POST", "/consumers", Some(json!({"username": "s3cret-name"})));
    let of = |name: &str| scrape(&one).sum(&format!("logphase_database_{name}"), &[]);
    wait_until("the copy is up to date", || of("copy_revision") == of("revision"));
    one.service.kill();
    let change = json!({"config": {"custom_fields_by_lua": {"said": "return 'second'"}}});
    other.expect(200, "PATCH", &path, Some(change));
    cluster.server.stop();
    one.service.start_again();
    assert!(one.service.has_logged("starts with its last good copy"), "{}", one.service.log());
    await_logged(&one, &cluster.file("a.log"), "first");
    assert_eq!((status(&one, &path), create(&one, "u").0), (200, 503));
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    for suffix in ["", "-wal"] {
        let bytes = std::fs::read(one.service.home.path(&format!("data/entities-copy.db{suffix}"))).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("s3cret-name"));
    }
    cluster.server.start_again();
    await_logged(&one, &cluster.file("a.log"), "second");
    wait_until("the database can be used", || is_reachable(&one));
    assert_eq!(create(&one, "u").0, 201);
    one.service.stop();
    cluster.server.stop();
    one.service.home.change("LOGPHASE_DATABASE_URL", format!("{}_other", cluster.server.url()));
    let refused = one.service.home.run(&["run"], b"");
    assert_eq!(refused.code(), 78, "{}", refused.stderr);
    assert!(refused.stderr.contains("nor is there a copy to start with"), "{}", refused.stderr);
}
