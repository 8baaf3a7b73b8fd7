//! Clones of plugins (Kong 3.15: `cloned_plugins`): plugins with a name and a priority of their own.

use std::collections::HashMap;

use super::schema;
use crate::plugin::{self, Definition};
use logphase_config::diagnostic::{Diagnostic, FieldPath, codes};
use logphase_config::document::Node;
use logphase_config::schema::Scope;

/// The clones of a configuration, by name.
pub(super) type Clones = HashMap<String, Clone>;

/// A clone.
pub(super) struct Clone {
    /// The plugin that it is a clone of.
    pub(super) of: String,
    /// Its definition, if that plugin runs here.
    pub(super) definition: Option<&'static Definition>,
}

/// Clones that one plugin may have in Kong.
const MAX_CLONES: usize = 5;

/// Reads `nodes`, each with its path.
pub(super) fn read(nodes: &[(String, Node)], diagnostics: &mut Vec<Diagnostic>) -> Clones {
    let (mut clones, mut counts) = (Clones::new(), HashMap::<String, usize>::new());
    for (path, node) in nodes {
        let scope = Scope {
            subject: "a cloned plugin".to_owned(),
            path: path.clone(),
            kong: Some(FieldPath::default()),
            origin: node.origin(),
        };
        let fields = schema::CLONED_PLUGIN.read(node, &scope, diagnostics);
        let text = |name: &str| fields.get(name)?.as_str();
        let (Some(name), Some(of)) = (text("name"), text("ref")) else { continue };
        let mut refuse = |member: &str, message: String| {
            let origin = node.get(member).unwrap_or(node).origin();
            diagnostics.push(Diagnostic::error(codes::UNIQUE, message).at(origin).path(format!("{path}.{member}")));
        };
        if plugin::find(name).is_some() || plugin::find_known(name).is_some() || clones.contains_key(name) {
            refuse("name", format!("there is another plugin `{name}`"));
            continue;
        }
        let count = counts.entry(of.to_owned()).or_default();
        *count += 1;
        if *count > MAX_CLONES {
            refuse("ref", format!("plugin `{of}` has more than {MAX_CLONES} clones"));
        }
        let base = plugin::find(of);
        let priority = fields.get("priority").and_then(serde_json::Value::as_i64);
        let definition = base.map(|base| {
            let priority = priority.and_then(|priority| i32::try_from(priority).ok()).unwrap_or(base.priority);
            plugin::cloned(base, name, priority)
        });
        if let Some(None) = definition {
            refuse("name", "this process has seen too many clones of plugins: restart it".to_owned());
        }
        clones.insert(name.to_owned(), Clone { of: of.to_owned(), definition: definition.flatten() });
    }
    clones
}
