//! Configurations that use what was made of the one before.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::last::Last;
use super::super::{Loaded, Prepared};
use crate::admin::{Change, KnownDrafts, Tables, kind_named};
use crate::settings::Settings;

/// One entity, or none, at a place of its kind.
#[derive(Debug, Clone)]
struct Set {
    kind: &'static str,
    place: u8,
    entity: Option<Value>,
}

fn id(kind: &str, place: u8) -> String {
    format!(
        "00000000-0000-4000-8000-{:08x}{place:04x}",
        kind.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte))
    )
}

fn reference(kind: &str, place: u8) -> Value {
    if place == 0 { Value::Null } else { json!({"id": id(kind, place)}) }
}

prop_compose! {
    fn plugin()(
        (name, at) in (0..4_usize, 0..3_u8),
        (route, service, consumer, group) in (0..3_u8, 0..3_u8, 0..2_u8, 0..2_u8),
        (version, enabled, condition) in (0..3_u8, prop::bool::weighted(0.9), prop::bool::weighted(0.1)),
    ) -> Value {
        let fields = json!({"v": format!("return {version}"), "a": "return kong.vault.get('{vault://env/x}')"});
        let fields = if version == 2 { fields } else { json!({"v": format!("return {version}")}) };
        let (name, config) = match name {
            0 => ("file-log", json!({"path": format!("/tmp/{at}"), "custom_fields_by_lua": fields})),
            1 => ("http-log", json!({"http_endpoint": format!("http://h/{at}"), "custom_fields_by_lua": fields,
                "headers": {"a": if version == 0 { "{vault://env/missing}" } else { "b" }}})),
            2 => ("pre-function", json!({"log": [format!("return {version}")]})),
            _ => ("rate-limiting", json!({"minute": version})),
        };
        let condition = if condition { json!("http.method == \"GET\"") } else { Value::Null };
        let group = if consumer > 0 || name == "pre-function" { 0 } else { group };
        let consumer = if name == "pre-function" { 0 } else { consumer };
        json!({
            "name": name, "config": config, "enabled": enabled, "condition": condition,
            "route": reference("routes", route), "service": reference("services", service),
            "consumer": reference("consumers", consumer), "consumer_group": reference("consumer_groups", group),
        })
    }
}

fn entity() -> impl Strategy<Value = (&'static str, Value)> {
    let named = |kind: &'static str, key: &'static str| {
        (0..3_u8).prop_map(move |name| (kind, json!({key: format!("n{name}")})))
    };
    let service = (0..3_u8, any::<bool>())
        .prop_map(|(name, enabled)| ("services", json!({"name": format!("n{name}"), "host": "h", "enabled": enabled})));
    let route = (0..3_u8, 0..3_u8, prop::bool::weighted(0.1)).prop_map(|(path, service, wrong)| {
        let paths = if wrong { json!(["no slash"]) } else { json!([format!("/{path}")]) };
        ("routes", json!({"paths": paths, "service": reference("services", service)}))
    });
    let membership = (1..2_u8, 1..2_u8).prop_map(|(consumer, group)| {
        let (consumer, group) = (reference("consumers", consumer), reference("consumer_groups", group));
        ("consumer_group_consumers", json!({"consumer": consumer, "consumer_group": group}))
    });
    prop_oneof![
        2 => service,
        2 => route,
        1 => named("consumers", "username"),
        1 => named("consumer_groups", "name"),
        1 => membership,
        6 => plugin().prop_map(|plugin| ("plugins", plugin)),
    ]
}

fn change() -> impl Strategy<Value = Set> {
    (entity(), 1..4_u8, prop::bool::weighted(0.85)).prop_map(|((kind, mut entity), place, is_set)| {
        entity["id"] = id(kind, place).into();
        Set { kind, place, entity: is_set.then_some(entity) }
    })
}

/// Everything that a configuration came to, as text.
fn shown(prepared: &Result<Prepared, Vec<logphase_config::diagnostic::Diagnostic>>) -> String {
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(found) => return format!("{found:#?}"),
    };
    let configuration = prepared.configuration();
    let steps = prepared.program().steps.iter().map(|step| {
        let parts: Vec<_> = step.parts.iter().map(|part| (part.name(), part.source.text.clone())).collect();
        let output = prepared.outputs.of(&step.plugin);
        format!("{} {:?} {} {parts:?} {:?} {output:?}\n", step.id, step.label, step.scope, step.condition.is_some())
    });
    let steps: String = steps.collect();
    let groups: Vec<_> = configuration
        .consumers
        .iter()
        .map(|consumer| consumer.id.as_deref().map(|id| configuration.groups_of(id)))
        .collect();
    format!(
        "{:#?}\n{steps}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{groups:?} {}",
        prepared.warnings(),
        configuration.plugins,
        configuration.routes,
        configuration.services,
        configuration.not_run,
        prepared.router().expressions()
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Scenario: any sequence of changes of services, routes, consumers, groups, memberships and plugins, some of which lead to
    /// configurations that are refused. Guarantees: each configuration that uses what was made of the last valid one comes to the same as if
    /// it were the first, with the same diagnostics.
    #[test]
    fn what_is_used_again_changes_nothing(changes in prop::collection::vec(change(), 1..24)) {
        let (mut tables, mut drafts, mut last) = (Tables::new(), KnownDrafts::default(), Last::default());
        for Set { kind, place, entity } in changes {
            let members = entity.as_ref().and_then(Value::as_object).map(|members: &Map<String, Value>| Arc::new(members.clone()));
            tables.apply(&[Change { kind: kind_named(kind), id: id(kind, place), entity: members }]);
            let settings = Settings::default();
            let again = Prepared::after(&last, Loaded::from_entities(settings.clone(), &drafts.of(&tables)));
            let first = Prepared::new(Loaded::from_entities(settings, &KnownDrafts::default().of(&tables)));
            prop_assert_eq!(shown(&again), shown(&first));
            if let Ok(again) = again {
                last = again.last();
            }
        }
    }
}

/// Scenario: a consumer is created beside a plugin, and then the plugin changes. Guarantees: the first leaves the plugin's step as it was, with the
/// state of its circuit breakers; the second gives it another.
#[test]
fn a_plugin_that_stays_keeps_its_step() {
    let plugin = |value: u8| {
        let config = json!({"path": "/tmp/a", "custom_fields_by_lua": {"a": format!("return {value}")}});
        json!({"id": id("plugins", 1), "name": "file-log", "config": config})
    };
    let consumer = json!({"id": id("consumers", 1), "username": "bob"});
    let (mut tables, mut drafts, mut last) = (Tables::new(), KnownDrafts::default(), Last::default());
    let mut steps = Vec::new();
    for (kind, entity) in [("plugins", plugin(1)), ("consumers", consumer), ("plugins", plugin(2))] {
        let members = entity.as_object().map(|members| Arc::new(members.clone()));
        tables.apply(&[Change { kind: kind_named(kind), id: id(kind, 1), entity: members }]);
        let prepared = Prepared::after(&last, Loaded::from_entities(Settings::default(), &drafts.of(&tables))).unwrap();
        last = prepared.last();
        steps.push(prepared.program().steps[0].clone());
    }
    assert!(Arc::ptr_eq(&steps[0], &steps[1]));
    assert!(!Arc::ptr_eq(&steps[1], &steps[2]));
}
