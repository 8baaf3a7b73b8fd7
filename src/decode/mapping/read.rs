//! From the text of a mapping to rules, with a diagnostic for every mistake.

use std::collections::BTreeMap;

use logphase_config::diagnostic::{Diagnostic, Origin, SourceFile, any_error, codes};
use logphase_config::document::{self, Key, Node};
use logphase_config::schema::{Check, Default, Field, Record, Scope};

use super::builtin::BUILT_IN;
use super::rule::{ITEMS, Item, KINDS, Kind, Object, Part, Rule, Source, Target, Term};
use super::seen::Seen;
use super::sources::Sources;
use super::unit::{self, Unit};
use super::{KONG, Mapping, text};

/// Members that one mapping may write.
const MAX_MEMBERS: usize = 500;

/// Mappings that one may extend, one after the other.
const MAX_EXTENDS: usize = 8;

const TEXT: Field = Field::string("");
const ANY_TEXT: Field = Field::string("").checks(&[Check::LenMin(0)]);
const ANY: Field = Field::any("");

/// The schema of a mapping.
pub static SCHEMA: Record = Record::new(&[
    Field::string("extends").about("A mapping whose members this one has, too."),
    Field::array("absent", &ANY_TEXT).about("Texts that stand for no value; by default `-` and the empty text."),
    Field::array("ignore", &TEXT).about("Members of what arrives that are dropped, for a mapping that keeps the rest."),
    Field::map("members", &TEXT, &ANY).required().default(Default::Record).about("The rule of each member."),
]);

/// The schema of a rule that is a record.
static RULE: Record = Record::new(&[
    Field::any("from"),
    Field::array("sum", &TEXT),
    Field::string("template"),
    Field::any("value"),
    Field::string("prefix"),
    Field::map("each", &TEXT, &ANY),
    Field::boolean("rest"),
    Field::string("type").checks(&[Check::OneOf(KINDS)]),
    Field::string("unit").checks(&[Check::OneOf(unit::NAMES)]),
    Field::string("item").checks(&[Check::OneOf(ITEMS)]),
    Field::map("values", &ANY_TEXT, &ANY),
    Field::any("default"),
    Field::string("if"),
    Field::string("unless"),
    Field::boolean("optional"),
]);

/// The fields of a rule that say where its value comes from.
const SOURCES: [&str; 7] = ["from", "sum", "template", "value", "prefix", "each", "rest"];

/// A mapping as written, or its error.
type Definitions<'n> = BTreeMap<&'n str, &'n Node>;

/// The built-in mapping `name`.
pub(super) fn built_in(name: &str) -> Mapping {
    let node = built_in_node(name).expect("the name is in the table of built-in mappings");
    let mut diagnostics = Vec::new();
    let mapping = Reader::new(name, &mut diagnostics).mapping(&[&node]);
    debug_assert!(diagnostics.is_empty(), "{name}: {diagnostics:?}");
    mapping
}

fn built_in_node(name: &str) -> Option<Node> {
    let (_, text) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name)?;
    document::parse(&SourceFile::new(format!("{name}.yml"), *text), None).0
}

/// The mappings of a record of definitions by name.
pub(super) fn all(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Vec<Mapping> {
    let entries = node.entries().unwrap_or_default();
    let definitions: Definitions<'_> = entries.iter().map(|(key, node)| (key.name.as_str(), node)).collect();
    let built_in: Vec<(&str, Node)> =
        BUILT_IN.iter().filter_map(|(name, _)| Some((*name, built_in_node(name)?))).collect();
    let mut mappings = Vec::new();
    for (key, node) in entries {
        let mut found = Vec::new();
        if key.name == KONG || BUILT_IN.iter().any(|(name, _)| *name == key.name) {
            let message = format!("the mapping `{}` is built in", key.name);
            let help = format!("choose another name; `extends: {}` has its members", key.name);
            let path = format!("mappings.{}", key.name);
            found.push(Diagnostic::error(codes::SETTING, message).at(key.origin()).path(path).help(help));
        } else {
            let mut reader = Reader::new(&key.name, &mut found);
            let layers = reader.layers(node, &definitions, &built_in);
            let mapping = reader.mapping(&layers);
            if !any_error(&found) {
                mappings.push(mapping);
            }
        }
        diagnostics.append(&mut found);
    }
    mappings
}

/// Reads one mapping.
struct Reader<'d> {
    name: &'d str,
    diagnostics: &'d mut Vec<Diagnostic>,
    sources: Sources,
}

impl<'d> Reader<'d> {
    fn new(name: &'d str, diagnostics: &'d mut Vec<Diagnostic>) -> Self {
        Self { name, diagnostics, sources: Sources::default() }
    }

    /// `node` and the mappings that it extends, from the last to itself.
    fn layers<'n>(
        &mut self,
        node: &'n Node,
        definitions: &Definitions<'n>,
        built_in: &'n [(&'static str, Node)],
    ) -> Vec<&'n Node> {
        let mut layers = vec![node];
        let mut at = node;
        while let Some(extends) = at.get("extends").filter(|node| !node.is_null()) {
            // What is no text the schema has refused.
            let Some(base) = extends.as_str() else { break };
            let of_program = || built_in.iter().find(|(name, _)| *name == base).map(|(_, node)| node);
            let path = format!("mappings.{}.extends", self.name);
            match definitions.get(base).copied().or_else(of_program) {
                Some(_) if layers.len() > MAX_EXTENDS => {
                    let message = format!("the mapping `{}` extends itself, or too many", self.name);
                    self.diagnostics.push(Diagnostic::error(codes::SETTING, message).at(extends.origin()).path(path));
                    break;
                }
                Some(node) => at = node,
                None => {
                    let known = definitions.keys().copied().chain(built_in.iter().map(|(name, _)| *name));
                    let message = format!("the mapping `{}` extends `{base}`, which does not exist", self.name);
                    let diagnostic = Diagnostic::error(codes::SETTING, message).at(extends.origin()).path(path);
                    self.diagnostics.push(diagnostic.suggest(base, known));
                    break;
                }
            }
            layers.push(at);
        }
        layers.reverse();
        layers
    }

    /// The mapping of `layers`; of members that several have, the last rule counts.
    fn mapping(mut self, layers: &[&Node]) -> Mapping {
        let mut members: Vec<(&Key, &Node)> = Vec::new();
        let mut absent: Vec<Box<[u8]>> = vec![b"-".as_slice().into(), b"".as_slice().into()];
        for layer in layers {
            for (key, rule) in layer.get("members").and_then(Node::entries).unwrap_or_default() {
                members.retain(|(known, _)| known.name != key.name);
                // Null takes a member out of the mapping that is extended.
                if !rule.is_null() {
                    members.push((key, rule));
                }
            }
            if let Some(texts) = layer.get("absent").and_then(Node::items) {
                absent = texts.iter().filter_map(Node::as_str).map(|text| text.as_bytes().into()).collect();
            }
        }
        let mut root = Object::default();
        if let Some((key, _)) = members.get(MAX_MEMBERS) {
            let message = format!("the mapping `{}` has more than {MAX_MEMBERS} members", self.name);
            self.diagnostics.push(Diagnostic::error(codes::SETTING, message).at(key.origin()));
            members.truncate(MAX_MEMBERS);
        }
        let mut keeps_unread = false;
        for (key, node) in members {
            let scope = Scope {
                subject: format!("`{}` of mapping `{}`", key.name, self.name),
                path: format!("mappings.{}.members.{}", self.name, key.name),
                kong: None,
                origin: key.origin(),
            };
            let Some(names) = self.names(&key.name, &key.origin(), &scope) else { continue };
            let rules = self.rules(node, &scope);
            keeps_unread |= rules.iter().any(|rule| matches!(rule.source, Source::Rest));
            if let Err(message) = place(&mut root, &names, rules) {
                self.error(&scope, &key.origin(), message, "a member has either a value or members");
            }
        }
        for layer in layers {
            for ignored in layer.get("ignore").and_then(Node::items).unwrap_or_default() {
                let Some(path) = ignored.as_str() else { continue };
                let scope = Scope {
                    subject: format!("mapping `{}`", self.name),
                    path: format!("mappings.{}.ignore", self.name),
                    kong: None,
                    origin: ignored.origin(),
                };
                self.slot(path, &ignored.origin(), &scope);
            }
        }
        let Self { name, sources, .. } = self;
        let seen = Seen::new(sources.len());
        Mapping { name: name.to_owned(), sources, absent, root, keeps_unread, seen }
    }

    fn error(&mut self, at: &Scope, origin: &Origin, message: String, help: &str) {
        let diagnostic = Diagnostic::error(codes::SETTING, message).at(origin.clone()).path(at.path.clone());
        self.diagnostics.push(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    }

    /// The names of a key path: dots nest, `\.` is a dot in a name.
    fn names(&mut self, path: &str, origin: &Origin, at: &Scope) -> Option<Vec<String>> {
        let mut names = vec![String::new()];
        let mut characters = path.chars().peekable();
        while let Some(character) = characters.next() {
            match (character, characters.peek(), names.last_mut()) {
                ('\\', Some('.'), Some(name)) => {
                    characters.next();
                    name.push('.');
                }
                ('.', ..) => names.push(String::new()),
                (character, _, Some(name)) => name.push(character),
                (_, _, None) => {}
            }
        }
        if names.iter().any(String::is_empty) {
            let message = format!("`{path}` is not a path: a name in it is empty");
            self.error(at, origin, message, "dots separate names, like request.headers.host; `\\.` is a dot in a name");
            return None;
        }
        Some(names)
    }

    /// The slot of the member at `path` of what arrives.
    fn slot(&mut self, path: &str, origin: &Origin, at: &Scope) -> Option<usize> {
        let names = self.names(path, origin, at)?;
        Some(self.sources.slot(path, &names))
    }

    /// The rules of a member: a path, a record, or a list of such.
    fn rules(&mut self, node: &Node, at: &Scope) -> Vec<Rule> {
        match node.items() {
            Some(items) => items.iter().flat_map(|item| self.rule(item, at)).collect(),
            None => self.rule(node, at),
        }
    }

    /// The rule of `node`, and one more for its default.
    fn rule(&mut self, node: &Node, at: &Scope) -> Vec<Rule> {
        if let Some(path) = node.as_str() {
            let slot = self.slot(path, &node.origin(), at);
            let only = slot.map(|slot| rule(Source::Slots(vec![slot])));
            only.iter().for_each(|rule| self.set_required(rule));
            return only.into_iter().collect();
        }
        if node.entries().is_none() {
            let message = format!("{} is {}", at.subject, node.type_name());
            let help = "write the path of a member, a record such as {from: rt, unit: s}, or a list of these";
            self.error(at, &node.origin(), message, help);
            return Vec::new();
        }
        let before = self.diagnostics.len();
        let scope = Scope { origin: node.origin(), ..at.clone() };
        let values = RULE.read(node, &scope, self.diagnostics);
        if any_error(&self.diagnostics[before..]) {
            return Vec::new();
        }
        let given: Vec<&str> = SOURCES.into_iter().filter(|name| values.contains_key(*name)).collect();
        let [source] = given[..] else {
            let message = match given.len() {
                0 => format!("{} says nowhere what its value is", at.subject),
                _ => format!("{} has more than one of: {}", at.subject, given.join(", ")),
            };
            self.error(at, &node.origin(), message, &format!("give one of: {}", SOURCES.join(", ")));
            return Vec::new();
        };
        let Some(mut first) = self.record(node, source, at) else { return Vec::new() };
        first.guard = self.guard(node, at);
        if node.get("optional").and_then(Node::as_bool) != Some(true) {
            self.set_required(&first);
        }
        let default = node.get("default").filter(|node| !node.is_null());
        let default = default.map(|node| rule(Source::Constant(node.to_json().to_string().into_bytes())));
        std::iter::once(first).chain(default).collect()
    }

    /// The rule of a record with the source `source`.
    fn record(&mut self, node: &Node, source: &str, at: &Scope) -> Option<Rule> {
        let (value_key, value) = node.entry(source)?;
        let origin = value.origin();
        let text = |name: &str| node.get(name).and_then(Node::as_str);
        let unit = text("unit").and_then(Unit::find);
        let kind = text("type").and_then(Kind::find);
        let item = text("item").and_then(Item::find);
        let allowed: &[&str] = match source {
            "from" => &["type", "unit", "item", "values"],
            "sum" => &["unit", "item"],
            "prefix" => &["type"],
            _ => &[],
        };
        for name in ["type", "unit", "item", "values"] {
            if let Some((key, _)) = node.entry(name).filter(|_| !allowed.contains(&name)) {
                let message = format!("`{name}` of {} has no effect with `{source}`", at.subject);
                self.error(at, &key.origin(), message, "remove it");
                return None;
            }
        }
        if let (Some(_), Some((key, _))) = (unit, node.entry("type")) {
            let message = format!("{} has a unit and a type", at.subject);
            self.error(at, &key.origin(), message, "a value with a unit is a number of milliseconds: remove the type");
            return None;
        }
        let source = match source {
            "from" => Source::Slots(self.paths(value, at)?),
            "sum" => Source::Sum(self.terms(value, unit, at)?),
            "template" => Source::Template(self.template(value.as_str()?, &origin, at)?),
            "value" => Source::Constant(value.to_json().to_string().into_bytes()),
            "prefix" => {
                let path = value.as_str()?;
                let names = self.names(path, &origin, at)?;
                Source::Prefix(self.sources.prefix(path, &names))
            }
            "each" => Source::Each(self.each(value, at)?),
            _ => {
                if value.as_bool() != Some(true) {
                    self.error(at, &value_key.origin(), "`rest` is true or absent".to_owned(), "");
                    return None;
                }
                Source::Rest
            }
        };
        if matches!(kind, Some(kind) if kind != Kind::Headers) && matches!(source, Source::Prefix(_)) {
            let message = format!("{} is an object: its type is `headers`, or absent", at.subject);
            self.error(at, &origin, message, "");
            return None;
        }
        let kind = match (unit, &source) {
            (Some(unit), Source::Slots(_)) => Kind::Milliseconds(unit),
            _ => kind.unwrap_or(Kind::Unchanged),
        };
        let values = node.get("values").and_then(Node::entries).unwrap_or_default().iter();
        let values = values.map(|(key, json)| (key.name.clone().into_bytes(), json.to_json().to_string().into_bytes()));
        Some(Rule { guard: None, source, kind, item, values: values.collect() })
    }

    fn guard(&mut self, node: &Node, at: &Scope) -> Option<(usize, bool)> {
        for (name, present) in [("if", true), ("unless", false)] {
            if let Some(path) = node.get(name).filter(|node| !node.is_null()) {
                return Some((self.slot(path.as_str()?, &path.origin(), at)?, present));
            }
        }
        None
    }

    /// Notes that sound logs have all that `rule` reads.
    fn set_required(&mut self, rule: &Rule) {
        let mut ids = match &rule.source {
            Source::Slots(slots) => slots.clone(),
            Source::Sum(terms) => terms.iter().map(|term| term.slot).collect(),
            Source::Each(targets) => targets.iter().map(|(_, slot)| *slot).collect(),
            Source::Template(parts) => parts
                .iter()
                .filter_map(|part| if let Part::Slot(slot, _) = part { Some(*slot) } else { None })
                .collect(),
            Source::Prefix(_) | Source::Constant(_) | Source::Rest => Vec::new(),
        };
        if let Source::Prefix(prefix) = rule.source {
            self.sources.set_required(prefix, true);
        }
        ids.extend(rule.guard.map(|(slot, _)| slot));
        ids.into_iter().for_each(|slot| self.sources.set_required(slot, false));
    }

    /// A path, or a list of paths.
    fn paths(&mut self, node: &Node, at: &Scope) -> Option<Vec<usize>> {
        let nodes = node.items().unwrap_or(std::slice::from_ref(node));
        let mut slots = Vec::new();
        for node in nodes {
            let Some(path) = node.as_str() else {
                let message = format!("`from` of {} is {}", at.subject, node.type_name());
                self.error(
                    at,
                    &node.origin(),
                    message,
                    "write a path, or a list of paths of which the first with a value counts",
                );
                return None;
            };
            slots.push(self.slot(path, &node.origin(), at)?);
        }
        if slots.is_empty() {
            self.error(at, &node.origin(), format!("`from` of {} is empty", at.subject), "write a path");
            return None;
        }
        Some(slots)
    }

    /// The terms of a sum: `PATH`, `-PATH`, `PATH UNIT`.
    fn terms(&mut self, node: &Node, unit: Option<Unit>, at: &Scope) -> Option<Vec<Term>> {
        let mut terms = Vec::new();
        for node in node.items()? {
            let (text, origin) = (node.as_str()?, node.origin());
            let (text, negative) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
            let (path, own) = text.trim().rsplit_once(' ').map_or((text, None), |(path, unit)| (path, Some(unit)));
            let unit = match own {
                Some(name) => Unit::find(name),
                None => unit,
            };
            let Some(unit) = unit else {
                let message = match own {
                    Some(name) => format!("`{name}` is no unit"),
                    None => format!("a term of {} has no unit", at.subject),
                };
                let help =
                    format!("units are {}; write one behind the path, or `unit` for all", unit::NAMES.join(", "));
                self.error(at, &origin, message, &help);
                return None;
            };
            terms.push(Term { slot: self.slot(path.trim(), &origin, at)?, unit, negative });
        }
        if terms.first().is_none_or(|term| term.negative) {
            let message = format!("the sum of {} does not begin with what is added", at.subject);
            self.error(at, &node.origin(), message, "put a term without `-` first");
            return None;
        }
        Some(terms)
    }

    /// Text with `{PATH}` in it; `{{` and `}}` are braces.
    fn template(&mut self, template: &str, origin: &Origin, at: &Scope) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = template;
        while let Some(at_brace) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at_brace]);
            rest = &rest[at_brace..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push_str(&rest[..1]);
                rest = &rest[2..];
                continue;
            }
            let Some((path, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
                let message = format!("the template of {} has a brace without its other half", at.subject);
                self.error(at, origin, message, "write {PATH} for a value, {{ and }} for braces");
                return None;
            };
            parts.push(Part::Text(escaped(&std::mem::take(&mut literal))));
            let (path, kind) = path.split_once(' ').unwrap_or((path, ""));
            if !matches!(kind, "" | "request_target") {
                let message = format!("the template of {} has the type `{kind}`", at.subject);
                self.error(at, origin, message, "the only type in a template is request_target");
                return None;
            }
            parts.push(Part::Slot(self.slot(path, origin, at)?, !kind.is_empty()));
            rest = after;
        }
        literal.push_str(rest);
        parts.push(Part::Text(escaped(&literal)));
        Some(parts)
    }

    /// The members of each element, every one from the items of one list.
    fn each(&mut self, node: &Node, at: &Scope) -> Option<Vec<(Target, usize)>> {
        let mut targets = Vec::new();
        for (key, node) in node.entries()? {
            let before = self.diagnostics.len();
            let rules = self.rule(node, at);
            let [Rule { source: Source::Slots(slots), item: None, guard: None, kind, .. }] = &rules[..] else {
                if self.diagnostics.len() == before {
                    let message = format!("`{}` in `each` of {} is not one value of a list", key.name, at.subject);
                    let help = "write a path, or a record with from, and type, unit or values";
                    self.error(at, &node.origin(), message, help);
                }
                return None;
            };
            let [slot] = slots[..] else { return None };
            if matches!(kind, Kind::Headers) {
                self.error(at, &node.origin(), "items of lists are no headers".to_owned(), "");
                return None;
            }
            let mut target = Target::new(&key.name);
            target.rules = rules;
            targets.push((target, slot));
        }
        Some(targets)
    }
}

fn rule(source: Source) -> Rule {
    Rule { guard: None, source, kind: Kind::Unchanged, item: None, values: Vec::new() }
}

/// `text` as the content of a JSON string.
fn escaped(content: &str) -> Vec<u8> {
    let mut out = Vec::new();
    text::push_string(&mut out, content.as_bytes());
    out.pop();
    out.drain(..1);
    out
}

/// Whether rules give members of an object that may have others.
fn gives_members(rules: &[Rule]) -> bool {
    let gives = |rule: &Rule| match rule.source {
        Source::Prefix(_) | Source::Rest => true,
        Source::Slots(_) => rule.kind == Kind::Headers,
        _ => false,
    };
    rules.iter().all(gives)
}

/// Puts `rules` at the path `names` below `object`.
fn place(object: &mut Object, names: &[String], rules: Vec<Rule>) -> Result<(), String> {
    let [name, inner @ ..] = names else { return Ok(()) };
    let found = object.members.iter().position(|target| target.name == *name);
    let at = found.unwrap_or_else(|| {
        object.members.push(Target::new(name));
        object.members.len() - 1
    });
    let target = &mut object.members[at];
    if inner.is_empty() {
        target.rules = rules;
    } else {
        place(target.object.get_or_insert_default(), inner, rules)?;
    }
    if target.object.is_some() && !gives_members(&target.rules) {
        return Err(format!("`{name}` has a value of its own and members"));
    }
    Ok(())
}
