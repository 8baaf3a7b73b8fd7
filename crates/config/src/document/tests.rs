use super::*;
use crate::diagnostic::Place;

fn read(name: &str, text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    let environment = |name: &str| match name {
        "DECK_PORT" => Some("9000".to_owned()),
        "DECK_TOKEN" => Some("a-rather-long-secret".to_owned()),
        _ => None,
    };
    parse(&SourceFile::new(name, text), Some(&environment))
}

fn good(text: &str) -> Node {
    let (node, diagnostics) = read("t.yaml", text);
    assert_eq!(diagnostics, []);
    node.expect("no errors, so there is a tree")
}

fn shorts(text: &str) -> Vec<String> {
    read("t.yaml", text).1.iter().map(Diagnostic::short).collect()
}

fn place(origin: &Origin) -> &Place {
    origin.place().expect("the tests' documents are files")
}

fn marked(origin: &Origin) -> &str {
    place(origin).text()
}

/// Scenario: plain scalars of every kind.
/// Guarantees: their types are those of lyaml and YAML 1.2.
#[test]
fn resolves_scalars() {
    let node =
        good("[1, -2, 0x10, 010, 1.5, 1e3, yes, '1', ~, True, .inf, 1.2.3, 99999999999999999999, 0b1, -x, 0xzz]");
    insta::assert_snapshot!(node.to_json(), @r#"[1,-2,16,8,1.5,1000.0,"yes","1",null,true,null,"1.2.3",1e+20,"0b1","-x","0xzz"]"#);
    let items = node.items().expect("a list");
    assert_eq!(items[6].as_bool(), Some(true));
    assert_eq!(items[7].as_bool(), None);
}

/// Scenario: keys and values after multi-byte characters, also in comments.
/// Guarantees: positions are exact.
#[test]
fn places_are_exact() {
    let node =
        good("a: \"\u{e9}\" # \u{1f600} \u{e9}\r\nlist:\r\n  - name: \u{fc}x # \u{e9}\r\n    k: v\r\n\r\nz: 1\r\n");
    let (key, value) = node.get("list").and_then(|list| list.items()?[0].entry("k")).expect("there");
    assert_eq!((marked(&key.origin()), marked(&value.origin())), ("k", "v"));
    assert_eq!((place(&value.origin()).line(), place(&value.origin()).column()), (4, 8));
    assert_eq!(marked(&node.get("a").expect("there").origin()), "\"\u{e9}\"");
    let list = node.get("list").expect("there").origin();
    assert!(marked(&list).ends_with("k: v"), "{:?}", marked(&list));
}

/// Scenario: keys without a value.
/// Guarantees: the value's position is that of its key, not of the next token.
#[test]
fn empty_values_stand_at_their_keys() {
    let node = good("a:\n  b: |\n  c:\nd: >-\n\nlist:\n- x: 1\n");
    let inner = node.get("a").expect("there");
    let origin = |node: &Node, name: &str| node.get(name).expect("there").origin();
    let (b, c, d) = (origin(inner, "b"), origin(inner, "c"), origin(&node, "d"));
    assert_eq!((marked(&b), place(&c).line(), marked(&d)), ("b", 3, "d"));
}

/// Scenario: anchors, aliases and nested merges.
/// Guarantees: explicit keys take precedence, in the order in which they are written.
#[test]
fn merges_mappings() {
    let node = good("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  q: 0\n  <<: [*a, *b]\n  x: 9\nd: *a\n'<<': 1\n");
    insta::assert_snapshot!(node.to_json(), @r#"{"a":{"x":1,"y":2},"b":{"y":3,"z":4},"c":{"q":0,"y":2,"z":4,"x":9},"d":{"x":1,"y":2},"<<":1}"#);
}

/// Scenario: constructs that a document must not contain.
/// Guarantees: each is an error at its position.
#[test]
fn refuses_forbidden_constructs() {
    insta::assert_debug_snapshot!(shorts("a: 1\nb: 2\na: 3\n"), @r#"
    [
        "t.yaml:3:1: error[K0002]: duplicate key `a`; second here",
    ]
    "#);
    assert_eq!(shorts("a: &a {b: 1, b: 2}\nc: *a\nd: {a: 1, a: 2, a: 3}\n").len(), 3);
    assert!(shorts("a: 1\n---\nb: 1\n")[0].contains("3:1: error[K0006]"), "{:?}", shorts("a: 1\n---\nb: 1\n"));
    for tabs in ["a:\n\t- b\n", "a:\n  - b\n\tc: d\n", "a:\n  b: 1\n\tc: 2\n"] {
        let (_, diagnostics) = read("t.yaml", tabs);
        assert_eq!(diagnostics[0].place().map(Place::text), Some("\t"), "{diagnostics:?}");
    }
    assert!(shorts("a: !custom b\n")[0].contains("error[K0004]: unknown tag"));
    assert!(shorts("a: &a [*a]\n")[0].contains("own anchor"));
    assert!(shorts("? [a]\n: b\n")[0].contains("error[K0004]: a list or a mapping as a key"));
    assert!(shorts("a: 'b\n")[0].contains("error[K0001]"));
    assert!(shorts("<<: 1\n")[0].contains("merges mappings only"));
}

/// Scenario: nesting and aliases that would exhaust memory.
/// Guarantees: an error within a short time.
#[test]
fn bombs_are_defused() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let alias = vec![format!("*a{}", level - 1); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    assert!(shorts(&bomb)[0].contains("error[K0003]: aliases expand"));
    assert!(shorts(&"[".repeat(100_000))[0].contains("error[K000"));
    assert!(read("t.json", &"[".repeat(100_000)).1[0].short().contains("error[K0003]"));
    assert!(shorts(&format!("{}a", "- ".repeat(200)))[0].contains("error[K0003]"));
}

/// Scenario: JSON with escapes, surrogates and a byte order mark.
/// Guarantees: the tree equals that of the same YAML.
#[test]
fn reads_json() {
    let (node, diagnostics) =
        read("t.json", "\u{feff}{\"a\": [1, 2.5, \"x\\n\\ud83d\\ude00\\/\", true, null], \"b\": {}}");
    assert_eq!(diagnostics, []);
    insta::assert_snapshot!(node.expect("no errors").to_json(), @r#"{"a":[1,2.5,"x\n😀/",true,null],"b":{}}"#);
    let wrong = |text| read("t.json", text).1[0].short();
    insta::assert_snapshot!(wrong("{\n \"a\": 1\n \"b\": 2}"), @"t.json:3:2: error[K0001]: expected `,` or `}`, found `\"`; here");
    insta::assert_snapshot!(wrong("{\"a\": 01}"), @"t.json:1:7: error[K0001]: expected a value, found `0`; here");
    insta::assert_snapshot!(wrong("{\"a\": \"\\q\"}"), @"t.json:1:9: error[K0001]: invalid escape or control character in a string; here");
    insta::assert_snapshot!(wrong("{} x"), @"t.json:1:4: error[K0001]: text after the end of the document; here");
}

/// Scenario: the same Lua code in every scalar style.
/// Guarantees: each line maps to its line in the file.
#[test]
fn finds_lines_of_snippets() {
    let cases = [
        "k: |\n    local a = 1\n\n      -- \u{e9}\n    return a\n",
        "k: |2-\n  local a = 1\n\n    -- \u{e9}\n  return a\nz: 1\n",
        "k: \"local a = 1\\n\\n  -- \\u00e9\\n\\\n   return a\"\n",
        "k: 'local a = 1\n\n\n    -- \u{e9}\n\n    return a'\n",
        "{\"k\": \"local a = 1\\n\\n\\u0020-- \\u00e9\\nreturn a\"}",
    ];
    for case in cases {
        let snippet = good(case).get("k").and_then(Node::snippet).expect("a string");
        assert_eq!(snippet.text.lines().count(), 4, "{:?}", snippet.text);
        let lines: Vec<_> = (1..=4).map(|line| marked(&snippet.line_origin(line)).to_owned()).collect();
        assert_eq!(
            (lines[0].as_str(), lines[1].as_str(), lines[3].as_str()),
            ("local a = 1", "", "return a"),
            "{case}"
        );
        assert!(lines[2].starts_with("--"), "{lines:?}");
        assert_eq!(marked(&snippet.line_origin(99)), "");
    }
    let folded = good("k: >\n  local a =\n  1\n\n  return\n  a\n").get("k").and_then(Node::snippet).expect("a string");
    assert_eq!(marked(&folded.line_origin(1)), "local a =\n  1");
    assert_eq!(marked(&folded.line_origin(2)), "return\n  a");
    let file = SourceFile::new("--field a", "x\nreturn 1");
    assert_eq!(marked(&SnippetSource::whole(&file).line_origin(2)), "return 1");
}

/// Scenario: valid and invalid decK expressions.
/// Guarantees: values are inserted before parsing, and positions refer to the original file.
#[test]
fn replaces_environment_variables() {
    let node = good("a: ${{ env \"DECK_PORT\" | toInt }} # x\nb: 'x${{ env \"DECK_TOKEN\" }}y'\nc: z\n");
    assert_eq!(node.to_json()["a"], 9000);
    assert_eq!(node.to_json()["b"], "xa-rather-long-secrety");
    let origin = |name: &str| node.get(name).expect("there").origin();
    assert_eq!(marked(&origin("a")), "${{ env \"DECK_PORT\" | toInt }}");
    assert_eq!(marked(&origin("b")), "'x${{ env \"DECK_TOKEN\" }}y'");
    assert_eq!((marked(&origin("c")), place(&origin("c")).line()), ("z", 3));
    insta::assert_debug_snapshot!(shorts("a: ${{ env \"HOME\" }}\nb: ${{ env \"DECK_NO\" }}\nc: ${{ date }}\nd: ${{ x\n"), @r#"
    [
        "t.yaml:1:4: error[K0005]: environment variables in a configuration must be prefixed with `DECK_`, found `HOME`",
        "t.yaml:2:4: error[K0005]: environment variable `DECK_NO` is not set",
        "t.yaml:3:4: error[K0005]: unknown expression `date`",
        "t.yaml:4:4: error[K0005]: `${{` without `}}`; opened here",
    ]
    "#);
}

/// Scenario: an unset variable in comments of every place, and in values that look like comments; `indent` of text with
/// several lines.
/// Guarantees: only the values are errors; as in decK, the spaces come after line ends, not before the first line.
#[test]
fn unset_variables_in_comments_do_not_matter() {
    const UNSET: &str = "${{ env \"DECK_NO\" }}";
    for (comment, text) in [
        (true, "# UNSET\na: 1\n"),
        (true, "a: 1 # UNSET\n"),
        (true, "a: |\n  x\n# UNSET\nb: 1\n"),
        (true, "a: # UNSET\n  b: 1\n"),
        (true, "a: >- # UNSET\n  x\n"),
        (true, "a: [1, # UNSET\n  2]\n"),
        (true, "a: 'x' # UNSET\n"),
        (true, "a: 1\n# UNSET"),
        (false, "a: UNSET\n"),
        (false, "a: 'x # UNSET'\n"),
        (false, "a: x#UNSET\n"),
        (false, "a: |\n  x\n  # UNSET\nb: 1\n"),
        (false, "UNSET: 1\n"),
        (false, "a: {b: UNSET} # UNSET\n"),
    ] {
        let found = shorts(&text.replace("UNSET", UNSET));
        let found: Vec<_> = found.iter().filter(|line| line.contains("K0005")).collect();
        assert_eq!(found.len(), usize::from(!comment), "{text}: {found:?}");
    }
    let environment = |_: &str| Some("one\n two\n".to_owned());
    let file = SourceFile::new("t.yaml", "a: |\n  ${{ env \"DECK_X\" | indent 2 }}b\n");
    let (node, found) = parse(&file, Some(&environment));
    assert_eq!(found, []);
    assert_eq!(node.expect("it is valid").get("a").and_then(Node::as_str), Some("one\n two\nb\n"));
}

/// Scenario: paths of present and missing members, and of keys with dots.
/// Guarantees: the origin is the member or its nearest ancestor; for a mapping it is the key.
#[test]
fn finds_the_origin_of_members() {
    let node = good("queue: {max: 5}\nheaders:\n  a.b: x\n  a: {b: y, d: ''}\nlog: [one, {two: 2}]\nempty:\n");
    let found = |path: &str| node.member_origin(path).map(|origin| marked(&origin).to_owned());
    let cases = [
        ("queue.max", "5"),
        ("queue.min", "queue"),
        ("queue.max.more", "5"),
        ("headers.a.b", "x"),
        ("headers.a.c", "a"),
        ("headers.a.d", "''"),
        ("log[0]", "one"),
        ("log[1].two", "2"),
        ("log[7]", "[one, {two: 2}]"),
        ("empty", "empty"),
    ];
    for (path, text) in cases {
        assert_eq!(found(path).as_deref(), Some(text), "{path}");
    }
    assert_eq!((found("queues"), found("")), (None, None));
}

/// Scenario: the body of a request.
/// Guarantees: the values equal those read from text, and each member has its path.
#[test]
fn reads_a_request() {
    let body = serde_json::json!({"a": [1, 2.5, "x", true, null], "b": {"c.d": "return 1\nreturn 2"}});
    let node = Node::from_request(&body);
    assert_eq!(node.to_json(), body);
    let text = node.get("b").and_then(|b| b.get("c.d")).expect("there");
    let path = |path: &str| Origin::Request { path: path.to_owned() };
    assert_eq!((text.origin(), node.origin(), text.span()), (path("b.c.d"), path(""), 0..0));
    assert_eq!(node.member_origin("a[3]"), Some(path("a[3]")));
    assert_eq!(text.snippet().expect("a string").line_origin(2), path("b.c.d"));
}

fn check(node: &Node, text: &str) {
    let span = node.span();
    assert!(span.end <= text.len() && text.is_char_boundary(span.start));
    if let Some(snippet) = node.snippet() {
        for line in 0..snippet.text.split('\n').count() + 2 {
            assert!(place(&snippet.line_origin(line)).span.end <= text.len());
        }
    }
    node.items().into_iter().flatten().for_each(|item| check(item, text));
    node.entries().into_iter().flatten().for_each(|(_, value)| check(value, text));
}

proptest::proptest! {
    /// Scenario: any text, and texts of YAML's indicators.
    /// Guarantees: no panic, and every position is within the file.
    #[test]
    fn never_panics(any in "(?s).{0,120}", yaml in "([a-c]: |- |\\n|  |\"|'|\\||>|&a |\\*a|<<|\\[|\\]|\\{|\\}|,|\u{e9}|#|\\r|\\\\u00e9|\\\\|\\$\\{\\{ env \"DECK_PORT\" \\}\\}|!!str |\t){0,40}") {
        for text in [any, yaml] {
            for name in ["t.yaml", "t.json"] {
                let (node, diagnostics) = read(name, &text);
                proptest::prop_assert!(node.is_some() || !diagnostics.is_empty());
                if let Some(node) = node { check(&node, &text); }
                for diagnostic in diagnostics { diagnostic.render(false); }
            }
        }
    }

    /// Scenario: any JSON value.
    /// Guarantees: it is read as serde_json reads it.
    #[test]
    fn json_agrees(text in "[ -~\u{e9}\u{1f600}\n]{0,30}", number in -1_000_000i64..1_000_000) {
        let value = serde_json::json!({ "a": [text, number, null, true], text: {} });
        // Without an environment, so that decK expressions are ordinary text.
        let (node, diagnostics) = parse(&SourceFile::new("t.json", value.to_string()), None);
        proptest::prop_assert_eq!(diagnostics, vec![]);
        proptest::prop_assert_eq!(node.map(|node| node.to_json()), Some(value));
    }
}
