//! `logphase format`, and `format` of the logging plugins.

use std::path::Path;

use serde_json::{Value, json};

use crate::service::{Ended, Home, TcpPeer, UdpPeer, configuration, transaction, wait_until};

fn format(arguments: &[&str], input: &str) -> Ended {
    Home::new().run(&[&["format"], arguments].concat(), input.as_bytes())
}

fn entries() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/envoy/entries.ndjson");
    std::fs::read_to_string(path).unwrap()
}

/// Scenario: entries of Envoy as lines, as an array, as messages of the stream, with a wrapper, and as a file.
/// Guarantees: all give the same lines, one for each entry.
#[test]
fn forms_of_entries() {
    let template = "%REQ(:METHOD)% %PATH% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_SENT% %DOWNSTREAM_TLS_VERSION%";
    let lines = "GET /rw/thing?x=y 200 - 9 -\nGET /down?q=1 503 UF 98 -\nPOST /test.Svc/5 200 - 0 -\nGET /ok/tls?a=b 200 - 9 TLSv1.3\n- - 0 - 8 -\n";
    let ended = format(&[template], &entries());
    assert_eq!((ended.code(), ended.stdout.as_str(), ended.stderr.as_str()), (0, lines, ""));
    let values: Vec<Value> = entries().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (http, tcp) = values.split_at(4);
    let wrapped: Vec<_> = values.iter().map(|entry| json!({"name": "x", "entry": entry}).to_string()).collect();
    let stream = format!(
        "{}{}",
        json!({"identifier": {"log_name": "x"}, "http_logs": {"log_entry": http}}),
        json!({"tcpLogs": {"logEntry": tcp}})
    );
    for input in [json!(values).to_string(), wrapped.concat(), stream] {
        assert_eq!(format(&[template], &input).stdout, lines);
    }
    let home = Home::new();
    home.write("entries", &entries());
    assert_eq!(home.run(&["format", "--entries", "entries", template], b"").stdout, lines);
}

/// Scenario: a template in JSON, with and without `--omit-empty`; a text that looks like JSON, with and without `--escape`.
/// Guarantees: lines have sorted keys and typed values; text is filled in as it is unless told otherwise.
#[test]
fn json_templates() {
    let template = r#"{"z": "%RESPONSE_CODE%", "a": {"tls": "%DOWNSTREAM_TLS_VERSION%"}, "p": ["%PATH(NQ)%"]}"#;
    let first = entries().lines().next().unwrap().to_owned();
    let ended = format(&["--json", template], &first);
    assert_eq!(ended.stdout, "{\"a\":{\"tls\":null},\"p\":[\"/rw/thing\"],\"z\":200}\n");
    let ended = format(&["--json", "--omit-empty", template], &first);
    assert_eq!(ended.stdout, "{\"p\":[\"/rw/thing\"],\"z\":200}\n");
    let message = json!({"request": {"method": "a\"b"}}).to_string();
    let text = r#"{"m": "%REQ(:METHOD)%"}"#;
    assert_eq!(format(&[text], &message).stdout, "{\"m\": \"a\"b\"}\n");
    assert_eq!(format(&["--escape", text], &message).stdout, "{\"m\": \"a\\\"b\"}\n");
}

/// Scenario: log objects of Kong, which file-log writes.
/// Guarantees: the same command renders them.
#[test]
fn log_objects_of_kong() {
    let line = "%RESPONSE_CODE% %REQ(:PATH)% %DYNAMIC_METADATA(request:id)%";
    let ended = format(&[line], &format!("{}\n{}\n", transaction(1), transaction(2)));
    let expected = [1, 2].map(|id| {
        let message = transaction(id);
        let uri = message["upstream_uri"].as_str().or(message["request"]["uri"].as_str()).unwrap();
        format!("{} {uri} {}\n", message["response"]["status"], message["request"]["id"].as_str().unwrap_or("-"))
    });
    assert_eq!(ended.stdout, expected.concat(), "{}", ended.stderr);
}

/// Scenario: templates with mistakes: unknown operators, parameters, what entries lack, a stray `%`; one in JSON.
/// Guarantees: exit code 78; each mistake with its place, a caret, Envoy's own words and the name that was meant; nothing is read.
#[test]
fn mistakes() {
    let ended = format(&["%PROTOCOL% %RESPONSE_COD% %REQ% %TRACE_ID% 100%"], "");
    assert_eq!((ended.code(), ended.stdout.as_str()), (78, ""));
    insta::assert_snapshot!("format_mistakes", ended.stderr);
    let ended = format(&["--json", r#"{"a": {"\u00e4 b": ["\t%NOPE%"]}, "c": "%PATH(X)%"}"#], "");
    assert_eq!(ended.code(), 78);
    insta::assert_snapshot!("format_mistakes_json", ended.stderr);
    let ended = format(&["--json", "{\"a\": "], "");
    assert_eq!(ended.code(), 78);
    assert!(ended.stderr.contains("K0001"), "{}", ended.stderr);
    let ended = format(&["--json", "[1]"], "");
    assert!(ended.stderr.contains("is an object"), "{}", ended.stderr);
    // Only messages of Kong lack it.
    let template = "%COMMON_DURATION(DS_RX_BEG:DS_RX_END)%";
    assert_eq!(format(&[template], &entries()).code(), 0);
    let ended = format(&[template], &transaction(1).to_string());
    assert!(ended.code() == 78 && ended.stderr.contains("log messages of Kong do not have"), "{}", ended.stderr);
    assert_eq!(format(&["--source", "kong", template], "").code(), 78);
}

/// Scenario: entries that are none, between good ones.
/// Guarantees: exit code 1; each is named with its number and what is wrong; the others have their lines.
#[test]
fn broken_entries() {
    let first = entries().lines().next().unwrap().to_owned();
    let broken = json!({"protocolVersion": "HTTP11", "response": {"responseCode": "many"}});
    let ended = format(&["%RESPONSE_CODE%"], &format!("{first}\n{broken}\n5\n{first}\n{{"));
    assert_eq!((ended.code(), ended.stdout.as_str()), (1, "200\n200\n"));
    for text in [
        "entry 2: not an entry of Envoy: response.responseCode: expected a whole number",
        "entry 3: not a log",
        "entry 5: not JSON",
    ] {
        assert!(ended.stderr.contains(text), "{text}\n{}", ended.stderr);
    }
}

/// Scenario: default formats with and without the placeholders of Kuma, and headers that no entry has.
/// Guarantees: placeholders have the given values; one without is refused; a header that Envoy was not told to send is noted.
#[test]
fn defaults_and_placeholders() {
    let ended = format(&["--default", "mesh-tcp"], &entries());
    assert_eq!(ended.code(), 78);
    assert!(
        ended.stderr.contains("KUMA_MESH has no value") && ended.stderr.contains("--kuma MESH=VALUE"),
        "{}",
        ended.stderr
    );
    let values =
        ["MESH=m", "KUMA_SOURCE_SERVICE=web", "DESTINATION_SERVICE=api", "SOURCE_ADDRESS_WITHOUT_PORT=10.0.0.1"];
    let kuma: Vec<_> = values.iter().flat_map(|value| ["--kuma", value]).collect();
    let last = entries().lines().last().unwrap().to_owned();
    let ended = format(&[&["--default", "mesh-tcp"], &kuma[..]].concat(), &last);
    assert!(ended.stdout.contains("] - m 10.0.0.1(web)->127.0.0.1:"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("bytes\n"), "{}", ended.stdout);
    let ended = format(&["%REQ(X-ABSENT?X-REQUEST-ID)% %RESP(CONTENT-TYPE)%"], &entries());
    assert!(ended.stderr.contains("no entry has the request header x-absent"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("content-type"), "{}", ended.stderr);
    for (zone, offset) in [("UTC", "+0000\n"), ("-03:30", "-0330\n")] {
        assert_eq!(format(&["--zone", zone, "%START_TIME_LOCAL(%z)%"], &last).stdout, offset);
    }
    assert_eq!(format(&["--zone", "nowhere", "%START_TIME_LOCAL(%z)%"], &last).code(), 2);
    assert!(format(&["--operators"], "").stdout.contains("TRACE_ID  not available: "));
}

/// Scenario: the examples of `logphase format --help`, as they are.
/// Guarantees: each works in the folder of the project.
#[test]
fn examples_of_the_help() {
    let home = Home::new();
    let help = home.run(&["format", "--help"], b"").stdout;
    let examples: Vec<_> = help.lines().filter_map(|line| line.trim().strip_prefix("logphase format ")).collect();
    assert!(examples.len() >= 4, "{help}");
    for example in examples {
        let program = env!("CARGO_BIN_EXE_logphase");
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("{program} format {example}")])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        assert!(
            output.status.success() && !output.stdout.is_empty(),
            "{example}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Scenario: file-log, tcp-log, udp-log and syslog with a format, of which one is JSON; a field that a snippet adds, a header
/// that is redacted, and a value with a line end.
/// Guarantees: each receiver gets the line of the template, made of what redaction and snippets left of the message, as one
/// line, one datagram, one message of syslog.
#[test]
fn formats_of_plugins() {
    let (tcp, udp, syslog) = (TcpPeer::start(), UdpPeer::start(), UdpPeer::start());
    let home = Home::new();
    let text = "%REQ(:METHOD)% %PATH% %RESPONSE_CODE% %REQ(AUTHORIZATION)% %DYNAMIC_METADATA(team)%";
    let fields = json!({"team": "return 'a\\nb'"});
    let local = |port: u16, more: Value| {
        let mut config = json!({"host": "127.0.0.1", "port": port});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let plugins = json!([
        {"name": "file-log", "config": {"path": home.text("lines"), "format": format!("{text}\n"), "custom_fields_by_lua": fields}},
        {"name": "tcp-log", "config": local(tcp.port, json!({"format": r#"{"team": "%DYNAMIC_METADATA(team)%"}"#, "custom_fields_by_lua": fields}))},
        {"name": "udp-log", "config": local(udp.port, json!({"format": "%UPSTREAM_HOST% took %DURATION%ms"}))},
        {"name": "syslog", "config": local(syslog.port, json!({"line_format": "%ROUTE_NAME% %RESPONSE_CODE%"}))},
    ]);
    home.write("kong.yml", &configuration(&plugins));
    let mut service = home.start();
    service.accept(transaction(7).to_string());
    tcp.wait_for(1);
    udp.wait_for(1);
    syslog.wait_for(1);
    let lines = || std::fs::read_to_string(service.home.path("lines")).unwrap_or_default();
    wait_until("the line is in the file", || lines().ends_with('\n'));
    assert_eq!(lines(), "GET /orders?limit=10 200 REDACTED a\\nb\n");
    let line: Value = serde_json::from_slice(&tcp.lines()[0]).unwrap();
    assert_eq!(line, json!({"team": "a\nb"}));
    assert_eq!(udp.datagrams()[0], b"10.0.0.1:8080 took 30ms");
    let message = String::from_utf8(syslog.datagrams()[0].clone()).unwrap();
    assert!(message.starts_with("<14>1 ") && message.ends_with(" - - orders 200"), "{message}");
    assert_eq!(service.stop(), 0);
}
