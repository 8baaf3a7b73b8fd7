//! Names in a snippet that nothing answers to: misspelt globals and functions, and functions of other phases.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use mlua::{Table, Value as Lv};

use super::reader::{How, Step, uses};
use crate::host::{Phase, Phases};
use crate::source::lexer::{Kind, Token, tokens};
use crate::source::scopes::{Home, walk};

/// How deep tables of names are.
const MAX_DEPTH: usize = 5;
/// Tables that compute the members in `COMPUTED` on access, and no others.
const PARTLY_COMPUTED: [&str; 3] = ["kong", "ngx", "ngx.config"];
/// Members that are computed on access.
const COMPUTED: [&str; 5] =
    ["kong.default_workspace", "ngx.ctx", "ngx.headers_sent", "ngx.status", "ngx.config.subsystem"];

/// The names that snippets find, as paths with dots.
#[derive(Debug, Default)]
pub struct Names {
    /// Whether each is a table with nothing but the members that are here, too.
    known: BTreeMap<String, bool>,
    /// Functions with the phases that may call them.
    restricted: HashMap<String, &'static str>,
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// There is no such global or member.
    Missing,
    /// Only these phases may call the function.
    Phase(&'static str),
}

/// A name that fails, or is nil, when the snippet reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// Line in the text, from 1.
    pub line: usize,
    /// The name, with dots.
    pub name: String,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Names {
    /// Those of an environment.
    pub(crate) fn of(globals: &Table, restricted: &[(Rc<str>, &'static str)]) -> mlua::Result<Self> {
        let mut names = Self {
            known: BTreeMap::new(),
            restricted: restricted.iter().map(|(name, phases)| (name.to_string(), *phases)).collect(),
        };
        let base = globals.metatable().map_or_else(|| Ok(globals.clone()), |metatable| metatable.raw_get("__index"))?;
        names.add("", &base, 0)?;
        names.known.extend(COMPUTED.map(|name| (name.to_owned(), false)));
        Ok(names)
    }

    fn add(&mut self, prefix: &str, table: &Table, depth: usize) -> mlua::Result<()> {
        for pair in table.pairs::<Lv, Lv>() {
            let (Lv::String(name), value) = pair? else { continue };
            let path = format!("{prefix}{}", name.to_string_lossy());
            let Lv::Table(inner) = value else {
                self.known.insert(path, false);
                continue;
            };
            let computes = match inner.metatable() {
                Some(metatable) => metatable.raw_get::<Lv>("__index")? != Lv::Nil,
                None => false,
            };
            let closed = depth < MAX_DEPTH && (PARTLY_COMPUTED.contains(&&*path) || !computes) && path != "_G";
            self.known.insert(path.clone(), closed);
            if closed {
                self.add(&format!("{path}."), &inner, depth + 1)?;
            }
        }
        Ok(())
    }

    /// The known names beside `name`: globals, or members of the same table.
    pub fn beside<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let prefix = name.rfind('.').map_or("", |dot| &name[..=dot]);
        self.known
            .keys()
            .map(String::as_str)
            .filter(move |known| known.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && !rest.contains('.')))
    }

    /// What is wrong with the last member of `path` that can be judged, in a function of `phase`.
    fn judge<'a>(&self, path: impl Iterator<Item = &'a str>, phase: Phase) -> Option<(String, Problem)> {
        let mut name = String::new();
        for member in path {
            if !name.is_empty() {
                if self.known.get(&name) != Some(&true) {
                    return None;
                }
                name.push('.');
            }
            name.push_str(member);
            if !self.known.contains_key(&name) {
                return Some((name, Problem::Missing));
            }
        }
        let phases = self.restricted.get(&name).filter(|phases| !Phases::of(phases).has(phase))?;
        Some((name, Problem::Phase(phases)))
    }
}

/// The names in `source`, a snippet of `phase`, that fail or are nil, each once with its first line. What the snippet only tests or
/// assigns to is not among them.
pub fn unknown(source: &str, names: &Names, phase: Phase) -> Vec<UnknownName> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |line, judged: Option<(String, Problem)>| {
        if let Some((name, problem)) = judged
            && seen.insert(name.clone())
        {
            found.push(UnknownName { line, name, problem });
        }
    };
    for found in uses(source).iter().filter(|found| matches!(found.how, How::Read | How::Called)) {
        let members = found.path.iter().map_while(|step| match step {
            Step::Member(name) => Some(name.as_str()),
            Step::Index | Step::Call(_) => None,
        });
        add(found.line, names.judge(members, phase));
    }
    let tokens = tokens(source);
    let (assigned, declared) = (assigned(&tokens), declared(&tokens));
    walk(&tokens, |at, home| {
        let Some(name) = begins_chain(&tokens, at).filter(|name| home(name) == Home::Global) else { return };
        // The reader of uses above follows these through locals.
        if assigned.contains(name) || declared.contains(&at) || ["kong", "ngx"].contains(&name) {
            return;
        }
        add(tokens[at].line, names.judge(chain(&tokens, at), phase));
    });
    found.sort_by_key(|name| name.line);
    found
}

/// The name at the token `at` if a chain of members begins there, and it is read rather than tested.
fn begins_chain<'a>(tokens: &[Token<'a>], at: usize) -> Option<&'a str> {
    let name = tokens[at].name().filter(|_| tokens[at].kind == Kind::Name)?;
    let before = at.checked_sub(1).map(|before| tokens[before]);
    let is_before = |texts: &[&str]| before.is_some_and(|token| texts.iter().any(|text| token.is(text)));
    let next = tokens.get(at + 1);
    let is_next = |texts: &[&str]| next.is_some_and(|token| texts.iter().any(|text| token.is(text)));
    let is_key = is_before(&["{", ",", ";"]) && is_next(&["="]);
    let is_tested = is_next(&["and", "or", "then", "==", "~="]) || is_before(&["not", "==", "~="]);
    let is_declared = is_before(&[".", ":", "function", "goto", "::", "local"]);
    (!is_key && !is_tested && !is_declared && !is_next(&["="])).then_some(name)
}

/// The members from the token `at` on: `string`, `format` of `string.format(...)`.
fn chain<'a>(tokens: &'a [Token<'a>], at: usize) -> impl Iterator<Item = &'a str> {
    let members = tokens[at + 1..].chunks(2).map_while(|pair| match pair {
        [dot, member] if dot.is(".") => member.name(),
        _ => None,
    });
    tokens[at].name().into_iter().chain(members)
}

/// The globals that the snippet itself sets: `a, b = ...` and `function f()`.
fn assigned<'a>(tokens: &[Token<'a>]) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.is("function") {
            names.extend(tokens.get(at + 1).and_then(Token::name));
        }
        if !token.is("=") {
            continue;
        }
        let mut end = at;
        while let Some(name) = end.checked_sub(1).and_then(|before| tokens[before].name()) {
            names.insert(name);
            match end.checked_sub(2) {
                Some(comma) if tokens[comma].is(",") => end = comma,
                _ => break,
            }
        }
    }
    names
}

/// The tokens that declare names: those of `local a, b` and `for k, v`.
fn declared(tokens: &[Token<'_>]) -> HashSet<usize> {
    let mut declared = HashSet::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.is("local") || token.is("for")) {
        let mut at = at + 1;
        while tokens.get(at).is_some_and(|token| token.name().is_some()) {
            declared.insert(at);
            if !tokens.get(at + 1).is_some_and(|token| token.is(",")) {
                break;
            }
            at += 2;
        }
    }
    declared
}

#[cfg(test)]
mod tests {
    use super::{Names, Problem, unknown};
    use crate::host::{Dialect, Options, Phase, Profile};
    use crate::vm::Vm;

    fn names() -> Names {
        let dialect = Dialect { profile: Profile::Strict, ..Dialect::default() };
        let options = Options { dialect, ..Options::default() };
        Vm::new(&options).and_then(|vm| vm.names()).expect("a VM")
    }

    /// Scenario: snippets with misspelt and with sound names: globals, members of libraries and of `kong` and `ngx`, also through
    /// locals; names that are set, tested, declared or keys; members that are computed; functions of other phases.
    /// Guarantees: exactly the names that fail or are nil are found, with their lines.
    #[test]
    fn exactly_the_unknown_names_are_found() {
        let names = names();
        for (source, expected) in [
            ("return kong.request.get_heder('x')", "kong.request.get_heder 1"),
            ("local r = kong.request\nreturn r.get_heder('x')", "kong.request.get_heder 2"),
            ("return kong.requst.get_header('x')", "kong.requst 1"),
            ("return retrn", "retrn 1"),
            ("local x = undefined.y\nreturn undefined", "undefined 1"),
            ("return string.fmt('a'), ngx.re.fnd('a', 'b'), ngx.nwo()", "ngx.re.fnd 1, ngx.nwo 1, string.fmt 1"),
            ("kong.response.exit(200)", "kong.response.exit 1 (rewrite"),
            ("ngx.say('x')", "ngx.say 1 (rewrite"),
            ("return kong.service.request.set_header('a', 'b')", "kong.service.request.set_header 1 (rewrite"),
            (
                "return kong.ctx.shared.anything.at.all, ngx.var.any, ngx.ctx.any.thing, ngx.header.x, kong.default_workspace",
                "",
            ),
            ("return kong.log.serialize().request.anything, kong.log('x'), kong.client.get_consumer().what", ""),
            ("x = 1 y, z = 2, 3 function f() end return x, y, z, f()", ""),
            ("if lyaml then return lyaml.x end return cjson and 1, a == nil, not b", "lyaml 1"),
            ("local t = {foo = 1, bar = 2; baz = 3} return t.foo, t:qux(), ({zip = 1}).zip", ""),
            ("for k, v in pairs({}) do local w = k end local function g(p, ...) return p end return g(1)", ""),
            ("if kong.nothing then return 1 end return kong.client.get_foo ~= nil", ""),
            ("local a, b, c, d = 1, 2, 3 local e, f, g return a, b, c, d, e, f, g", ""),
            ("return _G.anything, _VERSION, math.huge, table.concat({}), os.time()", ""),
            ("-- undefined\nreturn 'undefined', [[undefined]]", ""),
            ("return kong.db.routes, ngx.shared.DICT, ngx.socket.tcp()", ""),
        ] {
            let shown: Vec<String> = unknown(source, &names, Phase::Log)
                .into_iter()
                .map(|found| match found.problem {
                    Problem::Missing => format!("{} {}", found.name, found.line),
                    Problem::Phase(phases) => {
                        format!("{} {} ({}", found.name, found.line, phases.split(',').next().unwrap_or_default())
                    }
                })
                .collect();
            assert_eq!(shown.join(", "), expected, "{source}");
        }
        assert_eq!(unknown("kong.response.exit(200)", &names, Phase::Access), []);
        assert!(names.beside("kong.request.get_heder").any(|name| name == "kong.request.get_header"));
        assert!(
            names.beside("retrn").any(|name| name == "select") && names.beside("x").all(|name| !name.contains('.'))
        );
    }
}
