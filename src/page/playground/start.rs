//! `GET /api/playground/start`: what somebody can begin with: the active configuration, the last transactions, and examples.

use serde_json::{Map, Value, json};

use crate::admin::{self, Tables};
use crate::phase::LastTransactions;
use logphase_config::diagnostic::SourceFile;
use logphase_config::document::{self, Node};

/// The kinds of entities that decide what a plugin does, in the order in which they are shown.
const KINDS: [&str; 7] =
    ["plugins", "services", "routes", "consumers", "consumer_groups", "consumer_group_consumers", "vaults"];

/// Bytes of the configuration, at most: an editor shows it.
const MAX_CONFIGURATION: usize = 512 << 10;

/// Members of entities that say nothing about messages.
const LEFT_OUT: [&str; 4] = ["created_at", "updated_at", "client_certificate", "ca_certificates"];

/// An example, from `examples/`.
struct Example {
    /// What it is called; without one, as its plugin.
    name: Option<&'static str>,
    /// A declarative file, or a file of tests with plugins and transactions.
    text: &'static str,
    /// The settings that it needs.
    settings: Option<&'static str>,
}

const fn of_plugin(text: &'static str) -> Example {
    Example { name: None, text, settings: None }
}

const EXAMPLES: &[Example] = &[
    of_plugin(include_str!("../../../examples/file-log/kong.yml")),
    of_plugin(include_str!("../../../examples/http-log/kong.yml")),
    of_plugin(include_str!("../../../examples/kafka-log/kong.yml")),
    of_plugin(include_str!("../../../examples/pre-function/kong.yml")),
    of_plugin(include_str!("../../../examples/statsd/kong.yml")),
    of_plugin(include_str!("../../../examples/opentelemetry/kong.yml")),
    Example {
        name: Some("claims of a JWT"),
        text: include_str!("../../../examples/jwt/tests.yml"),
        settings: Some(include_str!("../../../examples/jwt/logphase.yml")),
    },
    Example { name: Some("masked bodies"), text: include_str!("../../../examples/masking/tests.yml"), settings: None },
];

/// The transaction of examples that have none.
const TRANSACTION: &str = include_str!("../../../examples/transaction.json");

/// What to begin with. `last` is left out for those who may not see what redaction hides.
pub(crate) fn start(tables: &Tables, last: Option<&LastTransactions>) -> Value {
    let of_input = |(input, text): (&str, String)| json!({"label": format!("last of {input}"), "text": text});
    let mut transactions: Vec<Value> =
        last.map(LastTransactions::all).unwrap_or_default().into_iter().map(of_input).collect();
    transactions.push(json!({"label": "example: a request", "text": TRANSACTION}));
    let examples: Vec<Value> = EXAMPLES.iter().filter_map(shown).collect();
    json!({"configuration": configuration(tables), "transactions": transactions, "examples": examples})
}

fn shown(example: &Example) -> Option<Value> {
    let Example { name, text, settings } = example;
    let root = document::parse(&SourceFile::new("example", *text), None).0?;
    let plugins = root.get("plugins")?;
    let name = name.or_else(|| plugins.items()?.first()?.get("name")?.as_str())?;
    let first = root.get("tests").and_then(Node::items).and_then(<[Node]>::first);
    let Some(first) = first else {
        return Some(json!({"name": name, "configuration": text, "settings": settings, "transaction": TRANSACTION}));
    };
    let configuration = admin::to_readable_yaml(&json!({"_format_version": "3.0", "plugins": plugins.to_json()}));
    let transaction = serde_json::to_string_pretty(&first.get("transaction")?.to_json()).ok()?;
    Some(json!({"name": name, "configuration": configuration, "settings": settings, "transaction": transaction}))
}

/// The active entities that decide what plugins do, as a declarative file with a mask for each secret. If they are too many, only those that
/// plugins are for.
fn configuration(tables: &Tables) -> String {
    let Value::Object(all) = admin::without_secrets(tables) else { return String::new() };
    let mut root = Map::new();
    root.insert("_format_version".to_owned(), "3.0".into());
    for kind in KINDS {
        let entities = all.get(kind).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
        let entities: Vec<Value> = entities.map(plain).collect();
        if !entities.is_empty() {
            root.insert(kind.to_owned(), entities.into());
        }
    }
    let text = print(&root, "");
    if text.len() <= MAX_CONFIGURATION {
        return text;
    }
    keep_what_plugins_name(&mut root);
    let text =
        print(&root, "# Only what plugins are for: the configuration has more services, routes and consumers.\n");
    if text.len() <= MAX_CONFIGURATION {
        return text;
    }
    "# The configuration is too large for the playground.\n_format_version: \"3.0\"\nplugins: []\n".to_owned()
}

fn print(root: &Map<String, Value>, note: &str) -> String {
    format!("{note}{}", admin::to_readable_yaml(&Value::Object(root.clone())))
}

/// An entity without what has no value, and what says nothing about messages.
fn plain(entity: &Map<String, Value>) -> Value {
    let mut entity = entity.clone();
    entity.retain(|name, value| !value.is_null() && !LEFT_OUT.contains(&&**name));
    if let Some(config) = entity.get_mut("config") {
        without_nulls(config);
    }
    Value::Object(entity)
}

fn without_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, value| !value.is_null());
        members.values_mut().for_each(without_nulls);
    }
}

/// Leaves of services, routes and consumers those that a plugin is for, and the services of its routes.
fn keep_what_plugins_name(root: &mut Map<String, Value>) {
    let text = |entity: &Value, name: &str| entity.get(name).and_then(Value::as_str).map(str::to_owned);
    let list =
        |root: &Map<String, Value>, kind: &str| root.get(kind).and_then(Value::as_array).cloned().unwrap_or_default();
    let plugins = list(root, "plugins");
    let mut named: std::collections::HashSet<String> = ["service", "route", "consumer", "consumer_group"]
        .iter()
        .flat_map(|scope| plugins.iter().filter_map(|plugin| text(plugin, scope)))
        .collect();
    let routes = list(root, "routes");
    let of_named: Vec<String> = routes
        .iter()
        .filter(|route| text(route, "id").is_some_and(|id| named.contains(&id)))
        .filter_map(|route| text(route, "service"))
        .collect();
    named.extend(of_named);
    for kind in ["services", "routes", "consumers", "consumer_groups"] {
        if let Some(Value::Array(entities)) = root.get_mut(kind) {
            entities.retain(|entity| text(entity, "id").is_some_and(|id| named.contains(&id)));
        }
    }
    root.remove("consumer_group_consumers");
    root.retain(|_, value| value.as_array().is_none_or(|entities| !entities.is_empty()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(text: &str) -> Tables {
        let mut tables = Tables::new();
        tables.apply(&admin::changes_of(&[SourceFile::new("kong.yml", text)], 1000));
        tables
    }

    /// Scenario: a configuration with a password, a snippet of two lines, a route and a consumer; another one with too many routes.
    /// Guarantees: plugins, routes and services are there, readable and without the password, and are read as a configuration; of too many, those
    /// that plugins are for; no real transaction without leave.
    #[test]
    fn the_active_configuration_is_shown_without_secrets() {
        let head = "_format_version: '3.0'\nservices:\n- {name: s, url: 'http://h', routes: [{name: r, paths: [/a], plugins: [{name: tcp-log, \
                    config: {host: h, port: 1}}]}]}\n- name: many\n  url: http://h\n  routes:\n  - {name: m, paths: [/m]}\n";
        let plugins = "plugins:\n- name: http-log\n  config: {http_endpoint: 'https://me:s3cret@h/', headers: {authorization: t0ken}, \
                       custom_fields_by_lua: {a: \"local x = 1\\nreturn x\\n\"}}\n";
        let shown = start(&tables(&format!("{head}{plugins}")), None);
        let text = shown["configuration"].as_str().unwrap();
        assert!(!text.contains("s3cret") && !text.contains("t0ken"), "{text}");
        assert!(text.contains("local x = 1\n") && text.contains("return x\n"), "{text}");
        let again = tables(text);
        let names = |tables: &Tables, kind: &str| tables.count(crate::admin::kind_named(kind));
        assert_eq!((names(&again, "plugins"), names(&again, "routes"), names(&again, "services")), (2, 2, 2), "{text}");
        assert_eq!(shown["transactions"].as_array().unwrap().len(), 1);
        let many: String = (0..4000).map(|n| format!("  - {{name: m{n}, paths: [/m{n}]}}\n")).collect();
        let shown = start(&tables(&format!("{head}{many}{plugins}")), None);
        let again = tables(shown["configuration"].as_str().unwrap());
        assert_eq!((names(&again, "plugins"), names(&again, "routes"), names(&again, "services")), (2, 1, 1));
    }

    /// Scenario: every example. Guarantees: it has a configuration that is read without a mistake, and a transaction that is JSON.
    #[test]
    fn examples_are_whole() {
        let shown = start(&Tables::new(), None);
        let examples = shown["examples"].as_array().unwrap();
        assert_eq!(examples.len(), EXAMPLES.len());
        for example in examples {
            let text = |member: &str| example[member].as_str().unwrap_or_else(|| panic!("{example}: {member}"));
            let (node, found) = document::parse(&SourceFile::new(text("name"), text("configuration")), None);
            assert!(found.is_empty() && node.unwrap().get("plugins").is_some(), "{}", text("name"));
            assert!(serde_json::from_str::<Value>(text("transaction")).is_ok(), "{}", text("name"));
        }
    }
}
