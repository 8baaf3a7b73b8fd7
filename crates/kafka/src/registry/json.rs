//! Validation by JSON Schema. Nothing is ever fetched for it but what the registry itself lists as references.

use std::collections::HashMap;
use std::error::Error;

use jsonschema::{Draft, Retrieve, Uri, Validator};
use serde_json::Value;

use super::address::beginning;

/// How many violations an error names.
const SHOWN: usize = 3;
/// How long the text of one violation may be; a list of allowed values has no bound.
const SHOWN_BYTES: usize = 300;

/// A compiled schema.
#[derive(Debug)]
pub(super) struct JsonSchema {
    validator: Validator,
}

impl JsonSchema {
    /// Compiles `schema`; `references` are those that it may refer to, each with the name that the registry has for it.
    /// A schema without `$schema` is taken as draft 7, as Confluent's serializers do.
    pub(super) fn compile(schema: &str, references: &[(String, String)]) -> Result<Self, String> {
        let schema: Value = serde_json::from_str(schema).map_err(|error| format!("it is not JSON: {error}"))?;
        let mut known = HashMap::new();
        for (name, text) in references {
            let value =
                serde_json::from_str(text).map_err(|error| format!("its reference {name} is not JSON: {error}"));
            known.insert(name.clone(), value?);
        }
        let draft = match Draft::Draft7.detect(&schema) {
            Draft::Unknown => return Err(format!("its $schema {} is no draft known here", schema["$schema"])),
            draft => draft,
        };
        let options = jsonschema::options().with_draft(draft).with_retriever(Known(known));
        let validator = options.build(&schema).map_err(|error| error.to_string())?;
        Ok(Self { validator })
    }

    /// Whether `json` is valid; the error names the places of the first violations. It shows no values, which may be
    /// secret or large.
    pub(super) fn validate(&self, json: &[u8]) -> Result<(), String> {
        let value: Value = serde_json::from_slice(json).map_err(|error| format!("not JSON: {error}"))?;
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        let mut text = String::new();
        for (index, error) in self.validator.iter_errors(&value).enumerate() {
            if index == SHOWN {
                text.push_str("; and more");
                break;
            }
            let (path, reason) = (error.instance_path().to_string(), error.masked_with("the value").to_string());
            text.push_str(if index == 0 { "" } else { "; " });
            text.push_str(if path.is_empty() { "/" } else { &path });
            text.push_str(": ");
            text.push_str(beginning(&reason, SHOWN_BYTES));
        }
        Ok(text).and_then(|text| if text.is_empty() { Err("not valid".to_owned()) } else { Err(text) })
    }
}

/// The references of a schema, by the registry's names.
struct Known(HashMap<String, Value>);

impl Retrieve for Known {
    /// A reference's name is what the schema's `$ref` says: a whole URI, or one relative to the schema.
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let uri = uri.as_str();
        let relative = |name: &str| uri.strip_suffix(name).is_some_and(|base| base.ends_with('/'));
        let found = self.0.get(uri).or_else(|| {
            let mut names =
                self.0.iter().filter(|(name, _)| relative(name.trim_start_matches("./").trim_start_matches('/')));
            // Of names that are both an end of the URI, the longer one says more.
            let first = names.next()?;
            Some(names.fold(first, |best, other| if other.0.len() > best.0.len() { other } else { best }).1)
        });
        found
            .cloned()
            .ok_or_else(|| format!("it refers to {uri}, which is not among its references in the registry").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(schema: &str, json: &str) -> String {
        let schema = JsonSchema::compile(schema, &[]).expect("a schema");
        schema.validate(json.as_bytes()).expect_err("refused")
    }

    /// Scenario: messages that violate a schema at one place and at several.
    /// Guarantees: the error names places and rules, and shows no value of the message.
    #[test]
    fn violations_name_their_place() {
        let schema = r#"{"type": "object", "required": ["id"], "properties": {
            "request": {"properties": {"size": {"type": "integer", "minimum": 5}}},
            "a": {"type": "string"}, "b": {"type": "string"}, "c": {"enum": ["x", "y"]}}}"#;
        assert_eq!(
            violation(schema, r#"{"id": 1, "request": {"size": 2}}"#),
            "/request/size: the value is less than the minimum of 5"
        );
        assert_eq!(violation(schema, "{}"), "/: \"id\" is a required property");
        let many = violation(schema, r#"{"request": {"size": 1}, "a": 71234567, "b": 2, "c": "secret"}"#);
        assert!(many.contains("/request/size: ") && many.ends_with("; and more"), "{many}");
        assert!(!many.contains("71234567") && !many.contains("secret"), "{many}");
    }

    /// Scenario: the same keyword in schemas of several drafts and in one that names none.
    /// Guarantees: `$schema` decides; without it, draft 7 holds; an unknown one is refused.
    #[test]
    fn drafts_are_told_apart() {
        let schema = |draft: &str| format!(r#"{{{draft}"prefixItems": [{{"type": "string"}}]}}"#);
        let valid = |draft: &str| {
            let compiled = JsonSchema::compile(&schema(draft), &[]).expect("a schema");
            compiled.validate(b"[1]").is_ok()
        };
        assert!(valid(""), "draft 7 does not know prefixItems");
        assert!(valid(r#""$schema": "http://json-schema.org/draft-07/schema#", "#));
        assert!(!valid(r#""$schema": "https://json-schema.org/draft/2020-12/schema", "#));
        let error =
            JsonSchema::compile(&schema(r#""$schema": "https://example.com/own", "#), &[]).expect_err("refused");
        assert!(error.contains("https://example.com/own"), "{error}");
    }

    /// Scenario: a schema with references, by a whole URI and relative to its `$id`, which refer on.
    /// Guarantees: they are resolved by the registry's names; any other reference is an error, and so is a file.
    #[test]
    fn references_are_those_of_the_registry() {
        let schema = r#"{"$id": "http://example.com/schemas/log.json", "properties": {
            "user": {"$ref": "user.json"}, "size": {"$ref": "urn:size#/definitions/small"}}}"#;
        let user = r#"{"type": "object", "properties": {"name": {"$ref": "name.json"}}}"#;
        let references: Vec<(String, String)> = [
            ("user.json", user),
            ("name.json", r#"{"type": "string", "maxLength": 3}"#),
            ("urn:size", r#"{"definitions": {"small": {"maximum": 9}}}"#),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .to_vec();
        let compiled = JsonSchema::compile(schema, &references).expect("a schema");
        assert_eq!(compiled.validate(br#"{"user": {"name": "abc"}, "size": 9}"#), Ok(()));
        let error = compiled.validate(br#"{"user": {"name": "abcd"}, "size": 10}"#).expect_err("refused");
        assert!(error.contains("/user/name: ") && error.contains("/size: "), "{error}");

        let error = JsonSchema::compile(schema, &references[1..]).expect_err("refused");
        assert!(error.contains("http://example.com/schemas/user.json"), "{error}");
        for outside in ["file:///etc/passwd", "http://127.0.0.1:1/schema.json"] {
            let error = JsonSchema::compile(&format!(r#"{{"$ref": "{outside}"}}"#), &[]).expect_err("refused");
            assert!(error.contains(outside), "{error}");
        }
    }
}
