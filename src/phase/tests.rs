mod ordered;
mod plan;
mod run;
mod tap;
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

/// Settings under which no honest snippet is stopped, however busy the machine is.
fn patient() -> Settings {
    let mut settings = Settings::default();
    settings.lua.deadline_ms = 20_000.0;
    settings
}

fn program(text: &str, settings: &Settings) -> Arc<Program> {
    Arc::new(Program::build(&configuration(text), settings).expect("sound snippets"))
}

fn transaction(value: &Value) -> Transaction {
    Transaction::parse(Bytes::from(value.to_string()), &Limits::default()).expect("a sound transaction")
}

/// The labels of the steps of `plan`.
fn labels(program: &Program, plan: &[usize]) -> Vec<String> {
    plan.iter().map(|&step| program.steps[step].label.to_string()).collect()
}

/// What `registry` shows: for each snippet its field, the instance name of its plugin, and its errors.
fn shown(registry: &SnippetRegistry) -> Vec<(String, Option<String>, u64)> {
    let mut shown = Vec::new();
    registry
        .each(|key, instance, totals| shown.push((key.field.clone(), instance.map(str::to_owned), totals.errors())));
    shown
}

/// Scenario: a program that failed once is followed by one with another instance name and another snippet, which is
/// prepared, and later committed.
/// Guarantees: preparing changes nothing that is shown; committing shows the new names and snippets, and counts go on.
#[test]
fn totals_are_prepared_then_committed() {
    let registry = SnippetRegistry::default();
    let build = |instance: &str, fields: &str| {
        let plugin = format!(
            "{{id: a5b0ab54-0a3e-4b56-b0a4-8e5c4a0d9f01, name: file-log, instance_name: {instance}, config: {{path: /x, {fields}}}}}"
        );
        let configuration = configuration(&format!("_format_version: '3.0'\nplugins: [{plugin}]"));
        Program::build(&configuration, &Settings::default()).expect("sound snippets")
    };
    let mut first = build("old", "custom_fields_by_lua: {a: return 1}");
    first.prepare_totals(&registry);
    assert_eq!(shown(&registry), []);
    first.commit_totals(&registry);
    assert_eq!(first.steps[0].breakers[0].record_failure(), Some(1));
    let before = [("a".to_owned(), Some("old".to_owned()), 1)];
    assert_eq!(shown(&registry), before);
    let mut second = build("new", "custom_fields_by_lua: {a: return 1, b: return 2}");
    second.prepare_totals(&registry);
    assert_eq!(shown(&registry), before);
    second.commit_totals(&registry);
    let new = Some("new".to_owned());
    assert_eq!(shown(&registry), [("a".to_owned(), new.clone(), 1), ("b".to_owned(), new, 0)]);
    assert_eq!(second.steps[0].breakers[0].totals().errors(), 1);
}
