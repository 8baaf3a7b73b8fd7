//! The JSON Schema of test files, made of the fields that they are read by.

use logphase_config::schema::Placeholders;
use serde_json::{Value, json};

use super::expectation::EXPECTATION;
use super::file::{FILE, TEST};
use crate::declarative;

const PLAIN: Placeholders = Placeholders::None;

/// The schema of a test file.
pub(in crate::cli) fn json_schema() -> Value {
    let mut schema = FILE.to_json_schema(PLAIN);
    let mut test = TEST.to_json_schema(PLAIN);
    let expectation = EXPECTATION.to_json_schema(PLAIN);
    // Of one plugin, without its name, or by plugin.
    let of_plugins = json!({"type": "object", "additionalProperties": expectation});
    test["properties"]["expect"] =
        json!({"anyOf": [expectation, of_plugins], "description": "The expected result of each plugin."});
    let path = json!({"type": "string", "minLength": 1});
    schema["properties"]["config"] = json!({"anyOf": [path, {"type": "array", "items": path, "minItems": 1}], "description": "Kong's declarative file, or a list of them."});
    schema["properties"]["tests"] = json!({"type": "array", "items": test, "minItems": 1, "description": "The tests."});
    // The plugins are those of a declarative file.
    let kong = declarative::json_schema();
    schema["properties"]["plugins"] = kong["properties"]["plugins"].clone();
    schema["definitions"] = kong["definitions"].clone();
    // As in the reader: exactly one subject, and a transaction once.
    schema["oneOf"] = ["config", "plugins", "fields"].map(|name| json!({"required": [name]})).as_slice().into();
    schema["not"] = json!({"required": ["transaction", "transaction_file"]});
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = "Tests of snippets, for logphase test".into();
    schema
}
