//! The resource of records: the attributes of `resource_attributes`, whose values can refer to the request.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::attributes::first;
use crate::sink::ConfigError;
use logphase_protocol::otlp::message::{KeyValue, Resource};

/// Attributes that Kong sets unless the configuration does.
const DEFAULTS: [(&str, &str); 1] = [("service.name", "kong")];

/// The attributes of the resource, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResourceTemplate(Vec<(String, Vec<Part>)>);

/// A part of a value.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A header of the request, in lower case.
    Header(String),
    /// A query argument.
    Query(String),
}

impl ResourceTemplate {
    /// The template of `attributes`.
    ///
    /// # Errors
    /// Every value that refers to what only Kong has.
    pub(super) fn new(attributes: &BTreeMap<String, String>) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut all: Vec<_> = DEFAULTS
            .iter()
            .filter(|(key, _)| !attributes.contains_key(*key))
            .map(|(key, value)| ((*key).to_owned(), vec![Part::Text((*value).to_owned())]))
            .collect();
        for (key, value) in attributes {
            match parts(value) {
                Ok(parts) => all.push((key.clone(), parts)),
                Err(expression) => errors.push(refused(key, expression)),
            }
        }
        if errors.is_empty() { Ok(Self(all)) } else { Err(errors) }
    }

    /// The resource of a message.
    pub(super) fn of(&self, message: &Map<String, Value>) -> Resource {
        let request = message.get("request");
        let value = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Header(name) => header(request.and_then(|request| request.get("headers")), name),
            Part::Query(name) => shown(request.and_then(|request| request.get("querystring")?.get(name))),
        };
        let attribute =
            |(key, parts): &(String, Vec<Part>)| KeyValue::text(key, parts.iter().map(value).collect::<String>());
        Resource { attributes: self.0.iter().map(attribute).collect() }
    }
}

fn refused(key: &str, expression: &str) -> ConfigError {
    let problem = format!("`$({expression})` is evaluated by Kong alone");
    let help = "`$(headers.NAME)` and `$(query_params.NAME)` are known here; set anything else as an attribute with \
                config.access_logs.custom_attributes_by_lua";
    ConfigError::new(format!("resource_attributes.{key}"), problem).with_help(help)
}

/// A header; as in OpenResty an underscore in its name may stand for a hyphen.
fn header(headers: Option<&Value>, name: &str) -> String {
    let find = |name: &str| headers.and_then(|headers| headers.get(name));
    shown(find(name).or_else(|| find(&name.replace('_', "-"))))
}

fn shown(value: Option<&Value>) -> String {
    value.and_then(first).unwrap_or_default().to_owned()
}

/// The parts of a value (Penlight's templates, in which `$(...)` is an expression of Lua); an expression that is none of
/// those that are known.
fn parts(value: &str) -> Result<Vec<Part>, &str> {
    let (mut parts, mut rest) = (Vec::new(), value);
    while let Some((text, after)) = rest.split_once("$(") {
        let Some((expression, after)) = after.split_once(')') else { break };
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        parts.push(reference(expression.trim()).ok_or(expression)?);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

/// `TABLE.NAME` or `TABLE["NAME"]`.
fn reference(expression: &str) -> Option<Part> {
    let identifier = |name: &&str| {
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let quoted = |rest: &'_ str| {
        let inner = rest.strip_prefix('[')?.strip_suffix(']')?.trim();
        let quote = inner.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let name = inner.strip_prefix(quote)?.strip_suffix(quote)?;
        (!name.contains([quote, '\\'])).then(|| name.to_owned())
    };
    let name_of = |table: &str| {
        let rest = expression.strip_prefix(table)?;
        let dotted = rest.strip_prefix('.').filter(identifier).map(str::to_owned);
        dotted.or_else(|| quoted(rest))
    };
    let header = name_of("headers").map(|name| Part::Header(name.to_ascii_lowercase()));
    header.or_else(|| name_of("query_params").map(Part::Query))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use logphase_protocol::otlp::message::Any;

    fn template(value: &str) -> Result<ResourceTemplate, Vec<ConfigError>> {
        ResourceTemplate::new(&BTreeMap::from([("a".to_owned(), value.to_owned())]))
    }

    fn rendered(value: &str) -> String {
        let message = json!({"request": {
            "headers": {"host": "shop.example", "x-tenant": ["blue", "red"], "x_odd": "1"},
            "querystring": {"page": "2", "flag": true, "Sort.By": "name"},
        }});
        let resource = template(value).unwrap().of(message.as_object().unwrap());
        let [name, own] = &resource.attributes[..] else { panic!("{resource:?}") };
        assert_eq!(*name, KeyValue::text("service.name", "kong"));
        match own.value.as_ref().and_then(|value| value.value.clone()) {
            Some(Any::String(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    /// Scenario: values with references to headers and query arguments in all forms, some of them absent, and texts with
    /// the characters of references.
    /// Guarantees: each reference has the value of the request, an absent one is empty, and text is text.
    #[test]
    fn references() {
        for (value, expected) in [
            ("plain", "plain"),
            ("$(headers.host)", "shop.example"),
            ("<$(headers.Host)/$( query_params.page )>", "<shop.example/2>"),
            ("$(headers.x_tenant)$(headers[\"X-Tenant\"])$(headers['x-tenant'])", "blueblueblue"),
            ("$(headers.x_odd)", "1"),
            ("$(query_params['Sort.By'])", "name"),
            ("$(headers.none)-$(query_params.flag)", "-"),
            ("costs $5 (net), $(", "costs $5 (net), $("),
        ] {
            assert_eq!(rendered(value), expected, "{value}");
        }
    }

    /// Scenario: expressions that only Kong evaluates; a name of the service.
    /// Guarantees: each is refused at its attribute with the expression; the configured name replaces Kong's.
    #[test]
    fn other_expressions() {
        for expression in ["kong.version", "headers.host:upper()", "uri_captures[1]", "shared.tenant", "headers", ""] {
            let errors = template(&format!("x$({expression})")).unwrap_err();
            let [only] = &errors[..] else { panic!("{errors:?}") };
            assert_eq!(only.field, "resource_attributes.a");
            let said = expression.split(')').next().unwrap_or_default();
            assert!(only.problem.contains(&format!("`$({said})`")), "{}", only.problem);
        }
        let named = BTreeMap::from([("service.name".to_owned(), "gateway".to_owned())]);
        let resource = ResourceTemplate::new(&named).unwrap().of(&Map::new());
        assert_eq!(resource.attributes, [KeyValue::text("service.name", "gateway")]);
    }
}
