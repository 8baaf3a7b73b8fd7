//! What a record may hold, and what becomes of one that holds something else.

use serde_json::{Value, json};

use super::{consuming, messages, produce, wait_for_all};
use crate::kafka::broker;
use crate::service::{Scrape, transaction, wait_until};

/// Scenario: records with one transaction, an array, lines, and an object over several lines.
/// Guarantees: each transaction becomes a message, once.
#[test]
fn one_array_or_lines() {
    let broker = broker();
    broker.create_topic("shapes", 1, &[]);
    let (home, _) = consuming(broker, "shapes", &json!({}));
    let array = Value::from(vec![transaction(2), transaction(3)]).to_string();
    let lines = format!("{}\n\n{}\n", transaction(4), transaction(5));
    let pretty = serde_json::to_string_pretty(&transaction(6)).unwrap();
    produce(broker, "shapes", 1, [transaction(1).to_string(), array, lines, "[]".to_owned(), pretty]);
    let mut service = home.start();
    let ids = (1..=6).collect();
    wait_for_all(&service, &ids);
    assert_eq!(service.stop(), 0);
    messages(&service).assert_once(&ids);
}

/// Scenario: among transactions, records that are not JSON, are empty, are arrays with one bad element, are too large, and
/// a tombstone.
/// Guarantees: each is skipped, counted by its reason and logged with its offset; everything after it arrives; none stops
/// the partition, and after a restart none comes again.
#[test]
fn poison_is_skipped() {
    let broker = broker();
    broker.create_topic("poison", 1, &[("max.message.bytes", "4194304")]);
    let (home, status) = consuming(broker, "poison", &json!({}));
    let mut large = transaction(90);
    large["padding"] = "x".repeat(100_000).into();
    let bad_array = format!("[{},{{]", transaction(91));
    let records = [
        transaction(1).to_string(),
        "no JSON".to_owned(),
        String::new(),
        transaction(2).to_string(),
        bad_array,
        large.to_string(),
        transaction(3).to_string(),
        "\u{0}\u{1}".to_owned(),
    ];
    produce(broker, "poison", 1, records);
    let mut service = home.set("LOGPHASE_LIMITS_MAX_TRANSACTION_BYTES", "50000").start();
    let ids = (1..=3).collect();
    wait_for_all(&service, &ids);
    let rejected = |reason: &str| {
        let labels = [("input", "kafka"), ("reason", reason)];
        Scrape::of(status).sum("logphase_transactions_rejected_total", &labels)
    };
    wait_until("each is counted", || rejected("malformed") == 4.0 && rejected("too_large") == 1.0);
    assert!(service.has_logged("offset=1"), "the log names the record");
    assert!(service.has_logged("record skipped"));
    assert_eq!(service.stop(), 0);
    service.start_again();
    produce(broker, "poison", 1, [transaction(4).to_string()]);
    let ids = (1..=4).collect();
    wait_for_all(&service, &ids);
    assert_eq!((rejected("malformed"), rejected("too_large")), (0.0, 0.0), "they were committed");
    assert_eq!(service.stop(), 0);
    messages(&service).assert_once(&ids);
}
