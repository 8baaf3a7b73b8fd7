//! The syntax of Lua in the `config` of plugins, which Kong checks with the schema.

use logphase_config::diagnostic::{Diagnostic, FieldPath, Segment, codes};
use logphase_script::{SourceLimits, compile};
use serde_json::Value;

use crate::plugin::Definition;

/// What does not parse in `config`, in Kong's words. What only limits or the dialect of Lua refuse is no violation of the schema.
pub(super) fn violations(definition: &Definition, config: &Value) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if definition.emits {
        let path = definition.fields.path;
        let map = path.iter().try_fold(config, |value, name| value.get(name)).and_then(Value::as_object);
        let field = FieldPath::from(format!("config.{}", path.join(".")).as_str());
        let errors = map.into_iter().flatten().filter_map(|(_, code)| syntax_error(code));
        found.extend(errors.map(|error| violation(field.clone(), &format!("Error parsing function: {error}"))));
        return found;
    }
    for (name, functions) in config.as_object().into_iter().flatten() {
        for (at, code) in functions.as_array().into_iter().flatten().enumerate() {
            let Some(error) = syntax_error(code) else { continue };
            let field = FieldPath::from(format!("config.{name}").as_str()).join(Segment::Element(at));
            found.push(violation(field, &format!("error parsing {}: {error}", definition.name)));
        }
    }
    found
}

fn violation(field: FieldPath, wording: &str) -> Diagnostic {
    Diagnostic::error(codes::LUA, format!("`{field}` is not valid Lua")).violation(field, wording)
}

fn syntax_error(code: &Value) -> Option<String> {
    let code = code.as_str().filter(|code| !code.is_empty())?;
    compile(code, &SourceLimits::default()).err().filter(|error| !error.of_luau).map(|error| error.to_string())
}
