//! The rows that the tables of names are written in.

/// A name that snippets can use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Its last part. Empty for what a table or a module is itself, if it can be called.
    pub(super) name: &'static str,
    /// A function's parameters and results, `(name: string): string?`, or a value's type; in Luau's notation.
    pub(super) signature: &'static str,
    /// What it answers or does, in Markdown.
    pub(super) doc: &'static str,
    /// What it answers from, in Markdown; empty if that goes without saying.
    pub(super) from: &'static str,
    /// The phases of Kong that may call it; empty for all.
    pub(super) phases: &'static str,
    /// Whether it takes `untrusted_lua: strict`.
    pub(super) strict: bool,
}

/// A row for a name of all profiles and phases.
pub(super) const fn row(name: &'static str, signature: &'static str, doc: &'static str) -> Row {
    Row { name, signature, doc, from: "", phases: "", strict: false }
}

impl Row {
    pub(super) const fn from(self, from: &'static str) -> Self {
        Self { from, ..self }
    }

    pub(super) const fn only_in(self, phases: &'static str) -> Self {
        Self { phases, ..self }
    }

    pub(super) const fn strict(self) -> Self {
        Self { strict: true, ..self }
    }
}

/// Where the rows of a group are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A table of the environment; the environment itself if its name is empty.
    Table,
    /// What `require` returns for this name.
    Module,
    /// An object, which the example makes.
    Object(&'static str),
}

/// Rows that belong together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) about: &'static str,
    pub(super) rows: &'static [&'static [Row]],
}

/// Rows of several groups.
type Rows = &'static [&'static [Row]];

impl Group {
    pub(super) const fn table(name: &'static str, about: &'static str, rows: Rows) -> Self {
        Self { name, place: Place::Table, about, rows }
    }

    pub(super) const fn module(name: &'static str, about: &'static str, rows: Rows) -> Self {
        Self { name, place: Place::Module, about, rows }
    }

    pub(super) const fn object(name: &'static str, about: &'static str, example: &'static str, rows: Rows) -> Self {
        Self { name, place: Place::Object(example), about, rows }
    }
}
