//! `logphase explain`: which policies of a mesh apply to entries of Envoy, and why.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use logphase_io::printable;
use logphase_protocol::envoy::json_form::{self, EncodedEntry};
use logphase_protocol::envoy::message::Node;
use logphase_protocol::envoy::{Origin, Record, RecordKind};
use serde_json::{Value, json};

use super::arguments::Files;
use super::format::entries;
use super::{Exit, complain, given, say, show};
use crate::mesh::{Engine, Explanation};
use crate::service::{ConfigFiles, Prepared};

/// Say which policies and backends of a mesh an access log entry goes to, and why.
///
/// Entries are those of Envoy's access log service in the JSON form of protobuf: one object, an array, or JSON lines; or messages of
/// the stream, whose `identifier` says who sends them. Prints the lines, and sends nothing. docs/mesh.md describes the rules.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Explain {
    #[command(flatten)]
    files: Files,
    /// File with entries; default: standard input.
    #[arg(long, value_name = "FILE")]
    entries: Option<PathBuf>,
    /// The id of the node that sends entries without an identifier; of Kuma, MESH.DATAPLANE.
    #[arg(long, value_name = "ID", default_value = "")]
    node_id: String,
    /// The cluster of that node; of Kuma, the service.
    #[arg(long, value_name = "NAME", default_value = "")]
    node_cluster: String,
    /// Print one line of JSON for each entry: listener, policies, lines.
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Examples:
  logphase explain examples/mesh/mesh.yml < examples/mesh/entries.ndjson
  logphase explain mesh.yml --node-id default.web-1 --node-cluster web --entries entries.ndjson

Exit codes:
  0   every entry is explained
  1   an entry cannot be read
  2   the command line is invalid
  74  a file cannot be read
  78  the configuration is invalid, or has no policies of a mesh";

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
