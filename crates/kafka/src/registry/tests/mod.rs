mod authentication;
mod schemas;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Config, EncodeError, Registry};
use logphase_net::testing::{MockResponse, MockServer, ReceivedRequest, ok};
use logphase_net::tls::TlsConfigs;

fn open(config: Value) -> Result<Registry, String> {
    let config: Config = serde_json::from_value(config).map_err(|error| error.to_string())?;
    Registry::open(&config, &TlsConfigs::new(None)).map_err(|error| error.to_string())
}

/// The registry of a plugin that validates values by the latest version of the subject `log`.
fn registry(url: &str, authentication: Value) -> Registry {
    let value = json!({"subject_name": "log", "schema_version": "latest"});
    let config = json!({"url": url, "ssl_verify": false, "ttl": 60, "authentication": authentication,
        "value_schema": value});
    open(config).expect("a usable configuration")
}

/// A registry's response for a schema.
fn schema(id: u32, kind: &str, schema: &Value) -> MockResponse {
    ok(json!({"subject": "log", "version": 1, "id": id, "schemaType": kind, "schema": schema.to_string()}))
}

fn id_schema() -> Value {
    json!({"type": "record", "name": "R", "fields": [{"name": "id", "type": "int"}]})
}

fn entry(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
