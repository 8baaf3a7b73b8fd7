//! The entities `vaults`: names for the vaults that references read from.

use logphase_config::diagnostic::Diagnostic;
use logphase_config::document::Node;
use logphase_config::schema::{self, Default, Field, Record};
use logphase_script::vault::{ENV, VaultEntity};
use serde_json::{Map, Value};

/// A vault; its `config` is that of its kind.
static VAULT: Record = Record::new(&[
    Field::string("id"),
    Field::string("name").required(),
    Field::string("prefix").required(),
    Field::string("description"),
    Field::any("config"),
    Field::any("tags"),
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

/// The `config` of a vault of the kind `env`.
static ENV_CONFIG: Record = Record::new(&[
    Field::string("prefix"),
    Field::boolean("base64_decode").default(Default::Boolean(false)),
    Field::any("ttl"),
    Field::any("neg_ttl"),
    Field::any("resurrect_ttl"),
]);

/// Reads the vaults of `nodes`, each with its path.
pub(super) fn read(nodes: &[(String, Node)], diagnostics: &mut Vec<Diagnostic>) -> Vec<VaultEntity> {
    let one = |(path, node): &(String, Node)| {
        let name = node.get("prefix").and_then(Node::as_str).unwrap_or_default();
        let subject = format!("vault `{name}`");
        let here = schema::Scope { subject, path: path.clone(), kong: Some("".into()), origin: node.origin() };
        let vault = VAULT.read(node, &here, diagnostics);
        let text = |fields: &Map<String, Value>, name: &str| {
            fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let kind = text(&vault, "name");
        // What other kinds have matters to Kong alone.
        let config = match node.entry("config").filter(|(_, config)| kind == ENV && !config.is_null()) {
            Some((key, config)) => ENV_CONFIG.read(config, &here.member("config", key.origin()), diagnostics),
            None => Map::new(),
        };
        let base64 = config.get("base64_decode").and_then(Value::as_bool).unwrap_or(false);
        VaultEntity { kind, prefix: text(&vault, "prefix"), variable_prefix: text(&config, "prefix"), base64 }
    };
    nodes.iter().map(one).collect()
}
