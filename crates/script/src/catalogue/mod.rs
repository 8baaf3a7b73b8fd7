//! What snippets can call, as data: the names of the environment and of modules, with signatures and what they do.
//!
//! docs/lua.md, the definitions for editors ([`luals`], [`luau`]) and the completion of the page are made of it; a test
//! holds it against the environment of a VM.

mod kong;
mod kong_request;
mod lua;
pub mod luals;
pub mod luau;
mod modules;
mod ngx;
mod penlight;
mod row;
pub mod signature;

use std::borrow::Cow;

use self::row::{Group, Place as GroupPlace, Row};
use crate::ngx::constants;

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A function.
    Function,
    /// A function that is called with a colon.
    Method,
    /// A text, a number, a boolean, or a table that is used as a value.
    Value,
    /// A table that other names are in.
    Table,
}

impl Kind {
    /// `function`, `value` or `table`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Function | Self::Method => "function",
            Self::Value => "value",
            Self::Table => "table",
        }
    }
}

/// A name that snippets can use.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As snippets write it: `kong.request.get_header`, `kong.cache:get`; of a module, behind the module's
    /// name: `cjson.encode`.
    pub name: String,
    /// The last part. Empty for what a section is itself.
    pub member: Cow<'static, str>,
    /// What it is.
    pub kind: Kind,
    /// A function's parameters and results, `(name: string): string?`, or a value's type; in Luau's notation.
    /// `signature::parse` reads it. Empty for a table.
    pub signature: &'static str,
    /// What it answers or does: one or two sentences in Markdown.
    pub doc: Cow<'static, str>,
    /// What it answers from, in Markdown; may be empty.
    pub from: &'static str,
    /// The profile that it takes: `sandbox` or `strict`. Modules take `strict`, or to be named in
    /// `untrusted_lua_sandbox_requires`.
    pub profile: &'static str,
    /// The phases of Kong that may call it, with commas between them; empty for all.
    pub phases: &'static str,
    /// The module that `require` gives, if it is in one.
    pub module: Option<&'static str>,
}

impl Entry {
    /// Whether functions of the log phase can use it.
    pub fn in_log_phase(&self) -> bool {
        self.phases.is_empty() || self.phases.split(", ").any(|phase| phase == "log")
    }

    /// What a reader of the signature must know of phases.
    pub fn phase_note(&self) -> Option<String> {
        (!self.phases.is_empty()).then(|| format!("only in {}", self.phases))
    }
}

/// Where the names of a section are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a table of the environment; in the environment itself if the section has no name.
    Table,
    /// In what `require` returns for the section's name.
    Module,
    /// In an object, which this code makes. The section's name is that of the type.
    Object(&'static str),
}

/// Names that belong together.
#[derive(Debug, Clone)]
pub struct Section {
    /// `kong.request`, `cjson`; empty for Lua's own functions.
    pub name: &'static str,
    /// Where the names are.
    pub place: Place,
    /// What it is for.
    pub about: &'static str,
    /// The names.
    pub entries: Vec<Entry>,
}

/// Types that signatures name, and what each is, in Luau's notation and in words.
pub const TYPES: [(&str, &str, &str); 6] = [
    ("Text", "string | number", "What functions take as a text."),
    ("Arguments", "{[string]: any}", "Arguments by name: texts, `true` for one without `=`, lists for several."),
    ("Headers", "{[string]: string | {string}}", "Headers by name; lists for several."),
    ("Entity", "{[string]: any}", "An entity of Kong, with `id` and `name` if it has one."),
    ("Captures", "{[any]: string | boolean}", "The groups of a match, by number and by name."),
    (
        "CacheOptions",
        "{ttl: number?, neg_ttl: number?}",
        "Seconds that a value, or its absence, is kept: 3600 and 300.",
    ),
];

/// All sections: Lua's own names, `kong`, `ngx`, modules, and objects.
pub fn sections() -> Vec<Section> {
    let groups = [lua::GROUPS, kong_request::GROUPS, kong::GROUPS, ngx::GROUPS, modules::GROUPS];
    let mut sections: Vec<Section> = groups.iter().copied().flatten().map(section).collect();
    for section in sections.iter_mut().filter(|section| section.name == "ngx" && section.place == Place::Table) {
        section.entries.extend(constants());
    }
    sections.extend(lua::TABLE_MODULES.map(table_module));
    sections
}

/// All names: tables and modules, and what is in them. Objects are left out.
pub fn catalogue() -> Vec<Entry> {
    let mut all = Vec::new();
    for section in sections() {
        let is_itself = section.entries.iter().any(|entry| entry.member.is_empty());
        match section.place {
            Place::Object(_) => continue,
            place if !section.name.is_empty() && !is_itself => all.push(itself(&section, place)),
            _ => {}
        }
        all.extend(section.entries);
    }
    all
}

/// The table or module of a section.
fn itself(section: &Section, place: Place) -> Entry {
    let is_module = place == Place::Module;
    Entry {
        name: section.name.to_owned(),
        member: Cow::Borrowed(""),
        kind: Kind::Table,
        signature: "",
        doc: Cow::Borrowed(section.about),
        from: "",
        profile: if is_module || section.entries.iter().all(|entry| entry.profile == "strict") {
            "strict"
        } else {
            "sandbox"
        },
        phases: "",
        module: is_module.then_some(section.name),
    }
}

fn section(group: &Group) -> Section {
    let place = match group.place {
        GroupPlace::Table => Place::Table,
        GroupPlace::Module => Place::Module,
        GroupPlace::Object(example) => Place::Object(example),
    };
    let entries = group.rows.iter().copied().flatten().map(|row| entry(group.name, place, row)).collect();
    Section { name: group.name, place, about: group.about, entries }
}

fn entry(of: &'static str, place: Place, row: &Row) -> Entry {
    let kind = match () {
        () if !row.signature.starts_with('(') => Kind::Value,
        () if row.signature.starts_with("(self") => Kind::Method,
        () => Kind::Function,
    };
    let name = match (of, row.name) {
        ("", name) | (name, "") => name.to_owned(),
        (of, name) if kind == Kind::Method => format!("{of}:{name}"),
        (of, name) => format!("{of}.{name}"),
    };
    let module = (place == Place::Module).then_some(of);
    Entry {
        name,
        member: Cow::Borrowed(row.name),
        kind,
        signature: row.signature,
        doc: Cow::Borrowed(row.doc),
        from: row.from,
        profile: if row.strict || module.is_some() { "strict" } else { "sandbox" },
        phases: row.phases,
        module,
    }
}

/// The constants of `ngx`.
fn constants() -> impl Iterator<Item = Entry> {
    constants::all().map(|(name, number)| Entry {
        name: format!("ngx.{name}"),
        member: Cow::Owned(name),
        kind: Kind::Value,
        signature: "number",
        doc: Cow::Owned(format!("{number}.")),
        from: "",
        profile: "sandbox",
        phases: "",
        module: None,
    })
}

/// A function of `table` that is a module, too.
fn table_module((name, module): (&'static str, &'static str)) -> Section {
    let row = lua::TABLE.iter().find(|row| row.name == name).expect("TABLE_MODULES has names of TABLE");
    let entry = entry(module, Place::Module, &Row { name: "", ..*row });
    Section { name: module, place: Place::Module, about: row.doc, entries: vec![entry] }
}
