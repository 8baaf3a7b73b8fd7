//! The catalogue as stubs for lua-language-server (LuaLS), which other language servers read as well.

use std::fmt::Write as _;

use super::luau::is_optional;
use super::signature::{Pack, Parsed, Signature, Type, parse};
use super::{Entry, Kind, Place, Section, TYPES, sections};

/// A file of stubs.
#[derive(Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The files: `logphase.lua` with the names of the environment, and one for each module.
pub fn files() -> Vec<File> {
    let sections = sections();
    let mut files = vec![File { name: "logphase.lua".to_owned(), text: globals(&sections) }];
    for section in sections.iter().filter(|section| section.place == Place::Module) {
        files.push(File { name: format!("{}.lua", section.name), text: module(section) });
    }
    files
}

/// The stubs of the environment.
pub fn globals(sections: &[Section]) -> String {
    let mut out =
        "---@meta _\n-- What snippets of Logphase can call: `logphase schema lua --format luals`.\n".to_owned();
    for (name, ty, doc) in TYPES {
        let ty = match parse(ty) {
            Ok(Parsed::Value(ty)) => shown(&ty),
            _ => unreachable!("a test parses every type: {ty}"),
        };
        line(&mut out, &format!("\n---{doc}\n---@alias {} {ty}", named(name)));
    }
    for section in sections.iter().filter(|section| matches!(section.place, Place::Object(_))) {
        line(&mut out, "");
        class(&mut out, &named(section.name), section);
        for entry in section.entries.iter().filter(|entry| entry.kind != Kind::Value) {
            line(&mut out, &format!("---@field {} {}", entry.member, function_type(entry, &named(section.name))));
        }
    }
    for section in sections.iter().filter(|section| section.place == Place::Table) {
        line(&mut out, "");
        if section.name.is_empty() {
            section.entries.iter().filter(|entry| entry.kind == Kind::Value).for_each(|entry| {
                line(&mut out, &format!("---{}\n---@type {}\n{} = nil\n", entry.doc, value_type(entry), entry.name));
            });
        } else {
            // The methods of texts are those of this class.
            class(&mut out, if section.name == "string" { "stringlib" } else { section.name }, section);
            line(&mut out, &format!("{} = {{}}", section.name));
        }
        functions(&mut out, section, section.name);
    }
    out
}

/// The stub of a module.
fn module(section: &Section) -> String {
    let mut out = format!("---@meta {}\n\n", section.name);
    if let [Entry { member, .. }] = &section.entries[..]
        && member.is_empty()
    {
        function(&mut out, "local function call", &section.entries[0]);
        out.push_str("return call\n");
        return out;
    }
    class(&mut out, &format!("logphase.module.{}", section.name), section);
    line(&mut out, "local module = {}");
    functions(&mut out, section, "module");
    out.push_str("\nreturn module\n");
    out
}

/// The head of a class, with the values in it.
fn class(out: &mut String, name: &str, section: &Section) {
    line(out, &format!("---{}\n---@class {name}", section.about));
    for entry in &section.entries {
        match entry.kind {
            Kind::Value => line(out, &format!("---@field {} {} {}", entry.member, value_type(entry), entry.doc)),
            _ if entry.member.is_empty() => line(out, &format!("---@overload {}", function_type(entry, ""))),
            _ => {}
        }
    }
}

/// The functions of a section, as members of `of`.
fn functions(out: &mut String, section: &Section, of: &str) {
    for entry in section.entries.iter().filter(|entry| entry.kind != Kind::Value && !entry.member.is_empty()) {
        let mark = if entry.kind == Kind::Method { ":" } else { "." };
        let prefix = if of.is_empty() { String::new() } else { format!("{of}{mark}") };
        line(out, "");
        function(out, &format!("function {prefix}{}", entry.member), entry);
    }
}

/// One function: what it does, its parameters and results, and an empty body.
fn function(out: &mut String, head: &str, entry: &Entry) {
    let signature = signature_of(entry);
    line(out, &format!("---{}", entry.doc));
    if let Some(note) = entry.phase_note() {
        line(out, &format!("---\n---Phases: {note}."));
    }
    if !entry.from.is_empty() {
        line(out, &format!("---\n---From: {}", entry.from));
    }
    let mut names = Vec::new();
    for parameter in &signature.parameters.items {
        let name = parameter.name.expect("a test looks for parameters without a name");
        let (mark, ty) = optional(&parameter.ty);
        line(out, &format!("---@param {name}{mark} {ty}"));
        names.push(name);
    }
    if let Some(rest) = &signature.parameters.rest {
        line(out, &format!("---@param ... {}", shown(rest)));
        names.push("...");
    }
    for result in &signature.returns.items {
        line(out, &format!("---@return {}", shown(&result.ty)));
    }
    if let Some(rest) = &signature.returns.rest {
        line(out, &format!("---@return {} ...", shown(rest)));
    }
    line(out, &format!("{head}({}) end", names.join(", ")));
}

fn signature_of(entry: &Entry) -> Signature<'_> {
    match parse(entry.signature) {
        Ok(Parsed::Function(signature)) => signature,
        _ => unreachable!("a test parses every signature: {}", entry.signature),
    }
}

fn value_type(entry: &Entry) -> String {
    match parse(entry.signature) {
        Ok(Parsed::Value(ty)) => shown(&ty),
        _ => unreachable!("a test parses every signature: {}", entry.signature),
    }
}

/// The type of a function; of a method, `of` is what it is called on.
fn function_type(entry: &Entry, of: &str) -> String {
    function_shown(&signature_of(entry), of)
}

fn function_shown(signature: &Signature<'_>, of: &str) -> String {
    let mut parameters: Vec<String> = Vec::new();
    if signature.method {
        parameters.push(format!("self: {of}"));
    }
    for (at, parameter) in signature.parameters.items.iter().enumerate() {
        let (mark, ty) = optional(&parameter.ty);
        let name = parameter.name.map_or_else(|| format!("_{at}"), str::to_owned);
        parameters.push(format!("{name}{mark}: {ty}"));
    }
    parameters.extend(signature.parameters.rest.as_ref().map(|rest| format!("...: {}", shown(rest))));
    let results = results(&signature.returns);
    let results = if results.is_empty() { results } else { format!(": {results}") };
    format!("fun({}){results}", parameters.join(", "))
}

fn results(pack: &Pack<'_>) -> String {
    let mut results: Vec<String> = pack.items.iter().map(|item| shown(&item.ty)).collect();
    results.extend(pack.rest.as_ref().map(|_| "...".to_owned()));
    results.join(", ")
}

/// A parameter's mark and its type without nil.
fn optional(ty: &Type<'_>) -> (&'static str, String) {
    match ty {
        Type::Optional(inner) => ("?", shown(inner)),
        other if is_optional(other) => ("?", shown(other)),
        other => ("", shown(other)),
    }
}

/// A type in the notation of LuaLS.
fn shown(ty: &Type<'_>) -> String {
    match ty {
        Type::Name("never") => "any".to_owned(),
        Type::Name(name) if is_named(name) => named(name),
        Type::Name(text) | Type::Literal(text) => (*text).to_owned(),
        Type::List(element) => format!("{}[]", grouped(element)),
        Type::Map(key, value) => format!("table<{}, {}>", shown(key), shown(value)),
        Type::Record(members) => {
            let member = |(name, ty): &(&str, Type<'_>)| {
                let (mark, ty) = optional(ty);
                format!("{name}{mark}: {ty}")
            };
            format!("{{ {} }}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        Type::Function(signature) => function_shown(signature, "any"),
        Type::Union(choices) => choices.iter().map(grouped).collect::<Vec<_>>().join("|"),
        Type::Optional(inner) => format!("{}?", grouped(inner)),
    }
}

fn grouped(ty: &Type<'_>) -> String {
    let text = shown(ty);
    if matches!(ty, Type::Union(_) | Type::Function(_)) { format!("({text})") } else { text }
}

/// Whether it is a type of the catalogue, and not one of Lua.
fn is_named(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
}

fn named(name: &str) -> String {
    format!("logphase.{name}")
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a string takes all");
}
