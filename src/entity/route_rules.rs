//! Rules about combinations of a route's fields, with Kong's messages.

use serde_json::{Map, Value};

use logphase_config::schema::{Problem, RecordCheck, Violation};

/// The rules, in Kong's order.
pub(super) const RULES: &[RecordCheck] = &[
    one_family,
    snis_need_tls,
    needs_a_criterion,
    forbidden::<0>,
    forbidden::<1>,
    forbidden::<2>,
    forbidden::<3>,
    forbidden::<4>,
    forbidden::<5>,
    strip_path_without_grpc,
    expression_alone,
];

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

/// The families that the protocols of a route are of.
fn families(protocols: &[&str]) -> Vec<&'static str> {
    let families = FAMILIES.iter().filter(|(names, _)| names.iter().any(|name| protocols.contains(name)));
    families.map(|(_, text)| *text).collect()
}

fn one_family(route: &Map<String, Value>) -> Result<(), Problem> {
    let families = families(&protocols(route));
    if families.len() < 2 {
        return Ok(());
    }
    let kong = Violation::Field(format!("these sets are mutually exclusive: {}", families.join(", ")));
    Err(Problem { field: "protocols", message: "protocols that exclude each other".to_owned(), kong })
}

/// The protocols, if they are valid: Kong's conditions hold for no others.
fn valid_protocols(route: &Map<String, Value>) -> Option<Vec<&str>> {
    let protocols = protocols(route);
    let known = protocols.iter().all(|protocol| crate::plugin::PROTOCOL_NAMES.contains(protocol));
    (known && families(&protocols).len() < 2).then_some(protocols)
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
    let Some(protocols) = valid_protocols(route) else { return Ok(()) };
    let row = CRITERIA.iter().find(|(protocol, ..)| protocol.is_empty() || protocols.contains(protocol));
    let Some((_, fields, when)) = row else { return Ok(()) };
    if is_set(route, "expression") || fields.iter().any(|field| is_set(route, field)) {
        return Ok(());
    }
    let kong = Violation::AtLeastOne(match fields {
        [only] => format!("must set {only} when 'protocols' is {when}"),
        _ => format!("must set one of '{}' when 'protocols' is {when}", fields.join("', '")),
    });
    Err(Problem { field: "protocols", message: "no field that a request can match".to_owned(), kong })
}

fn snis_need_tls(route: &Map<String, Value>) -> Result<(), Problem> {
    let Some(protocols) = valid_protocols(route) else { return Ok(()) };
    let tls = ["https", "grpcs", "tls", "tls_passthrough"];
    if !is_set(route, "snis") || protocols.iter().any(|protocol| tls.contains(protocol)) {
        return Ok(());
    }
    let text = "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'";
    let kong = Violation::Conditional(text.to_owned(), "snis", "length must be 0");
    Err(Problem { field: "snis", message: "`snis` does not apply to these protocols".to_owned(), kong })
}

/// Protocols, and how Kong's messages name them.
type Family = (&'static [&'static str], &'static str);

const STREAM: Family = (&["tcp", "tls", "udp", "tls_passthrough"], "'tcp', 'tls', 'tls_passthrough' or 'udp'");
const HTTP: Family = (&["http", "https"], "'http' or 'https'");
const GRPC: Family = (&["grpc", "grpcs"], "'grpc' or 'grpcs'");

/// Fields that routes of some protocols cannot have.
const FORBIDDEN: [(&str, &[Family]); 6] = [
    ("methods", &[STREAM, GRPC]),
    ("hosts", &[STREAM]),
    ("paths", &[STREAM]),
    ("headers", &[STREAM]),
    ("sources", &[HTTP, GRPC]),
    ("destinations", &[HTTP, GRPC]),
];

/// Whether the route is one of `family`: the first of its protocols decides.
fn is_of(route: &Map<String, Value>, family: &[&str]) -> bool {
    let known = |protocol: &&str| crate::plugin::PROTOCOL_NAMES.contains(protocol);
    protocols(route).into_iter().find(known).is_some_and(|first| family.contains(&first))
}

/// The rule of a row of [`FORBIDDEN`].
fn forbidden<const ROW: usize>(route: &Map<String, Value>) -> Result<(), Problem> {
    let (field, families) = FORBIDDEN[ROW];
    let family = families.iter().find(|(names, _)| is_of(route, names));
    let Some((_, when)) = family.filter(|_| route.get(field).is_some_and(|value| !value.is_null())) else {
        return Ok(());
    };
    let kong = Violation::Field(format!("cannot set '{field}' when 'protocols' is {when}"));
    Err(Problem { field, message: format!("`{field}` does not apply to these protocols"), kong })
}

fn strip_path_without_grpc(route: &Map<String, Value>) -> Result<(), Problem> {
    if route.get("strip_path") != Some(&Value::Bool(true)) || !is_of(route, GRPC.0) {
        return Ok(());
    }
    let kong = Violation::Field("cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'".to_owned());
    Err(Problem { field: "strip_path", message: "`strip_path` does not apply to these protocols".to_owned(), kong })
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
