//! Conditions in CEL, the Common Expression Language (cel.dev).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use ::cel::common::ast::{Expr, IdedExpr, LiteralValue};
use ::cel::{Context, Env, Value};

use super::super::request::Request;
use super::{elements, entity_text};
use logphase_protocol::expression;
use logphase_script::transaction::{self, Transaction, View};

/// What conditions can read; a star is any name. Kong also has `principal` and `plugins`, of which a transaction says nothing.
const FIELDS: &[&[&str]] = &[
    &["http", "method"],
    &["http", "host"],
    &["http", "path"],
    &["http", "path_segments"],
    &["http", "headers", "*"],
    &["http", "headers_list", "*"],
    &["http", "queries", "*"],
    &["http", "queries_list", "*"],
    &["net", "src", "ip"],
    &["net", "src", "port"],
    &["net", "dst", "ip"],
    &["net", "dst", "port"],
    &["net", "tls", "sni"],
    &["net", "protocol"],
    &["consumer", "id"],
    &["consumer", "username"],
    &["consumer", "custom_id"],
    &["consumer", "tags"],
    &["consumer_group", "names"],
    &["consumer_group", "ids"],
    &["route", "id"],
    &["route", "name"],
    &["route", "tags"],
    &["service", "id"],
    &["service", "name"],
    &["service", "tags"],
    &["kong", "ctx", "shared", "*"],
];

/// Names of types, which are values in CEL.
const TYPES: &[&str] = &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Elements of a list, and members of a map, that a condition sees.
const MAX_ELEMENTS: usize = 100;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// An expression, and the names that it begins to read from.
pub(super) struct Compiled {
    expression: IdedExpr,
    roots: Vec<&'static str>,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").field("roots", &self.roots).finish_non_exhaustive()
    }
}

impl Compiled {
    /// # Errors
    /// `text` is not CEL, or reads what a transaction does not have.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let expression = expression::parse(text)?;
        let mut roots = Vec::new();
        expression::walk(&expression, &mut |part, place| {
            if let Some(path) = path_of(part) {
                let root = field(&path, place.bound)?;
                roots.extend(root.filter(|root| !roots.contains(root)));
                return Ok(false);
            }
            if let Expr::Struct(_) = part {
                return Err("messages cannot be made here".to_owned());
            }
            Ok(true)
        })?;
        Ok(Self { roots, expression })
    }

    pub(super) fn holds(
        &self,
        transaction: &Transaction,
        request: &Request<'_>,
        groups: &[String],
    ) -> Result<bool, String> {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        for root in &self.roots {
            context.add_variable_from_value(*root, root_value(root, transaction, request, groups));
        }
        match Value::resolve(&self.expression, &context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("the result is a value of the type {} and not a boolean", other.type_of())),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The name that the field at `path` begins with; `None` of a variable that a macro binds, and of the name of a type.
fn field(path: &[&str], bound: &[&str]) -> Result<Option<&'static str>, String> {
    let root = path[0];
    if bound.contains(&root) || (path.len() == 1 && TYPES.contains(&root)) {
        return Ok(None);
    }
    let fits = |field: &&&[&str]| {
        path.iter().zip(field.iter()).all(|(name, known)| *known == "*" || name == known)
            && (path.len() <= field.len() || field.last() == Some(&"*"))
    };
    let found = FIELDS.iter().find(fits).map(|field| field[0]);
    found.map(Some).ok_or_else(|| match root {
        "principal" | "plugins" => format!("`{}`: a finished transaction does not say it", path.join(".")),
        _ => format!("unknown field `{}`; the fields are listed in docs/from-kong.md", path.join(".")),
    })
}

/// The names of `a.b["c"]`; `None` of other expressions.
fn path_of(expression: &Expr) -> Option<Vec<&str>> {
    let (mut names, mut rest) = (Vec::new(), expression);
    loop {
        match rest {
            Expr::Ident(name) => {
                names.push(name.as_str());
                names.reverse();
                return Some(names);
            }
            Expr::Select(select) => {
                names.push(select.field.as_str());
                rest = &select.operand.expr;
            }
            Expr::Call(call) if call.func_name == "_[_]" => match &call.args[..] {
                [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] => {
                    names.push(name.inner());
                    rest = &operand.expr;
                }
                _ => return None,
            },
            _ => return None,
        }
    }
}

fn map(members: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::from(members.into_iter().collect::<HashMap<String, Value>>())
}

/// The members of `known` that have a value.
fn record<const N: usize>(known: [(&str, Option<Value>); N]) -> Value {
    map(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))))
}

fn root_value(root: &str, transaction: &Transaction, request: &Request<'_>, groups: &[String]) -> Value {
    match root {
        "http" => http(transaction, request),
        "net" => {
            let address = |address: Option<std::net::IpAddr>| address.map(|address| Value::from(address.to_string()));
            let source =
                record([("ip", address(request.source_address())), ("port", request.source_port().map(Value::Int))]);
            let destination =
                record([("ip", address(request.destination_address())), ("port", request.port.map(Value::Int))]);
            let tls = record([("sni", request.sni().map(|name| Value::from(&*name)))]);
            let protocol = Some(Value::from(request.protocol));
            record([("src", Some(source)), ("dst", Some(destination)), ("tls", Some(tls)), ("protocol", protocol)])
        }
        "consumer_group" => consumer_group(transaction, groups),
        "kong" => {
            let shared = transaction.context("shared").map_or_else(|| map([]), |shared| of_json(shared, 0));
            record([("ctx", Some(record([("shared", Some(shared))])))])
        }
        entity => {
            let text = |name| entity_text(transaction, entity, name).map(Value::from);
            let tags = elements(transaction.get(entity).and_then(|entity| entity.get("tags")));
            let tags = tags.into_iter().take(MAX_ELEMENTS).filter_map(View::text).map(|tag| Value::from(&*tag));
            let name = if entity == "consumer" { "username" } else { "name" };
            record([
                ("id", text("id")),
                (name, text(name)),
                ("custom_id", text("custom_id").filter(|_| entity == "consumer")),
                ("tags", Some(Value::from(tags.collect::<Vec<Value>>()))),
            ])
        }
    }
}

fn http(transaction: &Transaction, request: &Request<'_>) -> Value {
    let mut headers: Vec<(String, Vec<Value>)> = Vec::new();
    if let Some(transaction::Value::Object(members)) =
        transaction.get("request").and_then(|request| request.get("headers")).map(View::value)
    {
        for (name, _) in members.into_iter().take(MAX_ELEMENTS) {
            let name = String::from_utf8_lossy(&name);
            let mut values = Vec::new();
            request.header(&name, |value| values.push(Value::from(value)));
            let lower = name.to_ascii_lowercase();
            let written = lower.replace('-', "_");
            if written != lower {
                headers.push((written, values.clone()));
            }
            headers.push((lower, values));
        }
    }
    let mut queries: Vec<(String, Vec<Value>)> = Vec::new();
    request.queries(|name, value| match queries.iter_mut().find(|(known, _)| known == name) {
        Some((_, values)) => values.push(Value::from(value)),
        None => queries.push((name.to_owned(), vec![Value::from(value)])),
    });
    let first = |all: &[(String, Vec<Value>)]| {
        let firsts = all.iter().filter_map(|(name, values)| Some((name.clone(), values.first()?.clone())));
        map(firsts.collect::<Vec<_>>())
    };
    let every = |all: &[(String, Vec<Value>)]| {
        map(all.iter().map(|(name, values)| (name.clone(), Value::from(values.clone()))).collect::<Vec<_>>())
    };
    let segments: Vec<Value> = request.segments().take(MAX_ELEMENTS).map(Value::from).collect();
    record([
        ("method", request.method().map(|method| Value::from(&*method))),
        ("host", request.host.as_deref().map(Value::from)),
        ("path", request.path.as_deref().map(Value::from)),
        ("path_segments", Some(Value::from(segments))),
        ("headers", Some(first(&headers))),
        ("headers_list", Some(every(&headers))),
        ("queries", Some(first(&queries))),
        ("queries_list", Some(every(&queries))),
    ])
}

/// Names and ids of the consumer's groups: of the transaction, and of the configuration.
fn consumer_group(transaction: &Transaction, groups: &[String]) -> Value {
    let given = elements(transaction.context("consumer_groups"));
    let (mut names, mut ids) = (Vec::new(), Vec::new());
    for group in given.into_iter().take(MAX_ELEMENTS) {
        let name = group.text().or_else(|| group.get("name")?.text());
        names.extend(name.map(std::borrow::Cow::into_owned));
        ids.extend(group.get("id").and_then(View::text).map(|id| Value::from(&*id)));
    }
    for group in groups.iter().take(MAX_ELEMENTS) {
        if !names.contains(group) {
            names.push(group.clone());
        }
    }
    let names: Vec<Value> = names.into_iter().map(Value::from).collect();
    record([("names", Some(Value::from(names))), ("ids", Some(Value::from(ids)))])
}

/// A value of `_context.shared`.
fn of_json(view: View<'_>, depth: usize) -> Value {
    /// Levels that a condition sees.
    const MAX_DEPTH: usize = 8;
    if depth == MAX_DEPTH {
        return Value::Null;
    }
    match view.value() {
        transaction::Value::Null => Value::Null,
        transaction::Value::Bool(value) => Value::Bool(value),
        transaction::Value::Number(_) => view.number().map_or(Value::Null, |number| match number.fract() == 0.0 {
            true if number.abs() < 9e15 => Value::Int(number as i64),
            _ => Value::Float(number),
        }),
        transaction::Value::String(_) => view.text().map_or(Value::Null, |text| Value::from(&*text)),
        transaction::Value::Array(items) => {
            Value::from(items.into_iter().take(MAX_ELEMENTS).map(|item| of_json(item, depth + 1)).collect::<Vec<_>>())
        }
        transaction::Value::Object(members) => {
            let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
            map(members.into_iter().take(MAX_ELEMENTS).map(|(key, value)| (name(&key), of_json(value, depth + 1))))
        }
    }
}
