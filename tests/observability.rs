//! What stands in observability/: the alert rules and the dashboard.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("observability")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// Runs promtool on a file of the folder; it must be content.
#[track_caller]
fn promtool(arguments: &[&str]) {
    let ran = Command::new("promtool").args(arguments).current_dir(folder()).output();
    let output = ran.expect("promtool is installed by .ci/tools");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The rules, each with the lines that belong to it.
fn rules() -> Vec<(String, String)> {
    let text = text("alerts.yml");
    let rules = text.split("- alert: ").skip(1);
    rules.map(|rule| (rule.lines().next().unwrap_or_default().trim().to_owned(), rule.to_owned())).collect()
}

/// Scenario: Prometheus' own tool reads the rules and runs their tests.
/// Guarantees: the rules are sound; each fires when it should and is silent when it should be, of which there is at least
/// one case each.
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

/// Scenario: somebody is woken by an alert.
/// Guarantees: each says what is the matter, how bad it is, and where its runbook is.
#[test]
fn alerts_say_what_to_do() {
    let rules = rules();
    assert!(rules.len() >= 16, "{}", rules.len());
    for (name, rule) in rules {
        for part in ["summary: ", "description: ", "severity: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        let runbook = format!("runbook_url: docs/operations.md#{}\n", name.to_lowercase());
        assert!(rule.contains(&runbook), "{name}: {runbook}");
    }
}

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&text("grafana.json")).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

/// Scenario: Grafana imports the dashboard.
/// Guarantees: identifiers are its own, no panel lies on another, and each says what it shows.
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
