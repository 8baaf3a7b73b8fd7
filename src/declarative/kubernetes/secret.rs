//! Configurations of plugins in Secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Object;
use logphase_config::diagnostic::{Diagnostic, SourceFile, any_error, codes};
use logphase_config::document::{self, Node, NodeKind};

/// What `reference` (`secretKeyRef`) refers to, as a value at the place of the reference, so that no excerpt shows a secret.
/// The value is JSON, or YAML if `yaml` says so.
pub(super) fn value(
    objects: &[Object<'_>],
    reference: &Node,
    namespace: &str,
    yaml: bool,
) -> Result<Node, Box<Diagnostic>> {
    let error = |message: String, help: &str| {
        Box::new(Diagnostic::error(codes::REFERENCE, message).at(reference.origin()).help(help))
    };
    let member = |name: &str| reference.get(name).and_then(Node::as_str);
    let namespace = member("namespace").unwrap_or(namespace);
    let (Some(name), Some(key)) = (member("name"), member("key")) else {
        return Err(error("`secretKeyRef` without `name` or `key`".to_owned(), "give both"));
    };
    let mut secrets = objects.iter().filter(|object| object.kind == "Secret");
    let Some(secret) = secrets.find(|secret| secret.namespace == namespace && secret.name == name) else {
        let message = format!("there is no Secret `{name}` in the namespace `{namespace}`");
        return Err(error(message, "give the file that has it, too"));
    };
    let plain = secret.node.get("stringData").and_then(|data| data.get(key)?.as_str()).map(str::to_owned);
    let encoded = || {
        let encoded = secret.node.get("data")?.get(key)?.as_str()?;
        let compact: String = encoded.split_ascii_whitespace().collect();
        String::from_utf8(STANDARD.decode(compact).ok()?).ok()
    };
    let Some(text) = plain.or_else(encoded) else {
        let message = format!("the Secret `{name}` has no key `{key}` with text");
        return Err(error(message, "its values are base64 below `data`, or text below `stringData`"));
    };
    let file = SourceFile::new(if yaml { "secret.yml" } else { "secret.json" }, text);
    match document::parse(&file, None) {
        (Some(mut node), found) if !any_error(&found) => {
            move_to(&mut node, reference);
            Ok(node)
        }
        _ => {
            let form = if yaml { "neither JSON nor YAML" } else { "not JSON" };
            let message = format!("the key `{key}` of the Secret `{name}` is {form}");
            Err(error(message, "a patch is one JSON value, in quotes if it is a text"))
        }
    }
}

/// Gives all of `node` the place of `at`.
fn move_to(node: &mut Node, at: &Node) {
    let mut moved = Node::empty_mapping_at(at);
    match std::mem::replace(&mut node.kind, NodeKind::Null) {
        NodeKind::Mapping(entries) => {
            for (key, mut value) in entries {
                move_to(&mut value, at);
                moved.set(&[&key.name], value);
            }
        }
        NodeKind::Sequence(mut items) => {
            items.iter_mut().for_each(|item| move_to(item, at));
            moved.kind = NodeKind::Sequence(items);
        }
        kind => moved.kind = kind,
    }
    *node = moved;
}

/// Sets the value at the JSON pointer `path` (RFC 6901) of `target`, like JSON Patch's `add` (RFC 6902); what is missing on the
/// way is created.
///
/// # Errors
/// The pointer leads into something that has no members, or past the end of a list.
pub(super) fn patch(target: &mut Node, path: &str, value: Node) -> Result<(), String> {
    let Some((first, rest)) = path.strip_prefix('/').map(|path| path.split_once('/').unwrap_or((path, ""))) else {
        if !path.is_empty() {
            return Err(format!("the path `{path}` does not begin with a slash"));
        }
        *target = value;
        return Ok(());
    };
    let rest = if path.len() > first.len() + 1 { format!("/{rest}") } else { String::new() };
    let name = first.replace("~1", "/").replace("~0", "~");
    match &mut target.kind {
        NodeKind::Sequence(items) => {
            let index = if name == "-" { Some(items.len()) } else { name.parse().ok() };
            let index = index.filter(|index| *index <= items.len());
            let index = index.ok_or_else(|| format!("`{name}` is no place in a list of {}", items.len()))?;
            match items.get_mut(index).filter(|_| !rest.is_empty()) {
                Some(item) => patch(item, &rest, value),
                None => {
                    let mut item = Node::empty_mapping_at(&value);
                    patch(&mut item, &rest, value)?;
                    items.insert(index, item);
                    Ok(())
                }
            }
        }
        NodeKind::Mapping(_) => {
            if target.get(&name).is_none() {
                let list = rest.starts_with("/0") || rest.starts_with("/-");
                let kind = if list { NodeKind::Sequence(Vec::new()) } else { NodeKind::Mapping(Vec::new()) };
                target.set(&[&name], value.with_kind(kind));
            }
            patch(target.get_mut(&name).expect("it was created where it was missing"), &rest, value)
        }
        _ => Err(format!("`{name}` would be below {}", target.type_name())),
    }
}
