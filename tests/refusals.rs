//! `run`, `check`, `try` and a reload refuse the same configurations, with the same messages.

use std::path::Path;

use logphase_config::diagnostic::SourceFile;
use logphase_config::document;
use serde_json::{Value, json};

use crate::service::{Home, Signal, ask, free_port, wait_until};

/// A row of `tests/fixtures/bad-plugins.yml`.
struct Bad {
    plugin: String,
    /// The whole file, one value per line.
    file: String,
    field: String,
    config: Value,
}

/// Configurations that the fields of plugins or their sinks refuse.
fn table() -> Vec<Bad> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bad-plugins.yml");
    let text = std::fs::read_to_string(path).unwrap();
    let (node, _) = document::parse(&SourceFile::new("bad-plugins.yml", &text), None);
    let Value::Array(rows) = node.unwrap().to_json() else { panic!("rows") };
    rows.iter().map(bad).collect()
}

fn bad(row: &Value) -> Bad {
    let plugin = row["plugin"].as_str().unwrap().to_owned();
    let mut file = json!({"_format_version": "3.0", "plugins": [{"name": plugin, "config": row["config"]}]});
    if let Some(certificate) = row.get("certificate") {
        let config = &row["config"];
        let id = [&config["client_certificate"]["id"], &config["security"]["certificate_id"]];
        let id = id.into_iter().find(|id| id.is_string()).expect("an id");
        file["certificates"] = json!([{"id": id, "cert": certificate["cert"], "key": certificate["key"]}]);
    }
    let file = serde_json::to_string_pretty(&file).unwrap();
    let field = row["field"].as_str().unwrap_or_default().to_owned();
    Bad { plugin, file, field, config: row["config"].clone() }
}

/// The name of the innermost existing member of `config` on the path `path` (like `headers.X-Key` or `redact[0].header`);
/// `config` if there is none.
fn nearest<'a>(config: &Value, path: &'a str) -> &'a str {
    let (mut value, mut name) = (config, "config");
    for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
        let element = part.strip_suffix(']').and_then(|index| index.parse::<usize>().ok());
        let next = match element {
            Some(index) => value.get(index),
            None => value.get(part),
        };
        let Some(next) = next else { break };
        name = if element.is_some() { name } else { part };
        value = next;
    }
    name
}

/// Scenario: `check`, `run` and `try` with each of a hundred invalid configurations: one for each refusal of every sink, and
/// some that the schema refuses.
/// Guarantees: all three exit with code 78 and print the same findings; the caret is at the invalid field or its nearest
/// existing parent, not at the plugin's name.
#[test]
fn commands_refuse_the_same() {
    let home = Home::new();
    let table = table();
    assert!(table.len() >= 60, "{} configurations", table.len());
    for Bad { plugin, file, field, config } in &table {
        home.write("kong.yml", file);
        let check = home.run(&["check", "kong.yml"], b"");
        let run = home.run(&["run", "kong.yml"], b"");
        let tried = home.run(&["try", "kong.yml"], b"{}");
        assert_eq!((check.code(), run.code(), tried.code()), (78, 78, 78), "{file}\n{}\n{}", check.stdout, run.stderr);
        // `check` ends with where more is said about the first error.
        let (findings, _) = check.stdout.rsplit_once("`logphase explain K").unwrap();
        assert_eq!(findings, run.stderr, "{file}");
        assert_eq!(findings, tried.stderr, "{file}");
        let short = home.run(&["check", "kong.yml", "--format", "short"], b"").stdout;
        let line: usize =
            short.split(':').nth(1).and_then(|line| line.parse().ok()).unwrap_or_else(|| panic!("{short}"));
        let shown = file.lines().nth(line - 1).unwrap();
        assert!(!shown.contains("\"name\":"), "the caret for {field} of {plugin} is on its name:\n{}", check.stdout);
        // The value of a list or map may begin on the line after its key.
        let near = file.lines().skip(line.saturating_sub(2)).take(2).any(|line| line.contains(nearest(config, field)));
        assert!(near || field.is_empty(), "the caret for {field} of {plugin} is on another line:\n{}", check.stdout);
    }
}

/// Scenario: a running service reloads each of the same configurations on SIGHUP.
/// Guarantees: each is refused with the line that `check --format short` prints, and none counts as a successful reload.
#[test]
fn reloads_refuse_the_same() {
    let status = free_port();
    let home =
        Home::new().set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}")).set("LOGPHASE_RELOAD_WATCH", "false");
    home.write("kong.yml", "_format_version: '3.0'\n");
    let service = home.start();
    let reloads = || -> Value {
        let (_, _, body) = ask(status, "GET", "/status", "");
        serde_json::from_str::<Value>(&body).unwrap()["reloads"].clone()
    };
    for (number, Bad { file, .. }) in table().iter().enumerate() {
        service.home.write("kong.yml", file);
        let short = service.home.run(&["check", "kong.yml", "--format", "short"], b"").stdout;
        let expected: Vec<_> = short.lines().filter(|line| line.contains(": error[")).collect();
        service.signal(Signal::HUP);
        wait_until("the reload is refused", || reloads()["refused"] == json!(number + 1));
        let reloads = reloads();
        let error = reloads["last_error"].as_str().unwrap_or_default();
        assert_eq!(error.lines().take(expected.len()).collect::<Vec<_>>(), expected, "{file}");
        assert_eq!(reloads["applied"], json!(0));
    }
}
