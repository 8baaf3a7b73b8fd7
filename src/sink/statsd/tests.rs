//! Sending, and lines of any names.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

use super::line::Lines;
use super::{datadog, open};
use crate::sink::{Batching, FailureKind, SinkShared};
use logphase_net::testing::own_port;

const PATIENCE: Duration = Duration::from_secs(30);

fn config(port: u16, more: &Value) -> Value {
    let mut config = json!({
        "host": "127.0.0.1", "port": port, "consumer_identifier_default": "custom_id", "hostname": "node",
        "service_identifier_default": "service_name_or_host", "workspace_identifier_default": "workspace_id",
        "metrics": [
            {"name": "request_count", "stat_type": "counter", "sample_rate": 1},
            {"name": "latency", "stat_type": "timer"},
        ],
    });
    for (name, value) in more.as_object().expect("an object") {
        config[name] = value.clone();
    }
    config
}

fn message(latency: usize) -> Bytes {
    Bytes::from(json!({"latencies": {"request": latency}, "service": {"name": "s"}}).to_string())
}

async fn receive(peer: &UdpSocket) -> String {
    let mut buffer = vec![0; 1 << 16];
    let length = timeout(PATIENCE, peer.recv(&mut buffer)).await.expect("a datagram in time").unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

fn lines(latency: usize) -> [String; 2] {
    ["kong.service.s.request.count:1|c".to_owned(), format!("kong.service.s.latency:{latency}|ms")]
}

/// Scenario: three messages at once, one of them no JSON, with a datagram for each metric and with datagrams of 70 bytes.
/// Guarantees: the metrics arrive in order, across messages if they share datagrams; then the batches are those of the queue.
#[tokio::test]
async fn metrics_go_out_in_order() {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = peer.local_addr().unwrap().port();
    let batch = [message(1), Bytes::from_static(b"no JSON"), message(2)];
    let all = [lines(1), lines(2)].concat();
    let mut single = open(&config(port, &json!({})), &SinkShared::new(None)).unwrap();
    assert_eq!((single.batching(), single.send(&batch).await.unwrap().settled), (Batching::Stream, 3));
    for line in &all {
        assert_eq!(&receive(&peer).await, line);
    }
    let mut combined = open(&config(port, &json!({"udp_packet_size": 100})), &SinkShared::new(None)).unwrap();
    assert_eq!((combined.batching(), combined.send(&batch).await.unwrap().settled), (Batching::Batches, 3));
    assert_eq!(receive(&peer).await, all[..3].join("\n"));
    assert_eq!(receive(&peer).await, all[3]);
}

/// Scenario: the second metric of the second message is larger than a datagram.
/// Guarantees: the first message is delivered and the second refused; after it, the third is sent, and nothing twice.
#[tokio::test]
async fn a_metric_that_is_too_large_is_refused() {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let metrics = json!([
        {"name": "latency", "stat_type": "timer"}, {"name": "unique_users", "stat_type": "set"},
    ]);
    let config = config(peer.local_addr().unwrap().port(), &json!({"metrics": metrics}));
    let mut sink = open(&config, &SinkShared::new(None)).unwrap();
    let large = json!({"latencies": {"request": 2}, "consumer": {"custom_id": "x".repeat(70_000)}});
    let batch = [message(1), Bytes::from(large.to_string()), message(3)];
    let error = sink.send(&batch).await.unwrap_err();
    assert_eq!((error.delivered, error.kind), (1, FailureKind::TooLarge));
    // Given again, it is not sent again from its beginning.
    let error = sink.send(&batch[1..]).await.unwrap_err();
    assert_eq!((error.delivered, error.kind), (0, FailureKind::TooLarge));
    assert_eq!(sink.send(&batch[2..]).await.unwrap().settled, 1);
    for expected in ["kong.service.s.latency:1|ms", "kong.global.unmatched.latency:2|ms", "kong.service.s.latency:3|ms"]
    {
        assert_eq!(receive(&peer).await, expected);
    }
}

/// Scenario: no receiver.
/// Guarantees: the messages whose metrics were refused are counted as lost, at most each once.
#[tokio::test]
async fn refused_metrics_are_lost() {
    let port = own_port();
    let mut sink = open(&config(port, &json!({})), &SinkShared::new(None)).unwrap();
    let (mut lost, mut sent) = (0, 0);
    let waiting = timeout(PATIENCE, async {
        while lost == 0 {
            // A refusal of the network may also make the attempt fail.
            if let Ok(result) = sink.send(&[message(1), message(2)]).await {
                (lost, sent) = (lost + result.lost, sent + 2);
            }
        }
    });
    waiting.await.expect("a refusal in time");
    assert!(lost <= sent, "{lost} of {sent}");
}

/// Scenario: TCP, with a message without metrics between others.
/// Guarantees: a line for each metric, and no empty line.
#[tokio::test]
async fn lines_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = open(&config(port, &json!({"use_tcp": true})), &SinkShared::new(None)).unwrap();
    let batch = [message(1), Bytes::from_static(b"[]"), message(2)];
    let reading = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut reader = BufReader::new(stream).lines();
        let mut found = Vec::new();
        while found.len() < 4 {
            found.push(reader.next_line().await.unwrap().expect("a line"));
        }
        (found, reader)
    };
    let sending = async {
        let mut settled = sink.send(&batch).await.unwrap().settled;
        while settled < 3 {
            settled += sink.settle().await.unwrap().settled;
        }
    };
    let ((found, _reader), ()) = timeout(PATIENCE, async { tokio::join!(reading, sending) }).await.expect("in time");
    assert_eq!(found, [lines(1), lines(2)].concat());
}

/// A line of StatsD, taken apart as servers do.
#[derive(Debug)]
struct Read<'a> {
    name: &'a str,
    value: &'a str,
    kind: &'a str,
    tags: Vec<&'a str>,
}

fn take_apart(line: &str) -> Read<'_> {
    let (before, after) = line.split_once(':').expect("a name");
    let mut fields = after.split('|');
    let (value, kind) = (fields.next().expect("a value"), fields.next().expect("a type"));
    let tags = fields.next().map_or("", |tags| tags.strip_prefix('#').expect("tags"));
    assert!(fields.next().is_none(), "{line}");
    Read { name: before, value, kind, tags: tags.split(',').filter(|tag| !tag.is_empty()).collect() }
}

/// Names with what ends parts of lines, and any others.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.:|#,=@\\[\\]\n\r ]{0,12}", any::<String>()]
}

proptest! {
    /// Scenario: any names of a service, route, consumer and workspace.
    /// Guarantees: each line is one line with a name, a value, a type and tags that can be taken apart; names without the
    /// characters that end a part are sent as Kong sends them.
    #[test]
    fn any_names_can_be_read(service in name(), user in name(), route in name(), workspace in name()) {
        let message = json!({
            "service": {"name": service}, "consumer": {"custom_id": user}, "route": {"id": route}, "workspace": workspace,
            "response": {"status": 200}, "latencies": {"request": 5},
        });
        let message = Bytes::from(message.to_string());
        let named = ["request_count", "unique_users", "request_per_user", "status_count_per_user",
            "status_count_per_workspace", "status_count_per_user_per_route"];
        let metrics: Vec<_> = named.iter().map(|name| json!({"name": name, "stat_type": "counter", "sample_rate": 1})).collect();
        let sent = |more: Value| {
            let sink = open(&config(1, &more), &SinkShared::new(None)).expect("it is sound");
            let sent = sink.preview(&message).expect("it sends no messages");
            sent.iter().map(|line| String::from_utf8(line.to_vec()).expect("UTF-8")).collect::<Vec<_>>()
        };
        let lines = sent(json!({"metrics": metrics.clone()}));
        prop_assert_eq!(lines.len(), named.len());
        for line in &lines {
            let read = take_apart(line);
            prop_assert!(!line.contains(char::is_control) && read.tags.is_empty(), "{:?}", read);
            prop_assert!(read.kind == "c" && read.value == "1" || read.kind == "s" && read.name.ends_with(".user.uniques"));
        }
        if !service.contains(|c: char| c.is_control() || ":|".contains(c)) {
            let expected = format!("kong.service.{}.request.count:1|c", service.replace('.', "_"));
            prop_assert_eq!(&lines[0], &expected);
        }
        for (style, separator, end) in [("dogstatsd", "|#", ""), ("influxdb", ",", ":1|c"), ("librato", "#", ":1|c"), ("signalfx", "[", "]:1|c")] {
            let [line] = &sent(json!({"metrics": metrics[..1], "tag_style": style}))[..] else { panic!("one line") };
            let (_, tags) = line.split_once(separator).expect("tags");
            let tags: Vec<_> = tags.strip_suffix(end).expect("the end").split(',').collect();
            prop_assert_eq!(tags.len(), 6, "{}", line);
            let sign = if style == "dogstatsd" { ':' } else { '=' };
            prop_assert!(tags.iter().all(|tag| tag.contains(sign)), "{}", line);
            prop_assert!(!line.contains(char::is_control) && line.matches("|c").count() >= 1, "{}", line);
        }
        let agent = json!({"host": "h", "port": 1, "metrics": [{"name": "latency", "stat_type": "timer", "consumer_identifier": "custom_id"}]});
        let sink = datadog::open(&agent, &SinkShared::new(None)).expect("it is sound");
        let line = sink.preview(&message).expect("it sends no messages").remove(0);
        let line = String::from_utf8(line.to_vec()).expect("UTF-8");
        let read = take_apart(&line);
        prop_assert_eq!((read.name, read.value, read.kind, read.tags.len()), ("kong.latency", "5", "ms", 3));
    }

    /// Scenario: any lines and any size of datagrams.
    /// Guarantees: the datagrams have all lines in order from the first wanted one on; each holds at most the size or a single
    /// line, and none could have held the next line as well.
    #[test]
    fn datagrams_are_filled(lengths in prop::collection::vec(0_usize..60, 0..40), size in 0_usize..150, from in 0_usize..45) {
        let texts: Vec<_> = lengths.iter().map(|length| "x".repeat(*length)).collect();
        let mut lines = Lines::default();
        texts.iter().for_each(|text| lines.push(&[text, "|"]));
        let packets = lines.packets(from, size);
        let found: Vec<_> = packets.iter().flat_map(|packet| packet.bytes.split(|byte| *byte == b'\n')).map(<[u8]>::len).collect();
        let wanted: Vec<_> = lengths.iter().skip(from).map(|length| length + 1).collect();
        prop_assert_eq!(found, &wanted[..]);
        let mut at = 0;
        for packet in &packets {
            let count = packet.bytes.split(|byte| *byte == b'\n').count();
            at += count;
            prop_assert_eq!(packet.lines, from + at);
            prop_assert!(count == 1 || packet.bytes.len() <= size);
            if let Some(next) = wanted.get(at) {
                prop_assert!(packet.bytes.len() + 1 + next > size);
            }
        }
    }

    /// Scenario: any bytes, and messages whose members have any type.
    /// Guarantees: making metrics never fails.
    #[test]
    fn anything_is_rendered(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[{}\\[\\]\",:a-z0-9.-]{0,40}") {
        let sink = open(&config(1, &json!({})), &SinkShared::new(None)).expect("it is sound");
        let whole = format!("{{\"service\":{text},\"latencies\":{{\"request\":{text}}}}}");
        for entry in [Bytes::from(bytes), Bytes::from(whole), Bytes::from(text)] {
            prop_assert!(sink.preview(&entry).is_some());
        }
    }
}
