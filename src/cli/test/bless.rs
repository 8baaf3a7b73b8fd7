//! `--bless`: rewrites the `expect` of a failing test so that it passes.

use serde_json::{Map, Value, json};

use super::edit;
use super::expectation::Expectation;
use super::file::Test;
use super::judge::{PluginResult, find, satisfies};
use super::pattern::{self, Extent, Matcher, member_path, same};
use crate::phase::Program;

/// How an `expect` is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EditMode {
    /// Only the values that differ.
    Minimal,
    /// As a whole.
    Replace,
}

/// Returns the file `text` with an `expect` for `test` that `results` satisfies. `None` if the `expect` cannot be changed for
/// this test alone, because it is an alias.
pub(super) fn rewrite(
    text: &str,
    program: &Program,
    test: &Test,
    results: &[PluginResult<'_>],
    mode: EditMode,
) -> Option<String> {
    match test.node.entry("expect") {
        Some((_, old)) => edit::update(text, &test.node, old, &updated(test, &old.to_json(), results), mode),
        None => Some(edit::insert(text, &test.node, "expect", &new_expect(program, results))),
    }
}

/// The `expect` of a test that has none: every message as a whole.
fn new_expect(program: &Program, results: &[PluginResult<'_>]) -> Value {
    let mut all = Map::new();
    for one in results.iter().filter(|one| one.message.is_some() || !one.errors.is_empty()) {
        all.insert(one.name().to_owned(), unnamed(one, true));
    }
    let loggers: Vec<_> = program.steps.iter().filter(|step| step.definition.emits).collect();
    if all.is_empty() {
        all.extend(loggers.iter().map(|step| (step.definition.name.to_owned(), json!({"none": true}))));
    }
    match (all.len(), loggers.as_slice()) {
        // The name of the only plugin can be omitted.
        (1, [_]) => all.into_iter().next().map_or(Value::Null, |(_, only)| only),
        _ => Value::Object(all),
    }
}

/// The expectation of a plugin that the test does not name.
fn unnamed(result: &PluginResult<'_>, message: bool) -> Value {
    let mut one = Map::new();
    if let Some(got) = result.message.as_ref().filter(|_| message) {
        one.insert("message".to_owned(), literal(got));
    }
    if !result.errors.is_empty() {
        one.insert("errors".to_owned(), result.errors.iter().map(error).collect());
    }
    Value::Object(one)
}

fn error((field, message): &(String, String)) -> Value {
    json!({"field": field, "message": message.lines().next().unwrap_or("")})
}

/// Changes `old`, the `expect` of `test`, as little as possible so that the test passes.
fn updated(test: &Test, old: &Value, results: &[PluginResult<'_>]) -> Value {
    let Some(expect) = &test.expect else { return old.clone() };
    let mut all = Map::new();
    for expected in &expect.plugins {
        let written = if expect.short { old } else { &old[&expected.plugin] };
        all.insert(expected.plugin.clone(), updated_plugin(expected, written, find(results, &expected.plugin)));
    }
    let named = |one: &PluginResult<'_>| {
        expect.plugins.iter().any(|e| find(results, &e.plugin).is_some_and(|d| std::ptr::eq(d, one)))
    };
    for one in results.iter().filter(|one| !named(one)) {
        let emitted = test.only && one.message.is_some();
        if emitted || !one.errors.is_empty() {
            all.insert(one.name().to_owned(), unnamed(one, emitted));
        }
    }
    match (expect.short, all.len()) {
        (true, 1) => all.into_iter().next().map_or(Value::Null, |(_, only)| only),
        _ => Value::Object(all),
    }
}

/// Changes `old`, the expectation of one plugin, in the same way.
fn updated_plugin(expected: &Expectation, old: &Value, result: Option<&PluginResult<'_>>) -> Value {
    let mut new = old.as_object().cloned().unwrap_or_default();
    let actual = result.map_or(&[][..], |result| &result.errors);
    let kept = expected.errors.iter().filter(|e| actual.iter().any(|error| satisfies(e, error)));
    let kept = kept.map(|(field, part)| match part {
        Some(part) => json!({"field": field, "message": part}),
        None => json!({"field": field}),
    });
    let added = actual.iter().filter(|error| !expected.errors.iter().any(|e| satisfies(e, error)));
    let errors: Vec<Value> = kept.chain(added.map(error)).collect();
    set_list(&mut new, "errors", errors);
    match result.and_then(|result| result.message.as_ref()) {
        Some(got) => message(expected, got, &mut new),
        None if new.contains_key("errors") && expected.message.is_none() && expected.fields.is_none() => {
            new.shift_remove("absent");
        }
        None if result.is_some_and(|result| !result.step.definition.emits) => {}
        None => {
            new.retain(|name, _| !["message", "fields", "absent"].contains(&name.as_str()));
            new.insert("none".to_owned(), Value::Bool(true));
        }
    }
    Value::Object(new)
}

/// Sets a list, or removes it if it is empty.
fn set_list(map: &mut Map<String, Value>, name: &str, list: Vec<Value>) {
    if list.is_empty() {
        map.shift_remove(name);
    } else {
        map.insert(name.to_owned(), Value::Array(list));
    }
}

/// Changes the expectation of the message so that `got` satisfies it.
fn message(expected: &Expectation, got: &Value, new: &mut Map<String, Value>) {
    if expected.none {
        new.shift_remove("none");
        new.insert("message".to_owned(), literal(got));
        return;
    }
    if let Some(whole) = &expected.message {
        new.insert("message".to_owned(), updated_value(whole, got, Extent::Whole, "", &mut Vec::new()));
        return;
    }
    let mut absent: Vec<String> = Vec::new();
    let mut fields = Map::new();
    for (path, value) in expected.fields.iter().flatten() {
        match pattern::at(got, path) {
            Some(got) => {
                fields.insert(path.clone(), updated_value(value, got, Extent::Subset, path, &mut absent));
            }
            None => absent.push(path.clone()),
        }
    }
    for path in &expected.absent {
        match pattern::at(got, path) {
            Some(got) => {
                fields.insert(path.clone(), literal(got));
            }
            None => absent.insert(0, path.clone()),
        }
    }
    // In the order of the file.
    absent.sort_by_key(|path| expected.absent.iter().position(|before| before == path).unwrap_or(usize::MAX));
    set_list(new, "absent", absent.into_iter().map(Value::from).collect());
    if fields.is_empty() {
        new.shift_remove("fields");
    } else {
        new.insert("fields".to_owned(), Value::Object(fields));
    }
}

/// An expectation that `got` satisfies, with the parts of `expected` that it satisfies already. Adds the expected key paths
/// that `got` does not have to `missing`.
fn updated_value(expected: &Value, got: &Value, extent: Extent, path: &str, missing: &mut Vec<String>) -> Value {
    if let Some(Ok(matcher)) = Matcher::of(expected) {
        return if matcher.holds(got) { expected.clone() } else { literal(got) };
    }
    match (expected, got) {
        (Value::Object(wanted), Value::Object(members)) => {
            let mut kept = Map::new();
            for (name, expected) in wanted {
                let path = member_path(path, name);
                match members.get(name) {
                    Some(got) => drop(kept.insert(name.clone(), updated_value(expected, got, extent, &path, missing))),
                    None => missing.push(path),
                }
            }
            if !extent.open(wanted) {
                let added = members.iter().filter(|(name, _)| !wanted.contains_key(*name));
                kept.extend(added.map(|(name, got)| (name.clone(), literal(got))));
            } else if kept.is_empty() && !members.is_empty() {
                // `{}` would expect an object without members.
                return json!({"$type": "object"});
            }
            Value::Object(kept)
        }
        (Value::Array(wanted), Value::Array(items)) if wanted.len() == items.len() => {
            let pairs = wanted.iter().zip(items).enumerate();
            pairs
                .map(|(at, (wanted, got))| updated_value(wanted, got, extent, &format!("{path}[{}]", at + 1), missing))
                .collect()
        }
        _ if same(expected, got) => expected.clone(),
        _ => literal(got),
    }
}

/// The expectation of exactly `value`: escapes members that look like matchers.
fn literal(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let plain = Value::Object(members.iter().map(|(name, value)| (name.clone(), literal(value))).collect());
            if Matcher::of(value).is_some() { json!({"$is": value}) } else { plain }
        }
        Value::Array(items) => items.iter().map(literal).collect(),
        _ => value.clone(),
    }
}
