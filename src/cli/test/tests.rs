//! Tests of comparing, merging and editing.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::bless::EditMode;
use super::edit;
use super::lines;
use super::pattern::{Extent, at, compare, merge};
use logphase_config::diagnostic::{SourceFile, any_error};
use logphase_config::document::{self, Node};
use logphase_script::message::KeyPath;

fn parse(text: &str) -> Node {
    let (node, diagnostics) = document::parse(&SourceFile::new("tests.yml", text), None);
    assert!(!any_error(&diagnostics), "{diagnostics:?}\n{text}");
    node.unwrap()
}

/// The differences between `expected` and `got`, each as `path expected got`.
fn differences(expected: &Value, got: &Value, extent: Extent) -> Vec<String> {
    let mut found = Vec::new();
    compare(expected, got, extent, "", &mut found);
    let show = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
    found.iter().map(|one| format!("{} {} {}", one.path, show(&one.expected), show(&one.got))).collect()
}

/// Scenario: objects, lists, numbers and matchers, compared as a whole and as a subset.
/// Guarantees: numbers are compared by value, members in any order, lists in order; every difference has its key path.
#[test]
fn comparing() {
    let got = json!({"b": 1, "a": 1.0, "list": [{"x": 1, "y": 2}, "s"], "o": {"in.ner": {"z": null}}, "e": {}});
    let same = json!({"a": 1, "b": 1.0, "list": [{"y": 2, "x": 1}, "s"], "o": {"in.ner": {"z": null}}, "e": {}});
    assert_eq!(differences(&same, &got, Extent::Whole), [""; 0]);
    let part = json!({"list": [{"x": 1}, {"$any": true}], "o": {"in.ner": {"z": {"$type": "null"}}}, "e": {}});
    assert_eq!(differences(&part, &got, Extent::Subset), [""; 0]);
    assert_eq!(differences(&part, &got, Extent::Whole), ["list[1].y - 2", "b - 1", "a - 1.0"]);
    let wrong = json!({"list": ["s"], "o": {"in.ner": {"z": 0, "q": 1}}, "b": "1", "a": {"$type": "string"}});
    let expected = [
        r#"list ["s"] [{"x":1,"y":2},"s"]"#,
        r"o.in\.ner.z 0 null",
        r"o.in\.ner.q 1 -",
        r#"b "1" 1"#,
        r#"a {"$type":"string"} 1.0"#,
    ];
    assert_eq!(differences(&wrong, &got, Extent::Subset), expected);
    assert_eq!(differences(&json!({"o": {}}), &got, Extent::Subset).len(), 1, "an empty object is an empty object");
    assert_eq!(differences(&json!({"o": {"$is": {"in.ner": {}}}}), &got, Extent::Subset).len(), 1);
    assert_eq!(at(&got, r"o.in\.ner.z"), Some(&Value::Null));
    assert_eq!(at(&got, "list[1].y"), Some(&json!(2)));
    assert_eq!((at(&got, "list[3]"), at(&got, "b.c")), (None, None));
}

/// Scenario: patches at dotted paths, nested, in lists, with null, and at paths that cannot exist.
/// Guarantees: objects are merged, other values are replaced, null removes, an impossible path is an error.
#[test]
fn merging() {
    let merged = |path: &str, patch: Value| {
        let mut target = json!({"a": {"b": 1, "c": [1, {"d": 2}]}, "n": null});
        merge(&mut target, KeyPath::parse(path, false).parts(), &patch).map(|()| target)
    };
    assert_eq!(merged("a.b", json!(2)), Ok(json!({"a": {"b": 2, "c": [1, {"d": 2}]}, "n": null})));
    assert_eq!(
        merged("a", json!({"b": null, "c": [], "x": {"y": null}})),
        Ok(json!({"a": {"c": [], "x": {}}, "n": null}))
    );
    assert_eq!(merged("a.c[2].d", json!(3)), Ok(json!({"a": {"b": 1, "c": [1, {"d": 3}]}, "n": null})));
    assert_eq!(merged("a.c[3]", json!(3)), Ok(json!({"a": {"b": 1, "c": [1, {"d": 2}, 3]}, "n": null})));
    assert_eq!(merged("a.c[1]", Value::Null), Ok(json!({"a": {"b": 1, "c": [{"d": 2}]}, "n": null})));
    assert_eq!(merged("n.new", json!(1)), Ok(json!({"a": {"b": 1, "c": [1, {"d": 2}]}, "n": {"new": 1}})));
    assert_eq!(merged("x.y.z", Value::Null), merged("x", Value::Null));
    assert!(merged("a.b[1]", json!(1)).is_err() && merged("a.c[4]", json!(1)).is_err());
}

/// Scenario: values replaced, added and removed in block and flow style, next to comments.
/// Guarantees: the new text parses to the new value, and only the values that differ change.
#[test]
fn editing() {
    let text = "# head\ntop:\n  a: 1   # one\n  # between\n  b: {x: 1, y: [1, 2]}  # flow\n  c:\n    - p: 1\n    - q\n  d: |\n    \
                block\n  e: gone\n# tail\nnext: 1\n";
    let change = |new: Value| {
        let root = parse(text);
        let edited = edit::update(text, &root, root.get("top").unwrap(), &new, EditMode::Minimal).unwrap();
        assert_eq!(parse(&edited).get("top").unwrap().to_json(), new, "{edited}");
        assert!(edited.starts_with("# head\ntop:\n") && edited.ends_with("\n# tail\nnext: 1\n"), "{edited}");
        edited
    };
    let old = parse(text).get("top").unwrap().to_json();
    assert_eq!(change(old.clone()), text);
    let mut new = old.clone();
    new["a"] = json!("one: two");
    new["b"]["y"] = json!([1, 3]);
    new["c"][0]["p"] = json!({"deep": [{"er": "yes"}, []]});
    new["d"] = json!("a\nb");
    let edited = change(new.clone());
    for kept in ["# one", "  # between\n", "# flow", "    - q\n", "  e: gone\n", "a: \"one: two\"", "d: \"a\\nb\""] {
        assert!(edited.contains(kept), "{kept}: {edited}");
    }
    new.as_object_mut().unwrap().shift_remove("e");
    new["f"] = json!({"g": {"$type": "string"}, "h": [[1], {"i": "null"}]});
    let edited = change(new);
    assert!(
        !edited.contains("gone")
            && edited.contains("a: \"one: two\"   # one\n")
            && edited.contains("  f:\n    g: {$type: string}\n"),
        "{edited}"
    );
    change(json!({"z": {}}));
    change(json!("text"));
}

/// Scenario: strings that need quotes in YAML, as values and as keys.
/// Guarantees: they are parsed back unchanged.
#[test]
fn strings_survive() {
    let odd = [
        "",
        " ",
        "null",
        "~",
        "yes",
        "No",
        "1",
        "1.5",
        "-",
        "- a",
        "a: b",
        "a #b",
        "#",
        "'",
        "\"",
        "\\",
        "a\nb",
        "\t",
        "*a",
        "&a",
        "!x",
        "%",
        "@",
        "`",
        "{",
        "[a]",
        "a,b",
        "\u{7f}\u{85}\u{2028}\u{feff}",
        "caf\u{e9}",
        "<<",
        "=",
        "y",
        "2026-11-24",
        "0x10",
        ".inf",
        "$x",
        "plain",
        "/path",
        "a b",
    ];
    let all = Value::Object(odd.iter().map(|text| ((*text).to_owned(), json!([text, {"k": text}]))).collect());
    let text = "- name: x\n\n# end\n";
    let root = parse(text);
    let edited = edit::insert(text, &root.items().unwrap()[0], "expect", &all);
    assert_eq!(parse(&edited).items().unwrap()[0].get("expect").unwrap().to_json(), all, "{edited}");
    assert!(edited.ends_with("\n\n# end\n"), "{edited}");
}

/// Scenario: lines replaced, added and removed, far apart and at the ends.
/// Guarantees: the diff has exactly the changed lines, with their context in separate hunks.
#[test]
fn line_diff() {
    let numbers = |range: std::ops::Range<u32>| range.map(|n| format!("{n}\n")).collect::<String>();
    let (old, new) = (numbers(0..30), format!("{}x\n{}y\n", numbers(1..10), numbers(11..30)));
    let found = lines::diff(&old, &new);
    let marked: Vec<_> = found.iter().filter(|(mark, _)| *mark != ' ').collect();
    let expected = [&('@', ""), &('-', "0"), &('@', ""), &('-', "10"), &('+', "x"), &('@', ""), &('+', "y")];
    assert_eq!(marked, expected);
    assert_eq!(found.len(), 3 + (3 + 3 + 3) + 4 + 4 - 1);
    assert_eq!(lines::diff(&old, &old), []);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9i64..9).prop_map(Value::from),
        "[a-z: #'\n]{0,4}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let object = proptest::collection::vec(("[a-d]|x y", inner.clone()), 0..4);
        prop_oneof![
            proptest::collection::vec(inner, 0..3).prop_map(Value::from),
            object.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Scenario: any value in a file in block or flow style, changed to any other value.
    /// Guarantees: the file parses to the new value, and the surrounding text is unchanged.
    #[test]
    fn any_edit_means_what_it_should(old in any_value(), new in any_value(), flow: bool) {
        let start = "- name: x   # first\n# between\n- y\n";
        let text = if flow {
            format!("- {{name: x, expect: {old}}}   # first\n# between\n- y\n")
        } else {
            edit::insert(start, &parse(start).items().unwrap()[0], "expect", &old)
        };
        let root = parse(&text);
        let test = &root.items().unwrap()[0];
        prop_assert_eq!(&test.get("expect").unwrap().to_json(), &old, "{}", text);
        for mode in [EditMode::Minimal, EditMode::Replace] {
            let edited = edit::update(&text, test, test.get("expect").unwrap(), &new, mode).unwrap();
            prop_assert_eq!(&parse(&edited).items().unwrap()[0].get("expect").unwrap().to_json(), &new, "{}\n{}", text, edited);
            prop_assert!(edited.ends_with("# between\n- y\n") && edited.contains("# first"), "{}\n{}", text, edited);
        }
    }
}
