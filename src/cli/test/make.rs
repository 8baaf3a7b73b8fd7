//! Makes a test file of what somebody tries in the playground, with the present messages as its expectations.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::bless::{self, EditMode};
use super::judge::judge;
use super::{execute, file};
use crate::admin;
use crate::dry_run::playground::{Request, Setup};
use crate::dry_run::{DryRun, Ran};
use crate::entity::Plugin;
use logphase_config::diagnostic::SourceFile;
use logphase_config::document::{self, Node};
use logphase_script::Clock;

/// Members of a plugin that say for what it runs: in a test it runs for every transaction.
const SCOPE: [&str; 10] =
    ["id", "route", "service", "consumer", "consumer_group", "model", "api", "created_at", "updated_at", "enabled"];

/// The test file of `request`, as JSON: its name and its text; or why there is none.
pub(in crate::cli) fn made_of(request: &Request, clock: &Arc<Clock>) -> Vec<u8> {
    let answer = match made(request, clock) {
        Ok((file, text)) => json!({"file": file, "text": text}),
        Err((message, diagnostics)) => json!({"message": message, "diagnostics": diagnostics}),
    };
    answer.to_string().into_bytes()
}

/// Why there is no test: a message, and the diagnostics.
type NotMade = (String, Vec<Value>);

fn made(request: &Request, clock: &Arc<Clock>) -> Result<(String, String), NotMade> {
    let because = |message: &str| (message.to_owned(), Vec::new());
    let (setup, diagnostics) = Setup::new(request);
    let Ok(mut setup) = setup else {
        return Err(("the configuration has mistakes: correct them first".to_owned(), diagnostics));
    };
    let Some(transaction) = std::mem::take(&mut setup.transactions).into_iter().next() else {
        return Err(("there is no transaction that can be read".to_owned(), diagnostics));
    };
    let unable = |error: crate::dry_run::Unable| because(&error.to_string());
    let ran = DryRun::with_clock(&setup.program, clock).map_err(unable)?.run(transaction);
    let name = request.test.as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or("playground");
    let text = without_expectation(request, &setup, &ran, name).ok_or_else(|| because("no plugin applies"))?;
    let path = format!("{}_test.yaml", file_name(name));
    let source = SourceFile::new(path.as_str(), text.as_str());
    let (suite, found) = file::read(Path::new(&path), &source);
    let Some(suite) = suite else {
        let first = found.iter().find(|one| one.is_error()).map(|one| one.message.clone()).unwrap_or_default();
        return Err(because(&format!("the plugins cannot be tested on their own: {first}")));
    };
    let test = &suite.tests[0];
    let results = execute(&suite, test, &mut DryRun::with_clock(&suite.program, clock).map_err(unable)?);
    let text = bless::rewrite(&text, &suite.program, test, &results, EditMode::Replace);
    let differs = "the messages differ from run to run: a snippet uses the time or something random";
    let text = text.filter(|text| passes(&path, text, clock)).ok_or_else(|| because(differs))?;
    Ok((path, text))
}

/// Whether the test in `text` passes.
fn passes(path: &str, text: &str, clock: &Arc<Clock>) -> bool {
    let (Some(suite), _) = file::read(Path::new(path), &SourceFile::new(path, text)) else { return false };
    let Ok(mut dry_run) = DryRun::with_clock(&suite.program, clock) else { return false };
    suite.tests.iter().all(|test| judge(test, &execute(&suite, test, &mut dry_run)).is_empty())
}

/// A name of a file for the test `name`.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' };
    name.chars().take(60).map(plain).collect()
}

/// The test file with the plugins that apply to the transaction; `None` if none does.
fn without_expectation(request: &Request, setup: &Setup, ran: &Ran, name: &str) -> Option<String> {
    let source = SourceFile::new("configuration", request.configuration.as_str());
    let root = document::parse(&source, None).0;
    let plugins: Vec<Value> = ran
        .outcomes
        .iter()
        .map(|outcome| as_written(&setup.program.steps[outcome.step].plugin, root.as_ref()))
        .collect();
    let transaction: Value = serde_json::from_slice(ran.transaction.bytes()).ok()?;
    let file = json!({"plugins": plugins, "tests": [{"name": name, "transaction": transaction}]});
    (!plugins.is_empty()).then(|| {
        format!(
            "# Made in the playground of Logphase's page. To run it: logphase test FILE\n{}",
            admin::to_readable_yaml(&file)
        )
    })
}

/// `plugin` as the configuration has it, for every transaction.
fn as_written(plugin: &Plugin, root: Option<&Node>) -> Value {
    let at = plugin.origin.place().map(|place| place.span.start);
    let node = at.zip(root).and_then(|(at, root)| innermost(root, at, plugin.definition.name));
    let given = node.map(Node::to_json);
    let mut members = match given {
        Some(Value::Object(members)) => members,
        _ => {
            let mut members = Map::new();
            members.insert("name".to_owned(), plugin.definition.name.into());
            if let Some(instance) = &plugin.instance_name {
                members.insert("instance_name".to_owned(), instance.as_str().into());
            }
            members.insert("config".to_owned(), plugin.config.clone());
            members
        }
    };
    members.retain(|name, _| !SCOPE.contains(&&**name));
    Value::Object(members)
}

/// The innermost mapping around the byte `at` that is the plugin `name`.
fn innermost<'a>(node: &'a Node, at: usize, name: &str) -> Option<&'a Node> {
    let inner = match (node.items(), node.entries()) {
        (Some(items), _) => items.iter().find_map(|item| innermost(item, at, name)),
        (_, Some(entries)) => entries.iter().find_map(|(_, value)| innermost(value, at, name)),
        _ => None,
    };
    let is_it = || node.get("name").and_then(Node::as_str) == Some(name) && node.span().contains(&at);
    inner.or_else(|| is_it().then_some(node))
}
