//! Where the messages of a plugin go, without secrets.

use serde_json::Value;

use super::secrets::mask_user_info;
use crate::entity::Plugin;

/// Where the messages of `plugin` go; empty if the plugin alone says it. What a reference to a vault stands for may be secret: the
/// reference is shown.
pub(crate) fn destination_of(plugin: &Plugin) -> String {
    if plugin.references.is_empty() {
        return destination(&plugin.config);
    }
    let mut config = plugin.config.clone();
    for (path, reference) in &plugin.references {
        let member = path.split(['.', '[']).next().unwrap_or_default();
        if let Some(value) = config.get_mut(member) {
            *value = reference.as_str().into();
        }
    }
    destination(&config)
}

/// Where a sink with `config` delivers to: a URL, an address, a topic of Kafka, or a file. Without passwords and queries of URLs.
pub(crate) fn destination(config: &Value) -> String {
    let text = |name: &str| config.get(name).and_then(Value::as_str);
    let endpoints = ["http_endpoint", "endpoint", "logs_endpoint", "access_logs_endpoint", "traces_endpoint"];
    if let Some(url) = endpoints.into_iter().find_map(text) {
        let mut url = url.split_once('?').map_or_else(|| url.to_owned(), |(url, _)| format!("{url}?..."));
        mask_user_info(&mut url);
        return url;
    }
    let address = |config: &Value| {
        let host = config.get("host")?.as_str()?.to_owned();
        Some(config.get("port").map_or(host.clone(), |port| format!("{host}:{port}")))
    };
    if let (Some(topic), Some(servers)) = (text("topic"), config.get("bootstrap_servers").and_then(Value::as_array)) {
        let servers: Vec<String> = servers.iter().filter_map(address).collect();
        return format!("{} topic {topic}", servers.join(","));
    }
    address(config).or_else(|| text("path").map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Scenario: configurations of sinks of each kind, URLs with a password and a query among them.
    /// Guarantees: each says where it delivers to, and no secret.
    #[test]
    fn destinations() {
        let cases = [
            (json!({"http_endpoint": "https://me:pass@host/p?key=secret"}), "https://me:********@host/p?..."),
            (json!({"http_endpoint": "{vault://env/url}"}), "{vault://env/url}"),
            (json!({"host": "h", "port": 9}), "h:9"),
            (json!({"path": "/tmp/x"}), "/tmp/x"),
            (
                json!({"topic": "t", "bootstrap_servers": [{"host": "a", "port": 1}, {"host": "b", "port": 2}]}),
                "a:1,b:2 topic t",
            ),
            (json!({}), ""),
        ];
        for (config, expected) in cases {
            assert_eq!(destination(&config), expected, "{config}");
        }
    }
}
