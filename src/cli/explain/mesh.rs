//! `logphase explain CONFIG`: which policies of a mesh apply to entries of Envoy, and why.

use std::sync::Arc;

use bytes::Bytes;
use logphase_io::printable;
use logphase_protocol::envoy::json_form::{self, EncodedEntry};
use logphase_protocol::envoy::message::Node;
use logphase_protocol::envoy::{Origin, Record, RecordKind};
use serde_json::{Value, json};

use super::super::format::entries;
use super::super::{Exit, complain, given, say, show};
use super::Explain;
use crate::mesh::{Engine, Explanation};
use crate::service::{ConfigFiles, Prepared};

/// Explains the entries.
pub(super) fn run(arguments: &Explain) -> Exit {
    let prepared = match Prepared::new(ConfigFiles::from(arguments.files.clone()).load()) {
        Ok(prepared) => prepared,
        Err(diagnostics) => {
            show(&diagnostics);
            return Exit::of(&diagnostics);
        }
    };
    show(prepared.warnings());
    let Some(engine) = prepared.program().mesh.clone() else {
        complain("error: no TrafficLog and no MeshAccessLog is among the files\n");
        return Exit::Configuration;
    };
    let body = match given::read(arguments.entries.as_deref(), "entries", "--entries") {
        Ok(body) => body,
        Err(exit) => return exit,
    };
    let node = Node {
        id: arguments.node_id.clone().into(),
        cluster: arguments.node_cluster.clone().into(),
        ..Node::default()
    };
    let origin = Arc::new(Origin::new(&node, &Bytes::new()));
    explain_all(&engine, &body, origin, arguments.json)
}

fn explain_all(engine: &Arc<Engine>, body: &[u8], mut origin: Arc<Origin>, json: bool) -> Exit {
    let (mut exit, mut number) = (Exit::Done, 0);
    for value in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
        let value = match value {
            Ok(value) => value,
            Err(error) => {
                complain(&format!("error: not JSON: {error}\n"));
                return Exit::Incomplete;
            }
        };
        match value.get("identifier").map(identified).transpose() {
            Ok(found) => origin = found.map_or(origin, Arc::new),
            Err(error) => {
                complain(&format!("error: identifier: {error}\n"));
                exit = Exit::Incomplete;
            }
        }
        for entry in entries::unwrap(value) {
            number += 1;
            match record(&entry, &origin)
                .and_then(|record| engine.explain(&record).ok_or_else(|| "it has no commonProperties".to_owned()))
            {
                Ok(explanation) => say(shown(&explanation, number, json).as_bytes()),
                Err(error) => {
                    complain(&format!("error: entry {number}: {error}\n"));
                    exit = Exit::Incomplete;
                }
            }
        }
    }
    if number == 0 {
        complain("error: there is no entry\n");
        return Exit::Incomplete;
    }
    exit
}

fn identified(identifier: &Value) -> Result<Origin, String> {
    let bytes = json_form::encode_identifier(identifier).map_err(|error| error.to_string())?;
    Origin::decode(&bytes).map_err(|error| error.to_string())
}

fn record(entry: &Value, origin: &Arc<Origin>) -> Result<Record, String> {
    let (kind, bytes) = match json_form::encode(entry).map_err(|error| format!("not an entry of Envoy: {error}"))? {
        EncodedEntry::Http(bytes) => (RecordKind::Http, bytes),
        EncodedEntry::Tcp(bytes) => (RecordKind::Tcp, bytes),
    };
    Ok(Record { kind, bytes: bytes.into(), origin: origin.clone() })
}

fn shown(explanation: &Explanation, number: usize, json: bool) -> String {
    let Explanation { listener, policies, lines } = explanation;
    let lines = lines.iter().map(|(output, line)| (output, String::from_utf8_lossy(&line.text)));
    if json {
        let lines: Vec<_> = lines.map(|(output, line)| json!({"output": output, "line": line})).collect();
        return format!("{}\n", json!({"listener": listener, "policies": policies, "lines": lines}));
    }
    let mut text = format!("# entry {number}\n{}\n", printable::line(listener));
    for policy in policies {
        text.push_str(&format!("- {}\n", printable::line(policy)));
    }
    for (output, line) in lines {
        text.push_str(&format!("\n## {}\n{}\n", printable::line(output), printable::line(&line)));
    }
    text.push('\n');
    text
}
