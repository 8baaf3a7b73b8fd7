//! The records of a topic, read with kcat.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::broker::Broker;
use crate::service::id_of;

/// A record.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its partition.
    pub partition: i64,
    /// Its offset in the partition.
    pub offset: i64,
    /// Its key.
    pub key: Option<String>,
    /// Its value.
    pub value: String,
    /// Names and values of its headers.
    pub headers: Vec<(String, String)>,
}

impl Record {
    /// Its value as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.value).unwrap_or_else(|error| panic!("{error}: {}", self.value))
    }

    /// The `request.id` of its message.
    pub fn id(&self) -> u64 {
        id_of(&self.json()).unwrap_or_else(|| panic!("no request.id: {}", self.value))
    }
}

/// The output of kcat for a broker.
fn kcat(broker: &Broker, arguments: &[&str]) -> String {
    let done = Command::new("kcat")
        .args(["-b", &broker.address()])
        .args(arguments)
        .output()
        .expect("kcat is not installed; run: make test-tools");
    assert!(done.status.success(), "kcat: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// All records of a topic, by partition, in order.
pub fn read(broker: &Broker, topic: &str) -> Vec<Record> {
    let all = kcat(broker, &["-C", "-q", "-e", "-o", "beginning", "-t", topic, "-J"]);
    let mut records: Vec<_> = all.lines().map(record).collect();
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// Passes the value of each record of a topic to `take`, by offset; values without line ends, of one partition, and more
/// of them than fit into memory.
pub fn for_each_value(broker: &Broker, topic: &str, mut take: impl FnMut(&[u8])) {
    let mut kcat = Command::new("kcat")
        .args(["-b", &broker.address(), "-C", "-q", "-e", "-o", "beginning", "-t", topic, "-p", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kcat is not installed; run: make test-tools");
    let lines = BufReader::with_capacity(1 << 20, kcat.stdout.take().expect("it is piped"));
    lines.split(b'\n').for_each(|line| take(&line.unwrap()));
    assert!(kcat.wait().unwrap().success());
}

/// The number of records in a topic, from the ends of its partitions. Reading a growing topic might never end.
pub fn count(broker: &Broker, topic: &str) -> usize {
    let about: Value = serde_json::from_str(&kcat(broker, &["-L", "-J", "-t", topic])).unwrap();
    let partitions = about["topics"][0]["partitions"].as_array().map_or(0, Vec::len);
    let ends: Vec<_> = (0..partitions).map(|partition| format!("{topic}:{partition}:-1")).collect();
    let mut query = vec!["-Q"];
    ends.iter().for_each(|end| query.extend(["-t", end.as_str()]));
    let said = if ends.is_empty() { String::new() } else { kcat(broker, &query) };
    said.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
}

/// Waits until a topic has this many records, and reads all.
#[track_caller]
pub fn wait_for(broker: &Broker, topic: &str, wanted: usize) -> Vec<Record> {
    let (start, timeout) = (Instant::now(), Duration::from_secs(60));
    loop {
        let found = count(broker, topic);
        if found >= wanted {
            return read(broker, topic);
        }
        assert!(start.elapsed() < timeout, "{topic} has {found} of {wanted} records after {timeout:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn record(line: &str) -> Record {
    let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("kcat: {error}: {line}"));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let headers: Vec<_> = line["headers"].as_array().into_iter().flatten().map(|name| text(name).unwrap()).collect();
    Record {
        partition: line["partition"].as_i64().unwrap(),
        offset: line["offset"].as_i64().unwrap(),
        key: text(&line["key"]),
        value: text(&line["payload"]).unwrap_or_default(),
        headers: headers.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect(),
    }
}
