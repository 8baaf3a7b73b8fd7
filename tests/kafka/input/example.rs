//! `examples/kafka`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::wait_long;
use crate::kafka::broker;
use crate::service::Home;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn example(name: &str) -> String {
    let path = root().join("examples/kafka").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Scenario: the example, its files as they are but for the broker's port and the path of the log; its three commands.
/// Guarantees: each HTTP transaction of the record that kcat sends becomes a line in the file, with the Lua field.
#[test]
fn the_example() {
    let readme = example("README.md");
    for command in [
        "kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --create --topic transactions --partitions 12",
        "logphase run examples/kafka/kong.yml --settings examples/kafka/logphase.yml",
        "kcat -P -b 127.0.0.1:9092 -t transactions examples/transactions.ndjson",
    ] {
        assert!(readme.contains(command), "{command}");
    }
    let replace = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "no {from}");
        text.replace(from, to)
    };
    let broker = broker();
    broker.create_topic("transactions", 12, &[]);
    let home = Home::new();
    home.write("kong.yml", &replace(example("kong.yml"), "/tmp/logphase-kafka.log", &home.text("messages.log")));
    home.write("logphase.yml", &replace(example("logphase.yml"), "127.0.0.1:9092", &broker.address()));
    let mut service = home.start_with(&["run", "kong.yml", "--settings", "logphase.yml"]);
    let sent = Command::new("kcat")
        .args(["-P", "-b", &broker.address(), "-t", "transactions"])
        .arg(root().join("examples/transactions.ndjson"))
        .output()
        .expect("kcat is not installed; run: make test-tools");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let sent = std::fs::read_to_string(root().join("examples/transactions.ndjson")).unwrap();
    let of_http = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["request"].is_object();
    let expected = sent.lines().filter(of_http).count();
    let lines = || std::fs::read_to_string(service.home.path("messages.log")).unwrap_or_default();
    wait_long("the messages are written", || lines().lines().count() >= expected);
    assert_eq!(lines().lines().count(), expected);
    assert!(lines().lines().any(|line| line.contains(r#""agent":"#)));
    assert_eq!(service.stop(), 0);
}
