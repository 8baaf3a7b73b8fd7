//! kafka-log into a real Apache Kafka, read back with kcat, a client that knows nothing of ours.

pub mod broker;
mod delivery;
mod keys;
mod login;
mod outage;
mod sharing;
pub mod topic;

use std::sync::OnceLock;

use broker::{Broker, Ports};
use serde_json::{Value, json};

use crate::service::{Home, configuration, free_port};

/// For a Java that starts quickly and is small.
const OPTIONS: &[&str] = &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// A broker of one test.
pub fn own_broker() -> Broker {
    let ports = Ports { plain: free_port(), sasl: free_port(), tls: free_port(), controller: free_port() };
    Broker::start(ports, OPTIONS)
}

/// The broker of all tests that leave it alone. It ends with this process.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(own_broker)
}

/// A kafka-log to a broker without TLS and SASL, with more fields of its `config`.
pub fn kafka_log(broker: &Broker, topic: &str, more: &Value) -> Value {
    let servers = json!([{"host": "localhost", "port": broker.ports.plain}]);
    let mut plugin = json!({"name": "kafka-log", "config": {"bootstrap_servers": servers, "topic": topic}});
    let config = plugin["config"].as_object_mut().expect("an object");
    config.extend(more.as_object().expect("an object").clone());
    plugin
}

/// The same plugin with another value of a field.
fn set_config(mut plugin: Value, field: &str, value: Value) -> Value {
    plugin["config"][field] = value;
    plugin
}

/// A declarative configuration with one global plugin.
fn plugins(plugin: Value) -> String {
    configuration(&json!([plugin]))
}
