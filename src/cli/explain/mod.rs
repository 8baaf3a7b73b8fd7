//! `logphase explain`: what a code of a diagnostic means, or which policies of a mesh apply to entries of Envoy, and why.

mod code;
mod mesh;

use std::path::{Path, PathBuf};

use clap::Args;

use super::Exit;
use super::arguments::Files;

/// Explain the code of an error or warning, or which policies of a mesh apply to an entry of Envoy.
///
/// With codes such as K0102, prints what each means, with a file that has the mistake and the same file without it.
///
/// With files of a mesh, says which policies and backends an access log entry goes to, and why. Entries are those of Envoy's access
/// log service in the JSON form of protobuf: one object, an array, or JSON lines; or messages of the stream, whose `identifier` says
/// who sends them. Prints the lines, and sends nothing. docs/mesh.md describes the rules.
#[derive(Debug, Args)]
#[command(after_help = HELP, override_usage = "logphase explain CODE...\n       logphase explain [OPTIONS] [CONFIG]...")]
pub(super) struct Explain {
    #[command(flatten)]
    files: Files,
    /// List all codes.
    #[arg(long, conflicts_with_all = ["config", "entries"])]
    codes: bool,
    /// File with entries; default: standard input.
    #[arg(long, value_name = "FILE")]
    entries: Option<PathBuf>,
    /// The id of the node that sends entries without an identifier; of Kuma, MESH.DATAPLANE.
    #[arg(long, value_name = "ID", default_value = "")]
    node_id: String,
    /// The cluster of that node; of Kuma, the service.
    #[arg(long, value_name = "NAME", default_value = "")]
    node_cluster: String,
    /// Print one line of JSON for each code (code, title, text, example), or for each entry (listener, policies, lines).
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Examples:
  logphase explain K0102
  logphase explain --codes
  logphase explain examples/mesh/mesh.yml < examples/mesh/entries.ndjson
  logphase explain mesh.yml --node-id default.web-1 --node-cluster web --entries entries.ndjson

Exit codes:
  0   every code or entry is explained
  1   there is no such code, or an entry cannot be read
  2   the command line is invalid
  74  a file cannot be read
  78  the configuration is invalid, or has no policies of a mesh";

/// Explains codes, or entries.
pub(super) fn run(arguments: &Explain) -> Exit {
    if arguments.codes {
        return code::list(arguments.json);
    }
    let named = &arguments.files.config;
    // A file can have any name.
    if named.iter().any(|name| is_code(name) && !name.exists()) {
        return code::explain(named, arguments.json);
    }
    mesh::run(arguments)
}

/// Whether `name` has the form of a code: K and four digits.
fn is_code(name: &Path) -> bool {
    let digits = name.to_str().and_then(|name| name.strip_prefix(['K', 'k']));
    digits.is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}
