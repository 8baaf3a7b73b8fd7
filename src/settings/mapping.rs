//! Mappings of the settings: own ones, and the names that inputs use.

use serde_json::{Map, Value};

use crate::decode::mapping::{self, Mappings};
use crate::input::INPUTS;
use crate::options::record::TEXT;
use logphase_config::diagnostic::Diagnostic;
use logphase_config::document::Node;
use logphase_config::schema::Field;

/// The own mappings, by name.
pub(super) const FIELD: Field = Field::map("", &TEXT, &DEFINITION);

const DEFINITION: Field = Field::record("", &mapping::SCHEMA);

/// Checks the mappings that `root` defines, and that inputs name no other than these and the built-in ones. `values` are
/// what the schema has read of `root`.
pub(super) fn check(root: &Node, values: &Map<String, Value>, diagnostics: &mut Vec<Diagnostic>) {
    let mappings = match root.get("mappings").filter(|node| !node.is_null()) {
        Some(node) => Mappings::read(node, diagnostics),
        None => Mappings::default(),
    };
    // A mapping with an error is not defined, which its own error says.
    let defined = root.get("mappings").and_then(Node::entries).unwrap_or_default();
    let known = |name: &str| mappings.contains(name) || defined.iter().any(|(key, _)| key.name == name);
    let inputs = values.get("inputs").and_then(Value::as_object);
    for input in INPUTS {
        let given = inputs.and_then(|inputs| inputs.get(input.name)?.get("mapping")?.as_str());
        if let Some(name) = given.filter(|name| !known(name)) {
            let node = root.get("inputs").and_then(|inputs| inputs.get(input.name)?.get("mapping"));
            let path = format!("inputs.{}.mapping", input.name);
            let unknown = mappings.unknown(name).path(path);
            diagnostics.push(match node {
                Some(node) => unknown.at(node.origin()),
                None => unknown,
            });
        }
    }
}
