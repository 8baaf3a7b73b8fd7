//! What a test would have to expect in order to pass.

use serde_json::{Map, Value, json};

use super::edit;
use super::expectation::Expectation;
use super::file::Test;
use super::judge::{Done, find, fits};
use super::pattern::{self, Extent, Matcher, member_path, same};
use crate::phase::Program;

/// How much of the text is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// All but the values that differ.
    Finest,
    /// All but `expect`.
    Whole,
}

/// `text`, in which `test` stands, with an `expect` that `done` passes. None if it is written where it cannot be
/// changed for this test alone.
pub(super) fn rewrite(text: &str, program: &Program, test: &Test, done: &[Done<'_>], care: Care) -> Option<String> {
    match test.node.entry("expect") {
        Some((_, old)) => edit::update(text, &test.node, old, &renewed(test, &old.to_json(), done), care),
        None => Some(edit::insert(text, &test.node, "expect", &fresh(program, done))),
    }
}

/// The `expect` of a test that has none: every message whole.
fn fresh(program: &Program, done: &[Done<'_>]) -> Value {
    let mut all = Map::new();
    for one in done.iter().filter(|one| one.message.is_some() || !one.errors.is_empty()) {
        all.insert(one.name().to_owned(), unnamed(one, true));
    }
    let loggers: Vec<_> = program.steps.iter().filter(|step| step.definition.emits).collect();
    if all.is_empty() {
        all.extend(loggers.iter().map(|step| (step.definition.name.to_owned(), json!({"none": true}))));
    }
    match (all.len(), loggers.as_slice()) {
        // One plugin needs no name.
        (1, [_]) => all.into_iter().next().map_or(Value::Null, |(_, only)| only),
        _ => Value::Object(all),
    }
}

/// What a plugin that the test does not name did.
fn unnamed(done: &Done<'_>, message: bool) -> Value {
    let mut one = Map::new();
    if let Some(got) = done.message.as_ref().filter(|_| message) {
        one.insert("message".to_owned(), literal(got));
    }
    if !done.errors.is_empty() {
        one.insert("errors".to_owned(), done.errors.iter().map(error).collect());
    }
    Value::Object(one)
}

fn error((field, message): &(String, String)) -> Value {
    json!({"field": field, "message": message.lines().next().unwrap_or("")})
}

/// `old`, the `expect` of `test`, changed as little as makes it pass.
fn renewed(test: &Test, old: &Value, done: &[Done<'_>]) -> Value {
    let Some(expect) = &test.expect else { return old.clone() };
    let mut all = Map::new();
    for expected in &expect.plugins {
        let written = if expect.short { old } else { &old[&expected.plugin] };
        all.insert(expected.plugin.clone(), one(expected, written, find(done, &expected.plugin)));
    }
    let named =
        |one: &Done<'_>| expect.plugins.iter().any(|e| find(done, &e.plugin).is_some_and(|d| std::ptr::eq(d, one)));
    for one in done.iter().filter(|one| !named(one)) {
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

/// The expectation of one plugin, which is written as `old`.
fn one(expected: &Expectation, old: &Value, done: Option<&Done<'_>>) -> Value {
    let mut new = old.as_object().cloned().unwrap_or_default();
    let came = done.map_or(&[][..], |done| &done.errors);
    let held = expected.errors.iter().filter(|e| came.iter().any(|error| fits(e, error)));
    let held = held.map(|(field, part)| match part {
        Some(part) => json!({"field": field, "message": part}),
        None => json!({"field": field}),
    });
    let more = came.iter().filter(|error| !expected.errors.iter().any(|e| fits(e, error)));
    let errors: Vec<Value> = held.chain(more.map(error)).collect();
    put(&mut new, "errors", errors);
    match done.and_then(|done| done.message.as_ref()) {
        Some(got) => message(expected, got, &mut new),
        None if new.contains_key("errors") && expected.message.is_none() && expected.fields.is_none() => {
            new.shift_remove("absent");
        }
        None if done.is_some_and(|done| !done.step.definition.emits) => {}
        None => {
            new.retain(|name, _| !["message", "fields", "absent"].contains(&name.as_str()));
            new.insert("none".to_owned(), Value::Bool(true));
        }
    }
    Value::Object(new)
}

/// Sets a list, or takes it away if it is empty.
fn put(map: &mut Map<String, Value>, name: &str, list: Vec<Value>) {
    if list.is_empty() {
        map.shift_remove(name);
    } else {
        map.insert(name.to_owned(), Value::Array(list));
    }
}

/// Changes what is expected of the message to `got`.
fn message(expected: &Expectation, got: &Value, new: &mut Map<String, Value>) {
    if expected.none {
        new.shift_remove("none");
        new.insert("message".to_owned(), literal(got));
        return;
    }
    if let Some(whole) = &expected.message {
        new.insert("message".to_owned(), keep(whole, got, Extent::Whole, "", &mut Vec::new()));
        return;
    }
    let mut absent: Vec<String> = Vec::new();
    let mut fields = Map::new();
    for (path, value) in expected.fields.iter().flatten() {
        match pattern::at(got, path) {
            Some(got) => {
                fields.insert(path.clone(), keep(value, got, Extent::Subset, path, &mut absent));
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
    // In the order they were written.
    absent.sort_by_key(|path| expected.absent.iter().position(|before| before == path).unwrap_or(usize::MAX));
    put(new, "absent", absent.into_iter().map(Value::from).collect());
    if fields.is_empty() {
        new.shift_remove("fields");
    } else {
        new.insert("fields".to_owned(), Value::Object(fields));
    }
}

/// `got` as an expectation of the form of `expected`: what holds in it stays. `gone` takes the key paths that
/// are named and not there.
fn keep(expected: &Value, got: &Value, extent: Extent, path: &str, gone: &mut Vec<String>) -> Value {
    if let Some(Ok(matcher)) = Matcher::of(expected) {
        return if matcher.holds(got) { expected.clone() } else { literal(got) };
    }
    match (expected, got) {
        (Value::Object(wanted), Value::Object(members)) => {
            let mut kept = Map::new();
            for (name, expected) in wanted {
                let path = member_path(path, name);
                match members.get(name) {
                    Some(got) => drop(kept.insert(name.clone(), keep(expected, got, extent, &path, gone))),
                    None => gone.push(path),
                }
            }
            if !extent.open(wanted) {
                let more = members.iter().filter(|(name, _)| !wanted.contains_key(*name));
                kept.extend(more.map(|(name, got)| (name.clone(), literal(got))));
            } else if kept.is_empty() && !members.is_empty() {
                // Without any name left, `{}` would be an object without members.
                return json!({"$type": "object"});
            }
            Value::Object(kept)
        }
        (Value::Array(wanted), Value::Array(items)) if wanted.len() == items.len() => {
            let pairs = wanted.iter().zip(items).enumerate();
            pairs.map(|(at, (wanted, got))| keep(wanted, got, extent, &format!("{path}[{}]", at + 1), gone)).collect()
        }
        _ if same(expected, got) => expected.clone(),
        _ => literal(got),
    }
}

/// `value` as an expectation: what looks like a matcher is none.
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
