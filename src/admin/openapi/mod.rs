//! The Admin API as an OpenAPI 3.1 description, from the tables that requests are answered by: paths and methods from [`route`],
//! fields from the schemas of entities and plugins, errors from [`error`](super::error). docs/admin-api.openapi.json is the same.

mod answers;
mod entities;
mod examples;
mod fields;
mod operations;

use serde_json::{Map, Value, json};

use super::node::KONG_VERSION;
use super::route::{self, Target};

/// The type of all bodies but forms.
const JSON: &str = "application/json";

/// The description.
pub(crate) fn description() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Logphase Admin API",
            "version": KONG_VERSION,
            "description": "Kong's Admin API, as Logphase answers it. The version is that of Kong Gateway.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://localhost:8001"}],
        // Without `admin.token`, requests need none.
        "security": [{}, {"token": []}, {"kongAdminToken": []}],
        "paths": paths(),
        "components": {
            "schemas": schemas(),
            "responses": answers::components(),
            "parameters": operations::parameters(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`admin.token` or `admin.read_only_token`."},
                "kongAdminToken": {"type": "apiKey", "in": "header", "name": "Kong-Admin-Token",
                    "description": "The same tokens, in the header of Kong Gateway Enterprise."},
            },
        },
    })
}

/// All paths, by segment. Those of Kong before 1.0 are not in `/endpoints`.
fn templates() -> Vec<String> {
    let mut paths = route::endpoints();
    let others = [
        "/apis/{apis}/plugins",
        "/apis/{apis}/plugins/{plugins}",
        "/filter-chains",
        "/filter-chains/{filter_chains}",
        "/openapi.json",
        "/plugins_configurations",
        "/plugins_configurations/{plugins}",
    ];
    paths.extend(others.map(str::to_owned));
    paths.sort_by(|left, right| left.split('/').cmp(right.split('/')));
    paths.dedup();
    paths
}

fn paths() -> Value {
    let mut paths = Map::new();
    for path in templates() {
        // A name in braces is like any key of an entity.
        let Some(target) = Target::of(&path) else { continue };
        let mut item = Map::new();
        let parameters = operations::path_parameters(&path);
        if !parameters.is_empty() {
            item.insert("parameters".to_owned(), parameters.into());
        }
        for method in target.methods() {
            item.insert(method.to_ascii_lowercase(), operations::operation(&path, &target, method));
        }
        paths.insert(path, Value::Object(item));
    }
    Value::Object(paths)
}

fn schemas() -> Value {
    let mut schemas = Map::new();
    entities::schemas(&mut schemas);
    answers::schemas(&mut schemas);
    answers::node_schemas(&mut schemas);
    Value::Object(schemas)
}

/// An object with these properties and no others.
fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn reference_to(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` below `value`.
    fn references<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                into.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, into));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, into)),
            _ => {}
        }
    }

    /// Scenario: the description is built. Guarantees: every path is there with the methods that it has; every reference leads to
    /// something, and every schema, answer and parameter is used.
    #[test]
    fn is_whole() {
        let description = description();
        for path in templates() {
            let item = description["paths"][&path].as_object().unwrap_or_else(|| panic!("{path} is missing"));
            let mut methods: Vec<String> = item.keys().map(|name| name.to_ascii_uppercase()).collect();
            methods.retain(|name| name != "PARAMETERS");
            assert_eq!(methods, Target::of(&path).unwrap().methods(), "{path}");
        }
        let mut used = Vec::new();
        references(&description, &mut used);
        for reference in &used {
            assert!(description.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
        }
        for group in ["schemas", "responses", "parameters"] {
            for name in description["components"][group].as_object().unwrap().keys() {
                let reference = format!("#/components/{group}/{name}");
                assert!(used.contains(&&*reference), "{reference} is not used");
            }
        }
    }
}
