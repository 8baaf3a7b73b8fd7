//! Rules about several fields, as `/schemas` shows them (kong/db/schema/entities). Their functions are not shown, as in Kong.

use logphase_config::schema::{Record, Violation};
use serde_json::{Map, Value, json};

use super::kind::Kind;
use super::upstream_rules;

/// The rules of the entities of `kind`.
pub(super) fn of_kind(kind: &Kind) -> Value {
    let fixed = match kind.name {
        "services" => services(),
        "routes" => routes(),
        "certificates" => vec![
            json!({"mutually_required": ["cert_alt", "key_alt"]}),
            custom(&["cert", "key"]),
            custom(&["cert_alt", "key_alt"]),
            custom(&["cert", "cert_alt"]),
        ],
        "ca_certificates" => vec![custom(&["cert"])],
        "keys" => vec![
            json!({"mutually_exclusive": ["jwk", "pem"]}),
            json!({"at_least_one_of": ["jwk", "pem"]}),
            custom(&["jwk", "pem", "kid"]),
        ],
        "consumers" => vec![json!({"at_least_one_of": ["custom_id", "username"]})],
        "upstreams" => upstream_rules::shown(),
        "jwt_secrets" => {
            let patterns = ["^RS256$", "^RS384$", "^RS512$", "^PS256$", "^PS384$", "^PS512$", "^EdDSA$"];
            let given = json!({"match_any": {"patterns": patterns}});
            vec![conditional("algorithm", &given, "rsa_public_key", &json!({"required": true}))]
        }
        _ => return at_least_one((kind.record)()),
    };
    fixed.into()
}

/// The rules of the plugins whose `config` has the fields `config`, of which some must be set.
pub(super) fn at_least_one(config: &Record) -> Value {
    let none = Map::new();
    let problems = config.checks.iter().filter_map(|check| check(&none).err());
    let named = problems.filter_map(|problem| match &problem.kong {
        // `at least one of these fields must be non-empty: 'a', 'b'`
        Violation::AtLeastOne(text) => Some(text.split('\'').skip(1).step_by(2).map(str::to_owned).collect()),
        _ => None,
    });
    named.map(|names: Vec<String>| json!({ "at_least_one_of": names })).collect()
}

/// If the field `given` is as `if_match` says, the field `field` must be as `then_match` says.
pub(super) fn conditional(given: &str, if_match: &Value, field: &str, then_match: &Value) -> Value {
    json!({"conditional": {"if_field": given, "if_match": if_match, "then_field": field, "then_match": then_match}})
}

fn custom(fields: &[&str]) -> Value {
    json!({"custom_entity_check": {"field_sources": fields}})
}

fn services() -> Vec<Value> {
    let without_path = json!({"one_of": ["tcp", "tls", "udp", "grpc", "grpcs"]});
    let without_tls = json!({"not_one_of": ["https", "tls"]});
    let null = json!({"eq": null});
    let fields = ["client_certificate", "tls_verify", "tls_verify_depth", "ca_certificates"];
    let of_tls = fields.map(|field| conditional("protocol", &without_tls, field, &null));
    std::iter::once(conditional("protocol", &without_path, "path", &null)).chain(of_tls).collect()
}

fn routes() -> Vec<Value> {
    let with_tls = ["grpcs", "https", "tls", "tls_passthrough"];
    let given = json!({"elements": {"type": "string", "not_one_of": with_tls}});
    let mut snis = conditional("protocols", &given, "snis", &json!({"len_eq": 0}));
    snis["conditional"]["then_err"] =
        "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'".into();
    let fields = [
        "id",
        "protocols",
        "snis",
        "sources",
        "destinations",
        "methods",
        "hosts",
        "paths",
        "headers",
        "expression",
        "regex_priority",
        "priority",
    ];
    let mut whole = custom(&fields);
    whole["custom_entity_check"]["run_with_missing_fields"] = true.into();
    vec![snis, custom(&["path_handling"]), whole]
}
