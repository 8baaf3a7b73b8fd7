//! The `expect` of a test: the expected result of each plugin.

use std::sync::Arc;

use serde_json::Value;

use super::pattern::Matcher;
use crate::entity::{Configuration, Plugin};
use logphase_config::diagnostic::{Diagnostic, codes, suggest};
use logphase_config::document::Node;
use logphase_config::schema::{Check, Field, Record, Scope};

static PATH: Field = Field::string("");
static ERROR: Field = Field::record(
    "",
    &Record::new(&[
        Field::string("field").required().about("The field's key, or `log[0]` for a function."),
        Field::string("message").about("A part of the error's message."),
    ]),
);

/// The members of an expectation.
pub(super) static EXPECTATION: Record = Record::new(&[
    Field::any("message").about("The whole message."),
    Field::any("fields").about("Key paths and their values; of objects only the named members are compared."),
    Field::array("absent", &PATH).about("Key paths that do not exist."),
    Field::array("errors", &ERROR).about("The fields that fail."),
    Field::boolean("none").about("It emits nothing."),
]);

/// The expected result of one plugin.
#[derive(Debug, Default, Clone)]
pub(super) struct Expectation {
    /// The name or instance name of the plugin, as in the file.
    pub(super) plugin: String,
    /// The whole message.
    pub(super) message: Option<Value>,
    /// Values by key path.
    pub(super) fields: Option<serde_json::Map<String, Value>>,
    /// Key paths that must not exist.
    pub(super) absent: Vec<String>,
    /// The fields that fail, each with a part of its error message.
    pub(super) errors: Vec<(String, Option<String>)>,
    /// Whether the plugin must emit nothing.
    pub(super) none: bool,
}

/// The expectations of a test.
#[derive(Debug)]
pub(super) struct Expect {
    /// One per plugin that the test names.
    pub(super) plugins: Vec<Expectation>,
    /// Whether the file omits the name of the only logging plugin.
    pub(super) short: bool,
}

/// Reads the `expect` of a test. `known` is the configuration, `None` if it is invalid.
pub(super) fn read(
    node: &Node,
    scope: &Scope,
    known: Option<&Configuration>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Expect {
    let mut expect = Expect { plugins: Vec::new(), short: false };
    let Some(entries) = node.entries() else {
        let diagnostic = scope.error(codes::TYPE, format!("`expect` is {}", node.type_name()), "expected a mapping");
        diagnostics.push(diagnostic.help("name plugins, and what each must emit"));
        return expect;
    };
    let plugins = known.map_or(&[][..], |configuration| &configuration.plugins);
    let is_plugin = |name: &str| plugins.iter().any(|plugin| answers_to(plugin, name));
    let loggers: Vec<&Arc<Plugin>> = plugins.iter().filter(|plugin| plugin.definition.emits).collect();
    let short = entries.iter().any(|(key, _)| EXPECTATION.field(&key.name).is_some() && !is_plugin(&key.name));
    if short
        && let Some(only) =
            loggers.first().filter(|first| loggers.iter().all(|p| p.definition.name == first.definition.name))
    {
        expect.short = true;
        expect.plugins.extend(read_plugin(only.definition.name.to_owned(), node, scope, true, diagnostics));
        return expect;
    }
    for (key, value) in entries {
        let scope = scope.member(&key.name, key.origin());
        let plugin = plugins.iter().find(|plugin| answers_to(plugin, &key.name));
        if known.is_some() && plugin.is_none() {
            diagnostics.push(unknown(&key.name, &scope, plugins, loggers.len() == 1));
        }
        expect.plugins.extend(read_plugin(
            key.name.clone(),
            value,
            &scope,
            plugin.is_none_or(|p| p.definition.emits),
            diagnostics,
        ));
    }
    expect
}

/// Whether `name` is the name or the instance name of `plugin`.
fn answers_to(plugin: &Plugin, name: &str) -> bool {
    plugin.definition.name == name || plugin.instance_name.as_deref() == Some(name)
}

/// The diagnostic for an unknown plugin name. With `short`, members of an expectation are possible in its place.
fn unknown(name: &str, scope: &Scope, plugins: &[Arc<Plugin>], short: bool) -> Diagnostic {
    let names = || {
        let instances = plugins.iter().filter_map(|plugin| plugin.instance_name.as_deref());
        plugins.iter().map(|plugin| plugin.definition.name).chain(instances)
    };
    let members = EXPECTATION.fields.iter().filter(|_| short).map(|field| field.name);
    let message = format!("the configuration has no plugin `{name}`");
    let diagnostic = Diagnostic::error(codes::TEST_PLUGIN, message).at(scope.origin.clone()).path(scope.path.clone());
    // The name of another known plugin is not a typo.
    match suggest(name, names().chain(members)).filter(|_| crate::plugin::find(name).is_none()) {
        Some(suggestion) => diagnostic.label(format!("did you mean `{suggestion}`?")),
        None => {
            let mut all: Vec<_> = names().collect();
            all.dedup();
            diagnostic
                .label("not configured")
                .help(format!("the keys of `expect` are plugins, here: {}", all.join(", ")))
        }
    }
}

/// Reads the expectation of one plugin.
fn read_plugin(
    plugin: String,
    node: &Node,
    scope: &Scope,
    emits: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Expectation> {
    let before = diagnostics.len();
    let values = EXPECTATION.read(node, scope, diagnostics);
    for name in ["message", "fields"] {
        let Some(value) = node.get(name).filter(|value| !value.is_null()) else { continue };
        if value.entries().is_none() {
            let here = scope.member(name, value.origin());
            let message = format!("`{name}` of {} is {}", scope.subject, value.type_name());
            diagnostics.push(here.error(codes::TYPE, message, "expected a mapping"));
        }
        check_matchers(value, &scope.member(name, value.origin()), diagnostics);
    }
    let is_set = |name: &str| values.get(name).is_some_and(|value| !value.is_null());
    let none = values.get("none") == Some(&Value::Bool(true));
    let conflict = |names: &[&'static str]| names.iter().copied().find(|name| is_set(name));
    let problem = match (none, is_set("message")) {
        (true, _) => conflict(&["message", "fields", "absent"]).map(|name| (name, "`none` expects no message")),
        (_, true) => conflict(&["fields", "absent"]).map(|name| (name, "`message` already expects the whole message")),
        _ => conflict(&["message", "fields", "absent"])
            .filter(|_| !emits)
            .map(|name| (name, "this plugin sends no message itself; expect it of a logging plugin after it")),
    };
    if let Some((name, why)) = problem {
        let origin = node.entry(name).map_or(scope.origin.clone(), |(key, _)| key.origin());
        let message = format!("`{name}` cannot be expected here in {}", scope.subject);
        diagnostics.push(scope.member(name, origin).error(codes::ENTITY_CHECK, message, why));
    }
    let strings = |value: Option<&Value>| -> Vec<String> {
        value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let errors = values.get("errors").and_then(Value::as_array).into_iter().flatten().map(|error| {
        let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
        (text("field").unwrap_or_default(), text("message"))
    });
    let object = |name: &str| values.get(name).and_then(Value::as_object).cloned();
    (diagnostics.len() == before).then(|| Expectation {
        plugin,
        message: values.get("message").filter(|value| !value.is_null()).cloned(),
        fields: object("fields"),
        absent: strings(values.get("absent")),
        errors: errors.collect(),
        none,
    })
}

/// Checks every matcher in `node`.
fn check_matchers(node: &Node, scope: &Scope, diagnostics: &mut Vec<Diagnostic>) {
    match Matcher::of(&node.to_json()) {
        Some(Ok(_)) => return,
        Some(Err(problem)) => {
            let message = format!("invalid matcher in {}", scope.subject);
            let diagnostic = scope.error(codes::TEST_MATCHER, message, &problem);
            diagnostics.push(diagnostic);
            return;
        }
        None => {}
    }
    for (key, value) in node.entries().into_iter().flatten() {
        check_matchers(value, &scope.member(&key.name, value.origin()), diagnostics);
    }
    for (index, item) in node.items().into_iter().flatten().enumerate() {
        check_matchers(item, &scope.element(index, item.origin()), diagnostics);
    }
}

/// The check that a list is not empty.
pub(super) const NOT_EMPTY: &[Check] = &[Check::LenMin(1)];
