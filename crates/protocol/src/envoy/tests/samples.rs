//! Entries of Envoy 1.40, one for each way a request or connection can end, with what its file logger printed for the same
//! (`tests/samples.ndjson`: name, kind, base64 of the entry, value of each operator that is not absent).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{convert, keep_all, origin};
use crate::envoy::{Conversion, Converter, Origin};

struct Sample {
    name: String,
    http: bool,
    entry: Vec<u8>,
    text: Map<String, Value>,
}

impl Sample {
    fn object(&self) -> Value {
        convert(&keep_all(), self.http, &self.entry)
    }

    /// What the file logger printed for `operator`.
    fn printed(&self, operator: &str) -> Option<&str> {
        self.text.get(operator)?.as_str()
    }
}

fn samples() -> Vec<Sample> {
    let lines = include_str!("../../../tests/samples.ndjson").lines();
    let samples = lines.map(|line| {
        let sample: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| sample[name].as_str().unwrap();
        Sample {
            name: text("name").to_owned(),
            http: text("kind") == "http",
            entry: STANDARD.decode(text("entry")).unwrap(),
            text: sample["text"].as_object().unwrap().clone(),
        }
    });
    samples.collect()
}

fn sample(name: &str) -> Sample {
    samples().into_iter().find(|sample| sample.name == name).unwrap()
}

/// Scenario: 44 entries of a real Envoy, and what its file logger printed for the same requests and connections.
/// Guarantees: each member that has an operator has the value that was printed.
#[test]
fn as_the_file_logger() {
    assert_eq!(samples().len(), 44);
    for sample in samples() {
        let (name, object) = (&sample.name, sample.object());
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0).to_string();
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let printed = |operator: &str| sample.printed(operator);
        if object["envoy"]["intermediate_log_entry"] != true {
            let duration = if sample.http { number("/latencies/request") } else { number("/latencies/session") };
            assert_eq!(printed("DURATION"), Some(duration.as_str()), "{name}");
        }
        if sample.http {
            assert_eq!(printed("RESPONSE_CODE").unwrap_or("0"), number("/response/status"), "{name}");
            assert_eq!(printed("PROTOCOL"), text("/envoy/protocol"), "{name}");
            let path = printed("PATH(WQ:ORIG_OR_PATH)").or(printed("PATH"));
            assert!(path.is_none() || path == text("/request/uri"), "{name}");
        }
        let flags = object["envoy"]["response_flags"].as_array().unwrap();
        let flags: Vec<_> = flags.iter().filter_map(Value::as_str).collect();
        assert_eq!(printed("RESPONSE_FLAGS").unwrap_or(""), flags.join(","), "{name}");
        let details = text("/envoy/response_code_details").map(|details| details.replace(' ', "_"));
        assert_eq!(printed("RESPONSE_CODE_DETAILS"), details.as_deref(), "{name}");
        let failure = text("/envoy/upstream_transport_failure_reason").map(|reason| reason.replace(' ', "_"));
        assert_eq!(printed("UPSTREAM_TRANSPORT_FAILURE_REASON"), failure.as_deref(), "{name}");
        for (operator, pointer) in [
            ("UPSTREAM_HOST", "/envoy/upstream_host"),
            ("UPSTREAM_LOCAL_ADDRESS", "/envoy/upstream_local_address"),
            ("DOWNSTREAM_REMOTE_ADDRESS", "/envoy/downstream_remote_address"),
            ("ACCESS_LOG_TYPE", "/envoy/access_log_type"),
            ("ROUTE_NAME", "/route/name"),
        ] {
            assert_eq!(printed(operator), text(pointer), "{name}: {operator}");
        }
        let attempts = number("/envoy/upstream_request_attempt_count");
        assert_eq!(printed("UPSTREAM_REQUEST_ATTEMPT_COUNT").unwrap_or("0"), attempts, "{name}");
    }
}

/// Scenario: the entries again; the records that are not the last of their request or connection are not asked for.
/// Guarantees: those, and no others, are dropped.
#[test]
fn intermediate_records() {
    let converter = Converter::new(Vec::new(), false);
    let mut dropped = Vec::new();
    for sample in samples() {
        let mut out = Vec::new();
        let entry = &sample.entry;
        let converted = if sample.http {
            converter.http(entry, &origin(), &mut out)
        } else {
            converter.tcp(entry, &origin(), &mut out)
        };
        if converted == Ok(Conversion::Intermediate) {
            assert!(out.is_empty());
            dropped.push(sample.name);
        }
    }
    let expected = ["TCP start record", "TCP upstream connected", "TCP periodic", "HTTP start record", "HTTP periodic"];
    assert_eq!(dropped, expected);
}

/// Scenario: a request that was served, with metadata, tags, filter state and headers of every kind.
/// Guarantees: the whole object is this one.
#[test]
fn served() {
    let object = sample("200 many headers").object();
    let expected = json!({
        "request": {
            "id": "rid-0",
            "method": "GET",
            "uri": "/ok?a=1%202&b=&a=3",
            "url": "http://svc.example/ok?a=1%202&b=&a=3",
            "querystring": {"a": ["1 2", "3"], "b": ""},
            "headers": {
                "host": "svc.example", "referer": "http://ref.example/p", "user-agent": "agent/1.0",
                "x-empty": "", "x-forwarded-for": "192.0.2.2", "x-forwarded-proto": "http", "x-long": "L".repeat(80),
                "x-multi": "m1,m2", "x-num": "42", "x-quote": "a\"b\\c\tz", "x-request-id": "rid-0",
                "x-test": "value one", "x-utf8": "häß€漢"
            },
            "size": 344
        },
        "response": {
            "status": 200,
            "headers": {
                "content-length": "9", "content-type": "text/plain", "date": "Sun, 29 Nov 2026 11:28:19 GMT",
                "server": "envoy", "x-empty": "", "x-envoy-upstream-service-time": "0", "x-json": "{\"a\":1}",
                "x-multi": "a,b", "x-resp": "R \"q\" \\ é"
            },
            "size": 250
        },
        "upstream_uri": "/ok?a=1%202&b=&a=3",
        "upstream_status": "200",
        "latencies": {"kong": 0, "proxy": 0, "request": 1, "receive": 0},
        "tries": [{"ip": "127.0.0.1", "port": 21491}],
        "route": {"name": "r-ok"},
        "service": {"name": "backend", "host": "127.0.0.1", "port": 21491},
        "client_ip": "127.0.0.1",
        "started_at": 1_795_951_699_495_i64,
        "source": "upstream",
        "envoy": {
            "log_name": "http",
            "node": {"id": "node-1", "cluster": "svc-a", "locality": {"region": "r1", "zone": "z1"}},
            "access_log_type": "DownstreamEnd",
            "stream_id": "rid-0",
            "response_flags": [],
            "route_name": "r-ok",
            "upstream_cluster": "backend",
            "upstream_request_attempt_count": 1,
            "upstream_host": "127.0.0.1:21491",
            "upstream_local_address": "127.0.0.1:52766",
            "downstream_remote_address": "127.0.0.1:44120",
            "downstream_direct_remote_address": "127.0.0.1:44120",
            "downstream_local_address": "127.0.0.1:21400",
            "downstream_wire_bytes_received": 344,
            "downstream_wire_bytes_sent": 250,
            "upstream_wire_bytes_received": 156,
            "upstream_wire_bytes_sent": 453,
            "metadata": {
                "ns.test": {
                    "b": true, "f": 1.5, "l": [1, "a", null], "n": 3, "o": {"deep": {"k": "v é"}}, "s": "str \"x\"",
                    "z": null
                },
                "other": {"big": 12_345_678_901_234_i64}
            },
            "filter_state": {"my.key": "fs-value one"},
            "custom_tags": {"env": "envval", "hdr": "value one", "lit": "L", "meta": "str \"x\""},
            "protocol": "HTTP/1.1",
            "response_code_details": "via_upstream",
            "request_headers_bytes": 404,
            "request_body_bytes": 0,
            "response_headers_bytes": 188,
            "response_body_bytes": 9
        },
        "_context": {"http_version": 1.1, "client_port": 44120}
    });
    assert_eq!(object, expected);
}

/// Scenario: what is set where Envoy answers itself, where the upstream fails, and where it is tried again.
/// Guarantees: `source`, `upstream_status` and `tries` say who answered; `proxy` is -1 where nothing was sent upstream.
#[test]
fn who_answered() {
    let facts = |name: &str| {
        let object = sample(name).object();
        let tries = object["tries"].as_array().unwrap().len();
        let sent = object["latencies"]["proxy"] != -1;
        let text = |member: &str| object[member].as_str().unwrap().to_owned();
        (text("source"), text("upstream_status"), tries, sent)
    };
    let of = |source: &str, status: &str, tries, sent| (source.to_owned(), status.to_owned(), tries, sent);
    assert_eq!(facts("no route"), of("kong", "", 0, false));
    assert_eq!(facts("redirect"), of("kong", "", 0, false));
    assert_eq!(facts("direct response"), of("kong", "", 0, false));
    assert_eq!(facts("connect refused"), of("kong", "", 1, false));
    assert_eq!(facts("no healthy host"), of("kong", "", 0, false));
    assert_eq!(facts("upstream timeout"), of("kong", "", 1, true));
    assert_eq!(facts("upstream closed before reply"), of("kong", "", 1, true));
    assert_eq!(facts("upstream broke off mid-body"), of("upstream", "200", 1, true));
    assert_eq!(facts("retried twice"), of("upstream", "200", 3, true));
    assert_eq!(facts("retries exhausted"), of("upstream", "503", 4, true));
    assert_eq!(facts("local rate limit"), of("kong", "", 0, false));
    assert_eq!(facts("websocket"), of("upstream", "101", 1, true));
}

/// Scenario: a rewritten path, a method without a number, a request line that cannot be read, a header that is not UTF-8.
/// Guarantees: `uri` is what the client sent, `upstream_uri` what the upstream got; the method is that of the header; what is
/// not known is absent.
#[test]
fn requests() {
    let object = sample("path rewritten").object();
    let (uri, upstream) = (object["request"]["uri"].as_str(), object["upstream_uri"].as_str());
    assert!(uri.is_some() && upstream.is_some() && uri != upstream, "{object}");
    assert_eq!(sample("unknown method").object()["request"]["method"], "PURGE");
    let bad = sample("bad request line").object();
    assert_eq!((bad["request"].get("method"), bad["request"].get("uri")), (None, None));
    assert_eq!((&bad["response"]["status"], &bad["envoy"]["response_flags"]), (&json!(400), &json!(["DPE"])));
    assert_eq!(sample("client went away").object()["response"]["status"], 0);
    let overload = sample("drop overload").object();
    assert_eq!(overload["envoy"]["response_flags"], json!(["UDO"]));
}

/// Scenario: TLS with and without TCP, with a client certificate.
/// Guarantees: version, cipher by OpenSSL's name, and that the certificate was verified; what Kong's object has no place for
/// is under `envoy`.
#[test]
fn tls() {
    let object = sample("TLS 1.3, HTTP/2, client certificate").object();
    let expected = json!({"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "client_verify": "SUCCESS"});
    assert_eq!(object["request"]["tls"], expected);
    assert_eq!(object["_context"]["http_version"], 2);
    let peer = json!({
        "subject": "CN=client one,O=Example Org",
        "issuer": "CN=Test CA,O=Example Org,C=DE",
        "uri_sans": ["spiffe://default/backend", "kuma://version/v1"],
    });
    assert_eq!((&object["envoy"]["tls"]["peer"], &object["envoy"]["tls"]["sni"]), (&peer, &json!("server.example")));
    assert_eq!(sample("TLS 1.2").object()["request"]["tls"]["cipher"], "ECDHE-RSA-CHACHA20-POLY1305");
    assert_eq!(sample("TCP over TLS").object()["session"]["tls"], expected);
}

/// Scenario: TCP connections that end well, that have no upstream, and that the upstream resets.
/// Guarantees: Kong's object of a stream session, without members of HTTP; 502 without an upstream.
#[test]
fn sessions() {
    let mut object = sample("TCP end").object();
    let envoy = object.as_object_mut().unwrap().remove("envoy").unwrap();
    let expected = json!({
        "session": {"received": 5, "sent": 5, "status": 200, "server_port": 21408},
        "upstream": {"received": 5, "sent": 5},
        "latencies": {"kong": 0, "session": 1300},
        "tries": [{"ip": "127.0.0.1", "port": 21492}],
        "service": {"name": "tcpup", "host": "127.0.0.1", "port": 21492},
        "client_ip": "127.0.0.1",
        "started_at": 1_795_951_721_060_i64,
    });
    assert_eq!(object, expected);
    assert_eq!(envoy["access_log_type"], "TcpConnectionEnd");
    let status = |name: &str| sample(name).object()["session"]["status"].as_u64();
    assert_eq!(status("TCP no host"), Some(502));
    assert_eq!(status("TCP connect refused twice"), Some(502));
    assert_eq!(status("TCP upstream reset"), Some(200));
}

/// Scenario: the first message's part about the sender, of a real Envoy with its hundreds of extensions.
/// Guarantees: its names are read.
#[test]
fn identifier() {
    let bytes = STANDARD.decode(include_str!("../../../tests/identifier.txt").trim()).unwrap();
    let origin = Origin::decode(&bytes).unwrap();
    assert_eq!((&origin.node_id[..], &origin.node_cluster[..]), (&b"node-1.default"[..], &b"svc-a"[..]));
}
