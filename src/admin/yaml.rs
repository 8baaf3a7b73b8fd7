//! Prints JSON values as YAML, in blocks.

use serde_json::Value;

/// `value` as a YAML document.
pub(crate) fn print(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                text.push_str(&indent);
                text.push_str(&key(name));
                text.push(':');
                nested(value, depth, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                text.push_str(&indent);
                text.push('-');
                nested(item, depth, text);
            }
        }
        scalar => {
            text.push_str(&indent);
            text.push_str(&scalar.to_string());
            text.push('\n');
        }
    }
}

fn nested(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push('\n');
            block(value, depth + 1, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            block(value, depth + 1, text);
        }
        // JSON's scalars and empty collections are YAML.
        scalar => {
            text.push(' ');
            text.push_str(&scalar.to_string());
            text.push('\n');
        }
    }
}

/// A key that is a plain word as it is; others as JSON writes them. Words that YAML takes for something else are quoted.
fn key(name: &str) -> String {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let plain = first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let reserved = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    if plain && !reserved.contains(&&*name.to_ascii_lowercase()) {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logphase_config::diagnostic::SourceFile;
    use logphase_config::document;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~\u{e9}\n\t]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[ -~]{1,6}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Scenario: any value with texts that YAML could take for something else. Guarantees: what is printed is read as the same.
        #[test]
        fn is_read_as_the_same(value in value()) {
            let root = serde_json::json!({ "root": value });
            let (node, found) = document::parse(&SourceFile::new("t.yaml", print(&root)), None);
            prop_assert!(found.is_empty(), "{found:?} in {}", print(&root));
            prop_assert_eq!(node.expect("it has no errors").to_json(), root);
        }
    }
}
