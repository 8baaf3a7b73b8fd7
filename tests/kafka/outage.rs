//! A broker that is killed and restarted.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::topic::{Record, count, read};
use super::{Home, kafka_log, own_broker, plugins};
use crate::service::{Load, transaction, wait_until};

/// How long the broker is down.
const AWAY: Duration = Duration::from_secs(20);

/// A transaction with one of its sender's sixteen keys; the sender uses them in turn.
fn keyed(id: u64) -> Value {
    let mut transaction = transaction(id);
    transaction["request"]["querystring"] = json!({"key": format!("{}-{}", id / 1_000_000, id % 16)});
    transaction
}

/// Scenario: under load, with keys on four partitions, the broker is killed by SIGKILL, stays down for 20 seconds, and
/// restarts with its data.
/// Guarantees: every transaction that was answered 200 is in the topic exactly once, in order for each key.
#[test]
fn killed_under_load() {
    let mut broker = own_broker();
    broker.create_topic("outage", 4, &[]);
    let kong = plugins(kafka_log(&broker, "outage", &json!({"key_query_arg": "key"})));
    let mut service = Home::with(&kong).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.5").start();
    let load = Load::start_with(service.home.http, keyed);
    load.await_more(500);
    wait_until("the service delivers", || count(&broker, "outage") > 100);
    broker.kill();
    let before = load.accepted();
    thread::sleep(AWAY);
    assert!(load.accepted() > before + 500, "transactions are taken while the broker is away");
    broker.restart();
    let back = count(&broker, "outage");
    wait_until("the service delivers again", || count(&broker, "outage") > back + 500);
    let sent = load.finish();
    assert!(sent.unanswered.is_empty(), "{} requests have no answer", sent.unanswered.len());
    // While the queue was full, the sender got 429.
    let other = sent.refused.iter().find(|(_, status)| *status != 429);
    assert_eq!(other, None);
    assert_eq!(service.stop(), 0);
    assert_all(&read(&broker, "outage"), &sent.accepted);
}

fn assert_all(records: &[Record], accepted: &BTreeSet<u64>) {
    let ids: Vec<u64> = records.iter().map(Record::id).collect();
    let found: BTreeSet<u64> = ids.iter().copied().collect();
    let missing: Vec<_> = accepted.difference(&found).collect();
    assert!(missing.is_empty(), "{} of {} are missing, the first is {}", missing.len(), accepted.len(), missing[0]);
    assert_eq!(ids.len() - found.len(), 0, "duplicates");
    let surplus: Vec<_> = found.difference(accepted).collect();
    assert!(surplus.is_empty(), "{} were not accepted and are there", surplus.len());
    let mut last: BTreeMap<&str, (i64, u64)> = BTreeMap::new();
    for (record, id) in records.iter().zip(ids) {
        let key = record.key.as_deref().expect("a key");
        let before = last.insert(key, (record.partition, id));
        let in_order = before.is_none_or(|(partition, before)| partition == record.partition && before < id);
        assert!(in_order, "{key}: {id} on {} after {before:?}", record.partition);
    }
}
