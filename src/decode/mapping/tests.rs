//! Built-in mappings on real lines, own mappings, repairs, limits, and what is reported.

use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, SourceFile};
use logphase_config::document;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Lines of each proxy. Those of nginx 1.22, HAProxy 2.6, Caddy 2.6 and Apache 2.4 were logged by the real programs with the
/// formats of docs/mappings.md, those of Traefik follow its documentation.
const SAMPLES: [(&str, &[u8]); 5] = [
    ("nginx", include_bytes!("samples/nginx.ndjson")),
    ("haproxy", include_bytes!("samples/haproxy.ndjson")),
    ("caddy", include_bytes!("samples/caddy.ndjson")),
    ("traefik", include_bytes!("samples/traefik.ndjson")),
    ("apache", include_bytes!("samples/apache.ndjson")),
];

fn lines(samples: &[u8]) -> impl Iterator<Item = &[u8]> {
    samples.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn built_in(name: &str) -> Arc<Mapping> {
    Mappings::default().find(name).unwrap()
}

fn read(text: &str) -> (Mappings, Vec<Diagnostic>) {
    let (node, mut diagnostics) = document::parse(&SourceFile::new("logphase.yml", text), None);
    let mappings = Mappings::read(&node.unwrap(), &mut diagnostics);
    (mappings, diagnostics)
}

/// A mapping with these members, written in YAML.
fn own(members: &str) -> Arc<Mapping> {
    let (mappings, diagnostics) = read(&format!("own:\n  members:\n    {}\n", members.trim().replace('\n', "\n    ")));
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    mappings.find("own").unwrap()
}

fn map(mapping: &Mapping, line: &[u8]) -> Result<Value, Rejected> {
    let mut out = Vec::new();
    let end = mapping.map(line, 0, &Limits::default(), &mut out)?;
    assert_eq!(end, line.len());
    let text = String::from_utf8(out).unwrap();
    Ok(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// Scenario: the lines of real proxies: 200, 404, headers with quotes and bytes that are not UTF-8, slow and broken
/// upstreams, retries, answers of the proxy itself, malformed requests, TLS, a second request of a connection.
/// Guarantees: each becomes Kong's log object, as the snapshot has it.
#[test]
fn real_lines() {
    for (name, samples) in SAMPLES {
        let mapping = built_in(name);
        let shown: Vec<String> = lines(samples).map(|line| map(&mapping, line).unwrap().to_string()).collect();
        insta::assert_snapshot!(format!("real_lines_{name}"), shown.join("\n"));
    }
}

/// Scenario: a line of each proxy. Guarantees: what the mapping reads in every sound line was there in one of them.
#[test]
fn samples_have_every_member() {
    for (name, samples) in SAMPLES {
        let mapping = built_in(name);
        lines(samples).for_each(|line| drop(map(&mapping, line)));
        let Report { unseen, unreadable, transactions, .. } = mapping.report();
        assert_eq!((unseen, unreadable), (Vec::<String>::new(), Vec::new()), "{name}");
        assert_eq!(transactions, lines(samples).count() as u64);
    }
}

/// Scenario: the log formats and the own mappings of docs/mappings.md.
/// Guarantees: each format has every member that its mapping reads in all sound lines; the own mappings have no mistake.
#[test]
fn documentation() {
    let page = include_str!("../../../docs/mappings.md").replace("\\\"", "\"");
    for (name, title) in [("nginx", "## nginx"), ("haproxy", "## HAProxy"), ("apache", "## Apache")] {
        let part = page.split(title).nth(1).and_then(|part| part.split("\n## ").next()).unwrap();
        let report = built_in(name).report();
        for member in report.unseen.iter().filter(|member| !member.ends_with('*')) {
            assert!(part.contains(&format!("\"{member}\":")), "{name} reads {member}");
        }
    }
    let own = page.split("```yaml\nmappings:\n").nth(1).and_then(|part| part.split("```").next()).unwrap();
    let (mappings, diagnostics) = read(own);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let line = br#"{"http":{"method":"GET","header_x_a":"1","host":"h"},"took":1500,"end":"1970-01-01T00:00:01Z","n":"n/a","o":1}"#;
    let expected = json!({
        "request": {"method": "GET", "headers": {"host": "h", "x-a": "1"}}, "latencies": {"request": 1}, "started_at": 998,
        "response": {"status": 0}, "app": {"o": 1},
    });
    assert_eq!(map(&mappings.find("app").unwrap(), line).unwrap(), expected);
}

/// Scenario: an own mapping with each kind of rule.
/// Guarantees: each gives its value; members without a value are absent, and so are objects without members.
#[test]
fn rules() {
    let mapping = own(r#"
a: [x.y, z]
text: {from: n, type: string}
number: {from: t, type: number}
ms: {from: d, unit: us}
at: {sum: ["when rfc3339", "-d us", "more ms"]}
url: {template: "{{{z}}}://{n}"}
constant: {value: [1, {b: null}]}
some: {from: none, default: 7}
list.first: {from: list, item: first}
list.all: {from: list, item: all, type: number}
list.array: {from: array, item: last}
either: [{from: z, if: none}, {from: n, unless: none}]
word: {from: z, values: {zed: 26}}
none.deep.er: none
dotted\.name: dotted\.name
args: {from: q, type: query}
peer.ip: {from: peer, type: ip}
peer.port: {from: peer, type: port}
headers: {from: h, type: headers}
headers.host: z
others: {prefix: o_}
target: {from: line, type: request_target}
kept: {rest: true}
"#);
    let line = json!({
        "x": {"y": null, "unread": 1}, "z": "zed", "n": 5, "t": " 007 ", "d": 1_500, "when": "2026-01-01T00:00:00Z",
        "more": "2", "list": "1, 2 : 3", "array": ["p", "q"], "dotted.name": true, "q": "a=1&b&a=%20", "peer": "[::1]:80",
        "h": {"X-A": ["1"], "X-B": ["1", "2"], "Empty": [], "HOST": ["no"]}, "o_b_c": 1, "o_": 2, "extra": {"e": [1]},
        "line": "GET /a b?c HTTP/1.1", "none": "-",
    });
    // `at` is the first of January minus 1.5 ms plus 2 ms, rounded down.
    let expected = json!({
        "a": "zed", "text": "5", "number": 7, "ms": 1, "at": 1_767_225_600_000_i64, "url": "{zed}://5",
        "constant": [1, {"b": null}], "some": 7, "list": {"first": "1", "all": [1, 2, 3], "array": "q"}, "either": 5,
        "word": 26, "dotted.name": true, "args": {"a": ["1", " "], "b": true}, "peer": {"ip": "::1", "port": 80},
        "headers": {"host": "zed", "x-a": "1", "x-b": ["1", "2"]}, "others": {"b_c": 1}, "target": "/a b?c",
        "kept": {"x": {"unread": 1}, "o_": 2, "extra": {"e": [1]}},
    });
    assert_eq!(map(&mapping, line.to_string().as_bytes()).unwrap(), expected);
    assert_eq!(map(&mapping, b"{}").unwrap(), json!({"constant": [1, {"b": null}], "some": 7}));
}

/// Scenario: lines that are no JSON in ways that proxies have.
/// Guarantees: what has one meaning is repaired; bytes that are not UTF-8 become U+FFFD.
#[test]
fn repairs() {
    let mapping = own("a: a\nb: b\nkept: {rest: true}");
    let repaired = |line: &[u8]| map(&mapping, line).unwrap();
    assert_eq!(repaired(br#"{"a":"h\xc3\xa9 \xff","b":"\v\]\q\/"}"#), json!({"a": "hé \u{fffd}", "b": "\u{b}]q/"}));
    assert_eq!(
        repaired(b"{\"a\":\"\xff\tx\x01\",\"b\":\"\\ud83d\\ude00\\ud800\\u12\"}"),
        json!({"a": "\u{fffd}\tx\u{1}", "b": "😀\u{fffd}u12"})
    );
    assert_eq!(repaired(br#"{"a":,"b":-}"#), json!({}));
    assert_eq!(repaired(br#"{"a":007,"b":+1.50}"#), json!({"a": 7, "b": 1.5}));
    assert_eq!(
        repaired(br#"{"c":{"\x41":[,01,-,"\x42",],"n":,"t":true}}"#),
        json!({"kept": {"c": {"A": [null, 1, null, "B", null], "n": null, "t": true}}})
    );
    assert_eq!(repaired(b"{\"a\":{\"\xff\":1}}"), json!({"a": {"\u{fffd}": 1}}));
    assert_eq!(repaired(b"{ \"a\" : 1 , \"a\" : 2 }"), json!({"a": 2}));
}

/// Scenario: lines that have no one meaning. Guarantees: they are refused with the member and with what to do.
#[test]
fn explanations() {
    let mapping = own("a: a");
    for (line, reason) in [
        (r#"{"a":502, 200,"b":1}"#, "after the value of `a`"),
        (r#"{"a":127.0.0.1}"#, r#"the value of `a` is neither a number nor in quotes: log it as "a":"...""#),
        (r#"{"a":"x "y" z"}"#, "a quote in it is not escaped"),
        (
            r#"{"a":"x","b":"cut"#,
            "the object ends within or after the member `b`: the sender or its transport cut it off",
        ),
        (r#"{"a" 1}"#, "expected the name of a member"),
        ("[]", "expected an object"),
        ("", "expected an object"),
        (r#"{"a":1,}"#, "expected the name of a member"),
    ] {
        let rejected = map(&mapping, line.as_bytes()).unwrap_err();
        assert!(rejected.reason.contains(reason), "{line}: {}", rejected.reason);
        assert!(!rejected.too_large);
    }
}

/// Scenario: objects past each limit, and one whose transaction is.
/// Guarantees: they are refused as too large.
#[test]
fn limits() {
    let mapping = own("a: a\nb: a\nc: a");
    let limits = Limits { max_bytes: 40, max_depth: 3, max_members: 5 };
    let map = |line: &str| mapping.map(line.as_bytes(), 0, &limits, &mut Vec::new());
    assert_eq!(map(r#"{"a":[[1]]}"#), Ok(11));
    for line in [
        r#"{"a":[[[1]]]}"#,
        r#"{"a":[1,2,3,4,5]}"#,
        r#"{"a":"12345678901234567890"}"#,
        r#"{"x":"123456789012345678901234567890123456"}"#,
    ] {
        assert!(map(line).unwrap_err().too_large, "{line}");
    }
}

/// Scenario: a log format with a misspelt name and a value that is no number.
/// Guarantees: the report has the name that never came, the one that came in its place, and the unreadable one.
#[test]
fn reports() {
    let mapping =
        own("a: {from: rt, unit: s}\nb: {from: st, type: number}\nc: {from: tls, optional: true}\nd: {prefix: h_}");
    for _ in 0..3 {
        map(&mapping, br#"{"rtt":"0.1","st":"ok"}"#).unwrap();
    }
    let Report { transactions, unseen, unreadable, unmapped } = mapping.report();
    assert_eq!(transactions, 3);
    assert_eq!(
        (unseen, unreadable, unmapped),
        (vec!["rt".to_owned(), "h_*".to_owned()], vec!["st".to_owned()], vec!["rtt".to_owned()])
    );
}

/// Scenario: a mapping that extends a built-in one, and one that extends that.
/// Guarantees: members are added, replaced and taken out; texts without a value are those of the last that names them.
#[test]
fn extends() {
    let (mappings, diagnostics) = read(
        "edge: {extends: nginx, absent: [none], members: {consumer.username: user, client_ip: null}}\n\
         inner: {extends: edge, members: {consumer.username: {value: fixed}}}",
    );
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let line = br#"{"user":"-","ra":"1","m":"none","id":"7"}"#;
    let edge = map(&mappings.find("edge").unwrap(), line).unwrap();
    assert_eq!(edge["consumer"], json!({"username": "-"}));
    assert_eq!(edge["request"], json!({"id": "7", "querystring": {}}));
    assert_eq!(edge.get("client_ip"), None);
    let inner = map(&mappings.find("inner").unwrap(), line).unwrap();
    assert_eq!(inner["consumer"], json!({"username": "fixed"}));
}

/// Scenario: definitions with every kind of mistake. Guarantees: each is reported once, at its place.
#[test]
fn mistakes() {
    let (mappings, diagnostics) = read(
        r#"nginx: {members: {a: b}}
loop: {extends: loop}
far: {extends: ngnix}
own:
  members:
    a: 7
    b: {form: x}
    c: {from: x, value: 1}
    d: {}
    e: {from: x, unit: hours}
    f: {sum: [x]}
    g: {sum: ["-x"], unit: s}
    h: {template: "{x"}
    i..j: x
    k: x
    k.l: x
    m: {prefix: h_, type: number}
    n: {from: x, unit: s, type: number}
    o: {value: 1, unit: s}
    p: {each: {q: {value: 1}}}
    r: {from: []}
"#,
    );
    let shown: Vec<String> = diagnostics.iter().map(|diagnostic| diagnostic.render(false)).collect();
    insta::assert_snapshot!(shown.join("\n"));
    // `kong` and the built-in ones: none of these can be used.
    assert_eq!(mappings.names().count(), BUILT_IN.len() + 1);
}

/// Lines of all proxies, with changes.
fn changed() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
    (0..SAMPLES.len(), any::<prop::sample::Index>(), proptest::collection::vec(change, 0..6)).prop_map(
        |(proxy, line, changes)| {
            let all: Vec<&[u8]> = lines(SAMPLES[proxy].1).collect();
            let mut line = line.get(&all).to_vec();
            for (at, byte, kind) in changes {
                let at = at.index(line.len());
                match kind {
                    0 => line[at] = byte,
                    1 => line.insert(at, byte),
                    _ => drop(line.drain(at..(at + usize::from(byte)).min(line.len()))),
                }
                if line.is_empty() {
                    break;
                }
            }
            (proxy, line)
        },
    )
}

fn check(mapping: &Mapping, line: &[u8], max_bytes: usize) {
    let mut out = Vec::new();
    let limits = Limits { max_bytes, ..Limits::default() };
    match mapping.map(line, 0, &limits, &mut out) {
        Ok(end) => {
            assert!(end <= line.len() && out.len() <= max_bytes);
            let text = std::str::from_utf8(&out).unwrap();
            assert!(serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}: {text}")).is_object());
        }
        Err(Rejected { offset, .. }) => assert!(offset <= line.len()),
    }
}

proptest! {
    /// Scenario: any bytes, and lines of proxies with bytes changed, added and removed, with limits of any size.
    /// Guarantees: no panic; what is taken becomes one JSON object within the limit.
    #[test]
    fn any_line((proxy, line) in changed(), noise in proptest::collection::vec(any::<u8>(), 0..60), max_bytes in 0..5000_usize) {
        let mapping = built_in(SAMPLES[proxy].0);
        check(&mapping, &line, 1 << 20);
        check(&mapping, &line, max_bytes);
        check(&mapping, &noise, 1 << 20);
        check(&mapping, &[b"{\"st\":", &noise[..], b"}"].concat(), 1 << 20);
    }

    /// Scenario: any JSON object, mapped by a mapping that keeps what it does not read.
    /// Guarantees: what JSON says is kept as it is.
    #[test]
    fn json_is_kept(text in ".{0,40}", number in any::<f64>(), deep in proptest::collection::vec(".{0,8}", 0..5)) {
        prop_assume!(number.is_finite() && text != "-" && !text.is_empty());
        let line = json!({"a": text, "b": {"n": number, "l": deep, "t": [true, null]}, "c": number});
        let mapping = own("a: a\nc: c\nkept: {rest: true}");
        let mapped = map(&mapping, line.to_string().as_bytes()).unwrap();
        prop_assert_eq!(&mapped["a"], &line["a"]);
        prop_assert_eq!(&mapped["c"], &line["c"]);
        prop_assert_eq!(&mapped["kept"]["b"], &line["b"]);
    }
}
