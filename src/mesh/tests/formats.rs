//! Formats inside of resources.

use logphase_protocol::format::Placeholder;

use super::{good, read};
use crate::mesh::Format;

/// The text under the caret of the only diagnostic about `text`, and its message.
fn caret(text: &str) -> (String, String) {
    let (_, diagnostics) = read(text);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:#?}");
    let place = diagnostics[0].place().expect("the document is a file");
    (place.file.text[place.span.clone()].to_owned(), diagnostics[0].message.clone())
}

/// Scenario: mistakes in a format without quotes, in single and double quotes, in a block, and in a value of a JSON format.
/// Guarantees: the caret is below the wrong operator, and the message has the path of the format.
#[test]
fn a_mistake_has_its_place_in_the_file() {
    let mesh = |format: &str| {
        format!(
            "type: Mesh\nname: a\nlogging:\n  backends:\n  - name: f\n    type: file\n    conf: {{path: /f}}\n    format: {format}\n"
        )
    };
    let path = "logging.backends[0].format";
    for format in
        ["a %DURATION% %NOPE% b", "'it''s %NOPE%'", r#""\t\"x\" %NOPE%""#, "|\n      [%START_TIME%]\n      %NOPE%"]
    {
        let (under, message) = caret(&mesh(format));
        assert_eq!(under, "NOPE", "{format}");
        assert_eq!(message, format!("{path}: unknown operator `NOPE`"), "{format}");
    }
    let policy = "type: MeshAccessLog\nname: a\nspec:\n  rules:\n  - default:\n      backends:\n      - type: File\n        file:\n          \
                  path: /f\n          format: {type: Json, json: [{key: a, value: '%DURATION%'}, {key: b, value: 'x %NOPE%'}]}\n";
    let (under, message) = caret(policy);
    assert_eq!(under, "NOPE");
    assert_eq!(message, "spec.rules[0].default.backends[0].file.format.json[1].value: unknown operator `NOPE`");
}

/// Scenario: a format with placeholders of Kuma, text that looks like JSON in a Mesh, and JSON with a key twice whose first value
/// has a mistake. Guarantees: placeholders are known, text stays text, and of a key the last value counts.
#[test]
fn formats_are_compiled_as_kuma_takes_them() {
    let mesh = good(
        "type: Mesh\nname: a\nlogging:\n  backends:\n  - {name: f, type: file, conf: {path: /f}, format: '{\"m\": \"%KUMA_MESH%\"}'}\n",
    );
    let format = mesh.meshes[0].backends[0].format.as_ref().expect("the backend has a format");
    assert!(matches!(**format, Format::Text { is_json: true, .. }));
    assert_eq!(format.placeholders(), [Placeholder::Mesh]);
    let policy = good(
        "type: MeshAccessLog\nname: a\nspec: {rules: [{default: {backends: [{type: File, file: {path: /f, format: {type: Json, json: [{key: \
         a, value: '%NOPE%'}, {key: a, value: '%KUMA_ZONE%'}]}}}]}}]}",
    );
    let format = policy.access_logs[0].rules[0].backends[0].format.as_ref().expect("the backend has a format");
    assert_eq!(format.placeholders(), [Placeholder::Zone]);
}

/// Scenario: a format whose type is Json and that has a text as well. Guarantees: the text is used, as Kuma does.
#[test]
fn text_goes_before_json() {
    let policy = good(
        "type: MeshAccessLog\nname: a\nspec: {rules: [{default: {backends: [{type: File, file: {path: /f, format: {type: Json, plain: \
         '%DURATION%', json: [{key: a, value: b}]}}}]}}]}",
    );
    assert!(matches!(policy.access_logs[0].rules[0].backends[0].format.as_deref(), Some(Format::Text { .. })));
}
