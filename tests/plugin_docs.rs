//! The tables of fields in docs/plugins.md match the plugins' schemas.
//!
//! `BLESS=1 cargo test --test main plugin_docs` rewrites them.

use std::fmt::Write as _;
use std::path::Path;

use logphase::plugin::definitions;
use logphase_config::schema::{Check, Field, Record, Type};

/// Scenario: the fields of every plugin's schema.
/// Guarantees: docs/plugins.md has each with type, default, limits and meaning, and no other.
#[test]
fn tables_of_fields_are_whole() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/plugins.md");
    let before = std::fs::read_to_string(&path).expect("docs/plugins.md is part of the project");
    let mut page = before.clone();
    for kind in definitions() {
        let (open, close) = (format!("<!-- {} -->\n", kind.name), format!("<!-- /{} -->\n", kind.name));
        let start = page.find(&open).unwrap_or_else(|| panic!("docs/plugins.md has no {open}")) + open.len();
        let end = start + page[start..].find(&close).unwrap_or_else(|| panic!("docs/plugins.md has no {close}"));
        page.replace_range(start..end, &table(kind.schema));
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, page).expect("docs/plugins.md can be written");
    } else {
        assert!(page == before, "docs/plugins.md is not up to date: run BLESS=1 cargo test plugin_docs");
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
