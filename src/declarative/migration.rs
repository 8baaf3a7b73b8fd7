//! Files of Kong 1 and 2 (`_format_version` 1.1 and 2.1) in the form of Kong 3, as Kong's own migrations have it
//! (kong/db/migrations/migrate_path_280_300.lua, kong/plugins/http-log/migrations/001_280_to_300.lua).

use std::borrow::Cow;

use crate::entity::normalize_path;
use logphase_config::document::{Node, NodeKind, StringStyle};

/// `root` with the forms of Kong 3, if its `_format_version` is older.
pub(super) fn migrated(root: &Node) -> Cow<'_, Node> {
    let version = root.get("_format_version").and_then(Node::as_str);
    if !matches!(version, Some("1.1" | "2.1")) {
        return Cow::Borrowed(root);
    }
    let mut root = root.clone();
    entities(&mut root);
    if let Some(NodeKind::Mapping(shared)) = root.get_mut("_plugin_configs").map(|node| &mut node.kind) {
        // They do not say which plugin they are for.
        let maps = crate::plugin::definitions().iter().flat_map(|definition| definition.lists_before_3);
        for map in maps {
            shared.iter_mut().for_each(|(_, config)| lists(config, map));
        }
    }
    Cow::Owned(root)
}

/// Migrates the lists of entities in `node` and, as they nest, the lists in those.
fn entities(node: &mut Node) {
    let NodeKind::Mapping(members) = &mut node.kind else { return };
    for (key, list) in members {
        let NodeKind::Sequence(items) = &mut list.kind else { continue };
        for item in items {
            match key.name.as_str() {
                "services" | "consumers" | "consumer_groups" | "apis" => entities(item),
                "routes" => {
                    entities(item);
                    paths(item);
                }
                "plugins" => plugin(item),
                _ => {}
            }
        }
    }
}

fn plugin(plugin: &mut Node) {
    let definition = plugin.get("name").and_then(Node::as_str).and_then(crate::plugin::find);
    for map in definition.map_or(&[][..], |definition| definition.lists_before_3) {
        for member in ["config", "value"] {
            if let Some(config) = plugin.get_mut(member) {
                lists(config, map);
            }
        }
    }
}

/// The map `name` of `config`, whose values were lists: Kong 2 sent them with commas between, and what had no value not at all.
fn lists(config: &mut Node, name: &str) {
    let Some(NodeKind::Mapping(members)) = config.get_mut(name).map(|node| &mut node.kind) else { return };
    members.retain(|(_, values)| values.items().is_none_or(|items| !items.is_empty()));
    for (_, values) in members {
        let texts: Option<Vec<&str>> = values.items().and_then(|items| items.iter().map(Node::as_str).collect());
        if let Some(texts) = texts {
            values.kind = NodeKind::String { value: texts.join(", "), style: StringStyle::Double };
        }
    }
}

/// Paths of a route: Kong 2 guessed which of them were regular expressions.
fn paths(route: &mut Node) {
    let Some(NodeKind::Sequence(paths)) = route.get_mut("paths").map(|node| &mut node.kind) else { return };
    for path in paths {
        if let NodeKind::String { value, .. } = &mut path.kind {
            *value = path_of_kong_3(value);
        }
    }
}

fn path_of_kong_3(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~/%".contains(&byte);
    if path.bytes().all(plain) {
        return String::from_utf8(normalize_path(path.as_bytes())).unwrap_or_else(|_| path.to_owned());
    }
    format!("~{}", decoded_regex(path))
}

/// Characters whose escapes stay in a regular expression.
const RESERVED: &[u8] = b"!#$%&'()*+,/:;=?@[]";
/// Characters that a regular expression takes literally only after a backslash.
const META: &[u8] = br".^-{}\|";

/// `regex` with the escapes `%XX` decoded, except those of reserved characters: Kong 3 does not decode them any more.
fn decoded_regex(regex: &str) -> String {
    let (bytes, mut decoded, mut at) = (regex.as_bytes(), Vec::with_capacity(regex.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let escape = regex.get(at + 1..at + 3).filter(|_| byte == b'%');
        let escape = escape.filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match escape.map(|hex| (hex, u8::from_str_radix(hex, 16).unwrap_or_default())) {
            Some((hex, value)) if RESERVED.contains(&value) => {
                decoded.push(b'%');
                decoded.extend(hex.bytes().map(|digit| digit.to_ascii_uppercase()));
            }
            Some((_, value)) => {
                if META.contains(&value) {
                    decoded.push(b'\\');
                }
                decoded.push(value);
            }
            None => {
                decoded.push(byte);
                at += 1;
                continue;
            }
        }
        at += 3;
    }
    String::from_utf8(decoded).unwrap_or_else(|_| regex.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: paths of routes of Kong 2: plain ones, not normalized ones, regular expressions, and escapes in both.
    /// Guarantees: the answers are those of Kong's migration (spec/05-migration, migrate_path_280_300).
    #[test]
    fn paths_become_those_of_kong_3() {
        for (old, new) in [
            ("/", "/"),
            ("/v1/users-_.~", "/v1/users-_.~"),
            ("/a//b/../c", "/a/c"),
            ("/caf%C3%a9", "/caf\u{e9}"),
            ("/a%2fb", "/a%2Fb"),
            (r"/v\d+", r"~/v\d+"),
            ("/(a|b)$", "~/(a|b)$"),
            ("/a[0-9]%2e", r"~/a[0-9]\."),
            ("/a+%2fb%7c", r"~/a+%2Fb\|"),
            ("/a+%41%zz%", "~/a+A%zz%"),
            ("/a+%ff", "~/a+%ff"),
        ] {
            assert_eq!(path_of_kong_3(old), new, "{old}");
        }
    }
}
