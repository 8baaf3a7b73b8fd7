//! The Kong side of Logphase: plugins of Kong that send its log object with what snippets read beyond it.
//!
//! Kong's http-log sends the log object alone. What else a configuration asks for ([`crate::phase::Asks`]) is collected by a
//! pre-function (and, for the body that the client gets, a post-function) and added as `_context`. `lua` writes their code.

mod lua;
mod version;

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::plugin::{http_log, post_function, pre_function};
use logphase_script::needs::{Fact, Need};
pub use version::KongVersion;

/// Entries of http-log's queue in each worker of Kong.
const MAX_ENTRIES: usize = 100_000;

/// Bytes of http-log's queue in each worker of Kong.
const MAX_BYTES: usize = 64 << 20;

/// The largest batch.
const MAX_BATCH: usize = 200;

/// Seconds for which Kong sends a batch again.
const MAX_RETRY_TIME: u32 = 300;

/// Where Kong finds the header with Logphase's token: in its environment.
const AUTHORIZATION: &str = "{vault://env/logphase-authorization}";

/// An allowance for the log object itself, in bytes.
const LOG_OBJECT: usize = 16 << 10;

/// What to forward, and how.
#[derive(Debug, Clone)]
pub struct Forwarder {
    /// What Kong has to send.
    pub needs: BTreeSet<Need>,
    /// The URL of Logphase's HTTP input.
    pub endpoint: String,
    /// Whether Logphase wants a bearer token.
    pub token: bool,
    /// The release of Kong; `None` for what works in all of them.
    pub version: Option<KongVersion>,
    /// The largest body that is sent, in bytes.
    pub max_body_bytes: usize,
    /// The largest request that Logphase accepts, in bytes.
    pub max_request_bytes: usize,
}

/// One of Kong's plugins.
struct KongPlugin {
    name: &'static str,
    about: &'static str,
    config: Map<String, Value>,
}

impl Forwarder {
    /// Makes each need stand for itself: none is part of another.
    #[must_use]
    pub fn reduced(mut self) -> Self {
        Need::reduce(&mut self.needs);
        let some = self.needs.iter().any(|need| matches!(need, Need::ServiceHeader(Some(_))));
        if some && self.needs.contains(&Need::ServiceResponseBody) {
            // A parsed body depends on its type.
            self.needs.insert(Need::ServiceHeader(Some("content-type".to_owned())));
        }
        self
    }

    /// Kong's declarative configuration as YAML, with `notes` as comments at the top.
    pub fn to_yaml(&self, notes: &[String]) -> String {
        let mut text = String::new();
        for note in notes {
            let _ = writeln!(text, "{}", format!("# {note}").trim_end());
        }
        text.push_str("_format_version: \"3.0\"\n\nplugins:\n");
        for (at, plugin) in self.plugins().into_iter().enumerate() {
            let gap = if at > 0 { "\n" } else { "" };
            let _ = writeln!(text, "{gap}  # {}\n  - name: {}\n    config:", plugin.about, plugin.name);
            yaml_members(&mut text, &plugin.config, 6);
        }
        text
    }

    /// Kong's declarative configuration as JSON.
    pub fn to_json(&self) -> String {
        let plugins = self.plugins().into_iter().map(|plugin| json!({"name": plugin.name, "config": plugin.config}));
        let all = json!({"_format_version": "3.0", "plugins": plugins.collect::<Vec<_>>()});
        format!("{all:#}\n")
    }

    /// What differs between releases of Kong, and what to know before the configuration is used.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let mut say = |text: &str| remarks.push(text.to_owned());
        let before = |release| self.version.is_none_or(|version| version < release);
        if self.needs.contains(&Need::RequestBody) {
            say(
                "The body of each request is read before it is proxied, as with request buffering; streams (gRPC, upgrades) are left alone.",
            );
            if before(KongVersion::new(3, 8)) {
                say(
                    "Kong before 3.8: bodies larger than nginx_http_client_body_buffer_size (8k) are left out; raise it in kong.conf.",
                );
            }
        }
        if self.needs.contains(&Need::Fact(Fact::ConsumerGroups)) {
            say("Consumer groups exist in Kong Enterprise alone; elsewhere nothing is sent for them.");
        }
        if self.needs.iter().any(|need| matches!(need, Need::Header(_))) {
            say(
                "Credentials are sent: use TLS between Kong and Logphase, which redacts them in its messages. Kong's other logging plugins would log them.",
            );
        }
        if self.token {
            say(
                "Logphase wants a bearer token: give Kong the environment variable LOGPHASE_AUTHORIZATION with `Bearer ` and the token.",
            );
        }
        if self.endpoint.starts_with("https:") && !before(KongVersion::new(3, 14)) {
            say("Kong from 3.14 on verifies Logphase's certificate (ssl_verify is true by default).");
        } else if self.endpoint.starts_with("https:") {
            say(
                "Kong before 3.14 does not verify Logphase's certificate; from 3.14 on, ssl_verify is true by default.",
            );
        }
        if !self.needs.is_empty() {
            say(
                "Routes and services with a pre-function (or http-log) of their own need this one's functions in it: Kong runs only the most specific.",
            );
            say(
                "Kong's other logging plugins would log _context, too: disable them, or give each custom_fields_by_lua `_context: return nil`.",
            );
            say("Kong's setting untrusted_lua must be sandbox (its default) or on.");
        }
        remarks
    }

    fn plugins(&self) -> Vec<KongPlugin> {
        let sender = KongPlugin {
            name: http_log::DEFINITION.name,
            about: "Sends the log object of each request, in batches that are sent again until Logphase has taken them.",
            config: self.sender(),
        };
        let collectors = [
            (pre_function::DEFINITION.name, "Collects what Logphase's snippets read.", lua::pre_function(self)),
            (post_function::DEFINITION.name, "Collects the body that the client gets.", lua::post_function(self)),
        ];
        let collectors = collectors.into_iter().filter(|(.., phases)| !phases.is_empty());
        let collectors = collectors.map(|(name, about, phases)| {
            let functions = phases.into_iter().map(|(phase, lua)| (phase.to_owned(), json!([lua])));
            KongPlugin { name, about, config: functions.collect() }
        });
        [sender].into_iter().chain(collectors).collect()
    }

    /// The configuration of http-log.
    fn sender(&self) -> Map<String, Value> {
        let bodies = [Need::RequestBody, Need::ResponseBody, Need::ServiceResponseBody];
        let bodies = bodies.iter().filter(|body| self.needs.contains(body)).count();
        // In base64 a body takes a third more.
        let entry = LOG_OBJECT + lua::ROOM + bodies * self.max_body_bytes.div_ceil(3) * 4;
        let batch = (self.max_request_bytes / entry).clamp(1, MAX_BATCH);
        let config = json!({
            "http_endpoint": self.endpoint,
            "queue": {
                "max_batch_size": batch,
                "max_coalescing_delay": 1,
                "max_entries": MAX_ENTRIES,
                "max_bytes": MAX_BYTES.max(4 * entry),
                "max_retry_time": MAX_RETRY_TIME,
            },
        });
        let mut config = config.as_object().cloned().unwrap_or_default();
        if self.token {
            config.insert("headers".to_owned(), json!({"authorization": AUTHORIZATION}));
        }
        config
    }
}

/// Writes the members of an object, indented by so many spaces. Texts of several lines are block literals.
fn yaml_members(text: &mut String, members: &Map<String, Value>, indent: usize) {
    for (name, value) in members {
        let _ = match value {
            Value::Object(members) => {
                let _ = writeln!(text, "{:indent$}{name}:", "");
                yaml_members(text, members, indent + 2);
                Ok(())
            }
            Value::Array(functions) => {
                let _ = writeln!(text, "{:indent$}{name}:", "");
                functions.iter().filter_map(Value::as_str).for_each(|lua| yaml_block(text, lua, indent + 2));
                Ok(())
            }
            // JSON is YAML, whatever a URL has.
            plain => writeln!(text, "{:indent$}{name}: {plain}", ""),
        };
    }
}

fn yaml_block(text: &mut String, lua: &str, indent: usize) {
    let _ = writeln!(text, "{:indent$}- |", "");
    for line in lua.lines() {
        let _ = writeln!(text, "{}", format!("{:inner$}{line}", "", inner = indent + 2).trim_end());
    }
}

#[cfg(test)]
mod tests;
