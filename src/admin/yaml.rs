//! Prints JSON values as YAML, in blocks.

use serde_json::Value;

/// `value` as a YAML document.
pub(crate) fn print(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text, Texts::Quoted);
    text
}

/// The same, with texts of several lines as people write them.
pub(crate) fn print_readable(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text, Texts::Literal);
    text
}

/// How texts of several lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Texts {
    /// As JSON.
    Quoted,
    /// Line by line, after `|`.
    Literal,
}

fn block(value: &Value, depth: usize, text: &mut String, texts: Texts) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                text.push_str(&indent);
                text.push_str(&key(name));
                text.push(':');
                nested(value, depth, text, texts);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                text.push_str(&indent);
                text.push('-');
                if texts == Texts::Literal && item.as_object().is_some_and(|members| !members.is_empty()) {
                    let mut members = String::new();
                    block(item, depth + 1, &mut members, texts);
                    // The first member stands beside the dash.
                    text.push(' ');
                    text.push_str(&members[indent.len() + 2..]);
                    continue;
                }
                nested(item, depth, text, texts);
            }
        }
        scalar => {
            text.push_str(&indent);
            text.push_str(&scalar.to_string());
            text.push('\n');
        }
    }
}

fn nested(value: &Value, depth: usize, text: &mut String, texts: Texts) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push('\n');
            block(value, depth + 1, text, texts);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            block(value, depth + 1, text, texts);
        }
        Value::String(lines) if texts == Texts::Literal && is_literal(lines) => {
            text.push_str(if lines.ends_with('\n') { " |\n" } else { " |-\n" });
            let indent = "  ".repeat(depth + 1);
            for line in lines.strip_suffix('\n').unwrap_or(lines).split('\n') {
                if !line.is_empty() {
                    text.push_str(&indent);
                    text.push_str(line);
                }
                text.push('\n');
            }
        }
        Value::String(word) if texts == Texts::Literal => {
            text.push(' ');
            text.push_str(&key(word));
            text.push('\n');
        }
        // JSON's scalars and empty collections are YAML.
        scalar => {
            text.push(' ');
            text.push_str(&scalar.to_string());
            text.push('\n');
        }
    }
}

/// Whether `text` has several lines, and nothing that a literal block would change or that people would not see.
fn is_literal(text: &str) -> bool {
    let visible = |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    let body = text.strip_suffix('\n').unwrap_or(text);
    let first = body.split('\n').next().unwrap_or_default();
    body.contains('\n')
        && !body.ends_with('\n')
        && !first.is_empty()
        && !first.starts_with(' ')
        && body.split('\n').all(|line| line.chars().all(visible) && !line.ends_with(' '))
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

        /// Scenario: values with texts of several lines, with blanks, tabs, empty lines and ends of lines anywhere. Guarantees: the readable
        /// form is read as the same, too.
        #[test]
        fn readable_is_read_as_the_same(value in value(), text in "([a-z#:-]| |\n|\t|\u{2028}){0,24}") {
            let root = serde_json::json!({"root": value, "list": [text.clone(), {"inner": text}]});
            let printed = print_readable(&root);
            let (node, found) = document::parse(&SourceFile::new("t.yaml", printed.as_str()), None);
            prop_assert!(found.is_empty(), "{found:?} in {printed}");
            prop_assert_eq!(node.expect("it has no errors").to_json(), root, "{}", printed);
        }
    }

    /// Scenario: a snippet of several lines. Guarantees: it is written line by line.
    #[test]
    fn snippets_stay_readable() {
        let value = serde_json::json!({"a": [{"lua": "local x = 1\n\nreturn x\n"}], "b": "one\ntwo"});
        let expected = "a:\n  - lua: |\n      local x = 1\n\n      return x\nb: |-\n  one\n  two\n";
        assert_eq!(print_readable(&value), expected);
    }
}
