//! The answers of the HTTP input, with the whole service behind it.

use std::collections::BTreeSet;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::service::{Client, Home, Messages, Service, Signal, TcpPeer, configuration, transaction, wait_until};

fn service() -> Service {
    let home = Home::new();
    home.write(
        "kong.yml",
        &configuration(&json!([{"name": "file-log", "config": {"path": home.text("messages.log")}}])),
    );
    home.set("LOGPHASE_LIMITS_MAX_BODY_BYTES", "1MiB").set("LOGPHASE_LIMITS_MAX_TRANSACTION_BYTES", "100000").start()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn assert_delivered(mut service: Service, ids: impl IntoIterator<Item = u64>) {
    assert_eq!(service.stop(), 0);
    let ids: BTreeSet<u64> = ids.into_iter().collect();
    let messages = Messages::read(&service.home.path("messages.log"));
    messages.assert_once(&ids);
    assert_eq!(messages.counts.len(), ids.len(), "more than was taken: {:?}", messages.counts.keys());
}

/// Scenario: one object, an array, JSON lines, each of them also compressed, an empty array, no content type.
/// Guarantees: 200 with the number of accepted transactions, and exactly these are delivered.
#[test]
fn forms_of_a_body() {
    let service = service();
    let mut client = service.client();
    let mut next = 0..;
    let mut some = |count: usize| -> Vec<Value> { next.by_ref().take(count).map(transaction).collect() };
    let lines = |all: Vec<Value>| all.iter().map(|one| format!("{one}\r\n\n")).collect::<String>();
    let (json, ndjson) =
        ("Content-Type: application/json; charset=utf-8\r\n", "Content-Type: application/x-ndjson\r\n");
    let zipped = "Content-Encoding: gzip\r\nContent-Type: application/json\r\n";
    let zipped_lines = "Content-Encoding: gzip\r\nContent-Type: application/x-ndjson\r\n";
    for (headers, body, count) in [
        (json, some(1)[0].to_string().into_bytes(), 1),
        (json, Value::from(some(3)).to_string().into_bytes(), 3),
        (json, serde_json::to_vec_pretty(&some(2)).unwrap(), 2),
        (json, b" [ ] ".to_vec(), 0),
        (ndjson, lines(some(4)).into_bytes(), 4),
        (ndjson, Vec::new(), 0),
        ("", some(1)[0].to_string().into_bytes(), 1),
        (zipped, gzip(&Value::from(some(2)).to_string()), 2),
        (zipped_lines, gzip(&lines(some(5))), 5),
    ] {
        let answer = client.post_with(headers, &body).unwrap();
        assert_eq!((answer.status, answer.json()), (200, json!({"accepted": count})), "{headers}");
    }
    assert_delivered(service, 0..18);
}

/// Scenario: an array and JSON lines with a bad transaction among valid ones.
/// Guarantees: 400 with the index of the bad one and its place in the body; none of the valid ones is delivered.
#[test]
fn all_or_nothing() {
    let service = service();
    let (one, two) = (transaction(1).to_string(), transaction(2).to_string());
    for (headers, body, bad) in [
        ("Content-Type: application/json\r\n", format!("[{one}, {{\"a\": nope}}, {two}]"), "nope"),
        ("Content-Type: application/x-ndjson\r\n", format!("{one}\n{{\"a\": nope}}\n{two}\n"), "nope"),
    ] {
        let answer = service.client().post_with(headers, body.as_bytes()).unwrap();
        let fault = answer.json();
        assert_eq!((answer.status, &fault["index"]), (400, &json!(1)), "{fault}");
        let offset = usize::try_from(fault["offset"].as_u64().unwrap()).unwrap();
        let place = body.find(bad).unwrap();
        assert!((place..=place + bad.len()).contains(&offset), "{offset} is not about {place}: {fault}");
    }
    service.accept(transaction(3).to_string());
    assert_delivered(service, [3]);
}

/// Scenario: bodies and transactions over the limits, announced and compressed; unsupported types, encodings, methods,
/// paths and senders.
/// Guarantees: 413, 415, 405 with Allow, 404, 403, each with a reason and what to do; the service continues.
#[test]
fn refusals() {
    let service = service();
    let large = format!("[{}{}]", format!("{},", transaction(1)).repeat(1500), transaction(1));
    let one = json!({"padding": "x".repeat(150_000)}).to_string();
    let good = transaction(1).to_string();
    for (status, headers, body) in [
        (413, "Content-Type: application/json\r\n", large.clone().into_bytes()),
        (413, "Content-Encoding: gzip\r\n", gzip(&large)),
        (413, "", one.into_bytes()),
        (415, "Content-Type: text/xml\r\n", good.clone().into_bytes()),
        (415, "Content-Encoding: br\r\n", good.clone().into_bytes()),
        (400, "Content-Encoding: gzip\r\n", good.clone().into_bytes()),
        (403, "Origin: http://evil.test\r\n", good.clone().into_bytes()),
    ] {
        let answer = service.client().post_with(headers, &body).unwrap();
        let fault = answer.json();
        assert_eq!(answer.status, status, "{headers} {fault}");
        assert!(fault["error"].is_string() && fault["help"].is_string(), "{fault}");
    }
    let mut client = service.client();
    client.send(b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("allow").is_some()), (405, true));
    client.send(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().status, 404);
    service.accept(transaction(2).to_string());
    assert_delivered(service, [2]);
}

/// Scenario: an unavailable TCP receiver, a queue of four, and transactions until they are refused; then the receiver
/// starts.
/// Guarantees: 429 with Retry-After once the queue is full, and nothing of that request is accepted; exactly what was
/// answered 200 is delivered, in order; then the queue accepts again. A request larger than the queue gets 413.
#[test]
fn full_queue() {
    let mut peer = TcpPeer::absent();
    let kong = configuration(&json!([{"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}}]));
    let home = Home::with(&kong).set("LOGPHASE_QUEUE_MAX_ENTRIES", "4").set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1");
    let mut service = home.start();
    let mut client = service.client();
    let mut taken = Vec::new();
    let refused = loop {
        let id = u64::try_from(taken.len()).unwrap();
        let answer = client.post(transaction(id).to_string().as_bytes()).unwrap();
        if answer.status != 200 {
            break answer;
        }
        taken.push(id);
        assert!(taken.len() <= 4, "the queue takes more than it is set to");
    };
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.header("retry-after").and_then(|after| after.parse::<u32>().ok()).is_some_and(|after| after > 0));
    assert!(refused.json()["error"].as_str().is_some_and(|text| text.contains("tcp-log")), "{}", refused.text());
    assert_eq!(taken.len(), 4);
    let many = Value::from((100..110).map(transaction).collect::<Vec<_>>()).to_string();
    assert_eq!(client.post(many.as_bytes()).unwrap().status, 413);

    peer.restart();
    peer.wait_for(4);
    let two = Value::from(vec![transaction(4), transaction(5)]).to_string();
    wait_until("the queue accepts again", || client.post(two.as_bytes()).unwrap().status == 200);
    peer.wait_for(6);
    assert_eq!(service.stop(), 0);
    let ids: Vec<_> =
        peer.lines().iter().map(|line| crate::service::id_of(&serde_json::from_slice(line).unwrap())).collect();
    assert_eq!(ids, (0..6).map(Some).collect::<Vec<_>>());
}

/// Scenario: the same queue with Kong's `overflow: drop_oldest`, from the plugin's settings.
/// Guarantees: every request is answered 200; the newest messages arrive; the log reports the drops.
#[test]
fn full_queue_that_drops() {
    let mut peer = TcpPeer::absent();
    let kong = configuration(&json!([{"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}}]));
    let home = Home::with(&kong).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1");
    home.write("logphase.yml", "plugins: {tcp-log: {queue: {max_entries: 4, overflow: drop_oldest}}}\n");
    let mut service = home.start_with(&["run", "kong.yml", "--settings", "logphase.yml"]);
    let mut client = service.client();
    for id in 0..20 {
        assert_eq!(client.post(transaction(id).to_string().as_bytes()).unwrap().status, 200);
    }
    wait_until("the log reports it", || service.has_logged("drop"));
    peer.restart();
    wait_until("the newest message has arrived", || peer.messages().counts.contains_key(&19));
    assert_eq!(service.stop(), 0);
    let messages = peer.messages();
    messages.assert_once(&(17..20).collect());
    assert!(messages.counts.len() <= 6, "{:?}", messages.counts.keys());
}

/// Scenario: SIGTERM while messages wait for an unavailable receiver; requests on an existing connection and on new
/// ones; then the receiver starts.
/// Guarantees: no request is answered 200: they get 503 or no connection; messages accepted before are delivered; exit
/// code 0.
#[test]
fn while_shutting_down() {
    let mut peer = TcpPeer::absent();
    let kong = configuration(&json!([{"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}}]));
    let home = Home::with(&kong).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1");
    let mut service = home.start();
    let mut kept = service.client();
    assert_eq!(kept.post(transaction(1).to_string().as_bytes()).unwrap().status, 200);
    service.signal(Signal::TERM);
    let late = transaction(2).to_string();
    wait_until("the service accepts nothing more", || {
        match Client::connect(service.home.http).and_then(|mut client| client.post(late.as_bytes())) {
            Ok(answer) => answer.status != 200,
            Err(_) => true,
        }
    });
    // The signal may have arrived between the two: the id identifies what was accepted until then.
    if let Ok(answer) = kept.post(transaction(3).to_string().as_bytes()) {
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    assert!(service.is_running(), "a message is left");
    peer.restart();
    assert_eq!(service.wait(), 0);
    let messages = peer.messages();
    messages.assert_all(&[1].into());
    assert!(!messages.counts.contains_key(&3));
}
