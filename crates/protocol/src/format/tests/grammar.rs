//! What a template may look like, and what is said about one that may not.

use serde_json::json;

use super::super::{JsonTemplate, Options, Source, Step, Template, operators};
use super::{errors, options, render};

fn entry() -> serde_json::Value {
    json!({
        "commonProperties": {"duration": "0.012s"},
        "protocolVersion": "HTTP11",
        "request": {"requestHeaders": {"x-a": "häß", "x-empty": "", "x-b": "b"}},
        "response": {"responseCode": 200},
    })
}

/// Scenario: text, operators beside each other, `%%`, empty brackets, alternatives and lengths.
/// Guarantees: they print what Envoy prints.
#[test]
fn parts() {
    for (template, line) in [
        ("", ""),
        ("plain ä text\n", "plain ä text\n"),
        ("%%", "%"),
        ("%%%PROTOCOL%%%", "%HTTP/1.1%"),
        ("%PROTOCOL%%PROTOCOL%", "HTTP/1.1HTTP/1.1"),
        ("%DURATION%ms%%", "12ms%"),
        ("%PROTOCOL()%", "HTTP/1.1"),
        ("%REQ(X-A)%", "häß"),
        ("%REQUEST_HEADER(x-a):3%", "hä"),
        ("%REQ(X-A):0%|", "|"),
        ("%REQ(X-A):99%", "häß"),
        ("%REQ(X-EMPTY?X-B)%", ""),
        ("%REQ(X-NONE?X-B)%", "b"),
        ("%REQ(?X-B)%", "b"),
        ("%REQ(X-B?)%", "b"),
        ("%REQ(X-NONE)%", "-"),
        ("%START_TIME(%Y-%m-%d %%)%", "-"),
        ("%RESPONSE_CODE_DETAILS(ANY)%", "-"),
    ] {
        assert_eq!(render(template, &entry()), line, "{template}");
    }
    // A cut within a character writes a part of it, as Envoy does.
    let cut = Template::new("%REQ(X-A):2%", &options()).unwrap();
    assert_eq!(super::render_bytes(&cut, &entry()), b"h\xc3");
}

/// Scenario: templates that Envoy 1.40 refuses, with what it says.
/// Guarantees: each is refused at its place, with Envoy's own words beside ours.
#[test]
fn as_envoy_refuses() {
    for line in include_str!("refused.txt").lines().filter(|line| !line.is_empty()) {
        let (template, envoy) = line.split_once(" => ").unwrap();
        let found = errors(template);
        let said = found.first().unwrap_or_else(|| panic!("{template} is accepted")).envoy.as_str();
        // What Envoy's libraries add behind a colon is theirs.
        assert!(envoy == said || !said.is_empty() && envoy.starts_with(said), "{template}: {envoy:?}, but {said:?}");
        assert!(
            found.iter().all(|error| error.span.start < error.span.end && error.span.end <= template.len()),
            "{template}: {found:?}"
        );
    }
}

/// Scenario: templates that Envoy 1.40 accepts.
/// Guarantees: each compiles, or its error says that entries do not carry what it asks for.
#[test]
fn as_envoy_accepts() {
    for template in include_str!("accepted.txt").lines() {
        for error in errors(template) {
            assert_eq!(error.envoy, "", "{template}: {error}");
            assert!(
                error.message.contains("do not have") || error.message.contains("do not tell"),
                "{template}: {error}"
            );
        }
    }
}

/// Scenario: mistakes in several places of one template.
/// Guarantees: all of them are reported, each with its bytes; the closest name is suggested.
#[test]
fn places() {
    let template = "%PROTOCOL% %RESPONSE_COD% %REQ(a b)% %TRACE_ID% %oops";
    let found = errors(template);
    let places: Vec<_> = found.iter().map(|error| &template[error.span.clone()]).collect();
    assert_eq!(places, ["RESPONSE_COD", "a b", "TRACE_ID", "%o"]);
    assert_eq!(found[0].help, "did you mean `RESPONSE_CODE`?");
    let found_cel = errors("%CEL(connection.id == 1 || nope.x)%");
    assert_eq!(found_cel[0].message, "entries do not have the attribute `connection.id`");
    assert_eq!(errors("%CEL(request.time)%")[0].message, "entries do not have the attribute `request.time`");
    // A chain of operators is a tree that is as deep as the chain is long.
    let long = |count: usize| format!("%CEL(1{})%", " + 1".repeat(count));
    assert!(errors(&long(25)).is_empty());
    assert!(
        errors(&long(900))[0].message.contains("30 levels") && errors(&long(9000))[0].message.contains("4096 bytes")
    );
    assert_eq!(found[2].message, "entries of Envoy do not have TRACE_ID");
    assert!(found[2].help.contains("traceparent"), "{}", found[2].help);
    assert!(found[3].envoy.ends_with("at position 48"), "{}", found[3].envoy);

    let template = json!({"a": ["%PROTOCOL%", {"b": "x %NOPE%"}]});
    let found = JsonTemplate::new(&template, &options()).unwrap_err();
    assert_eq!(found[0].path, [Step::Key("a".to_owned()), Step::Index(1), Step::Key("b".to_owned())]);
    assert_eq!(found[0].span, 3..7);
    assert_eq!(found[0].to_string(), "[\"a\"][1][\"b\"], byte 3: unknown operator `NOPE`");
}

/// Scenario: operators that messages of Kong's plugins do not have, and START_TIME_LOCAL.
/// Guarantees: they are refused with the reason; with a time zone, the time is in it.
#[test]
fn not_carried() {
    let kong = Options::new(Source::Kong);
    for name in ["TRAILER(x)", "FILTER_STATE(x)", "COMMON_DURATION(DS_RX_BEG:DS_TX_END)", "KUMA_MESH", "TRACE_ID"] {
        let found = Template::new(&format!("%{name}%"), &kong).unwrap_err();
        assert!(!found[0].help.is_empty(), "{found:?}");
    }
    assert!(operators(Source::Als).any(|name| name == "COMMON_DURATION"));
    assert!(!operators(Source::Kong).any(|name| name == "COMMON_DURATION"));
    let local = "%START_TIME_LOCAL%";
    assert!(errors(local)[0].message.contains("time zone"));
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
    let template = Template::new(local, &Options { zone: Some(zone), ..options() }).unwrap();
    let entry = json!({"protocolVersion": "HTTP2", "commonProperties": {"startTime": "2026-11-29T11:28:19.495952Z"}});
    assert_eq!(super::render_bytes(&template, &entry), b"2026-11-29T13:28:19.495+0200");
}
