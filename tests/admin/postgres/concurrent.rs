//! Writes on two nodes at the same time.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use super::super::durability;
use super::{Admin, Cluster, all, send, status};
use crate::service::wait_until;

const JSON: &str = "Content-Type: application/json\r\n";

/// Waits until both nodes have the same entities.
fn await_agreement(nodes: &[Admin; 2]) {
    for path in ["/consumers", "/services", "/routes"] {
        wait_until(&format!("both nodes have the same {path}"), || all(&nodes[0], path) == all(&nodes[1], path));
    }
}

/// Scenario: four clients at each of two nodes create consumers of the same names, in the same order. Guarantees: of the writes of one name,
/// exactly one is accepted, and each other one gets Kong's answer to a name that is taken; both nodes end with the same consumers.
#[test]
fn a_name_is_taken_once() {
    const NAMES: usize = 25;
    let cluster = Cluster::start();
    let nodes = [cluster.node(), cluster.node()];
    let start = Barrier::new(8);
    let statuses: Vec<Vec<u16>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let (port, start) = (nodes[client % 2].port, &start);
                scope.spawn(move || {
                    start.wait();
                    let write = |number: usize| {
                        let body = json!({"username": format!("u{number}")}).to_string();
                        send(port, "POST", "/consumers", JSON, body.as_bytes()).unwrap().status
                    };
                    (0..NAMES).map(write).collect()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for number in 0..NAMES {
        let mut of_name: Vec<u16> = statuses.iter().map(|statuses| statuses[number]).collect();
        of_name.sort_unstable();
        assert_eq!(of_name, [201, 409, 409, 409, 409, 409, 409, 409], "u{number}");
    }
    await_agreement(&nodes);
    assert_eq!(all(&nodes[0], "/consumers").len(), NAMES);
}

/// Scenario: one node deletes services while the other one creates routes of them. Guarantees: one of both gets Kong's answer, whichever is first; no
/// route is without its service; both nodes end with the same.
#[test]
fn references_hold() {
    const SERVICES: usize = 20;
    let cluster = Cluster::start();
    let nodes = [cluster.node(), cluster.node()];
    for number in 0..SERVICES {
        nodes[0].expect(201, "POST", "/services", Some(json!({"name": format!("s{number}"), "host": "h"})));
    }
    // The last services first: a node that does not have them yet must not say that they do not exist.
    let outcomes: Vec<(u16, u16)> = (0..SERVICES)
        .rev()
        .map(|number| {
            let path = format!("/services/s{number}");
            let start = Barrier::new(2);
            thread::scope(|scope| {
                let deleted = scope.spawn(|| {
                    start.wait();
                    send(nodes[0].port, "DELETE", &path, "", b"").unwrap().status
                });
                start.wait();
                let body = json!({"paths": ["/x"]}).to_string();
                let made = send(nodes[1].port, "POST", &format!("{path}/routes"), JSON, body.as_bytes()).unwrap();
                (deleted.join().unwrap(), made.status)
            })
        })
        .collect();
    let possible = [(204, 404), (204, 400), (400, 201)];
    assert!(outcomes.iter().all(|outcome| possible.contains(outcome)), "{outcomes:?}");
    await_agreement(&nodes);
    let services: BTreeSet<String> = all(&nodes[0], "/services").iter().map(|one| one["id"].to_string()).collect();
    let routes = all(&nodes[0], "/routes");
    assert!(routes.iter().all(|route| services.contains(&route["service"]["id"].to_string())));
    assert_eq!(routes.len(), outcomes.iter().filter(|outcome| outcome.1 == 201).count());
}

/// Scenario: clients of two nodes create, change and delete consumers; one node is killed by SIGKILL five times meanwhile, and starts
/// again. Guarantees: what an answer of either node has confirmed is on both nodes as it was confirmed.
#[test]
fn no_answered_write_is_lost_by_a_kill() {
    const PER_ROUND: usize = 60;
    let cluster = Cluster::start();
    let (mut killed, other) = (cluster.node(), cluster.node());
    let (answers, mut expected) = (AtomicUsize::new(0), Vec::new());
    for round in 0..5 {
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let results = thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    let (port, answers, is_over) =
                        (if client < 2 { killed.port } else { other.port }, &answers, &is_over);
                    let prefix = format!("c{round}-{client}");
                    scope.spawn(move || durability::writes(port, &prefix, answers, is_over))
                })
                .collect();
            let wanted = (round + 1) * PER_ROUND;
            wait_until("more writes are answered", || answers.load(Ordering::Relaxed) >= wanted);
            killed.service.kill();
            is_over.store(true, Ordering::Relaxed);
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
        });
        expected.extend(results);
        killed.service.start_again();
        let last = expected.iter().rfind(|(_, tag)| tag.is_some()).expect("some are created");
        wait_until("the other node has the last one", || status(&other, &format!("/consumers/{}", last.0)) == 200);
        for node in [&killed, &other] {
            durability::check(node, &expected);
        }
    }
}
