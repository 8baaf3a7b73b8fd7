//! `logphase schema`: JSON Schemas for editors.

use clap::{Args, ValueEnum};

use super::{Exit, pretty, say, test};
use crate::settings::Settings;
use crate::{declarative, mesh};

/// Print the JSON Schema of a kind of file, for editors that complete and check YAML.
///
/// The schemas are made of the definitions that the program checks by. What a schema cannot say, such as whether a snippet compiles, is
/// left to `logphase check`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Schema {
    /// The kind of file.
    kind: Kind,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Kong's declarative configuration, with the plugins that run here.
    Kong,
    /// Logphase's own settings, logphase.yml.
    Settings,
    /// Files of `logphase test`.
    Tests,
    /// Resources of a mesh: Mesh, TrafficLog, MeshAccessLog.
    Mesh,
}

const HELP: &str = "\
Examples:
  logphase schema kong > kong.schema.json
  logphase schema settings > logphase.schema.json

The first line of a file that an editor with the YAML language server is to check:
  # yaml-language-server: $schema=kong.schema.json";

/// Prints the schema.
pub(super) fn run(arguments: &Schema) -> Exit {
    let schema = match arguments.kind {
        Kind::Kong => declarative::json_schema(),
        Kind::Settings => Settings::json_schema(),
        Kind::Tests => test::json_schema(),
        Kind::Mesh => mesh::json_schema(),
    };
    say(&pretty::pretty(schema.to_string().as_bytes()));
    Exit::Done
}
