//! From nodes to values, with a diagnostic for every error.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Check, Default, Field, Problem, Record, Shown, Type, Violation, is_uuid, is_vault_reference, units};
use crate::diagnostic::{Diagnostic, FieldPath, Origin, Segment, codes, suggest};
use crate::document::{Node, NodeKind, StringStyle};

/// The place of a value, for diagnostics.
#[derive(Debug, Clone)]
pub struct Scope {
    /// What the value belongs to, like ``plugin `http-log` ``.
    pub subject: String,
    /// Its path in the document, like `plugins[0].config`.
    pub path: String,
    /// Its path in its entity, like `config`; none if it is not part of an entity of Kong.
    pub kong: Option<FieldPath>,
    /// Where to point if something is missing.
    pub origin: Origin,
}

impl Scope {
    /// The scope of a member.
    pub fn member(&self, name: &str, origin: Origin) -> Self {
        self.below(join(&self.path, name), Segment::Field(name.to_owned()), origin)
    }

    /// The scope of a map's key or its value.
    pub fn key(&self, name: &str, origin: Origin) -> Self {
        self.below(join(&self.path, name), Segment::Key(name.to_owned()), origin)
    }

    /// The scope of a list's element, counted from 0.
    pub fn element(&self, index: usize, origin: Origin) -> Self {
        self.below(format!("{}[{index}]", self.path), Segment::Element(index), origin)
    }

    fn below(&self, path: String, segment: Segment, origin: Origin) -> Self {
        let kong = self.kong.as_ref().map(|path| path.join(segment));
        Self { subject: self.subject.clone(), path, kong, origin }
    }

    /// An error here, with Kong's wording of it as the label.
    pub fn error(&self, code: &'static str, message: String, wording: &str) -> Diagnostic {
        let code = match (&self.kong, code) {
            (Some(_), code) => code,
            (None, codes::UNKNOWN_FIELD) => codes::UNKNOWN_SETTING,
            (None, _) => codes::SETTING,
        };
        let diagnostic =
            Diagnostic::error(code, message).at(self.origin.clone()).label(wording).path(self.path.clone());
        match &self.kong {
            Some(path) => diagnostic.violation(path.clone(), wording),
            None => diagnostic,
        }
    }

    /// The last part of the path.
    fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    /// An error about the value itself; `found` describes it.
    fn wrong(&self, code: &'static str, found: &str, wording: &str) -> Diagnostic {
        let message = match (&self.kong, self.name()) {
            (_, "") => format!("the top level is {found}"),
            (Some(_), name) => format!("`{name}` of {} is {found}", self.subject),
            (None, _) => format!("the setting `{}` is {found}", self.path),
        };
        self.error(code, message, wording)
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl Record {
    /// Reads a mapping: its fields, and the defaults of the absent ones.
    pub fn read(&self, node: &Node, scope: &Scope, diagnostics: &mut Vec<Diagnostic>) -> Map<String, Value> {
        let Some(entries) = node.entries() else {
            diagnostics.push(scope.wrong(codes::TYPE, node.type_name(), "expected a record"));
            return Map::new();
        };
        let of_request = node.is_of_request();
        let is_unknown = |name: &str| match self.field(name) {
            Some(field) => of_request && field.shown == Shown::InFiles,
            None => true,
        };
        for (key, _) in entries.iter().filter(|(key, _)| is_unknown(&key.name)) {
            let message = format!("unknown field `{}` in {}", key.name, scope.subject);
            let here = scope.member(&key.name, key.origin());
            let mut diagnostic = here.error(codes::UNKNOWN_FIELD, message, "unknown field");
            match suggest(&key.name, self.fields.iter().map(|field| field.name)) {
                Some(found) => diagnostic.label = format!("did you mean `{found}`?"),
                None => {
                    let names: Vec<_> = self.fields.iter().filter(|f| f.instead.is_empty()).map(|f| f.name).collect();
                    diagnostic = diagnostic.help(format!("the fields are {}", names.join(", ")));
                }
            }
            diagnostics.push(diagnostic);
        }
        let before = diagnostics.len();
        let mut values = Map::new();
        for field in self.fields {
            if let Some(value) = field.read_member(node, scope, diagnostics) {
                values.insert(field.name.to_owned(), value);
            }
        }
        self.check(&values, node, scope, before, diagnostics);
        values
    }

    /// Runs the checks over several fields. The errors of the fields are `diagnostics` from `before` on. Of a file, what is wrong with
    /// single fields comes first; of a request, everything is said as Kong says it.
    fn check(
        &self,
        values: &Map<String, Value>,
        node: &Node,
        scope: &Scope,
        before: usize,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let valid = !diagnostics[before..].iter().any(Diagnostic::is_error);
        if !valid && !node.is_of_request() {
            return;
        }
        let mut seen = Cow::Borrowed(values);
        if !valid {
            let invalid = self.fields.iter().filter(|field| !values.contains_key(field.name));
            let given =
                invalid.filter_map(|field| Some((field.name, node.get(field.name).filter(|node| !node.is_null())?)));
            seen.to_mut().extend(given.map(|(name, node)| (name.to_owned(), node.to_json())));
        }
        let problems = self.checks.iter().filter_map(|check| check(&seen).err());
        for problem in problems.filter(|problem| valid || problem.kong.holds_beside_errors()) {
            if let (Violation::Conditional(_, field, wording), true) = (&problem.kong, node.is_of_request()) {
                let here = scope.member(field, node.origin());
                let path = here.kong.clone();
                diagnostics
                    .retain(|other| path.is_none() || other.field.as_ref().map(|field| &field.path) != path.as_ref());
                diagnostics.push(here.error(codes::ENTITY_CHECK, problem.message.clone(), wording));
            }
            diagnostics.push(entity_problem(&problem, node, scope));
        }
    }
}

fn entity_problem(problem: &Problem, node: &Node, scope: &Scope) -> Diagnostic {
    let mut here = match problem.kong {
        Violation::Field(_) => scope.member(problem.field, scope.origin.clone()),
        Violation::Value(_) => scope.clone(),
        _ => Scope { kong: scope.kong.as_ref().map(FieldPath::entity), ..scope.clone() },
    };
    if let Some((key, _)) = node.entry(problem.field) {
        here.origin = key.origin();
    }
    here.error(codes::ENTITY_CHECK, format!("{} in {}", problem.message, scope.subject), problem.kong.text())
}

impl Field {
    /// Reads this field of the record `node`.
    fn read_member(&self, node: &Node, scope: &Scope, diagnostics: &mut Vec<Diagnostic>) -> Option<Value> {
        let Some((key, value)) = node.entry(self.name) else {
            if self.required && matches!(self.default, Default::None) {
                let message = format!("required field `{}` missing in {}", self.name, scope.subject);
                let here = scope.member(self.name, scope.origin.clone());
                let wording = if self.decides { "field required for entity check" } else { "required field missing" };
                diagnostics.push(here.error(codes::REQUIRED, message, wording));
            }
            return self.default_value();
        };
        let mut here = scope.member(self.name, value.origin());
        if value.is_null() {
            if self.required && (matches!(self.default, Default::None) || value.is_of_request()) {
                here.origin = key.origin();
                let message = format!("required field `{}` of {} is null", self.name, scope.subject);
                diagnostics.push(here.error(codes::REQUIRED, message, "required field missing"));
            }
            // Null unsets an optional field, and gives a required one its default.
            return if self.required { self.default_value() } else { None };
        }
        if !self.instead.is_empty() {
            let message = format!("`{}` of {} is an old field", self.name, scope.subject);
            let diagnostic = Diagnostic::warning(codes::DEPRECATED, message).at(key.origin()).path(here.path.clone());
            diagnostics.push(diagnostic.label(format!("use {} instead", self.instead)));
        }
        if let Type::Record(_) = self.ty {
            here.origin = key.origin();
            here.subject = format!("`{}` of {}", self.name, scope.subject);
        }
        self.read(value, &here, diagnostics)
    }

    /// Reads a value of this field's type and runs its checks.
    pub fn read(&self, node: &Node, scope: &Scope, diagnostics: &mut Vec<Diagnostic>) -> Option<Value> {
        if node.is_null() && !matches!(self.ty, Type::Any) {
            // In Kong, every element of a list or map is required.
            diagnostics.push(scope.wrong(codes::REQUIRED, "null", "required field missing"));
            return None;
        }
        if scope.kong.is_none() && node.as_str().is_some_and(is_vault_reference) {
            let help = "give the value itself, or its environment variable: every setting has one";
            diagnostics.push(scope.wrong(codes::VALUE, "a vault reference", "resolved in plugins alone").help(help));
            return None;
        }
        let before = diagnostics.len();
        if self.unread && !node.is_of_request() {
            return Some(node.to_json());
        }
        let value = match self.ty {
            Type::Foreign(_) => return read_reference(node, scope, diagnostics),
            Type::Record(record) => Value::Object(record.read(node, scope, diagnostics)),
            Type::Array(element) | Type::Set(element) => self.read_list(element, node, scope, diagnostics)?,
            Type::Map(keys, values) => read_map(keys, values, node, scope, diagnostics)?,
            _ => match self.scalar(node) {
                Ok(value) => value,
                Err(wording) => {
                    diagnostics.push(self.wrong_type(node, scope, wording));
                    return None;
                }
            },
        };
        if diagnostics[before..].iter().any(Diagnostic::is_error) {
            return None;
        }
        self.check(&value, scope, diagnostics).then_some(value)
    }

    /// A value that is not a list, map or record; otherwise Kong's wording.
    fn scalar(&self, node: &Node) -> Result<Value, &'static str> {
        match self.ty {
            Type::String => node.as_str().map(Value::from).ok_or("expected a string"),
            Type::Integer => node.as_i64().map(Value::from).ok_or("expected an integer"),
            Type::Boolean => node.as_bool().map(Value::from).ok_or("expected a boolean"),
            Type::Number => match (node.as_i64(), node.as_f64()) {
                (Some(whole), _) => Ok(Value::from(whole)),
                (None, Some(number)) if number.is_finite() => Ok(Value::from(number)),
                _ => Err("expected a number"),
            },
            Type::Any => Ok(node.to_json()),
            Type::Duration => {
                let bare = node.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
                let seconds = bare.or_else(|| units::duration(node.as_str()?));
                seconds.map(Value::from).ok_or("expected a duration like 30s or 500ms")
            }
            Type::Size => {
                let bare = node.as_i64().and_then(|bytes| u64::try_from(bytes).ok());
                bare.or_else(|| units::size(node.as_str()?)).map(Value::from).ok_or("expected a size like 8MiB or 512k")
            }
            Type::Array(_) | Type::Set(_) | Type::Map(..) | Type::Record(_) | Type::Foreign(_) => {
                Err("expected a record")
            }
        }
    }

    fn wrong_type(&self, node: &Node, scope: &Scope, wording: &str) -> Diagnostic {
        let diagnostic = scope.wrong(codes::TYPE, node.type_name(), wording);
        match (&self.ty, &node.kind) {
            (Type::String, NodeKind::Integer(_) | NodeKind::Float(_) | NodeKind::Bool(_)) => {
                let written = scope.origin.place().map_or_else(|| node.to_json().to_string(), |p| p.text().to_owned());
                diagnostic.help(format!("write it in quotes: \"{written}\""))
            }
            (Type::Integer | Type::Number | Type::Boolean, NodeKind::String { style, .. })
                if *style != StringStyle::Plain =>
            {
                diagnostic.help("write it without quotes")
            }
            _ => diagnostic,
        }
    }

    fn check(&self, value: &Value, scope: &Scope, diagnostics: &mut Vec<Diagnostic>) -> bool {
        let own_length = self.checks.iter().any(|check| matches!(check, Check::LenMin(_)));
        // Kong refuses empty strings unless the definition allows them.
        let implied = matches!(self.ty, Type::String) && !own_length;
        let checks = implied.then_some(&Check::LenMin(1)).into_iter().chain(self.checks);
        for check in checks {
            let Err(wording) = check.run(value) else { continue };
            let shown = match value {
                Value::Object(_) | Value::Array(_) => "not valid".to_owned(),
                value => shorten(&value.to_string()),
            };
            let diagnostic = scope.wrong(codes::VALUE, &shown, &wording);
            diagnostics.push(match (check, value.as_str()) {
                (Check::OneOf(choices), Some(text)) => match suggest(text, choices.iter().copied()) {
                    Some(found) => diagnostic.label(format!("did you mean `{found}`?")),
                    None => diagnostic,
                },
                _ => diagnostic,
            });
            return false;
        }
        true
    }

    fn read_list(
        &self,
        element: &Field,
        node: &Node,
        scope: &Scope,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Value> {
        let set = matches!(self.ty, Type::Set(_));
        let Some(items) = node.items().or_else(|| node.entries().filter(|entries| entries.is_empty()).map(|_| &[][..]))
        else {
            let wording = if set { "expected a set" } else { "expected an array" };
            diagnostics.push(scope.wrong(codes::TYPE, node.type_name(), wording));
            return None;
        };
        let (mut values, mut seen) = (Vec::with_capacity(items.len()), HashSet::new());
        for (index, item) in items.iter().enumerate() {
            let here = scope.element(index, item.origin());
            if let Some(value) = element.read(item, &here, diagnostics)
                && (!set || seen.insert(value.to_string()))
            {
                values.push(value);
            }
        }
        Some(Value::Array(values))
    }
}

/// Reads a reference to another entity. Names are resolved before.
fn read_reference(node: &Node, scope: &Scope, diagnostics: &mut Vec<Diagnostic>) -> Option<Value> {
    let Some((_, id)) = node.entry("id") else {
        let here = scope.member("id", node.origin());
        diagnostics.push(here.wrong(codes::REQUIRED, "missing", "missing primary key"));
        return None;
    };
    let here = scope.member("id", id.origin());
    match id.as_str() {
        Some(text) if is_uuid(text) => Some(serde_json::json!({ "id": text })),
        Some(_) => {
            diagnostics.push(here.wrong(codes::VALUE, "not a UUID", "expected a valid UUID"));
            None
        }
        None => {
            diagnostics.push(here.wrong(codes::TYPE, id.type_name(), "expected a string"));
            None
        }
    }
}

fn read_map(
    keys: &Field,
    values: &Field,
    node: &Node,
    scope: &Scope,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Value> {
    let Some(entries) = node.entries().or_else(|| node.items().filter(|items| items.is_empty()).map(|_| &[][..]))
    else {
        diagnostics.push(scope.wrong(codes::TYPE, node.type_name(), "expected a map"));
        return None;
    };
    let mut map = Map::new();
    for (key, value) in entries {
        let name = Value::from(key.name.as_str());
        keys.check(&name, &scope.key(&key.name, key.origin()), diagnostics);
        if let Some(value) = values.read(value, &scope.key(&key.name, value.origin()), diagnostics) {
            map.insert(key.name.clone(), value);
        }
    }
    Some(Value::Object(map))
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(57).chain("...".chars()).collect() }
}
