//! `tests/fixtures/bad-plugins.yml`: a configuration for each error that is reported.
//!
//! `BLESS=1 cargo test --lib refusals` writes the actual fields and problems to the file.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use super::{Certificate, SinkShared, find, read, sink_context};
use logphase_config::diagnostic::{SourceFile, any_error};
use logphase_config::document;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bad-plugins.yml");

/// A configuration that must be refused.
#[derive(Deserialize)]
struct Bad {
    plugin: String,
    config: Value,
    /// The certificate that the configuration refers to.
    certificate: Option<Pem>,
    /// What refuses it.
    by: By,
    /// The field below `config`; empty for the whole `config`.
    #[serde(default)]
    field: String,
    #[serde(default)]
    problem: String,
}

#[derive(Deserialize)]
struct Pem {
    cert: String,
    key: String,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum By {
    /// The plugin's schema.
    Schema,
    /// The sink; the schema accepts the configuration.
    Sink,
}

fn table() -> (String, Vec<Bad>) {
    let text = std::fs::read_to_string(FILE).expect("the table is part of the project");
    let (node, diagnostics) = document::parse(&SourceFile::new("bad-plugins.yml", &text), None);
    assert!(!any_error(&diagnostics), "{diagnostics:?}");
    let rows = serde_json::from_value(node.expect("a document").to_json()).expect("rows");
    (text, rows)
}

/// The field and the problem for which `bad` is refused; an error if that is not exactly one.
fn refusal(bad: &Bad) -> Result<(String, String), String> {
    let definition = find(&bad.plugin).ok_or("no such plugin")?;
    let (config, diagnostics) = read(definition, &bad.config.to_string());
    if bad.by == By::Schema {
        let [only] = &diagnostics[..] else { return Err(format!("{diagnostics:?}")) };
        let path = only.path.clone().unwrap_or_default();
        return Ok((path.trim_start_matches("config").trim_start_matches('.').to_owned(), only.message.clone()));
    }
    if any_error(&diagnostics) {
        return Err(format!("refused by the schema: {diagnostics:?}"));
    }
    let certificate = bad.certificate.as_ref().map(|pem| Certificate { cert: &pem.cert, key: &pem.key });
    let context = sink_context(certificate);
    let config = definition.sink_config(&config, &context);
    let errors = definition.validate(&config, &SinkShared::new(None)).err().unwrap_or_default();
    let [only] = &errors[..] else { return Err(format!("{errors:?}")) };
    Ok((only.field.clone(), only.problem.clone()))
}

/// Scenario: a table of configurations, at least one for each error of each sink, and some that the schema refuses.
/// Guarantees: each is refused for one reason, with the field and the problem in the table.
#[test]
fn bad_configurations_are_refused_by_field() {
    let (text, rows) = table();
    assert!(rows.iter().filter(|bad| bad.by == By::Sink).count() >= 60);
    assert!(rows.iter().filter(|bad| bad.by == By::Schema).count() >= 20);
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for bad in &rows {
        let row = format!("{} {}", bad.plugin, bad.config);
        match refusal(bad) {
            Ok(refusal) => found.push(refusal),
            Err(instead) => wrong.push(format!("{row}: {instead}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(FILE, blessed(&text, &found)).expect("the table can be written");
        return;
    }
    for (bad, (field, problem)) in rows.iter().zip(&found) {
        assert_eq!((&bad.field, &bad.problem), (field, problem), "{} {}", bad.plugin, bad.config);
    }
}

/// `text` with the fields and problems in `found`. They are the last lines of a row.
fn blessed(text: &str, found: &[(String, String)]) -> String {
    let (mut out, mut found) = (String::new(), found.iter());
    for line in text.lines().filter(|line| !line.starts_with("  field:") && !line.starts_with("  problem:")) {
        writeln!(out, "{line}").expect("a string takes all");
        if line.starts_with("  by:") {
            let (field, problem) = found.next().expect("one for each row");
            let quoted = |text: &str| Value::from(text).to_string();
            write!(out, "  field: {}\n  problem: {}\n", quoted(field), quoted(problem)).expect("a string takes all");
        }
    }
    out
}
