//! Compares messages with those of Kong's own log phase, case by case (`tests/conformance/README.md`).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use serde_json::{Value, json};

use crate::service::{Home, configuration};

fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut cases: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    cases.sort();
    cases
}

/// Whether two values are equal; compares numbers by value.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, value)| right.get(name).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

/// The first difference between two values, as a path with both sides.
fn difference(ours: &Value, kongs: &Value, path: &str) -> Option<String> {
    match (ours, kongs) {
        (Value::Object(left), Value::Object(right)) => {
            let names = left.keys().chain(right.keys());
            names.into_iter().find_map(|name| {
                let path = format!("{path}.{name}");
                match (left.get(name), right.get(name)) {
                    (Some(left), Some(right)) => difference(left, right, &path),
                    (Some(left), None) => Some(format!("{path} is {left}, and does not exist in Kong")),
                    (None, right) => {
                        Some(format!("{path} is missing, and is {} in Kong", right.unwrap_or(&Value::Null)))
                    }
                }
            })
        }
        _ => (!same(ours, kongs)).then(|| format!("{path} is {ours}, and is {kongs} in Kong")),
    }
}

/// Runs one case; the error describes the difference.
fn run(path: &Path) -> Result<(), String> {
    let case: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).map_err(|error| error.to_string())?;
    let home = Home::with(&configuration(&case["plugins"]));
    let ended = home.run(&["try", "--json", "kong.yml"], format!("{}\n", case["transaction"]).as_bytes());
    if ended.code() != 0 {
        return Err(format!("exit code {}: {}", ended.code(), ended.stderr));
    }
    let mut lines = Vec::new();
    for line in ended.stdout.lines() {
        let line: Value = serde_json::from_str(line).map_err(|error| format!("{error} in {line:?}"))?;
        if line["errors"] != json!([]) {
            return Err(format!("errors: {}", line["errors"]));
        }
        let emits = !matches!(line["plugin"].as_str(), Some("pre-function" | "post-function"));
        if emits || !line["message"].is_null() {
            lines.push(line);
        }
    }
    let expect = case["expect"].as_array().ok_or("the case expects nothing")?;
    let names = |lines: &[Value]| lines.iter().map(|line| line["plugin"].clone()).collect::<Vec<_>>();
    if names(&lines) != names(expect) {
        return Err(format!("{:?} emitted, and {:?} in Kong", names(&lines), names(expect)));
    }
    let mut pairs = lines.iter().zip(expect);
    let found = pairs.find_map(|(line, expect)| {
        difference(&line["message"], &expect["message"], line["plugin"].as_str().unwrap_or_default())
    });
    found.map_or(Ok(()), Err)
}

/// Scenario: each case through `logphase try --json`, in its own process.
/// Guarantees: the same messages as Kong's, in the same order, without errors.
#[test]
fn every_case_as_kong() {
    let cases = cases();
    assert!(cases.len() >= 99, "only {} cases", cases.len());
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(path) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(what) = run(path) {
                        let name = path.file_stem().unwrap_or_default().to_string_lossy();
                        failures.lock().push(format!("{name}: {what}"));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner();
    failures.sort();
    assert!(failures.is_empty(), "{} of {} cases differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Scenario: values that differ in a member, in the form of a number, in the order of an array.
/// Guarantees: the comparison of the test above finds real differences and only those.
#[test]
fn comparison_can_fail() {
    let message = json!({"a": {"b": [1, 2]}, "n": 1.0});
    assert_eq!(difference(&message, &json!({"n": 1, "a": {"b": [1.0, 2]}}), "m"), None);
    for other in [
        json!({"a": {"b": [2, 1]}, "n": 1}),
        json!({"a": {"b": [1, 2, 3]}, "n": 1}),
        json!({"a": {}, "n": 1}),
        json!({"a": {"b": [1, 2]}, "n": "1"}),
        json!({"a": {"b": [1, 2]}, "n": 1, "x": null}),
    ] {
        assert!(difference(&message, &other, "m").is_some(), "{other}");
        assert!(difference(&other, &message, "m").is_some(), "{other}");
    }
}
