//! What decK makes of `/schemas`: the defaults that it fills in before it compares, and the comparison
//! (github.com/Kong/go-kong, kong/utils.go; github.com/Kong/go-database-reconciler, pkg/state/types.go).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

type Members = Map<String, Value>;

/// The fields that `schema` lists below `list`: objects with one member each.
fn listed<'a>(schema: &'a Value, list: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    schema[list].as_array().into_iter().flatten().filter_map(|field| field.as_object()?.iter().next())
}

/// The defaults of the entities of `schema`: null for a field without one.
pub fn of_entity(schema: &Value) -> Members {
    let default = |field: &Value| match field["type"].as_str() {
        Some("record") => Value::Object(of_entity(field)),
        _ => field["default"].clone(),
    };
    listed(schema, "fields").map(|(name, field)| (name.clone(), default(field))).collect()
}

/// Fills `defaults` into the members of an entity that are not set.
pub fn fill(entity: &mut Members, defaults: &Members) {
    for (name, default) in defaults {
        match (entity.get_mut(name), default) {
            (Some(Value::Object(set)), Value::Object(below)) => fill(set, below),
            (None | Some(Value::Null), default) if !default.is_null() => {
                drop(entity.insert(name.clone(), default.clone()))
            }
            _ => {}
        }
    }
}

/// The schema of `config` in that of a plugin.
pub fn config_of(schema: &Value) -> &Value {
    let config = listed(schema, "fields").find(|(name, _)| *name == "config");
    config.expect("the schema of a plugin has `config`").1
}

/// The default of the field `name` in the schema of a plugin.
pub fn default_of(schema: &Value, name: &str) -> Value {
    listed(schema, "fields")
        .find(|(found, _)| *found == name)
        .map_or(Value::Null, |(_, field)| field["default"].clone())
}

/// The paths of the fields that an old field stands for.
fn replacements(old: &Value) -> Vec<Vec<String>> {
    let paths = old["deprecation"]["replaced_with"].as_array().into_iter().flatten().map(|one| &one["path"]);
    let paths = paths.chain(old.get("translate_backwards"));
    let texts =
        |path: &Value| path.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    paths.map(texts).collect()
}

/// `config` with the defaults of the record `schema`. `replaced`: what old fields stand for, which gets no default.
pub fn of_config(schema: &Value, config: &Members, replaced: &[Vec<String>]) -> Members {
    let mut filled = config.clone();
    let mut replaced = replaced.to_vec();
    let old = listed(schema, "shorthand_fields").filter(|(name, _)| config.contains_key(*name));
    replaced.extend(old.flat_map(|(_, field)| replacements(field)));
    for (name, field) in listed(schema, "fields") {
        let given = config.get(name);
        let of_records = field["elements"]["type"] == "record";
        let is_set = match given {
            None => false,
            Some(Value::Object(_)) => field.get("keys").is_some() && field.get("values").is_some(),
            Some(Value::Array(_)) => !of_records,
            Some(_) => true,
        };
        if is_set {
            continue;
        }
        if field["type"] == "record" && (given.is_some() || field["required"] == true) {
            let below = replaced.iter().filter(|path| path.first() == Some(name)).map(|path| path[1..].to_vec());
            let empty = Members::new();
            let given = given.and_then(Value::as_object).unwrap_or(&empty);
            let record = of_config(field, given, &below.collect::<Vec<_>>());
            if !record.is_empty() {
                filled.insert(name.clone(), Value::Object(record));
            }
            continue;
        }
        if replaced.iter().any(|path| path.first() == Some(name)) {
            continue;
        }
        let value = match given.and_then(Value::as_array) {
            Some(items) if !items.is_empty() => items.iter().map(|item| of_item(&field["elements"], item)).collect(),
            _ => schema["default"].get(name).unwrap_or(&field["default"]).clone(),
        };
        filled.insert(name.clone(), value);
    }
    filled
}

fn of_item(schema: &Value, item: &Value) -> Value {
    item.as_object().map_or_else(|| item.clone(), |record| Value::Object(of_config(schema, record, &[])))
}

/// Makes what is in `current` comparable with `wanted`: an old field counts if the file has it, and what replaces it otherwise.
pub fn clear_old_fields(schema: &Value, wanted: &mut Members, current: &mut Members) {
    for (name, field) in listed(schema, "shorthand_fields") {
        let Some(given) = wanted.get(name) else {
            current.remove(name);
            continue;
        };
        let accepts_null = given.is_null();
        for path in replacements(field) {
            let pointer = format!("/{}", path.join("/"));
            match json!(wanted).pointer(&pointer) {
                None => remove(current, &path),
                Some(Value::Null) if !accepts_null => {
                    remove(wanted, &path);
                    remove(current, &path);
                }
                Some(_) => {}
            }
        }
    }
    for (name, field) in listed(schema, "fields").filter(|(_, field)| field["type"] == "record") {
        if let (Some(Value::Object(wanted)), Some(Value::Object(current))) =
            (wanted.get_mut(name), current.get_mut(name))
        {
            clear_old_fields(field, wanted, current);
        }
    }
}

/// Removes what is at `path`, and the records that are empty after that.
fn remove(members: &mut Members, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    match members.get_mut(first) {
        Some(Value::Object(below)) if !rest.is_empty() => {
            remove(below, rest);
            if below.is_empty() {
                members.remove(first);
            }
        }
        _ if rest.is_empty() => drop(members.remove(first)),
        _ => {}
    }
}

/// The value as decK compares it: numbers are floating point, and only arrays have an order.
pub fn comparable(schema: &Value, value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| comparable(&schema["elements"], item)).collect();
            if schema["type"] != "array" {
                items.sort_by_key(Value::to_string);
            }
            items.into()
        }
        Value::Object(members) => {
            let field = |name: &str| {
                let mut all = listed(schema, "fields").chain(listed(schema, "shorthand_fields"));
                all.find(|(found, _)| *found == name).map_or(&Value::Null, |(_, field)| field)
            };
            let members = members.iter().map(|(name, value)| (name.clone(), comparable(field(name), value)));
            json!(members.collect::<BTreeMap<_, _>>())
        }
        other => other.clone(),
    }
}
