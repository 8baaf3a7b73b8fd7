//! Transactions to send, and received messages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The values in `text`, JSON in lines, of a file that is still written: the last line may be half there.
pub fn whole_lines<T: DeserializeOwned>(text: &str) -> Vec<T> {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// A transaction as Kong's log phase sends it, with `id` as its `request.id`.
pub fn transaction(id: u64) -> Value {
    json!({
        "request": {
            "id": id.to_string(), "method": "GET", "uri": "/orders?limit=10", "url": "http://api.test:8000/orders?limit=10",
            "size": 120, "querystring": {"limit": "10"},
            "headers": {"host": "api.test", "user-agent": "curl/8.5", "h1": format!("v{id}"), "authorization": "Bearer s3cr3t"},
        },
        "response": {"status": 200, "size": 512, "headers": {"content-type": "application/json"}},
        "route": {"id": "a9bbd44c-a2fa-4f4e-9b8b-6c4c4b4b5c0a", "name": "orders", "protocols": ["http", "https"]},
        "service": {"id": "0c6b4b3e-8d7f-4c6c-9d8e-0a3b2c1d4e5f", "name": "orders-svc", "host": "orders.internal", "port": 8080},
        "latencies": {"request": 30, "kong": 2, "proxy": 28, "receive": 0},
        "tries": [{"ip": "10.0.0.1", "port": 8080, "balancer_latency": 0}],
        "client_ip": "203.0.113.7", "started_at": 1_726_783_839_538_u64, "upstream_status": "200", "source": "upstream",
    })
}

/// The `request.id` of a message.
pub fn id_of(message: &Value) -> Option<u64> {
    message["request"]["id"].as_str()?.parse().ok()
}

/// Received messages by their `request.id`, and lines that are not messages.
#[derive(Debug, Default)]
pub struct Messages {
    /// How often each message arrived.
    pub counts: BTreeMap<u64, usize>,
    /// Lines that are not a message.
    pub torn: Vec<String>,
}

impl Messages {
    /// Parses lines.
    pub fn of(lines: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let mut messages = Self::default();
        for line in lines {
            let line = line.as_ref();
            match serde_json::from_slice(line).ok().as_ref().and_then(id_of) {
                Some(id) => *messages.counts.entry(id).or_default() += 1,
                None => messages.torn.push(String::from_utf8_lossy(line).into_owned()),
            }
        }
        messages
    }

    /// Reads a file; empty if the file does not exist. Text after the last line end counts as a line.
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_default();
        Self::of(bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()))
    }

    /// The ids that did not arrive.
    pub fn missing(&self, ids: &BTreeSet<u64>) -> Vec<u64> {
        ids.iter().filter(|id| !self.counts.contains_key(id)).copied().collect()
    }

    /// The ids that arrived more than once.
    pub fn duplicates(&self) -> Vec<u64> {
        self.counts.iter().filter(|(_, count)| **count > 1).map(|(id, _)| *id).collect()
    }

    /// Fails unless each id arrived and no line is torn.
    #[track_caller]
    pub fn assert_all(&self, ids: &BTreeSet<u64>) {
        assert!(self.torn.is_empty(), "{} lines are no message, the first is {:?}", self.torn.len(), self.torn[0]);
        let missing = self.missing(ids);
        let first = &missing[..missing.len().min(20)];
        assert!(missing.is_empty(), "{} of {} are missing, the first are {first:?}", missing.len(), ids.len());
    }

    /// Fails unless each id arrived exactly once and no line is torn.
    #[track_caller]
    pub fn assert_once(&self, ids: &BTreeSet<u64>) {
        self.assert_all(ids);
        let duplicates = self.duplicates();
        assert!(duplicates.is_empty(), "{} arrived more than once, the first is {}", duplicates.len(), duplicates[0]);
    }
}
