//! Random transactions in Kong's format, and what follows from how they were put together.

use serde_json::{Map, Value, json};

use super::random::Random;

/// A transaction, and facts about it that it does not spell out.
pub(super) struct Made {
    pub(super) transaction: Value,
    pub(super) facts: Value,
}

/// Segments of paths as they arrive, and after normalization (RFC 3986, and Kong's documentation of `get_path`).
const SEGMENTS: [(&str, &str); 8] = [
    ("v1", "v1"),
    ("orders", "orders"),
    ("%7Eann", "~ann"),
    ("caf%C3%A9", "café"),
    ("a%20b", "a b"),
    ("a%2Fb", "a%2Fb"),
    ("x-_.y", "x-_.y"),
    ("%41%5a", "AZ"),
];

/// Values of arguments as they arrive, and decoded.
const VALUES: [(&str, &str); 7] = [
    ("10", "10"),
    ("", ""),
    ("caf%C3%A9", "café"),
    ("a+b", "a b"),
    ("%26%3d", "&="),
    ("x%2Fy", "x/y"),
    ("a-b_c.d", "a-b_c.d"),
];

/// A path as it arrives, and normalized.
fn path(random: &mut Random) -> (String, String) {
    let (mut raw, mut kept) = (String::new(), Vec::new());
    for _ in 0..random.below(4) {
        raw.push('/');
        match random.below(8) {
            0 => raw.push('.'),
            1 => {
                raw.push_str("..");
                kept.pop();
            }
            2 => {}
            _ => {
                let (arrives, normal) = SEGMENTS[random.below(SEGMENTS.len())];
                raw.push_str(arrives);
                kept.push(normal.to_owned());
            }
        }
    }
    let last = random.word();
    raw.push('/');
    raw.push_str(&last);
    kept.push(last);
    (raw, format!("/{}", kept.join("/")))
}

/// Adds `value` as Kong and nginx keep what occurs again: in a list.
fn add(members: &mut Map<String, Value>, name: &str, value: Value) {
    match members.get_mut(name) {
        None => drop(members.insert(name.to_owned(), value)),
        Some(Value::Array(values)) => values.push(value),
        Some(single) => *single = json!([single.take(), value]),
    }
}

/// A query as it arrives, and its arguments.
fn query(random: &mut Random) -> (String, Map<String, Value>) {
    let (mut parts, mut arguments) = (Vec::new(), Map::new());
    for _ in 0..random.below(5) {
        let name = if random.one_in(3) { "tag".to_owned() } else { random.word() };
        if random.one_in(5) {
            add(&mut arguments, &name, json!(true));
            parts.push(name);
        } else {
            let (arrives, decoded) = VALUES[random.below(VALUES.len())];
            add(&mut arguments, &name, json!(decoded));
            parts.push(format!("{name}={arrives}"));
        }
    }
    (parts.join("&"), arguments)
}

fn headers(random: &mut Random, host: &str) -> Map<String, Value> {
    let mut headers = Map::new();
    headers.insert("host".to_owned(), json!(host));
    headers.insert("user-agent".to_owned(), json!(random.pick(&["curl/8.5.0", "Mozilla/5.0 (X11; Linux x86_64)"])));
    headers.insert("cookie".to_owned(), json!(format!("session={}; theme=dark", random.word())));
    for _ in 0..random.below(4) {
        let name = format!("x-{}-{}", random.word(), random.word());
        for _ in 0..=random.below(2) {
            add(&mut headers, &name, json!(random.word()));
        }
    }
    headers
}

fn response(random: &mut Random) -> Value {
    let status = [200, 201, 204, 301, 404, 429, 500, 503][random.below(8)];
    let mut headers = Map::new();
    headers.insert("content-type".to_owned(), json!(random.pick(&["application/json", "text/html; charset=utf-8"])));
    for _ in 0..random.below(3) {
        add(&mut headers, "set-cookie", json!(format!("{}=1", random.word())));
    }
    headers.insert(format!("x-{}", random.word()), json!(random.word()));
    json!({"status": status, "size": random.below(100_000), "headers": headers})
}

/// A form as a body, as it arrives and decoded.
fn form(random: &mut Random) -> (String, Map<String, Value>) {
    let (mut body, mut arguments) = query(random);
    if body.is_empty() {
        "k=v".clone_into(&mut body);
        arguments.insert("k".to_owned(), json!("v"));
    }
    (body, arguments)
}

/// A transaction from `random`.
pub(super) fn make(random: &mut Random) -> Made {
    let (raw_path, normal_path) = path(random);
    let (raw_query, arguments) = query(random);
    let (scheme, default_port) = *random.pick(&[&("http", 80), &("https", 443)]);
    let name = format!("{}.example", random.word());
    let port = if random.one_in(2) { default_port } else { 1024 + random.below(60_000) };
    let host = if port == default_port { name.clone() } else { format!("{name}:{port}") };
    let uri = if raw_query.is_empty() { raw_path.clone() } else { format!("{raw_path}?{raw_query}") };
    let mut headers = headers(random, &host);
    headers.insert("content-type".to_owned(), json!("application/x-www-form-urlencoded"));
    let (body, form) = form(random);
    let (kong, proxy) = (random.below(50), random.below(2000));
    let consumer = json!({"id": "35b03bfc-7a5b-4a23-a594-aa350c585fa8", "username": random.word()});
    let response = response(random);
    let credential = json!({"id": "eaa330c0-4cff-47f5-c79e-b2e4f355207e", "consumer_id": consumer["id"]});
    let facts = json!({
        "scheme": scheme, "host": name, "port": port, "raw_path": raw_path, "path": normal_path, "query": raw_query,
        "body": body, "form": form,
    });
    let transaction = json!({
        "client_ip": format!("10.{}.{}.{}", random.below(256), random.below(256), 1 + random.below(254)),
        "started_at": 1_600_000_000_000_u64 + random.below(200_000_000) as u64 * 1000 + random.below(1000) as u64,
        "latencies": {"kong": kong, "proxy": proxy, "request": kong + proxy, "receive": random.below(9)},
        "request": {
            "id": format!("{:032x}", random.below(usize::MAX)), "method": random.pick(&["GET", "POST", "PUT", "DELETE", "PATCH"]),
            "size": 100 + random.below(10_000), "uri": uri, "url": format!("{scheme}://{host}{uri}"),
            "querystring": arguments, "headers": headers,
        },
        "response": response, "upstream_status": response["status"].to_string(), "upstream_uri": uri,
        "route": {
            "id": "0f1a4101-3327-4274-b1e4-484a4ab0c030", "name": random.word(), "paths": ["/v1"], "tags": [random.word()],
            "protocols": ["http", "https"],
        },
        "service": {"id": "fb4eecf8-dec2-40ef-b779-16de7e2384c7", "name": random.word(), "port": 8080, "protocol": "http"},
        "consumer": consumer, "authenticated_entity": credential,
        "tries": [{"ip": "10.1.1.1", "port": 8080, "balancer_latency": 0}],
        "source": random.pick(&["upstream", "kong"]), "workspace": "f381e34e-5c25-4e65-b91b-3c0a86cfc393",
        "workspace_name": "default",
        "_context": {
            "request_body": body, "response_body": "{\"ok\":true}", "http_version": random.pick(&[&1.1, &2.0]),
            "client_port": 1024 + random.below(60_000), "shared": {"tenant": random.word()},
            "consumer_groups": [{"name": random.word(), "id": "a5c05d6c-9dc7-4ad6-a0b1-c2a2e7a2f1d3"}],
            "uri_captures": {"named": {"id": "7"}, "unnamed": ["7"]},
            "node": {"id": "6a1f2b4e-0d61-4d0f-8d5e-5a8a35e6ad42", "hostname": "kong-1"},
        },
    });
    Made { transaction, facts }
}
