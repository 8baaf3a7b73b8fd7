//! kafka-log with a real Apache Kafka, read back with kcat, an independent client.

pub mod broker;
mod delivery;
mod input;
mod keys;
mod login;
mod outage;
mod sharing;
pub mod topic;

use std::sync::OnceLock;

use broker::{Broker, Ports};
use serde_json::{Value, json};

use crate::service::{Home, configuration, free_port};

/// Options for a small Java that starts quickly.
const OPTIONS: &[&str] = &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// A broker for one test.
pub fn own_broker() -> Broker {
    let ports = Ports { plain: free_port(), sasl: free_port(), tls: free_port(), controller: free_port() };
    Broker::start(ports, OPTIONS)
}

/// The broker shared by all tests that do not stop it. It ends with this process.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(own_broker)
}

/// A kafka-log for a broker without TLS and SASL, with more fields in its `config`.
pub fn kafka_log(broker: &Broker, topic: &str, more: &Value) -> Value {
    let servers = json!([{"host": "localhost", "port": broker.ports.plain}]);
    let mut plugin = json!({"name": "kafka-log", "config": {"bootstrap_servers": servers, "topic": topic}});
    let config = plugin["config"].as_object_mut().expect("an object");
    config.extend(more.as_object().expect("an object").clone());
    plugin
}

/// The plugin with another value of one field.
fn set_config(mut plugin: Value, field: &str, value: Value) -> Value {
    plugin["config"][field] = value;
    plugin
}

/// A declarative configuration with one global plugin.
fn plugins(plugin: Value) -> String {
    configuration(&json!([plugin]))
}
