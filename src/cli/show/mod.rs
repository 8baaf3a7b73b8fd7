//! `logphase show`: the configuration as a service would serve it.

mod graph;
mod outputs;
mod plans;
mod settings;

use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::arguments::Files;
use super::{Exit, complain, pretty, say, show};
use crate::admin;
use crate::phase::{Planner, Program};
use crate::service::{ConfigFiles, Effective};
use logphase_io::printable;
use outputs::{Input, Output};
use plans::{Plans, Row};

/// Show the effective configuration: settings with their origin, entities, and the plugins of each route.
///
/// Prints what `run` would serve with these files, this environment and this database: each setting with its value and where that
/// comes from; the entities with all defaults; and for each route the plugins in execution order, with their queues and destinations.
/// Secrets are masked. Opens no queue and connects to nothing.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Show {
    #[command(flatten)]
    files: Files,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Show only this part; repeatable. Graphs are of the plans.
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// Show only settings that a file or a variable gives.
    #[arg(long)]
    changed: bool,
    /// Show only the plans of this route, by name or id.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Show the plans for transactions of this consumer, by username or id; by default those without one.
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
}

/// How `show` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables, and entities as YAML.
    Text,
    /// One object: settings, entities, plans, outputs, inputs.
    Json,
    /// What a transaction passes, as a tree: inputs, routes, plugins in execution order, queues, destinations.
    Graph,
    /// The same for Graphviz: logphase show --format dot | dot -Tsvg.
    Dot,
}

/// A part of what `show` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Settings.
    Settings,
    /// Services, routes, consumers, plugins and so on.
    Entities,
    /// Which plugins run for each route.
    Plans,
}

const HELP: &str = "\
Examples:
  logphase show kong.yml
  logphase show --only settings --changed
  logphase show --only plans --route orders --consumer alice kong.yml
  logphase show --format json kong.yml | jq .plans
  logphase show --format dot kong.yml | dot -Tsvg > plan.svg

Exit codes:
  0   the configuration is valid
  1   there is no such route or consumer
  2   the command line is invalid
  74  a file cannot be read
  78  the configuration or the settings are invalid";

/// What is shown.
struct Shown {
    program: Arc<Program>,
    /// The settings, masked.
    settings: Vec<settings::Setting>,
    /// The entities, masked.
    entities: Value,
    inputs: Vec<Input>,
    /// The output of each step; none for a plugin that emits nothing.
    outputs: Vec<Option<Output>>,
    /// Where lines of access logs of meshes go.
    mesh_outputs: Vec<Output>,
    plans: Plans,
}

/// Prints the configuration.
pub(super) fn run(arguments: &Show) -> Exit {
    let files = ConfigFiles::from(arguments.files.clone());
    let effective = match Effective::read(&files) {
        Ok(effective) => effective,
        Err(diagnostics) => {
            show(&diagnostics);
            return Exit::of(&diagnostics);
        }
    };
    show(effective.prepared.warnings());
    let shown = match shown(effective, &files, arguments) {
        Ok(shown) => shown,
        Err(message) => {
            complain(&format!("error: {message}\n"));
            return Exit::Incomplete;
        }
    };
    let parts: &[Part] =
        if arguments.only.is_empty() { &[Part::Settings, Part::Entities, Part::Plans] } else { &arguments.only };
    let text = match arguments.format {
        Format::Text => text(&shown, parts),
        Format::Json => pretty::printable_pretty(json(&shown, parts).to_string().as_bytes()),
        Format::Graph => graph::text(&shown),
        Format::Dot => graph::dot(&shown),
    };
    say(printable::lines(&text).as_bytes());
    Exit::Done
}

fn shown(effective: Effective, files: &ConfigFiles, arguments: &Show) -> Result<Shown, String> {
    let Effective { prepared, entities } = effective;
    let configuration = prepared.configuration();
    let selected = plans::select(configuration, arguments.route.as_deref(), arguments.consumer.as_deref())?;
    let outputs: Vec<Option<Output>> =
        prepared.program().steps.iter().map(|step| Output::of(&prepared, step)).collect();
    let mesh_outputs = prepared.mesh_outputs().iter().map(|spec| Output::of_mesh(spec)).collect();
    let inputs = outputs::inputs(prepared.settings());
    let mut settings = settings::all(files, &arguments.files);
    settings.retain(|setting| !arguments.changed || setting.is_given());
    let (program, _) = prepared.into_program();
    let program = Arc::new(program);
    let plans = selected.plans(&Planner::new(program.clone()));
    let entities = without_nulls(entities);
    Ok(Shown { program, settings, entities, inputs, outputs, mesh_outputs, plans })
}

/// `value` without members that are null, which mean what is absent.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            members.map(|(name, value)| (name, without_nulls(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        scalar => scalar,
    }
}

fn text(shown: &Shown, parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Settings => format!("# Settings\n\n{}", settings::text(&shown.settings)),
        Part::Entities => format!("# Entities\n\n{}", admin::to_yaml(&shown.entities)),
        Part::Plans => format!("# Plans\n\n{}", plans::text(shown)),
    };
    parts.iter().map(part).collect::<Vec<_>>().join("\n")
}

fn json(shown: &Shown, parts: &[Part]) -> Value {
    let mut all = Map::new();
    for part in parts {
        match part {
            Part::Settings => {
                all.insert("settings".to_owned(), settings::json(&shown.settings));
            }
            Part::Entities => {
                all.insert("entities".to_owned(), shown.entities.clone());
            }
            Part::Plans => {
                let plan = |row: &Row| row.json(shown);
                all.insert("inputs".to_owned(), shown.inputs.iter().map(Input::json).collect());
                all.insert("plans".to_owned(), shown.plans.rows.iter().map(plan).collect());
                let outputs = outputs::distinct(shown).into_iter().map(Output::json);
                all.insert("outputs".to_owned(), outputs.collect());
            }
        }
    }
    json!(all)
}
