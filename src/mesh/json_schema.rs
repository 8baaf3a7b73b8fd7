//! The JSON Schema of resources of a mesh: those that are published in docs/, in one.

use serde_json::{Map, Value, json};

/// The published schemas, by kind of resource. tests/mesh_schemas.rs holds them against what reads the resources.
const PUBLISHED: [(&str, &str); 3] = [
    ("Mesh", include_str!("../../docs/mesh.schema.json")),
    ("TrafficLog", include_str!("../../docs/traffic-log.schema.json")),
    ("MeshAccessLog", include_str!("../../docs/mesh-access-log.schema.json")),
];

/// The schema of a document of a file with resources. Those of other kinds are not judged.
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    let mut cases = Vec::new();
    for (kind, text) in PUBLISHED {
        let mut schema: Value = serde_json::from_str(text).expect("the published schemas are JSON");
        for (name, mut inner) in schema["$defs"].take().as_object().cloned().unwrap_or_default() {
            prefix(&mut inner, kind);
            definitions.insert(format!("{kind}-{name}"), inner);
        }
        prefix(&mut schema, kind);
        if let Some(members) = schema.as_object_mut() {
            members.retain(|name, _| !matches!(&**name, "$defs" | "$schema"));
        }
        definitions.insert(kind.to_owned(), schema);
        let is = |member: &str| json!({"required": [member], "properties": {member: {"const": kind}}});
        cases.push(json!({"if": {"anyOf": [is("type"), is("kind")]}, "then": {"$ref": format!("#/$defs/{kind}")}}));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Resources of a mesh: Mesh, TrafficLog, MeshAccessLog", "type": "object",
        "allOf": cases, "$defs": definitions,
    })
}

/// Makes references to definitions those of `kind`. The depth is that of the published schemas.
fn prefix(schema: &mut Value, kind: &str) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                match value {
                    Value::String(text) if name == "$ref" => {
                        *text = text.replace("#/$defs/", &format!("#/$defs/{kind}-"))
                    }
                    value => prefix(value, kind),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| prefix(item, kind)),
        _ => {}
    }
}
