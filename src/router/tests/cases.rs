//! The table of Kong's answers in `cases/`.

use serde_json::{Map, Value, json};

use super::*;
use logphase_config::document;

const FILES: [&str; 3] = [
    include_str!("cases/paths_and_order.yml"),
    include_str!("cases/headers_and_tls.yml"),
    include_str!("cases/expressions_and_streams.yml"),
];

/// Scenario: the routes and requests of `cases/`: priorities, ties, wildcards, ports, regular expressions, headers, escapes,
/// server names, protocols, expressions and streams.
/// Guarantees: each transaction is given the route that Kong would log, by the rule of its set.
#[test]
fn routes_are_those_of_kong() {
    let sets: Vec<Value> = FILES.iter().flat_map(|text| sets(text)).collect();
    let (mut requests, mut wrong) = (0, Vec::new());
    for set in &sets {
        let rule = set["rule"].as_str().expect("a rule");
        let (router, errors) = self::router(&entities(set), options(set));
        wrong.extend(errors.iter().map(|error| format!("{rule}\n  {}", error.short())));
        let mut finder = RouteFinder::new(router);
        for line in set["requests"].as_array().expect("requests").iter().map(|line| line.as_str().expect("a line")) {
            let (request, expected) = line.split_once(" => ").expect("an expectation");
            let given = found(&mut finder, &object(request));
            requests += 1;
            if given.as_deref().unwrap_or("none") != expected {
                wrong.push(format!("{rule}\n  {line}, but was given {given:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {requests}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(sets.len() >= 60 && requests >= 300, "only {} sets and {requests} requests", sets.len());
}

/// The sets of a file.
fn sets(text: &str) -> Vec<Value> {
    let (tree, errors) = document::parse(&SourceFile::new("cases.yml", text), None);
    assert_eq!(errors, []);
    match tree.expect("a document").to_json() {
        Value::Array(sets) => sets,
        other => panic!("{other} is not a list of sets"),
    }
}

fn entities(set: &Value) -> Value {
    let lists = ["services", "routes"].into_iter().filter_map(|name| Some((name.to_owned(), set.get(name)?.clone())));
    Value::Object(lists.collect())
}

fn options(set: &Value) -> Options {
    let flavor = set.get("flavor").map(|flavor| serde_json::from_value(flavor.clone()).expect("a flavor"));
    let calculation = set.get("calculation").map(|name| serde_json::from_value(name.clone()).expect("a calculation"));
    Options { flavor, calculation: calculation.unwrap_or_default() }
}

/// The transaction that a line of the table describes.
fn object(line: &str) -> Value {
    let mut words = line.split(' ');
    let method = words.next().expect("a method");
    if method == "STREAM" {
        return session(words);
    }
    let (host, uri) = (words.next().expect("a host"), words.next().expect("a URI"));
    let (mut headers, mut context) = (Map::new(), Map::new());
    let (mut scheme, mut port, mut tls, mut client) = ("http", None, Value::Null, Value::Null);
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("tls", _) => scheme = "https",
            ("sni", name) => tls = json!({"sni": name, "version": "TLSv1.3"}),
            ("port", number) => port = Some(number.to_owned()),
            ("grpc", _) => drop(headers.insert("content-type".to_owned(), "application/grpc".into())),
            ("http1", _) => drop(context.insert("http_version".to_owned(), json!(1.1))),
            ("forwarded", scheme) => drop(context.insert("forwarded_scheme".to_owned(), scheme.into())),
            ("from", address) => client = address.into(),
            (name, value) if name.starts_with("h:") => add(&mut headers, &name[2..], value),
            _ => panic!("{word} in {line}"),
        }
    }
    if host != "-" {
        headers.insert("host".to_owned(), host.into());
    }
    let port = port.unwrap_or_else(|| if scheme == "https" { "443" } else { "80" }.to_owned());
    // As in Kong, the URL has the port that was connected to.
    let url = format!("{scheme}://{}:{port}{uri}", host.split(':').next().unwrap_or_default());
    let mut request = json!({"method": method, "uri": uri, "url": url, "headers": headers});
    if !tls.is_null() {
        request["tls"] = tls;
    }
    json!({"request": request, "client_ip": client, "_context": context})
}

/// Adds a value of a header, which may have some already.
fn add(headers: &mut Map<String, Value>, name: &str, value: &str) {
    match headers.get_mut(name) {
        None => drop(headers.insert(name.to_owned(), value.into())),
        Some(Value::Array(values)) => values.push(value.into()),
        Some(first) => *first = json!([first.clone(), value]),
    }
}

fn session<'a>(words: impl Iterator<Item = &'a str>) -> Value {
    let mut object = json!({"session": {}, "_context": {"vars": {}}});
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let (address, port) = value.split_once('#').unwrap_or((value, "0"));
        match name {
            "from" => {
                object["client_ip"] = address.into();
                object["_context"]["client_port"] = port.parse::<u16>().expect("a port").into();
            }
            "to" => {
                object["session"]["server_port"] = port.parse::<u16>().expect("a port").into();
                object["_context"]["vars"]["server_addr"] = address.into();
            }
            "sni" => object["session"]["tls"] = json!({"sni": value}),
            "udp" => object["_context"]["vars"]["protocol"] = "UDP".into(),
            _ => panic!("{word}"),
        }
    }
    object
}
