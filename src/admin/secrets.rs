//! Secrets in entities: what answers and the log show in place of them, and what a request means that sends that back.

use logphase_config::schema::{Field, Record, Type, is_vault_reference};
use serde_json::{Map, Value};

use super::access::Caller;
use super::kind::Kind;
use crate::plugin;

/// What stands for a secret.
pub(crate) const MASK: &str = "********";

/// Parts of the names of headers whose values are secrets.
const CREDENTIALS: &[&str] =
    &["auth", "cookie", "token", "secret", "password", "passwd", "key", "credential", "session"];

/// `entity` with a mask for each secret.
pub(crate) fn masked(kind: &Kind, entity: &Map<String, Value>) -> Map<String, Value> {
    let mut masked = entity.clone();
    mask_record(records(kind, entity), &mut masked);
    masked
}

/// `entity` as `caller` may see it.
pub(crate) fn shown(caller: &Caller, kind: &Kind, entity: &Map<String, Value>) -> Map<String, Value> {
    if caller.sees_secrets() { entity.clone() } else { masked(kind, entity) }
}

/// Replaces the masks in `body` by the secrets that they stand for in `existing`.
pub(crate) fn unmask(kind: &Kind, body: &mut Map<String, Value>, existing: &Map<String, Value>) {
    let shown = Value::Object(masked(kind, existing));
    for (name, value) in body.iter_mut() {
        if let (Some(shown), Some(secret)) = (shown.get(name), existing.get(name)) {
            restore(value, shown, secret);
        }
    }
}

/// Where `value` is what is shown of a secret, puts the secret.
fn restore(value: &mut Value, shown: &Value, secret: &Value) {
    match (value, shown, secret) {
        (Value::Object(members), Value::Object(shown), Value::Object(secrets)) => {
            for (name, value) in members.iter_mut() {
                if let (Some(shown), Some(secret)) = (shown.get(name), secrets.get(name)) {
                    restore(value, shown, secret);
                }
            }
        }
        (Value::Array(items), Value::Array(shown), Value::Array(secrets)) => {
            for (item, (shown, secret)) in items.iter_mut().zip(shown.iter().zip(secrets)) {
                restore(item, shown, secret);
            }
        }
        (value, shown, secret) if value.is_string() && value == shown && shown != secret => *value = secret.clone(),
        _ => {}
    }
}

/// The records of the fields of an entity, and of the `config` of a plugin.
fn records(kind: &Kind, entity: &Map<String, Value>) -> (&'static Record, Option<&'static Record>) {
    let name = entity.get("name").and_then(Value::as_str).filter(|_| kind.is_plugins());
    ((kind.record)(), name.and_then(plugin::find).map(|definition| definition.schema))
}

fn mask_record((record, config): (&Record, Option<&'static Record>), members: &mut Map<String, Value>) {
    for (name, value) in members.iter_mut() {
        match (name.as_str(), config) {
            ("config", Some(config)) => {
                if let Some(members) = value.as_object_mut() {
                    mask_record((config, None), members);
                }
            }
            // Only Kong knows the fields of other plugins.
            ("config", None) => mask_unknown(value),
            (name, _) => {
                if let Some(field) = record.field(name) {
                    mask_field(field, value);
                }
            }
        }
    }
}

/// Masks what is secret of `value`, which `field` describes.
pub(crate) fn mask_field(field: &Field, value: &mut Value) {
    match (field.ty, value) {
        (_, value) if field.secret => mask(value),
        (Type::Record(record), Value::Object(members)) => mask_record((record, None), members),
        (Type::Array(element) | Type::Set(element), Value::Array(items)) => {
            items.iter_mut().for_each(|item| mask_field(element, item));
        }
        (Type::Map(_, element), Value::Object(members)) => {
            for (name, value) in members.iter_mut() {
                if field.name == "headers" && carries_credentials(name) {
                    mask(value);
                } else {
                    mask_field(element, value);
                }
            }
        }
        (_, Value::String(text)) => mask_user_info(text),
        _ => {}
    }
}

/// Masks what looks like a secret by its name.
fn mask_unknown(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                match value {
                    Value::String(_) if carries_credentials(name) => mask(value),
                    value => mask_unknown(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_unknown),
        Value::String(text) => mask_user_info(text),
        _ => {}
    }
}

fn carries_credentials(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIALS.iter().any(|part| name.contains(part))
}

/// Masks a value that is not a reference to a vault.
fn mask(value: &mut Value) {
    match value {
        Value::String(text) if !text.is_empty() && !is_vault_reference(text) => *text = MASK.to_owned(),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(members) => members.values_mut().for_each(mask),
        _ => {}
    }
}

/// Masks the password of a URL, or its user if there is no password.
pub(crate) fn mask_user_info(text: &mut String) {
    let Some(start) = text.find("://").map(|at| at + 3) else { return };
    let authority = &text[start..];
    let end = authority.find(['/', '?', '#']).unwrap_or(authority.len());
    let Some(at) = authority[..end].rfind('@') else { return };
    let user = &authority[..at];
    let secret = user.find(':').map_or(0, |colon| colon + 1);
    text.replace_range(start + secret..start + at, MASK);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::kind;
    use serde_json::json;

    fn plugin() -> Map<String, Value> {
        let plugin = json!({"name": "http-log", "config": {
            "http_endpoint": "https://me:pass@host/p?q",
            "headers": {"Authorization": "Basic x", "X-Api-Key": "{vault://env/key}", "X-Team": "a"},
            "queue": {"max_batch_size": 5},
        }});
        plugin.as_object().unwrap().clone()
    }

    /// Scenario: an http-log with a password in its URL and in a header. Guarantees: both are masked, and nothing else; a reference to a
    /// vault is no secret.
    #[test]
    fn masks_secrets() {
        let shown = masked(kind::find("plugins").unwrap(), &plugin());
        assert_eq!(
            shown["config"],
            json!({
                "http_endpoint": "https://me:********@host/p?q",
                "headers": {"Authorization": "********", "X-Api-Key": "{vault://env/key}", "X-Team": "a"},
                "queue": {"max_batch_size": 5},
            })
        );
        let certificate = json!({"id": "1", "cert": "c", "key": "k"});
        let shown = masked(kind::find("certificates").unwrap(), certificate.as_object().unwrap());
        assert_eq!(Value::Object(shown), json!({"id": "1", "cert": "c", "key": "********"}));
    }

    /// Scenario: a client changes one member of what it was shown, and sends all of it back. Guarantees: the secrets stay; a new one counts.
    #[test]
    fn masks_that_come_back_change_nothing() {
        let kind = kind::find("plugins").unwrap();
        let mut body = masked(kind, &plugin());
        body["config"]["headers"]["X-Team"] = "b".into();
        unmask(kind, &mut body, &plugin());
        let mut expected = plugin();
        expected["config"]["headers"]["X-Team"] = "b".into();
        assert_eq!(body, expected);
        let mut body = masked(kind, &plugin());
        body["config"]["headers"]["Authorization"] = "Basic y".into();
        unmask(kind, &mut body, &plugin());
        assert_eq!(body["config"]["headers"]["Authorization"], "Basic y");
        assert_eq!(body["config"]["http_endpoint"], "https://me:pass@host/p?q");
    }
}
