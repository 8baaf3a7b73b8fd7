//! `include_body`: bodies in messages.

use serde_json::{Value, json};

use crate::service::{Client, Home, TcpPeer, configuration, free_port, transaction, wait_until, whole_lines};

/// A transaction with bodies of these types.
fn with_bodies(number: u64, request: (&str, &str), response: (&str, &str)) -> Value {
    let mut value = transaction(number);
    value["request"]["headers"]["content-type"] = request.0.into();
    value["response"]["headers"]["content-type"] = response.0.into();
    value["_context"] = json!({"request_body": request.1, "response_body": response.1});
    value
}

/// The members of the message that hold bodies.
fn bodies(message: &Value) -> Value {
    let members = message.as_object().unwrap().iter().filter(|(name, _)| name.contains("body"));
    members.map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The whole lines that the file-log plugin has written so far.
fn written(home: &Home, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(home.path(name)).unwrap_or_default();
    whole_lines(&text)
}

/// Scenario: file-log with both bodies, tcp-log without `include_body`, one transaction with a form and a JSON body.
/// Guarantees: the file has both bodies with their arguments and no `_context`; the other plugin's message has none.
#[test]
fn both_bodies_in_a_file() {
    let peer = TcpPeer::start();
    let home = Home::new();
    let file = home.text("messages.log");
    home.write(
        "kong.yml",
        &configuration(&json!([
            {"name": "file-log", "config": {"path": file, "include_body": "both"}},
            {"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}},
        ])),
    );
    let service = home.start();
    let form = ("application/x-www-form-urlencoded", "a=1&b=%2F&a=2");
    service.accept(with_bodies(1, form, ("application/json", r#"{"ok":true}"#)).to_string());
    wait_until("the message is in the file", || written(&service.home, "messages.log").len() == 1);
    let message = &written(&service.home, "messages.log")[0];
    let expected = json!({
        "body": "a=1&b=%2F&a=2", "body_args": {"a": ["1", "2"], "b": "/"},
        "response_body": "{\"ok\":true}", "response_body_args": {"ok": true},
    });
    assert_eq!((bodies(message), message.get("_context")), (expected, None));
    peer.wait_for(1);
    let text = String::from_utf8(peer.lines().concat()).unwrap();
    assert!(text.contains("\"request\"") && !text.contains("body"), "{text}");
}

/// Scenario: `try` with kafka-log and Kong's defaults: each kind of body, no body, and an invalid one; then with
/// settings that override the default.
/// Guarantees: the message has the request's body by default and never the response's; the invalid body yields no
/// message, the reason, and a non-zero exit code; settings disable bodies or keep the invalid one.
#[test]
fn kafka_log_by_default() {
    let home = Home::with(&configuration(&json!([{"name": "kafka-log", "config": {
        "topic": "t", "bootstrap_servers": [{"host": "broker", "port": 9092}]}}])));
    let response = ("application/json", "{}");
    let input = [
        with_bodies(1, ("text/plain", "x"), response),
        with_bodies(2, ("text/plain; charset=utf-8", "x"), response),
        with_bodies(3, ("application/json", "[1]"), response),
        transaction(4),
    ];
    let text: String = input.iter().map(|value| format!("{value}\n")).collect();
    let ended = home.run(&["try", "--json", "kong.yml"], text.as_bytes());
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let found: Vec<_> = lines(&ended.stdout).iter().map(|line| bodies(&line["message"])).collect();
    let expected = [
        json!({"body": "x", "body_args": {}}),
        json!({"body": "eA==", "body_args": {}, "body_base64": true}),
        json!({"body": "[1]", "body_args": [1]}),
        json!({}),
    ];
    assert_eq!(found, expected);

    let broken = with_bodies(5, ("application/json", "{nonsense"), response).to_string();
    let ended = home.run(&["try", "--json", "kong.yml"], broken.as_bytes());
    let line = &lines(&ended.stdout)[0];
    assert!(ended.code() > 0 && line["message"].is_null(), "{line}");
    assert!(line["errors"][0]["message"].as_str().unwrap().contains("request_body: invalid json body"), "{line}");

    let home = home.set("LOGPHASE_PLUGINS", "{kafka-log: {on_body_error: keep, max_body_size: 9}}");
    let ended = home.run(&["try", "--json", "kong.yml"], broken.as_bytes());
    let found = bodies(&lines(&ended.stdout)[0]["message"]);
    assert_eq!((ended.code(), &found["body"], found.get("body_args")), (0, &json!("{nonsense"), None));
    assert!(found["body_error"].as_str().unwrap().starts_with("invalid json body"), "{found}");
    let home = home.set("LOGPHASE_PLUGINS", "{kafka-log: {max_body_size: 8}}");
    let ended = home.run(&["try", "--json", "kong.yml"], broken.as_bytes());
    assert_eq!(bodies(&lines(&ended.stdout)[0]["message"]), json!({"body_size": 9}));
    let home = home.set("LOGPHASE_PLUGINS", "{kafka-log: {include_body: off}}");
    let ended = home.run(&["try", "--json", "kong.yml"], broken.as_bytes());
    assert_eq!((ended.code(), bodies(&lines(&ended.stdout)[0]["message"])), (0, json!({})));
}

/// Scenario: an invalid body for two plugins, where tcp-log drops the message and file-log keeps it; then a valid body.
/// Guarantees: the answer is 200; the kept message has `body_error`; the dropped one is logged and counted in the
/// status; the valid one reaches both.
#[test]
fn broken_bodies_are_dropped_or_kept() {
    let (peer, status) = (TcpPeer::start(), free_port());
    let home = Home::new().set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    let file = json!({"path": home.text("messages.log"), "include_body": "request", "on_body_error": "keep"});
    let tcp = json!({"host": "127.0.0.1", "port": peer.port, "include_body": "request"});
    home.write(
        "kong.yml",
        &configuration(&json!([{"name": "file-log", "config": file}, {"name": "tcp-log", "config": tcp}])),
    );
    let service = home.start();
    let none = ("text/plain", "");
    service.accept(with_bodies(1, ("application/json", "{"), none).to_string());
    service.accept(with_bodies(2, ("application/json", "{}"), none).to_string());
    wait_until("both messages are in the file", || written(&service.home, "messages.log").len() == 2);
    let kept = bodies(&written(&service.home, "messages.log")[0]);
    assert_eq!((&kept["body"], kept.get("body_args")), (&json!("{"), None));
    assert!(kept["body_error"].as_str().unwrap().starts_with("invalid json body"), "{kept}");
    peer.wait_for(1);
    assert_eq!(peer.messages().counts.into_keys().collect::<Vec<_>>(), [2]);
    assert!(service.has_logged("a message is not sent: request_body: invalid json body"), "{}", service.log());
    let mut client = Client::connect(status).unwrap();
    client.send(b"GET /status HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    let answer = client.answer().unwrap().json();
    assert_eq!((&answer["refused"], &answer["dropped"], &answer["transactions"]), (&json!(1), &json!(0), &json!(2)));
}

/// Scenario: `body_types` in kong.yml that allows JSON but not plain text; then an invalid content type, in kong.yml
/// and in the settings.
/// Guarantees: the message has only the JSON body; an invalid type is an error with its place.
#[test]
fn allowed_types() {
    let kong = |types: &str| {
        format!(
            "_format_version: '3.0'\nplugins:\n- name: file-log\n  config:\n    path: /tmp/x\n    include_body: both\n    body_types:\n    - {types}\n"
        )
    };
    let home = Home::with(&kong("application/*"));
    let input = with_bodies(1, ("text/plain", "x"), ("Application/JSON; charset=utf-8", "[]")).to_string();
    let ended = home.run(&["try", "--json", "kong.yml"], input.as_bytes());
    let found = bodies(&lines(&ended.stdout)[0]["message"]);
    assert_eq!(found, json!({"response_body": "[]", "response_body_args": []}));
    home.write("kong.yml", &kong("json"));
    let ended = home.run(&["check", "kong.yml"], b"");
    let said = ended.stdout + &ended.stderr;
    assert!(ended.status.code() == Some(78) && said.contains("kong.yml:8:7") && said.contains("`json`"), "{said}");
    home.write("kong.yml", &kong("text/*"));
    let home = home.set("LOGPHASE_PLUGINS", "{file-log: {body_types: [a]}}");
    let ended = home.run(&["check", "kong.yml"], b"");
    assert!(ended.code() > 0, "{}", ended.stdout + &ended.stderr);
}
