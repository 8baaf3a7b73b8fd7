//! The table of inputs, and binding and stopping them together.

mod extra;
pub(super) mod harness;

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;

use self::harness::{Harness, any_port};
use super::*;
use crate::settings::Settings;

/// Settings that turn on the inputs of `listen` alone, each on those addresses.
fn settings(listen: &[(&str, Value)]) -> Settings {
    let mut settings = Settings::default();
    settings.inputs.set("http", "listen", json!([]));
    for (name, addresses) in listen {
        settings.inputs.set(name, "listen", addresses.clone());
    }
    settings
}

/// Scenario: every input with the defaults of its fields.
/// Guarantees: the fields fit the settings that the input reads, and only HTTP is on.
#[tokio::test]
async fn defaults_can_be_read() {
    let mut settings = Settings::default();
    settings.inputs.set("http", "listen", any_port());
    let on: Vec<_> = INPUTS.iter().filter(|input| input.bind(&settings).unwrap().is_some()).collect();
    assert_eq!(on.iter().map(|input| input.name).collect::<Vec<_>>(), ["http"]);
    let names: Vec<_> = SETTINGS.fields.iter().map(|field| field.name).collect();
    assert_eq!(names, INPUTS.iter().map(|input| input.name).collect::<Vec<_>>());
}

/// Scenario: an address in use, one that no interface has, a host that nobody knows.
/// Guarantees: binding fails with what, where and what to do, before anything runs.
#[tokio::test]
async fn bind_errors() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let error = Inputs::bind(INPUTS, &settings(&[("http", json!([taken]))])).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen for HTTP on {taken}: ")), "{error}");
    assert!(error.contains("another process has it"), "{error}");

    let half = settings(&[("tcp", json!(any_port())), ("udp", json!(["192.0.2.1:0"]))]);
    let error = Inputs::bind(INPUTS, &half).unwrap_err().to_string();
    assert!(error.starts_with("cannot listen for UDP on 192.0.2.1:0: "), "{error}");
    assert!(error.contains("no interface of this machine has that address"), "{error}");

    let error = Inputs::bind(INPUTS, &settings(&[("tcp", json!(["host.invalid:1"]))])).unwrap_err().to_string();
    assert!(error.starts_with("cannot listen on `host.invalid:1`: ") && error.contains("give `host:port`"), "{error}");
}

/// Scenario: settings that a schema would have refused.
/// Guarantees: an error that names the input, and no panic.
#[tokio::test]
async fn settings_that_do_not_fit() {
    let error = Inputs::bind(INPUTS, &settings(&[("udp", json!(7))])).unwrap_err().to_string();
    assert!(error.starts_with("cannot use the settings inputs.udp: "), "{error}");
}

/// Scenario: three inputs run, nothing connects, and they are told to stop; then again by dropping the sender.
/// Guarantees: they end at once, and nothing listens any more.
#[tokio::test]
async fn stops_when_idle() {
    let any = || json!(any_port());
    let settings = settings(&[("http", any()), ("tcp", any()), ("udp", any())]);
    let mut harness = Harness::serve(Inputs::bind(INPUTS, &settings).unwrap());
    let names: Vec<_> = harness.serving.counters().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["http", "tcp", "udp"]);
    assert_eq!(harness.addresses.len(), 3);
    assert!(harness.addresses[0].to_string().starts_with("http://127.0.0.1:"));
    harness.stop().await;
    for address in &harness.addresses[..2] {
        let Address::Inet { address, .. } = address else { panic!("{address} is an internet address") };
        assert!(TcpStream::connect(address).await.is_err());
    }
    let Harness { mut serving, stop, .. } = Harness::serve(Inputs::bind(INPUTS, &settings).unwrap());
    drop(stop);
    tokio::time::timeout(Duration::from_secs(5), serving.finished()).await.unwrap();
}
