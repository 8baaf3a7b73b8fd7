use super::*;
use crate::diagnostic::{Diagnostic, Format, Origin, SourceFile, field_errors, render_all};
use crate::document::{self, Node};

static INNER: Record = Record::new(&[
    Field::number("ratio").default(Default::Number(0.5)).checks(&[Check::Between(0.0, 1.0)]),
    Field::string("id").checks(&[Check::Uuid]),
]);

static OUTER: Record = Record {
    fields: &[
        Field::string("host").required().about("Where to."),
        Field::integer("port").required().default(Default::Integer(80)).checks(&[Check::Between(0.0, 65535.0)]),
        Field::boolean("tls"),
        Field::string("mode").checks(&[Check::OneOf(&["keep", "drop"])]),
        Field::set("tags", &Field::string("")).default(Default::Strings(&["a"])),
        Field::map("headers", &Field::string(""), &Field::string("")),
        Field::record("inner", &INNER).required(),
        Field::record("other", &INNER),
        Field::duration("wait").extension(),
        Field::size("room").extension(),
        Field::integer("retry").instead("`inner.ratio`"),
    ],
    checks: &[|values| match (values.get("tls"), values.get("mode")) {
        (Some(_), Some(_)) => {
            Err(Problem { field: "mode", message: "`tls` and `mode` together".into(), kong: "not both".into() })
        }
        _ => Ok(()),
    }],
};

fn read(text: &str) -> (serde_json::Value, Vec<Diagnostic>) {
    let file = SourceFile::new("t.yaml", text);
    let (node, syntax) = document::parse(&file, None);
    assert_eq!(syntax, []);
    validate(&node.expect("no errors, so there is a tree"), "plugins[0].config")
}

fn validate(node: &Node, path: &str) -> (serde_json::Value, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let scope =
        Scope { subject: "plugin `x`".into(), path: path.into(), kong: Some("config".into()), origin: node.origin() };
    let values = OUTER.read(node, &scope, &mut diagnostics);
    (values.into(), diagnostics)
}

/// Scenario: only the required fields.
/// Guarantees: every default is filled in, and optional fields stay absent.
#[test]
fn fills_in_defaults() {
    let (values, diagnostics) = read("host: h\nwait: 500ms\nroom: 1.5k\nother: {ratio: 1}");
    assert_eq!(diagnostics, []);
    insta::assert_snapshot!(values, @r#"{"host":"h","port":80,"tags":["a"],"inner":{"ratio":0.5},"other":{"ratio":1},"wait":0.5,"room":1536}"#);
}

/// Scenario: an error in every field.
/// Guarantees: all are reported, with Kong's messages.
#[test]
fn reports_everything_in_kongs_words() {
    let text = "hots: h\nport: 70000\ntls: 'true'\nmode: kepe\ntags: a\nheaders: {a: 1, b: '', c: null}\ninner: {id: x, ratio: 2}\nother: 3\nwait: -1\nroom: 1x\nretry: 1";
    let kong: Vec<_> = read(text).1.into_iter().map(|d| d.kong.unwrap_or(d.message)).collect();
    insta::assert_debug_snapshot!(kong, @r#"
    [
        "schema violation (config.hots: unknown field)",
        "schema violation (config.host: required field missing)",
        "schema violation (config.port: value should be between 0 and 65535)",
        "schema violation (config.tls: expected a boolean)",
        "schema violation (config.mode: expected one of: keep, drop)",
        "schema violation (config.tags: expected a set)",
        "schema violation (config.headers.a: expected a string)",
        "schema violation (config.headers.b: length must be at least 1)",
        "schema violation (config.headers.c: required field missing)",
        "schema violation (config.inner.ratio: value should be between 0 and 1)",
        "schema violation (config.inner.id: expected a valid UUID)",
        "schema violation (config.other: expected a record)",
        "schema violation (config.wait: expected a duration like 30s or 500ms)",
        "schema violation (config.room: expected a size like 8MiB or 512k)",
        "`retry` of plugin `x` is an old field",
    ]
    "#);
}

/// Scenario: fields that exclude each other.
/// Guarantees: the conflict is reported at the field, and only when the fields are valid.
#[test]
fn checks_fields_together() {
    let shorts = |text| read(text).1.iter().map(Diagnostic::short).collect::<Vec<_>>();
    assert_eq!(
        shorts("host: h\ntls: yes\nmode: keep"),
        ["t.yaml:3:1: error[K0105]: `tls` and `mode` together in plugin `x`; not both"]
    );
    assert_eq!(
        shorts("host: 1\ntls: yes\nmode: keep"),
        ["t.yaml:1:7: error[K0101]: `host` of plugin `x` is an integer; expected a string"]
    );
}

/// Scenario: the same errors in a file and in a request.
/// Guarantees: the messages are the same; those of the file have a caret, those of the request have the fields of
/// Kong's response and no position.
#[test]
fn files_and_requests_are_validated_alike() {
    let body = serde_json::json!({
        "host": 5,
        "prt": 1,
        "tags": ["a", 7],
        "headers": {"x.y": "", "z": 1},
        "inner": {"ratio": 2, "id": "x"},
    });
    let (_, of_file) = read(&body.to_string());
    let request = Node::from_request(&serde_json::json!({ "config": body }));
    let (_, of_request) = validate(request.get("config").expect("there"), "config");
    let messages = |found: &[Diagnostic]| -> Vec<_> {
        found.iter().map(|d| (d.code, d.message.clone(), d.label.clone(), d.help.clone(), d.kong.clone())).collect()
    };
    assert_eq!(messages(&of_file), messages(&of_request));
    assert!(of_file.iter().all(|diagnostic| diagnostic.place().is_some()));
    assert!(of_request.iter().all(|diagnostic| diagnostic.place().is_none()));
    assert_eq!(of_request[1].origin, Origin::Request { path: "config.host".to_owned() });
    let rendered = |found: &[Diagnostic]| render_all(&found[1..2], Format::Pretty, false);
    insta::assert_snapshot!(rendered(&of_file));
    insta::assert_snapshot!(rendered(&of_request));
    insta::assert_snapshot!(serde_json::to_string_pretty(&field_errors(&of_request)).expect("JSON"));
    assert_eq!(field_errors(&of_file), field_errors(&of_request));
}

/// Scenario: a definition.
/// Guarantees: the Admin API form contains types, defaults, limits and texts; fields that answers have only if they are set are not in it.
#[test]
fn exports_definitions() {
    let json = OUTER.to_json();
    insta::assert_snapshot!(json[0], @r#"{"host":{"type":"string","required":true,"description":"Where to."}}"#);
    insta::assert_snapshot!(json[1], @r#"{"port":{"type":"integer","required":true,"default":80,"between":[0,65535]}}"#);
    insta::assert_snapshot!(json[4], @r#"{"tags":{"type":"set","elements":{"type":"string"},"default":["a"]}}"#);
    insta::assert_snapshot!(json[8], @r#"{"retry":{"type":"integer","deprecation":{"message":"retry is deprecated, please use inner.ratio instead"}}}"#);
    assert_eq!(json.as_array().map(Vec::len), Some(9));
}

static PAIR: Record = Record {
    fields: &[Field::string("a"), Field::string("b"), Field::integer("n")],
    checks: &[
        |values| match (values.get("a"), values.get("b")) {
            (None, None) => Err(Problem {
                field: "a",
                message: "neither `a` nor `b`".into(),
                kong: Violation::AtLeastOne("a or b".into()),
            }),
            _ => Ok(()),
        },
        |values| match values.get("n").and_then(serde_json::Value::as_i64) {
            Some(1) if values.contains_key("b") => Err(Problem {
                field: "b",
                message: "`b` with `n: 1`".into(),
                kong: Violation::conditional("n", "b", "value must be null"),
            }),
            _ => Ok(()),
        },
        |values| {
            if values.contains_key("n") {
                Err(Problem { field: "n", message: "n".into(), kong: "custom".into() })
            } else {
                Ok(())
            }
        },
    ],
};

/// Scenario: requests that break rules over several fields, alone and beside errors of the fields. Guarantees: a rule that an invalid field
/// satisfies counts it, a condition names its field in place of that one's own error, and custom rules wait for valid fields.
#[test]
fn rules_beside_errors_of_fields() {
    let errors = |body: serde_json::Value| {
        let node = Node::from_request(&body);
        let scope = Scope { subject: "x".into(), path: String::new(), kong: Some("".into()), origin: node.origin() };
        let mut diagnostics = Vec::new();
        PAIR.read(&node, &scope, &mut diagnostics);
        field_errors(&diagnostics)
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let conditional = "failed conditional validation given value of field 'n'";
    assert_eq!(errors(json("{}")), json(r#"{"@entity": ["a or b"]}"#));
    assert_eq!(errors(json(r#"{"a": 5}"#)), json(r#"{"a": "expected a string"}"#));
    assert_eq!(errors(json(r#"{"n": "x"}"#)), json(r#"{"@entity": ["a or b"], "n": "expected an integer"}"#));
    assert_eq!(errors(json(r#"{"a": "a", "n": 2}"#)), json(r#"{"@entity": ["custom"]}"#));
    let both = errors(json(r#"{"b": 5, "n": 1}"#));
    assert_eq!(both["b"], "value must be null");
    assert_eq!(both["@entity"], serde_json::json!([conditional]));
}
