//! Examples of bodies. A test sends each of them.

use serde_json::{Value, json};

use crate::plugin;

/// The field that the example of a plugin sets: the plugin that has it is the example.
const ENDPOINT: &str = "http_endpoint";

/// The body of a new entity of the kind `kind`.
pub(super) fn entity(kind: &str) -> Option<Value> {
    Some(match kind {
        "services" => json!({"name": "orders", "url": "http://orders.internal:8080/api"}),
        "routes" => json!({"name": "orders-route", "paths": ["/orders"], "methods": ["GET", "POST"]}),
        "consumers" => json!({"username": "alice", "custom_id": "4711", "tags": ["staff"]}),
        "consumer_groups" => json!({"name": "gold"}),
        "upstreams" => json!({"name": "orders.upstream", "algorithm": "least-connections"}),
        "targets" => json!({"target": "10.0.0.1:8080", "weight": 50}),
        "vaults" => json!({"prefix": "my-env", "name": "env", "config": {"prefix": "SECRET_"}}),
        "key_sets" => json!({"name": "signing"}),
        "partials" => json!({"name": "cache", "type": "redis-ce", "config": {"host": "redis.internal"}}),
        "apis" => json!({"name": "example-api", "hosts": ["example.com"], "upstream_url": "http://httpbin.org"}),
        "plugins" => {
            let posting = plugin::definitions().iter().find(|one| one.schema.field(ENDPOINT).is_some())?;
            json!({"name": posting.name, "instance_name": "collector", "config": {
                ENDPOINT: "https://logs.internal/in",
                "custom_fields_by_lua": {"team": "return 'orders'"},
                "queue": {"max_batch_size": 100},
            }})
        }
        _ => return None,
    })
}
