//! Rules about combinations of a route's fields, with Kong's messages.

use serde_json::{Map, Value};

use logphase_config::schema::{Problem, RecordCheck};

/// The rules, in Kong's order.
pub(super) const RULES: &[RecordCheck] = &[one_family, needs_a_criterion, only_fields_of_its_family, expression_alone];

/// Sets of protocols. The protocols of a route are of one set.
const FAMILIES: [(&[&str], &str); 4] = [
    (&["http", "https"], "('http', 'https')"),
    (&["tcp", "tls", "udp"], "('tcp', 'tls', 'udp')"),
    (&["tls_passthrough"], "('tls_passthrough')"),
    (&["grpc", "grpcs"], "('grpc', 'grpcs')"),
];

fn protocols(route: &Map<String, Value>) -> Vec<&str> {
    let list = route.get("protocols").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn is_set(route: &Map<String, Value>, field: &str) -> bool {
    match route.get(field) {
        None | Some(Value::Null) => false,
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
        Some(_) => true,
    }
}

fn one_family(route: &Map<String, Value>) -> Result<(), Problem> {
    let protocols = protocols(route);
    let families = FAMILIES.iter().filter(|(names, _)| names.iter().any(|name| protocols.contains(name)));
    let families: Vec<_> = families.map(|(_, text)| *text).collect();
    if families.len() < 2 {
        return Ok(());
    }
    let kong = format!("these sets are mutually exclusive: {}", families.join(", "));
    Err(Problem { field: "protocols", message: "protocols that exclude each other".to_owned(), kong })
}

/// By protocol: the fields of which a route needs at least one, and the protocol in Kong's message.
const CRITERIA: [(&str, &[&str], &str); 6] = [
    ("https", &["methods", "hosts", "headers", "paths", "snis"], "'https'"),
    ("http", &["methods", "hosts", "headers", "paths"], "'http'"),
    ("grpcs", &["hosts", "headers", "paths", "snis"], "'grpcs'"),
    ("grpc", &["hosts", "headers", "paths"], "'grpc'"),
    ("tls_passthrough", &["snis"], "'tls_passthrough'"),
    ("", &["sources", "destinations", "snis"], "'tcp', 'tls' or 'udp'"),
];

fn needs_a_criterion(route: &Map<String, Value>) -> Result<(), Problem> {
    let protocols = protocols(route);
    let row = CRITERIA.iter().find(|(protocol, ..)| protocol.is_empty() || protocols.contains(protocol));
    let Some((_, fields, when)) = row else { return Ok(()) };
    if is_set(route, "expression") || fields.iter().any(|field| is_set(route, field)) {
        return Ok(());
    }
    let kong = match fields {
        [only] => format!("must set {only} when 'protocols' is {when}"),
        _ => format!("must set one of '{}' when 'protocols' is {when}", fields.join("', '")),
    };
    Err(Problem { field: "protocols", message: "no field that a request can match".to_owned(), kong })
}

fn only_fields_of_its_family(route: &Map<String, Value>) -> Result<(), Problem> {
    let protocols = protocols(route);
    let any = |names: &[&str]| protocols.iter().any(|protocol| names.contains(protocol));
    let stream = any(&["tcp", "tls", "udp", "tls_passthrough"]);
    let tls = any(&["https", "grpcs", "tls", "tls_passthrough"]);
    let wrong = |field: &'static str, kong: String| {
        Err(Problem { field, message: format!("`{field}` does not apply to these protocols"), kong })
    };
    for field in ["methods", "hosts", "paths", "headers"] {
        if stream && is_set(route, field) {
            return wrong(
                field,
                format!("cannot set '{field}' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'"),
            );
        }
    }
    for field in ["sources", "destinations"] {
        if any(&["http", "https"]) && is_set(route, field) {
            return wrong(field, format!("cannot set '{field}' when 'protocols' is 'http' or 'https'"));
        }
    }
    if any(&["grpc", "grpcs"]) && route.get("strip_path") == Some(&Value::Bool(true)) {
        return wrong("strip_path", "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'".to_owned());
    }
    if !tls && is_set(route, "snis") {
        let kong = "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'";
        return wrong("snis", kong.to_owned());
    }
    Ok(())
}

fn expression_alone(route: &Map<String, Value>) -> Result<(), Problem> {
    let fields = ["methods", "hosts", "paths", "headers", "snis", "sources", "destinations"];
    if !is_set(route, "expression") || !fields.iter().any(|field| is_set(route, field)) {
        return Ok(());
    }
    let kong = "cannot set 'expression' with 'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or \
                'destinations' simultaneously";
    Err(Problem {
        field: "expression",
        message: "`expression` together with fields that it replaces".to_owned(),
        kong: kong.into(),
    })
}
