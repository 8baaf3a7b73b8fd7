//! Validation by JSON Schema. The only references that are resolved are those that the registry lists for the schema.

use std::collections::HashMap;
use std::error::Error;

use jsonschema::{Draft, Retrieve, Uri, Validator};
use logphase_net::text::truncate;
use serde_json::Value;

/// Violations that an error names.
const SHOWN: usize = 3;
/// Limit on the text of one violation in an error, in bytes: a list of allowed values may have any length.
const SHOWN_BYTES: usize = 300;

/// A compiled schema.
#[derive(Debug)]
pub(super) struct JsonSchema {
    validator: Validator,
}

/// A schema cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("it is not JSON: {0}")]
    Syntax(#[source] serde_json::Error),
    #[error("its reference {name} is not JSON: {source}")]
    ReferenceSyntax { name: String, source: serde_json::Error },
    #[error("its $schema {0} is not a supported draft")]
    UnknownDraft(Value),
    #[error(transparent)]
    Invalid(#[from] jsonschema::ValidationError<'static>),
}

/// A value does not match a schema.
#[derive(Debug, thiserror::Error)]
pub(super) enum ValidationError {
    #[error("not JSON: {0}")]
    Syntax(#[source] serde_json::Error),
    /// The places of the first violations, each with the rule that is violated.
    #[error("{0}")]
    Violations(String),
}

impl JsonSchema {
    /// Compiles `schema`. It may refer to `references`, each with the name that the registry has for it. A schema
    /// without `$schema` is of draft 7, as in Confluent's serializers.
    pub(super) fn compile(schema: &str, references: &[(String, String)]) -> Result<Self, SchemaError> {
        let schema: Value = serde_json::from_str(schema).map_err(SchemaError::Syntax)?;
        let mut known = HashMap::new();
        for (name, text) in references {
            let value = serde_json::from_str(text);
            let value = value.map_err(|source| SchemaError::ReferenceSyntax { name: name.clone(), source })?;
            known.insert(name.clone(), value);
        }
        let draft = match Draft::Draft7.detect(&schema) {
            Draft::Unknown => return Err(SchemaError::UnknownDraft(schema["$schema"].clone())),
            draft => draft,
        };
        let options = jsonschema::options().with_draft(draft).with_retriever(References(known));
        Ok(Self { validator: options.build(&schema)? })
    }

    /// Checks that `json` matches. The error has no values, which may be secret or large.
    pub(super) fn validate(&self, json: &[u8]) -> Result<(), ValidationError> {
        let value: Value = serde_json::from_slice(json).map_err(ValidationError::Syntax)?;
        if self.validator.is_valid(&value) { Ok(()) } else { Err(self.violations(&value)) }
    }

    fn violations(&self, value: &Value) -> ValidationError {
        let mut text = String::new();
        for (index, error) in self.validator.iter_errors(value).enumerate() {
            if index == SHOWN {
                text.push_str("; and more");
                break;
            }
            let (path, reason) = (error.instance_path().to_string(), error.masked_with("the value").to_string());
            text.push_str(if index == 0 { "" } else { "; " });
            text.push_str(if path.is_empty() { "/" } else { &path });
            text.push_str(": ");
            text.push_str(truncate(&reason, SHOWN_BYTES));
        }
        ValidationError::Violations(if text.is_empty() { "not valid".to_owned() } else { text })
    }
}

/// The schemas that a schema may refer to, by the registry's names.
struct References(HashMap<String, Value>);

impl Retrieve for References {
    /// The registry's name of a reference is the text of `$ref`: a whole URI, or one relative to the schema.
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let uri = uri.as_str();
        let relative = |name: &str| uri.strip_suffix(name).is_some_and(|base| base.ends_with('/'));
        let found = self.0.get(uri).or_else(|| {
            let mut names =
                self.0.iter().filter(|(name, _)| relative(name.trim_start_matches("./").trim_start_matches('/')));
            // If several names are an end of the URI, the longest one is meant.
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
        schema.validate(json.as_bytes()).expect_err("refused").to_string()
    }

    /// Scenario: messages that violate a schema at one place and at several.
    /// Guarantees: the error names places and rules, and has no value of the message.
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
    /// Guarantees: `$schema` decides; without it the schema is of draft 7; an unknown draft is refused.
    #[test]
    fn schema_selects_the_draft() {
        let schema = |draft: &str| format!(r#"{{{draft}"prefixItems": [{{"type": "string"}}]}}"#);
        let valid = |draft: &str| {
            let compiled = JsonSchema::compile(&schema(draft), &[]).expect("a schema");
            compiled.validate(b"[1]").is_ok()
        };
        assert!(valid(""), "draft 7 has no prefixItems");
        assert!(valid(r#""$schema": "http://json-schema.org/draft-07/schema#", "#));
        assert!(!valid(r#""$schema": "https://json-schema.org/draft/2020-12/schema", "#));
        let error =
            JsonSchema::compile(&schema(r#""$schema": "https://example.com/own", "#), &[]).expect_err("refused");
        let error = error.to_string();
        assert!(error.contains("https://example.com/own"), "{error}");
    }

    /// Scenario: a schema that refers to others by a whole URI and relative to its `$id`; these have references too.
    /// Guarantees: they are resolved by the registry's names; any other reference is an error, also to a file or URL.
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
        compiled.validate(br#"{"user": {"name": "abc"}, "size": 9}"#).expect("valid");
        let error = compiled.validate(br#"{"user": {"name": "abcd"}, "size": 10}"#).expect_err("refused").to_string();
        assert!(error.contains("/user/name: ") && error.contains("/size: "), "{error}");

        let error = JsonSchema::compile(schema, &references[1..]).expect_err("refused").to_string();
        assert!(error.contains("http://example.com/schemas/user.json"), "{error}");
        for outside in ["file:///etc/passwd", "http://127.0.0.1:1/schema.json"] {
            let schema = format!(r#"{{"$ref": "{outside}"}}"#);
            let error = JsonSchema::compile(&schema, &[]).expect_err("refused").to_string();
            assert!(error.contains(outside), "{error}");
        }
    }
}
