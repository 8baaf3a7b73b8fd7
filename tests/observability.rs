//! The alert rules and the dashboard in observability/.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::service::{Client, Home, configuration, free_port, transaction};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("observability")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// Runs promtool on a file of the folder; it must succeed.
#[track_caller]
fn promtool(arguments: &[&str]) {
    let ran = Command::new("promtool").args(arguments).current_dir(folder()).output();
    let output = ran.expect("promtool is installed by .ci/tools");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The rules, each with its lines.
fn rules() -> Vec<(String, String)> {
    let text = text("alerts.yml");
    let rules = text.split("- alert: ").skip(1);
    rules.map(|rule| (rule.lines().next().unwrap_or_default().trim().to_owned(), rule.to_owned())).collect()
}

/// Scenario: promtool reads the rules and runs their tests.
/// Guarantees: the rules are valid; each fires when it should and is silent when it should be, with at least one case
/// of each.
#[test]
fn alerts_fire_when_they_should() {
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["test", "rules", "alerts_test.yml"]);
    let tests = text("alerts_test.yml");
    for (name, _) in rules() {
        let expr = format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"}}");
        let fires = format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\",");
        assert!(tests.contains(&fires), "{name} fires in no test");
        let silent = tests.lines().any(|line| line.contains(&expr) && line.contains("exp_samples: []"));
        assert!(silent, "{name} is silent in no test");
    }
}

/// Scenario: an alert notifies an operator.
/// Guarantees: each alert has a summary, a description, a severity and a runbook that exists; the command in the file makes a
/// link of every runbook.
#[test]
fn alerts_say_what_to_do() {
    let command =
        text("alerts.yml").lines().find_map(|line| line.split_once("sed -i ").map(|(_, rest)| rest.to_owned()));
    let command = command.expect("the file says how");
    assert!(include_str!("../docs/operations.md").contains(&command), "{command}");
    let parts: Vec<&str> = command.split('|').collect();
    let linked = text("alerts.yml").replace(parts[1], parts[2]);
    let urls = linked.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: "));
    assert!(urls.clone().count() >= 16 && urls.clone().all(|url| url.starts_with("https://")), "{linked}");
    let rules = rules();
    assert!(rules.len() >= 16, "{}", rules.len());
    let runbooks = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let runbooks = std::fs::read_to_string(runbooks).unwrap();
    for (name, rule) in rules {
        for part in ["summary: ", "description: ", "severity: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        let runbook = format!("runbook_url: docs/operations.md#{}\n", name.to_lowercase());
        assert!(rule.contains(&runbook), "{name}: {runbook}");
        assert!(runbooks.contains(&format!("\n### {name}\n")), "docs/operations.md has nothing on {name}");
    }
}

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&text("dashboard.json")).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

/// Scenario: Grafana imports the dashboard.
/// Guarantees: panel ids are unique, no panel overlaps another, and each has a description.
#[test]
fn the_dashboard_is_laid_out() {
    let (mut ids, mut fields) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{title}");
        for field in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(fields.insert(field), "{title} lies on another panel");
        }
        if panel["type"] != "row" {
            assert!(!panel["description"].as_str().unwrap().is_empty(), "{title}");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
        }
    }
}

/// Scenario: Prometheus parses the dashboard's expressions with its variables replaced.
/// Guarantees: each is valid.
#[test]
fn the_dashboard_asks_soundly() {
    let filled = |expr: &str| {
        [("$__rate_interval", "5m"), ("$__range", "3h"), ("$instance", ".*"), ("$plugin", ".*")]
            .iter()
            .fold(expr.to_owned(), |expr, (name, value)| expr.replace(name, value))
    };
    let panels = panels();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let rules: Vec<Value> =
        targets.map(|target| json!({"record": "a:b", "expr": filled(target["expr"].as_str().unwrap())})).collect();
    assert!(rules.len() > 30 && !rules.iter().any(|rule| rule["expr"].as_str().unwrap().contains('$')));
    // One group for each rule: two rules of a group may not record the same name.
    let groups: Vec<Value> =
        rules.into_iter().enumerate().map(|(at, rule)| json!({"name": at.to_string(), "rules": [rule]})).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.yml");
    std::fs::write(&path, json!({"groups": groups}).to_string()).unwrap();
    promtool(&["check", "rules", path.to_str().unwrap()]);
}

/// The metrics that an expression names, and the labels that it selects or groups by.
fn named_in(expr: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut metrics, mut labels) = (BTreeSet::new(), BTreeSet::new());
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    for (at, _) in expr.match_indices("logphase_") {
        metrics.insert(expr[at..].chars().take_while(|character| word(*character)).collect());
    }
    for (open, _) in expr.match_indices('{') {
        let selected = expr[open + 1..].split('}').next().unwrap_or_default();
        let names = selected.split(',').filter_map(|pair| pair.split(['=', '!', '~']).next());
        labels.extend(names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()));
    }
    for clause in ["by (", "without ("] {
        for (at, _) in expr.match_indices(clause) {
            let names = expr[at + clause.len()..].split(')').next().unwrap_or_default();
            labels.extend(names.split(',').map(|name| name.trim().to_owned()));
        }
    }
    (metrics, labels)
}

/// Every expression of the rules and the dashboard, with its legend if it has one.
fn expressions() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (_, rule) in rules() {
        let expr = rule.split_once("expr: ").unwrap().1;
        let end = expr.find("\n    for:").or_else(|| expr.find("\n    labels:")).unwrap();
        all.push(expr[..end].to_owned());
    }
    for panel in panels() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push(target["expr"].as_str().unwrap().to_owned());
        }
    }
    all
}

/// Scenario: a scrape of a service with each kind of input and with Lua plugins on disk and in memory, with bounds.
/// Guarantees: every metric and label that a rule, a panel or a legend names exists.
#[test]
fn every_name_is_a_metric() {
    let port = free_port();
    let home = Home::new()
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{port}"))
        .set("LOGPHASE_UDP_LISTEN", format!("127.0.0.1:{}", free_port()))
        .set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{}", free_port()));
    let settings = "queue:\n  max_memory: 64MiB\n  max_data_bytes: 64MiB\n  max_disk_bytes: 2MiB\n";
    home.write("logphase.yml", settings);
    home.write(
        "kong.yml",
        &configuration(&json!([
            {"name": "file-log", "config": {"path": home.text("messages.log"), "custom_fields_by_lua": {"a": "return 1"}}},
            {"name": "tcp-log", "config": {"host": "127.0.0.1", "port": free_port()}},
        ])),
    );
    let service = home.start();
    service.accept(transaction(1).to_string());
    let mut client = Client::connect(port).unwrap();
    client.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let text = client.answer().unwrap().text();
    let mut labels_of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let labels = labels_of.entry(name.to_owned()).or_default();
        labels.extend(
            rest.split('"')
                .step_by(2)
                .filter_map(|part| Some(part.split('=').next()?.to_owned()))
                .map(|label| label.trim_start_matches(['{', ',']).to_owned()),
        );
    }
    // A service without a shared database has none of its samples; `admin::postgres` scrapes one that has.
    for family in logphase::api::families().filter(|family| family.name.starts_with("logphase_database_")) {
        labels_of
            .entry(family.name.to_owned())
            .or_default()
            .extend(family.labels.iter().map(|label| (*label).to_owned()));
    }
    // Labels that Prometheus adds.
    let always = ["instance", "job", "le"];
    let mut seen = BTreeSet::new();
    for expr in expressions() {
        let (metrics, labels) = named_in(&expr);
        let mut known: BTreeSet<&str> = always.into_iter().collect();
        for metric in &metrics {
            let labels = labels_of.get(metric).unwrap_or_else(|| panic!("{metric} is no metric: {expr}\n{text}"));
            known.extend(labels.iter().map(String::as_str));
        }
        for label in &labels {
            assert!(known.contains(label.as_str()), "{label} is no label of {metrics:?}: {expr}");
        }
        seen.extend(metrics);
    }
    assert!(seen.len() > 30, "{seen:?}");
    for panel in panels() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let (metrics, _) = named_in(target["expr"].as_str().unwrap());
            let legend = target["legendFormat"].as_str().unwrap();
            for label in legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
                let known = metrics.iter().any(|metric| labels_of[metric].contains(label)) || always.contains(&label);
                assert!(known, "{label} is no label of {metrics:?}");
            }
        }
    }
}
