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
