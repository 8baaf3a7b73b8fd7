//! The catalogue as a definition file of Luau, which luau-lsp and luau-analyze read.

use std::fmt::Write as _;

use super::signature::{Parsed, Type, parse};
use super::{Entry, Place, Section, TYPES, sections};

/// The definition file: types, then the names of the environment. What `require` gives are types with names like
/// `Module_cjson_safe`.
pub fn definitions() -> String {
    let sections = sections();
    let mut out =
        "-- What snippets of Logphase can call, for luau-lsp and luau-analyze: `logphase schema lua --format luau`.\n"
            .to_owned();
    for (name, ty, doc) in TYPES {
        line(&mut out, "", &format!("\n--- {doc}\nexport type {name} = {ty}"));
    }
    for section in &sections {
        let name = match section.place {
            Place::Table => continue,
            Place::Object(_) => section.name.to_owned(),
            Place::Module => format!("Module_{}", section.name.replace('.', "_")),
        };
        let value = members(&sections, section, "");
        line(&mut out, "", &format!("\n--- {}\nexport type {name} = {value}", plain(section.about)));
    }
    for section in sections.iter().filter(|section| section.place == Place::Table) {
        match section.name {
            "" => section.entries.iter().for_each(|entry| {
                out.push('\n');
                comment(&mut out, "", entry);
                line(&mut out, "", &declaration(entry));
            }),
            name if name.contains('.') => {}
            name => {
                let value = members(&sections, section, "");
                line(&mut out, "", &format!("\n--- {}\ndeclare {name}: {value}", plain(section.about)));
            }
        }
    }
    out
}

/// A global that is no table of others.
fn declaration(entry: &Entry) -> String {
    match parse(entry.signature) {
        Ok(Parsed::Function(signature)) => {
            let mut parameters: Vec<String> = signature.parameters.items.iter().map(ToString::to_string).collect();
            parameters.extend(signature.parameters.rest.iter().map(|rest| format!("...: {rest}")));
            let returns = signature.returns.as_results();
            format!("declare function {}({}): {returns}", entry.name, parameters.join(", "))
        }
        Ok(Parsed::Value(ty)) => format!("declare {}: {ty}", entry.name),
        Err(rest) => unreachable!("a test parses every signature: {rest}"),
    }
}

/// The type of an entry.
fn ty(entry: &Entry) -> String {
    match parse(entry.signature) {
        Ok(Parsed::Function(signature)) => signature.to_string(),
        Ok(Parsed::Value(ty)) => ty.to_string(),
        Err(rest) => unreachable!("a test parses every signature: {rest}"),
    }
}

/// The table that a section is; if it can be called, with that.
fn members(all: &[Section], section: &Section, indent: &str) -> String {
    let inner = format!("{indent}  ");
    let mut out = String::new();
    for entry in section.entries.iter().filter(|entry| !entry.member.is_empty()) {
        comment(&mut out, &inner, entry);
        line(&mut out, &inner, &format!("{}: {},", entry.member, ty(entry)));
    }
    let below = |other: &&Section| {
        let parent = other.name.rsplit_once('.').map(|(parent, _)| parent);
        section.place == Place::Table && other.place == Place::Table && parent == Some(section.name)
    };
    for other in all.iter().filter(below) {
        let name = other.name.rsplit('.').next().unwrap_or_default();
        line(&mut out, &inner, &format!("--- {}", plain(other.about)));
        line(&mut out, &inner, &format!("{name}: {},", members(all, other, &inner)));
    }
    let table = format!("{{\n{out}{indent}}}");
    match section.entries.iter().find(|entry| entry.member.is_empty()) {
        None => table,
        Some(itself) if section.entries.len() == 1 => ty(itself),
        Some(itself) => format!("({}) & {table}", ty(itself)),
    }
}

fn comment(out: &mut String, indent: &str, entry: &Entry) {
    let note = entry.phase_note().map_or_else(String::new, |note| format!(" ({note})"));
    let strict = if entry.profile == "strict" && entry.module.is_none() { " (untrusted_lua: strict)" } else { "" };
    line(out, indent, &format!("--- {}{note}{strict}", plain(&entry.doc)));
}

/// A sentence for a comment.
fn plain(doc: &str) -> String {
    doc.replace('\n', " ")
}

fn line(out: &mut String, indent: &str, text: &str) {
    writeln!(out, "{indent}{text}").expect("a string takes all");
}

/// Whether `ty` allows nil.
pub(super) fn is_optional(ty: &Type<'_>) -> bool {
    match ty {
        Type::Optional(_) | Type::Name("nil") => true,
        Type::Union(choices) => choices.iter().any(is_optional),
        _ => false,
    }
}
