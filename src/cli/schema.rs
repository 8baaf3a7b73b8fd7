//! `logphase schema`: JSON Schemas of files, and types of what snippets can call, for editors.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, ValueEnum};
use logphase_script::catalogue::{luals, luau};

use super::arguments::Arguments;
use super::{Exit, complain, pretty, say, test};
use crate::settings::Settings;
use crate::{declarative, mesh};

/// Print the JSON Schema of a kind of file, or the types of what snippets can call, for editors that complete and check.
///
/// The schemas are made of the definitions that the program checks by. What a schema cannot say, such as whether a snippet compiles, is
/// left to `logphase check`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Schema {
    /// The kind of file.
    kind: Kind,
    /// With `lua`: the language server that the types are for.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// With `lua`: write the files into this directory, which must exist. For `luals`, they include one for each module.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Kong's declarative configuration, with the plugins that run here.
    Kong,
    /// Logphase's own settings, logphase.yml.
    Settings,
    /// Files of `logphase test`.
    Tests,
    /// Resources of a mesh: Mesh, TrafficLog, MeshAccessLog.
    Mesh,
    /// Types of what snippets can call: `kong`, `ngx`, modules.
    Lua,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Stubs for lua-language-server and EmmyLua.
    #[default]
    Luals,
    /// A definition file for luau-lsp.
    Luau,
}

const HELP: &str = "\
Examples:
  logphase schema kong > kong.schema.json
  logphase schema settings > logphase.schema.json
  logphase schema lua --directory stubs
  logphase schema lua --format luau > logphase.d.luau

The first line of a file that an editor with the YAML language server is to check:
  # yaml-language-server: $schema=kong.schema.json";

/// Prints the schema, or prints or writes the types.
pub(super) fn run(arguments: &Schema) -> Exit {
    let schema = match arguments.kind {
        Kind::Kong => declarative::json_schema(),
        Kind::Settings => Settings::json_schema(),
        Kind::Tests => test::json_schema(),
        Kind::Mesh => mesh::json_schema(),
        Kind::Lua => return types(arguments),
    };
    if arguments.directory.is_some() {
        let text = "--directory belongs to `schema lua`; a JSON Schema goes to the standard output";
        Arguments::command().error(ErrorKind::ArgumentConflict, text).exit();
    }
    say(&pretty::pretty(schema.to_string().as_bytes()));
    Exit::Done
}

/// The types of what snippets can call.
fn types(arguments: &Schema) -> Exit {
    let files = match arguments.format {
        Format::Luals => luals::files(),
        Format::Luau => vec![luals::File { name: "logphase.d.luau".to_owned(), text: luau::definitions() }],
    };
    let Some(directory) = &arguments.directory else {
        // The first file has the names of the environment.
        files.first().inspect(|file| say(file.text.as_bytes()));
        return Exit::Done;
    };
    let write = |file: &luals::File| write(&directory.join(&file.name), &file.text);
    files.iter().map(write).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done)
}

fn write(path: &Path, text: &str) -> Exit {
    match std::fs::write(path, text) {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&format!("error: cannot write {}: {error}; name a directory that exists\n", path.display()));
            Exit::Unavailable
        }
    }
}
