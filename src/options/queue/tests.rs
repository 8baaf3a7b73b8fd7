use super::*;
use logphase_config::schema::{Default as SchemaDefault, Record, Type};
use serde_json::{Value, json};

fn choices(check: &[Check]) -> Vec<&'static str> {
    let named = check.iter().find_map(|check| match check {
        Check::OneOf(names) => Some(names.to_vec()),
        _ => None,
    });
    named.unwrap_or_default()
}

/// Scenario: the defaults that the schema of the settings shows, and those of the types.
/// Guarantees: they are the same.
#[test]
fn schema_and_types_have_the_same_defaults() {
    let shown: serde_json::Map<String, Value> =
        SETTINGS_FIELDS.iter().filter_map(|field| Some((field.name.to_owned(), field.default_value()?))).collect();
    let read: QueueOverride = serde_json::from_value(Value::Object(shown)).unwrap();
    assert_eq!(read.resolve(), QueueOptions::default());
    assert_eq!(read.max_batch_size, Some(1));
    assert_eq!((read.durability, read.max_entries, read.max_retry_time), (None, None, None));
}

/// Scenario: every name that the schema offers for an option with several.
/// Guarantees: each is read as a value of the option, and no two as the same.
#[test]
fn names_in_the_schema_are_those_of_the_types() {
    let mut read = Vec::new();
    for field in &SETTINGS_FIELDS {
        for name in choices(field.checks) {
            let given: QueueOverride = serde_json::from_value(json!({ field.name: name })).unwrap();
            assert_ne!(given, QueueOverride::default(), "{name}");
            assert!(!read.contains(&given), "{name}");
            read.push(given);
        }
    }
    assert_eq!(read.len(), 6);
}

/// Scenario: the fields of a plugin's `config.queue`, with defaults and without, and of the settings.
/// Guarantees: Kong's options have Kong's types and defaults (a plugin that has a queue in Kong); the others are marked as
/// extensions and have no default; an option of the settings alone is not among them; every field has a description.
#[test]
fn plugins_have_kongs_fields() {
    let names = |record: &Record| record.fields.iter().map(|field| field.name).collect::<Vec<_>>();
    assert_eq!(names(&PLUGIN), names(&PLUGIN_WITH_DEFAULTS));
    assert_eq!(names(&OVERRIDE), SETTINGS_FIELDS.map(|field| field.name));
    assert!(PLUGIN.field("max_dead_letter_bytes").is_none() && OVERRIDE.field("max_dead_letter_bytes").is_some());
    assert_eq!(
        Value::Object(PLUGIN_WITH_DEFAULTS.defaults()),
        json!({
            "max_batch_size": 1,
            "max_coalescing_delay": 1,
            "max_entries": 10_000,
            "initial_retry_delay": 0.01,
            "max_retry_delay": 60,
            "concurrency_limit": 1,
        })
    );
    for field in PLUGIN.fields {
        assert!(matches!(field.default, SchemaDefault::None), "{}", field.name);
        assert!(!matches!(field.ty, Type::Duration), "{}: Kong's durations are numbers of seconds", field.name);
        assert!(!field.about.is_empty(), "{}", field.name);
        assert_eq!(field.ty.name() == "number", field.about.ends_with(" In seconds."), "{}", field.name);
    }
    let extensions: Vec<_> = PLUGIN.fields.iter().filter(|field| field.extension).map(|field| field.name).collect();
    assert_eq!(extensions, ["overflow", "required", "durability", "spill", "sync", "sync_interval", "max_disk_bytes"]);
    assert_eq!(PLUGIN.field("max_bytes").map(|field| field.ty.name()), Some("integer"));
    assert_eq!(OVERRIDE.field("max_bytes").map(|field| field.ty.name()), Some("size"));
}

/// Scenario: options that differ in how messages are delivered, in the queue, and in what its storage does not use.
/// Guarantees: only a difference in the queue makes another queue; what delivers is taken from the new options.
#[test]
fn only_the_queues_own_options_make_another_queue() {
    let old = QueueOptions::default();
    let delivered = QueueOptions { max_batch_size: 5, max_retry_delay: Duration::from_secs(9), ..old.clone() };
    assert!(old.same_queue(&delivered));
    assert_eq!(delivered.keeping_queue_of(&old), delivered);
    let larger = QueueOptions { max_entries: Some(3), max_batch_size: 5, ..old.clone() };
    assert!(!old.same_queue(&larger));
    assert_eq!(larger.keeping_queue_of(&old), QueueOptions { max_batch_size: 5, ..old.clone() });
    let optional = QueueOptions { required: false, ..old.clone() };
    assert!(old.same_queue(&optional) && optional.keeping_queue_of(&old) == optional);
    let plain = QueueOptions { spill: false, ..old.clone() };
    assert!(!old.same_queue(&plain) && old.spills() && !plain.spills());
    let drops = QueueOptions { overflow: Overflow::DropOldest, ..old.clone() };
    assert!(!drops.spills() && drops.storage() == Storage::Memory && plain.storage() == Storage::Memory);
    let disk = QueueOptions { durability: Durability::Disk, ..old.clone() };
    assert!(!old.same_queue(&disk));
    assert!(disk.same_queue(&QueueOptions { spill: false, required: false, ..disk.clone() }));
    assert!(disk.same_queue(&QueueOptions { sync_interval: Duration::from_secs(9), ..disk.clone() }));
    assert!(!disk.same_queue(&QueueOptions { sync: SyncPolicy::Interval, ..disk.clone() }));
}
