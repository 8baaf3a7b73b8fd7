//! The tables of docs/lua.md match the catalogue of what snippets can call.
//!
//! `BLESS=1 cargo test --test main lua_docs` rewrites them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use logphase_script::catalogue::{Entry, Place, Section, TYPES, sections};

/// What stands before and after a table. The first names sections: `kong.log`, `require:cjson`, `object:Span`; or it is
/// `phases`, `constants` or `types`.
const OPEN: &str = "<!-- lua ";
const CLOSE: &str = "<!-- /lua -->";

/// How the page names a section.
fn label(section: &Section) -> String {
    match section.place {
        Place::Table => section.name.to_owned(),
        Place::Module => format!("require:{}", section.name),
        Place::Object(_) => format!("object:{}", section.name),
    }
}

/// Scenario: the catalogue, which a test of the sandbox holds against what snippets find.
/// Guarantees: docs/lua.md has each name once with signature, meaning and origin, and no other; the restricted ones with their
/// phases.
#[test]
fn tables_of_functions_are_whole() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lua.md");
    let before = std::fs::read_to_string(&path).expect("docs/lua.md is part of the project");
    let all = sections();
    let mut left: BTreeMap<String, &Section> = all.iter().map(|section| (label(section), section)).collect();
    let (mut page, mut rest) = (String::new(), before.as_str());
    while let Some((text, after)) = rest.split_once(OPEN) {
        let (names, after) = after.split_once(" -->\n").expect("the mark of a table ends with its line");
        let (_, after) = after.split_once(CLOSE).unwrap_or_else(|| panic!("no {CLOSE} after {names}"));
        let table = match names {
            "phases" => phases(&all),
            "constants" => constants(&all),
            "types" => types(),
            _ => {
                let named = names.split(' ').map(|name| if name == "globals" { "" } else { name });
                let named: Vec<&Section> = named
                    .map(|name| left.remove(name).unwrap_or_else(|| panic!("no section {name} is left")))
                    .collect();
                table(&named)
            }
        };
        write!(page, "{text}{OPEN}{names} -->\n\n{table}\n{CLOSE}").expect("a string takes all");
        rest = after;
    }
    page.push_str(rest);
    // What no function of the log phase can call is in the table of phases.
    left.retain(|_, section| !is_elsewhere(&all, section) && section.entries.iter().any(Entry::in_log_phase));
    assert!(left.is_empty(), "docs/lua.md has no table for {:?}", left.keys());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, page).expect("docs/lua.md can be written");
    } else {
        assert!(page == before, "docs/lua.md is not up to date: run BLESS=1 cargo test --test main lua_docs");
    }
}

/// Whether other sections have all of these names: `require "ngx.req"` gives `ngx.req`.
fn is_elsewhere(all: &[Section], section: &Section) -> bool {
    section.place == Place::Module
        && section.entries.iter().all(|entry| {
            let same = |other: &&Entry| {
                other.module != entry.module && (other.signature, &other.doc) == (entry.signature, &entry.doc)
            };
            all.iter().flat_map(|section| &section.entries).any(|other| same(&other))
        })
}

fn is_constant(entry: &Entry) -> bool {
    entry.name.starts_with("ngx.") && entry.member.starts_with(|first: char| first.is_ascii_uppercase())
}

/// The names of sections with their meaning. Of one section, each without the section's name.
fn table(sections: &[&Section]) -> String {
    let shown = |section: &Section, entry: &Entry| match (section.place, &*entry.member) {
        (Place::Object(_), member) => format!("{}:{member}", section.name),
        (_, "") => entry.name.clone(),
        _ if sections.len() > 1 => entry.name.clone(),
        (_, member) => member.to_owned(),
    };
    let entries: Vec<(&Section, &Entry)> = sections
        .iter()
        .flat_map(|section| section.entries.iter().map(|entry| (*section, entry)))
        .filter(|(_, entry)| entry.in_log_phase() && !is_constant(entry))
        .collect();
    let origin = entries.iter().any(|(_, entry)| !entry.from.is_empty());
    let mut out = match origin {
        true => "| Name | Meaning | From |\n|---|---|---|\n".to_owned(),
        false => "| Name | Meaning |\n|---|---|\n".to_owned(),
    };
    for (section, entry) in entries {
        let signature = entry.signature.replacen("(self, ", "(", 1).replacen("(self)", "()", 1);
        let separator = if entry.signature.starts_with('(') { "" } else { ": " };
        let code = format!("{}{separator}{signature}", shown(section, entry)).replace('|', "\\|");
        let strict = if entry.profile == "strict" && entry.module.is_none() { " Profile `strict`." } else { "" };
        let (doc, from) = (entry.doc.replace('|', "\\|"), entry.from.replace('|', "\\|"));
        let from = if origin { format!(" {from} |") } else { String::new() };
        writeln!(out, "| `{code}` | {doc}{strict} |{from}").expect("a string takes all");
    }
    out
}

/// The types that signatures name.
fn types() -> String {
    let mut out = "| Type | Is | |\n|---|---|---|\n".to_owned();
    for (name, ty, doc) in TYPES {
        writeln!(out, "| `{name}` | `{}` | {doc} |", ty.replace('|', "\\|")).expect("a string takes all");
    }
    out
}

/// The constants of `ngx`, on one line for each kind.
fn constants(all: &[Section]) -> String {
    let entries: Vec<&Entry> =
        all.iter().flat_map(|section| &section.entries).filter(|entry| is_constant(entry)).collect();
    // The numbers of methods are powers of two, and no status is one.
    let is_method = |entry: &Entry| {
        let number: Option<u32> = entry.doc.trim_end_matches('.').parse().ok();
        entry.member.starts_with("HTTP_") && number.is_some_and(u32::is_power_of_two)
    };
    let (statuses, others): (Vec<&Entry>, Vec<&Entry>) =
        entries.into_iter().partition(|entry| entry.member.starts_with("HTTP_") && !is_method(entry));
    let (methods, results): (Vec<&Entry>, Vec<&Entry>) = others.into_iter().partition(|entry| is_method(entry));
    let mut out = String::new();
    for (kind, entries) in [("Results and levels of the log", results), ("Methods", methods), ("Statuses", statuses)] {
        let shown = entries.iter().map(|entry| format!("`{}` {}", entry.name, entry.doc.trim_end_matches('.')));
        writeln!(out, "- {kind}: {}.", shown.collect::<Vec<_>>().join(", ")).expect("a string takes all");
    }
    out
}

/// The functions that some phases alone may call.
fn phases(all: &[Section]) -> String {
    let mut by_phases: BTreeMap<(bool, &str), Vec<String>> = BTreeMap::new();
    for entry in all.iter().filter(|section| section.place == Place::Table).flat_map(|section| &section.entries) {
        if !entry.phases.is_empty() {
            by_phases.entry((entry.in_log_phase(), entry.phases)).or_default().push(format!("`{}`", entry.name));
        }
    }
    let mut out = "| Functions | Only in |\n|---|---|\n".to_owned();
    for ((_, phases), names) in by_phases {
        writeln!(out, "| {} | {phases} |", names.join(", ")).expect("a string takes all");
    }
    out
}
