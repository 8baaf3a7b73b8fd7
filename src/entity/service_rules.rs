//! Rules about combinations of a service's fields, with Kong's messages (kong/db/schema/entities/services.lua).

use serde_json::{Map, Value};

use logphase_config::schema::{Problem, RecordCheck, Violation};

/// The rules, in Kong's order.
pub(super) const RULES: &[RecordCheck] =
    &[forbidden::<0>, forbidden::<1>, forbidden::<2>, forbidden::<3>, forbidden::<4>];

const WITHOUT_TLS: &[&str] = &["grpc", "grpcs", "http", "tcp", "tls_passthrough", "udp"];

/// Fields that must be null for services of some protocols.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    ("path", &["tcp", "tls", "udp", "grpc", "grpcs"]),
    ("client_certificate", WITHOUT_TLS),
    ("tls_verify", WITHOUT_TLS),
    ("tls_verify_depth", WITHOUT_TLS),
    ("ca_certificates", WITHOUT_TLS),
];

/// The rule of a row of [`FORBIDDEN`].
fn forbidden<const ROW: usize>(service: &Map<String, Value>) -> Result<(), Problem> {
    let (field, protocols) = FORBIDDEN[ROW];
    let protocol = service.get("protocol").and_then(Value::as_str).unwrap_or_default();
    if !protocols.contains(&protocol) || service.get(field).is_none_or(Value::is_null) {
        return Ok(());
    }
    let kong = Violation::conditional("protocol", field, "value must be null");
    Err(Problem { field, message: format!("`{field}` does not apply to the protocol `{protocol}`"), kong })
}
