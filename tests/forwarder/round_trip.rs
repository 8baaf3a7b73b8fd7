//! From a request through the gateway to a message, held against the same snippets with all context at hand.

use base64::Engine;
use serde_json::{Value, json};

use super::gateway::Gateway;
use crate::service::{Home, configuration, wait_until};

/// Fields that read everything that can be sent.
fn fields() -> Value {
    json!({
        "subject": r#"local token = (kong.request.get_header("authorization") or ""):match("^Bearer%s+(.+)$")
            local payload = token and token:match("^[^.]+%.([^.]+)%.")
            return payload and ngx.decode_base64(payload):match('"sub"%s*:%s*"([^"]*)"')"#,
        "proxy": "return kong.request.get_header('proxy-authorization')",
        "tenant": "return (kong.ctx.shared.tenant or {}).name",
        "tags": "return kong.ctx.shared.tags",
        "everything": "return kong.ctx.shared.everything",
        "twice": "return kong.ctx.shared.twice",
        "long": "return kong.ctx.shared.long",
        "many": "return kong.ctx.shared.many",
        "cycle": "return kong.ctx.shared.cycle",
        "attempt": "local c = ngx.ctx return c.attempt",
        "server": "return ngx.var.server_name",
        "raw": "local ok, body = pcall(kong.request.get_raw_body) return ok and ngx.encode_base64(body) or nil",
        "order": "local ok, body = pcall(kong.request.get_body) return ok and body and body.order or nil",
        "answer": "local ok, body = pcall(kong.service.response.get_raw_body) return ok and ngx.encode_base64(body) or nil",
        "got": "local ok, body = pcall(kong.response.get_raw_body) return ok and ngx.encode_base64(body) or nil",
        "captures": "local c = kong.request.get_uri_captures() return {c.unnamed, c.named, c.unnamed[0]}",
        "header": "return kong.service.response.get_header('X-Answer')",
        "status": "return kong.service.response.get_status()",
        "version": "return kong.request.get_http_version()",
        "source": "return kong.response.get_source()",
        "groups": "return kong.client.get_consumer_groups()",
        "user": "local credential = kong.client.get_credential() return credential and credential.username",
        "host": "return kong.node.get_hostname()",
    })
}

/// A request, and what the test knows of it.
struct Case {
    line: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    /// The body that the upstream answers with; `None` if it does not answer, or with too much.
    answer: Option<Vec<u8>>,
    /// The body that the client gets; `None` if it is too large.
    got: Option<Vec<u8>>,
    /// Whether the body of the request is small enough to be sent.
    carried: bool,
}

const TOKEN: &str = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.x";

fn cases() -> Vec<Case> {
    let taken = |bytes: usize| format!("{{\"taken\":true,\"bytes\":{bytes}}}\n").into_bytes();
    let get = |line, answer: Vec<u8>| Case {
        line,
        headers: Vec::new(),
        body: Vec::new(),
        got: Some(answer.clone()),
        answer: Some(answer),
        carried: true,
    };
    let json = br#"{"order":17,"note":"caf\u00e9"}"#.to_vec();
    let long = |bytes: usize| [br#"{"order":""#.to_vec(), vec![b'z'; bytes], b"\"}".to_vec()].concat();
    let typed = vec![("Content-Type", "application/json"), ("Authorization", TOKEN)];
    let post = |line, body: Vec<u8>| Case {
        headers: typed.clone(),
        ..Case { body: body.clone(), ..get(line, taken(body.len())) }
    };
    let binary = vec![0, 1, 200, 255];
    vec![
        get("GET /orders/7/items?tenant=globex", taken(0)),
        get("GET /elsewhere?kind=binary", binary.clone()),
        get("GET /orders/8?kind=empty", Vec::new()),
        post("POST /orders/9", json.clone()),
        post("POST /orders/10", "{\"order\":\"h\u{fc}gel\"}".as_bytes().to_vec()),
        post("PUT /orders/11?x=1", binary),
        // In a file: more than client_body_buffer_size.
        post("POST /orders/12", long(12_000)),
        Case { carried: false, ..post("POST /orders/13", long(50_000)) },
        Case {
            carried: false,
            headers: [&typed[..], &[("X-Old-Kong", "3.4")]].concat(),
            ..post("POST /orders/14", long(12_000))
        },
        Case { answer: None, got: None, ..get("GET /orders/15?kind=large", Vec::new()) },
        Case {
            got: Some(br#"{"TAKEN":TRUE,"BYTES":0}"#.iter().copied().chain([b'\n']).collect()),
            ..get("GET /orders/16?kind=changed", taken(0))
        },
        Case { answer: None, ..get("GET /orders/17?kind=down", Vec::new()) },
        Case {
            headers: vec![("X-Denied", "1"), ("Proxy-Authorization", "Basic eDp5")],
            answer: None,
            ..get("GET /orders/18", Vec::new())
        },
    ]
}

/// A body as a member of the context.
fn put_body(context: &mut Value, name: &str, body: &[u8]) {
    match std::str::from_utf8(body) {
        Ok(text) => context[name] = text.into(),
        Err(_) => {
            context[name] = base64::engine::general_purpose::STANDARD.encode(body).into();
            context[format!("{name}_base64")] = true.into();
        }
    }
}

/// The transaction that a proxy would send that knows everything: `plain`, with the context that the test knows.
fn complete(case: &Case, plain: &Value, got: &[u8]) -> Value {
    let header = |name: &str| case.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let (denied, known) = (header("X-Denied").is_some(), header("Authorization").is_some());
    let mut whole = plain.clone();
    let mut context = json!({"http_version": 1.1, "vars": {"server_name": "gateway.example"}, "node": {"hostname": "kong-7"},
        "service_response": {"headers": {}}});
    if !denied {
        let tags = json!(["a", "b", {"c": 1.5}]);
        let tenant = if case.line.contains("tenant=globex") { "globex" } else { "acme" };
        context["shared"] = json!({"tenant": {"name": tenant}, "tags": tags, "twice": [tags, tags],
            "everything": {"own": {}, "list": [1, 2], "bad": "caf\u{fffd}"}});
        context["ngx_ctx"] = json!({"attempt": 2});
    }
    if known {
        context["credential"] = json!({"username": "ann"});
        context["consumer_groups"] = json!(["gold", "silver"]);
        whole["request"]["headers"]["authorization"] = header("Authorization").into();
    }
    if let Some(secret) = header("Proxy-Authorization") {
        whole["request"]["headers"]["proxy-authorization"] = secret.into();
    }
    let down = case.line.contains("kind=down");
    context["response_source"] = if denied {
        "exit"
    } else if down {
        "error"
    } else {
        "service"
    }
    .into();
    let path = case.line.split([' ', '?']).nth(1).unwrap();
    context["uri_captures"] = match path.strip_prefix("/orders/").map(|rest| rest.split('/').next().unwrap()) {
        // A group that does not take part is false in nginx.
        Some(id) if path.ends_with("/items") => json!({"whole": path, "unnamed": [id, "/items"], "named": {"id": id}}),
        Some(id) => json!({"whole": path, "unnamed": [id, false], "named": {"id": id}}),
        None => json!({"named": {}}),
    };
    if case.carried {
        put_body(&mut context, "request_body", &case.body);
    }
    if let Some(answer) = &case.answer {
        put_body(&mut context["service_response"], "body", answer);
    }
    if case.answer.is_some() || case.line.contains("large") {
        context["service_response"]["headers"] = json!({"x-answer": "from the upstream"});
        for kind in [("binary", "application/octet-stream")] {
            if case.line.contains(kind.0) {
                context["service_response"]["headers"]["content-type"] = kind.1.into();
            }
        }
    }
    if !denied {
        let status = plain["upstream_status"].as_str().unwrap().parse::<u16>().unwrap();
        context["service_response"]["status"] = status.into();
    }
    if case.got.is_some() {
        put_body(&mut context, "response_body", got);
    }
    whole["_context"] = context;
    whole
}

/// Scenario: a client sends requests through a gateway that runs the printed functions: with bodies of all kinds (text,
/// UTF-8, binary, in a file, too large), with credentials, refused by a plugin, with an upstream that answers nothing, much,
/// or is down, and with values of other plugins that are functions, cycles, shared, broken UTF-8 or too large.
/// Guarantees: each message that comes out of Logphase is the one that the same snippets give for the log object with the
/// whole context that the test knows; what is too large is left out and named; no function raises an error; values that no
/// snippet reads are not sent; no answer is changed.
#[test]
fn messages_are_those_of_the_whole_context() {
    let home = Home::new();
    let plugins =
        json!([{"name": "file-log", "config": {"path": home.text("file.log"), "custom_fields_by_lua": fields()}}]);
    home.write("kong.yml", &configuration(&plugins));
    let printed = home.run(&["forwarder", "kong.yml", "--format", "json", "--max-body-bytes", "20000"], b"");
    assert_eq!(printed.code(), 0, "{}", printed.stderr);
    home.write("forwarder.json", &printed.stdout);
    let service = home.start();
    let home = &service.home;
    let gateway = Gateway::start(home.path("").as_path(), home.http);

    let mut whole = Vec::new();
    for case in cases() {
        let before = gateway.lines("plain.ndjson").len();
        let (status, got) = gateway.request(case.line, &case.headers, &case.body);
        if let Some(expected) = case.got.as_ref().filter(|expected| !expected.is_empty()) {
            assert_eq!((status, &got), (200, expected), "{}", case.line);
        }
        wait_until("the log phase has run", || gateway.lines("plain.ndjson").len() > before);
        whole.push(complete(&case, &gateway.lines("plain.ndjson")[before], &got));
    }
    let messages = || -> Vec<Value> {
        let text = std::fs::read_to_string(home.path("file.log")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    wait_until("every message is written", || messages().len() == whole.len());

    let input: String = whole.iter().map(|transaction| format!("{transaction}\n")).collect();
    let tried = home.run(&["try", "kong.yml", "--json"], input.as_bytes());
    let expected: Vec<Value> = tried.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(expected.len(), whole.len(), "{}", tried.stderr);
    let messages = messages();
    for expected in expected {
        assert_eq!(expected["errors"], json!([]));
        let id = &expected["message"]["request"]["id"];
        let message = messages.iter().find(|message| message["request"]["id"] == *id).expect("its message");
        assert_eq!(*message, expected["message"], "{}", message["request"]["uri"]);
    }
    let sent = gateway.lines("sent.ndjson");
    let omitted = json!(["shared.cycle", "shared.long", "shared.many"]);
    assert_eq!(sent[0]["_context"]["omitted"], omitted);
    let some = |name: &str| {
        sent.iter().any(|sent| sent["_context"]["omitted"].as_array().is_some_and(|all| all.contains(&name.into())))
    };
    assert!(some("request_body") && some("service_response.body") && some("response_body"), "{sent:?}");
    assert!(
        !sent.iter().any(|sent| sent.to_string().contains("not asked for") || sent.to_string().contains("secret\""))
    );
    assert!(!gateway.errors().contains("SHIM") && !gateway.errors().contains("[error] lua"), "{}", gateway.errors());
}
