mod ordered;
mod plan;
mod replay;
mod run;
mod tap;
mod turns;
mod workers;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::declarative::{self, ReadOptions};
use crate::entity::Configuration;
use crate::settings::Settings;
use logphase_config::diagnostic::{SourceFile, any_error};
use logphase_script::transaction::{Limits, Transaction};

fn configuration(text: &str) -> Configuration {
    let files = [SourceFile::new("kong.yaml", text)];
    let (configuration, diagnostics) = declarative::read(&files, ReadOptions { select_tags: &[], env: &|_| None });
    assert!(!any_error(&diagnostics), "{text}: {diagnostics:?}");
    configuration
}

/// Settings with which no harmless snippet is stopped, even on a busy machine.
fn patient() -> Settings {
    let mut settings = Settings::default();
    settings.lua.deadline_ms = 20_000.0;
    settings
}

fn program(text: &str, settings: &Settings) -> Arc<Program> {
    Arc::new(Program::build(&configuration(text), settings).expect("valid snippets"))
}

fn transaction(value: &Value) -> Transaction {
    Transaction::parse(Bytes::from(value.to_string()), &Limits::default()).expect("a valid transaction")
}

/// The labels of the steps of `plan`.
fn labels(program: &Program, plan: &[usize]) -> Vec<String> {
    plan.iter().map(|&step| program.steps[step].label.to_string()).collect()
}

/// The snippets of `registry`: the field, the instance name of the plugin, and the errors of each.
fn registered(registry: &SnippetRegistry) -> Vec<(String, Option<String>, u64)> {
    let mut snippets = Vec::new();
    registry
        .each(|key, instance, totals| snippets.push((key.field.clone(), instance.map(str::to_owned), totals.errors())));
    snippets
}

/// Scenario: the totals of a program are committed, and a snippet fails once; then a program with another instance name and
/// another snippet is prepared and committed.
/// Guarantees: preparation does not change the registry; the commit adds new names and snippets, and counts continue.
#[test]
fn totals_are_prepared_then_committed() {
    let registry = SnippetRegistry::default();
    let build = |instance: &str, fields: &str| {
        let plugin = format!(
            "{{id: a5b0ab54-0a3e-4b56-b0a4-8e5c4a0d9f01, name: file-log, instance_name: {instance}, config: {{path: /x, {fields}}}}}"
        );
        let configuration = configuration(&format!("_format_version: '3.0'\nplugins: [{plugin}]"));
        Program::build(&configuration, &Settings::default()).expect("valid snippets")
    };
    let first = build("old", "custom_fields_by_lua: {a: return 1}");
    first.prepare_totals(&registry);
    assert_eq!(registered(&registry), []);
    first.commit_totals(&registry);
    assert_eq!(first.steps[0].breakers()[0].record_failure(), Some(1));
    let before = [("a".to_owned(), Some("old".to_owned()), 1)];
    assert_eq!(registered(&registry), before);
    let second = build("new", "custom_fields_by_lua: {a: return 1, b: return 2}");
    second.prepare_totals(&registry);
    assert_eq!(registered(&registry), before);
    second.commit_totals(&registry);
    let new = Some("new".to_owned());
    assert_eq!(registered(&registry), [("a".to_owned(), new.clone(), 1), ("b".to_owned(), new, 0)]);
    assert_eq!(second.steps[0].breakers()[0].totals().errors(), 1);
}
