//! The pages of docs/plugins/ match the plugins.
//!
//! `BLESS=1 cargo test --test main plugin_docs` rewrites their tables of fields.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use logphase::plugin::definitions;
use logphase_config::schema::{Check, Field, Record, Type};

use crate::service::Home;

fn page(plugin: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/plugins/{plugin}.md"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path, text)
}

/// Scenario: the fields of every plugin's schema.
/// Guarantees: the plugin's page has each with type, default, limits and meaning, and no other.
#[test]
fn tables_of_fields_are_whole() {
    for kind in definitions() {
        let (path, before) = page(kind.name);
        let (open, close) = (format!("<!-- {} -->\n", kind.name), format!("<!-- /{} -->\n", kind.name));
        let start = before.find(&open).unwrap_or_else(|| panic!("{} has no {open}", path.display())) + open.len();
        let end = start + before[start..].find(&close).unwrap_or_else(|| panic!("{} has no {close}", path.display()));
        let mut after = before.clone();
        after.replace_range(start..end, &table(kind.schema));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, after).expect("a page can be written");
        } else {
            assert!(after == before, "{} is not up to date: run BLESS=1 cargo test plugin_docs", path.display());
        }
    }
}

/// Scenario: the page of every plugin; its first example is checked.
/// Guarantees: it has the sections that a reader looks for; the example is accepted without a warning, and has the plugin.
#[test]
fn pages_have_a_sound_example() {
    let home = Home::new();
    for kind in definitions() {
        let (path, text) = page(kind.name);
        for heading in [&format!("# {}", kind.name), "## Failures", "## Metrics", "## Fields"] {
            let exempt = heading == "## Failures" && ["http-log", "kafka-log", "opentelemetry"].contains(&kind.name);
            assert!(exempt || text.lines().any(|line| line == heading), "{} has no {heading}", path.display());
        }
        let example = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
        let example = example.unwrap_or_else(|| panic!("{} has no example", path.display()));
        assert!(example.contains(&format!("- name: {}\n", kind.name)), "{example}");
        home.write("kong.yml", example);
        let ended = home.run(&["check", "--format", "short", "kong.yml"], b"");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(ended.code() == 0 && !said.contains("warning"), "{}: {said}", path.display());
    }
}

fn table(schema: &Record) -> String {
    let mut table = "\n| field | type | default | |\n|---|---|---|---|\n".to_owned();
    rows(schema, "", &mut table);
    table.push('\n');
    table
}

fn rows(record: &Record, path: &str, table: &mut String) {
    for field in record.fields.iter().filter(|field| field.instead.is_empty()) {
        let name = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        let mut about = field.about.to_owned();
        if field.extension {
            about.push_str(" *Not in Kong.*");
        } else if !field.since.is_empty() {
            write!(about, " Since {}.", field.since).expect("a string takes all");
        }
        let about = about.replace('|', "\\|");
        writeln!(table, "| `{name}` | {} | {} | {} |", ty(field), default(field), about.trim())
            .expect("a string takes all");
        // The page explains snippets and the queue once, above the tables.
        match field.ty {
            Type::Record(record) if !(field.name == "queue" && field.extension) => rows(record, &name, table),
            Type::Array(Field { ty: Type::Record(record), .. }) if field.name != "redact" => {
                rows(record, &format!("{name}[]"), table);
            }
            _ => {}
        }
    }
}

/// The type, or the allowed values.
fn ty(field: &Field) -> String {
    let listed = field.checks.iter().find_map(|check| match check {
        Check::OneOf(choices) => Some(choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>()),
        Check::OneOfNumbers(choices) => Some(choices.iter().map(|choice| format!("`{choice}`")).collect()),
        _ => None,
    });
    if let Some(listed) = listed {
        return listed.join(", ");
    }
    let range = field.checks.iter().find_map(|check| match check {
        Check::Between(low, high) if *high < 1e9 => Some(format!(", {low} to {high}")),
        Check::GreaterThan(limit) => Some(format!(", more than {limit}")),
        _ => None,
    });
    let name = match field.ty {
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
        Type::Array(_) | Type::Set(_) => "list",
        Type::Map(..) => "map",
        Type::Record(_) => "record",
        Type::Any => "any",
        Type::Duration => "duration",
        Type::Size => "size",
        Type::Foreign(_) => "reference",
    };
    format!("{name}{}", range.unwrap_or_default())
}

fn default(field: &Field) -> String {
    match field.default_value().filter(|value| !value.is_object()) {
        Some(serde_json::Value::String(text)) => format!("`{text}`"),
        // The page lists them.
        Some(serde_json::Value::Array(items)) if items.iter().any(|item| item.is_object()) => "see below".to_owned(),
        Some(value) => format!("`{value}`"),
        None if field.required && !matches!(field.ty, Type::Record(_)) => "**required**".to_owned(),
        None => String::new(),
    }
}
