//! Names that a snippet uses and the settings do not allow: modules to require, and what only `strict` has.

use crate::host::{Dialect, missing_module};
use crate::source::lexer::{Kind, Token, tokens};
use crate::source::scopes::{Home, walk};

/// A name that fails when the snippet reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Line in the text, from 1.
    pub line: usize,
    /// The module or the library member.
    pub name: String,
    /// Whether it is a module.
    pub module: bool,
    /// Whether a setting allows it.
    pub offered: bool,
    /// What to do.
    pub help: String,
}

/// The names in `source` that `dialect` does not allow, each once with its first line.
pub fn refused(source: &str, dialect: &Dialect) -> Vec<Refused> {
    let tokens = tokens(source);
    let mut found: Vec<Refused> = Vec::new();
    walk(&tokens, |at, home| {
        let refused = match module(&tokens, at) {
            Some(name) if home("require") == Home::Global => refused_module(name, tokens[at].line, dialect),
            _ => member(&tokens, at, home).and_then(|name| refused_member(name, tokens[at].line, dialect)),
        };
        if let Some(refused) = refused.filter(|refused| !found.iter().any(|known| known.name == refused.name)) {
            found.push(refused);
        }
    });
    found
}

/// The module of `require "x"` or `require("x")` at the token `at`.
fn module<'a>(tokens: &[Token<'a>], at: usize) -> Option<&'a str> {
    let member = at.checked_sub(1).is_some_and(|before| tokens[before].is(".") || tokens[before].is(":"));
    if !tokens[at].is("require") || member {
        return None;
    }
    let open = usize::from(tokens.get(at + 1)?.is("("));
    tokens.get(at + 1 + open)?.plain_text()
}

/// The name of a library's member that only `strict` has, at the token `at`.
fn member(tokens: &[Token<'_>], at: usize, home: &dyn Fn(&str) -> Home) -> Option<&'static str> {
    let [dot, name] = tokens.get(at + 1..at + 3)? else { return None };
    let own = at.checked_sub(1).is_none_or(|before| !tokens[before].is(".") && !tokens[before].is(":"));
    for (library, member, path) in
        [("os", "date", "os.date"), ("io", "type", "io.type"), ("string", "rep", "string.rep")]
    {
        if tokens[at].is(library) && own && dot.is(".") && name.is(member) && home(library) == Home::Global {
            return Some(path);
        }
    }
    let called = tokens.get(at + 3).is_some_and(|next| next.is("(") || next.kind == Kind::Text);
    (tokens[at].ends_operand() && dot.is(":") && name.is("rep") && called).then_some("string.rep")
}

fn refused_module(name: &str, line: usize, dialect: &Dialect) -> Option<Refused> {
    if dialect.may_require(name) && crate::environment::modules().contains(&name) {
        return None;
    }
    let offered = crate::environment::modules().contains(&name);
    let help = missing_module(name, offered);
    Some(Refused { line, name: name.to_owned(), module: true, offered, help })
}

fn refused_member(name: &'static str, line: usize, dialect: &Dialect) -> Option<Refused> {
    if dialect.has(name) {
        return None;
    }
    let help = crate::host::missing_member(name);
    Some(Refused { line, name: name.to_owned(), module: false, offered: true, help })
}

#[cfg(test)]
mod tests {
    use super::refused;
    use crate::host::{Dialect, Profile};

    /// Scenario: snippets with names that the profiles differ in, with names that nobody offers, and with locals of the same
    /// names, under each profile and with single names allowed.
    /// Guarantees: exactly the names that would fail are found, with their lines.
    #[test]
    fn names_that_would_fail_are_found() {
        let sandbox = Dialect::default();
        let strict = Dialect { profile: Profile::Strict, ..Dialect::default() };
        let single = Dialect {
            requires: vec!["cjson".to_owned()],
            environment: vec!["os.date".to_owned()],
            ..Dialect::default()
        };
        for (source, in_sandbox, in_strict, in_single) in [
            ("return require('cjson').encode({})", "cjson 1", "", ""),
            ("local c = require \"cjson.safe\"", "cjson.safe 1", "", "cjson.safe 1"),
            ("return\nos.date('%Y')", "os.date 2", "", ""),
            ("return ('x'):rep(3)", "string.rep 1", "", "string.rep 1"),
            ("return string.rep('x', 3)", "string.rep 1", "", "string.rep 1"),
            ("return require('kong.workspaces')", "kong.workspaces 1", "kong.workspaces 1", "kong.workspaces 1"),
            ("local os = {} return os.date", "", "", ""),
            ("local require = print require('cjson')", "", "", ""),
            ("-- os.date\nreturn 'os.date', t.os.date", "", "", ""),
        ] {
            let shown = |dialect: &Dialect| {
                let found = refused(source, dialect);
                found.iter().map(|name| format!("{} {}", name.name, name.line)).collect::<Vec<_>>().join(", ")
            };
            assert_eq!(shown(&sandbox), in_sandbox, "{source}");
            assert_eq!(shown(&strict), in_strict, "{source}");
            assert_eq!(shown(&single), in_single, "{source}");
        }
    }
}
