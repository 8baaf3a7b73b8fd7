//! Backends of MeshAccessLog: where the lines of a policy go, and in which format.

use std::sync::Arc;

use uuid::Uuid;

use super::address::split_host_port;
use super::field::{Field, Reader};
use super::log_record::RecordFormat;
use super::template::{self, Format};
use logphase_config::diagnostic::Origin;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A file.
    File {
        /// Its path, which is absolute in a MeshAccessLog.
        path: String,
    },
    /// A collector that takes lines over TCP.
    Tcp {
        /// `HOST:PORT`.
        address: String,
    },
    /// A collector of OpenTelemetry.
    OpenTelemetry {
        /// `HOST:PORT`; empty if a MeshOpenTelemetryBackend has the address.
        endpoint: String,
        /// Labels of the MeshOpenTelemetryBackend; empty if there is an endpoint.
        backend: Vec<(String, String)>,
    },
}

/// A backend of a policy.
#[derive(Debug)]
pub struct Backend {
    /// Where the lines go.
    pub destination: Destination,
    /// Its format; none is the default format of the connection's protocol.
    pub format: Option<Arc<Format>>,
    /// The records of a collector of OpenTelemetry.
    pub record: Option<Arc<RecordFormat>>,
    /// Where it stands.
    pub origin: Origin,
}

impl Destination {
    /// What the outputs of its kind are called, as plugins are.
    pub fn output_name(&self) -> &'static str {
        match self {
            Self::File { .. } => "mesh-file",
            Self::Tcp { .. } => "mesh-tcp",
            Self::OpenTelemetry { .. } => "mesh-opentelemetry",
        }
    }

    /// The id of its output, as plugins have one: the same for every configuration.
    pub fn identity(&self) -> String {
        const NAMESPACE: Uuid = Uuid::from_u128(0x6d0f_5f6e_33a0_4c67_9a58_1d1f_0a57_c9e2);
        Uuid::new_v5(&NAMESPACE, format!("{}:{}", self.output_name(), self.instance()).as_bytes()).to_string()
    }

    /// What tells it from others of its kind: a path or an address.
    pub fn instance(&self) -> &str {
        match self {
            Self::File { path } => path,
            Self::Tcp { address } => address,
            Self::OpenTelemetry { endpoint, .. } => endpoint,
        }
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path } => write!(f, "file {path}"),
            Self::Tcp { address } => write!(f, "tcp {address}"),
            Self::OpenTelemetry { endpoint, .. } if !endpoint.is_empty() => write!(f, "OpenTelemetry {endpoint}"),
            Self::OpenTelemetry { .. } => write!(f, "OpenTelemetry"),
        }
    }
}

/// Reads the backends of `default`; none if they are missing.
pub(super) fn read_default(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<Backend>> {
    if field.is_set() {
        field.only(reader, &["backends"]);
    }
    let backends = field.get("backends");
    if !backends.is_set() {
        backends.violation(reader, "must be defined");
        return None;
    }
    let items = backends.items(reader)?;
    Some(items.iter().filter_map(|item| backend(item, reader)).collect())
}

fn backend(item: &Field<'_>, reader: &mut Reader) -> Option<Backend> {
    item.only(reader, &["type", "tcp", "file", "openTelemetry"]);
    let kind = item.get("type");
    let name = match kind.text(reader) {
        Some("File") => "file",
        Some("Tcp") => "tcp",
        Some("OpenTelemetry") => "openTelemetry",
        _ => {
            kind.violation(reader, "must be one of: Tcp, File, OpenTelemetry");
            return None;
        }
    };
    let body = item.get(name);
    if !body.is_set() {
        body.violation(reader, "must be defined");
        return None;
    }
    match name {
        "file" => file(&body, reader),
        "tcp" => tcp(&body, reader),
        _ => open_telemetry(&body, reader),
    }
}

fn file(body: &Field<'_>, reader: &mut Reader) -> Option<Backend> {
    body.only(reader, &["path", "format"]);
    let format = format(&body.get("format"), reader);
    let path = body.get("path");
    let text = path.text(reader).unwrap_or_default();
    if !text.starts_with('/') || text.contains('\0') {
        path.violation(reader, "file backend requires a valid path");
        return None;
    }
    Some(Backend {
        destination: Destination::File { path: text.to_owned() },
        format: format.ok()?.map(Arc::new),
        record: None,
        origin: body.origin(),
    })
}

fn tcp(body: &Field<'_>, reader: &mut Reader) -> Option<Backend> {
    body.only(reader, &["address", "format"]);
    let format = format(&body.get("format"), reader);
    let address = body.get("address");
    let text = address.text(reader).unwrap_or_default();
    if !is_address(text) {
        address.violation(reader, "tcp backend requires valid address");
        return None;
    }
    let destination = Destination::Tcp { address: text.to_owned() };
    let format = format.ok()?.map(Arc::new);
    Some(Backend { destination, format, record: None, origin: body.origin() })
}

/// Whether `text` is `HOST:PORT`. Kuma takes URLs and names without a port as well, to which its data planes cannot connect.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = split_host_port(text) else { return false };
    let bracketed = text.starts_with('[');
    let plain = |c: char| c.is_alphanumeric() || ".-_".contains(c) || bracketed && (c == ':' || c == '%');
    let number = port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    number && host.chars().all(plain)
}

/// A format that is there has mistakes.
struct Mistaken;

fn format(field: &Field<'_>, reader: &mut Reader) -> Result<Option<Format>, Mistaken> {
    if !field.is_set() {
        return Ok(None);
    }
    field.only(reader, &["type", "plain", "json", "omitEmptyValues"]);
    let omit_empty = field.get("omitEmptyValues").flag(reader);
    let (kind, plain, json) = (field.get("type"), field.get("plain"), field.get("json"));
    match kind.text(reader) {
        Some("Plain") if !plain.is_set() => plain.violation(reader, "must be defined"),
        Some("Plain") if plain.text(reader) == Some("") => plain.violation(reader, "must not be empty"),
        Some("Json") if !json.is_set() => json.violation(reader, "must be defined"),
        Some("Plain" | "Json") => {
            // Kuma looks at the text first, whatever the type says.
            let compiled = if plain.is_set() {
                template::plain(&plain, omit_empty, reader)
            } else {
                members(&json, reader).and_then(|members| template::json(&members, omit_empty, reader))
            };
            return compiled.map(Some).ok_or(Mistaken);
        }
        _ => kind.violation(reader, "must be one of: Plain, Json"),
    }
    Err(Mistaken)
}

/// The members of a format in JSON: keys with the fields of their values.
fn members<'a>(json: &Field<'a>, reader: &mut Reader) -> Option<Vec<(&'a str, Field<'a>)>> {
    let items = json.items(reader)?;
    if items.is_empty() {
        json.violation(reader, "must not be empty");
        return None;
    }
    let (mut members, mut good) = (Vec::with_capacity(items.len()), true);
    for item in items {
        item.only(reader, &["key", "value"]);
        let (key_field, value_field) = (item.get("key"), item.get("value"));
        let (key, value) = (key_field.text(reader).unwrap_or_default(), value_field.text(reader).unwrap_or_default());
        if key.is_empty() {
            key_field.violation(reader, "key cannot be empty");
        }
        if value.is_empty() {
            value_field.violation(reader, "value cannot be empty");
        }
        // Kuma writes them between quotes as they are.
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(&format!("{{\"{key}\": \"{value}\"}}")).is_ok();
        if !valid {
            item.violation(reader, "is not a valid JSON object");
        }
        good &= valid && !key.is_empty() && !value.is_empty();
        members.push((key, value_field));
    }
    good.then_some(members)
}

fn open_telemetry(body: &Field<'_>, reader: &mut Reader) -> Option<Backend> {
    body.only(reader, &["attributes", "body", "endpoint", "backendRef"]);
    let (endpoint, reference) = (body.get("endpoint"), body.get("backendRef"));
    let address = endpoint.text(reader).unwrap_or_default().to_owned();
    let mut labels = Vec::new();
    match (address.is_empty(), reference.is_set()) {
        (false, true) => {
            body.violation(reader, "openTelemetry must have only one type defined: endpoint, backendRef");
        }
        (true, false) => body.violation(reader, "openTelemetry must have exactly one defined: endpoint, backendRef"),
        (true, true) => {
            reference.only(reader, &["kind", "labels"]);
            let kind = reference.get("kind");
            if kind.text(reader) != Some("MeshOpenTelemetryBackend") {
                kind.violation(reader, "kind must be one of: MeshOpenTelemetryBackend");
            }
            labels.extend(reference.get("labels").texts(reader));
            if labels.is_empty() {
                reference.violation(reader, "backendRef must have exactly one defined: labels");
            }
        }
        (false, false) if address.contains(['/', '?', '#']) => {
            endpoint.violation(reader, "must be in host:port format, not a URL");
        }
        (false, false) => {}
    }
    let attributes = attributes(&body.get("attributes"), reader);
    let record = Some(Arc::new(RecordFormat::read(&body.get("body"), attributes, reader)));
    let destination = Destination::OpenTelemetry { endpoint: address, backend: labels };
    Some(Backend { destination, format: None, record, origin: body.origin() })
}

fn attributes(field: &Field<'_>, reader: &mut Reader) -> Vec<(String, Format)> {
    let mut attributes = Vec::new();
    for item in field.items(reader).unwrap_or_default() {
        item.only(reader, &["key", "value"]);
        let (key, value) = (item.get("key"), item.get("value"));
        let name = key.text(reader).unwrap_or_default();
        if let Some(message) = attribute_name(name) {
            key.violation(reader, message);
        }
        if let Some(format) = template::plain(&value, false, reader) {
            attributes.push((name.to_owned(), format));
        }
    }
    attributes
}

/// What Kuma says about the name of an attribute, if it refuses it.
fn attribute_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("must be defined");
    }
    if name.contains('%') {
        return Some("must be a static OpenTelemetry attribute name; placeholders are only supported in values");
    }
    if name.starts_with("otel.") {
        return Some("must not use the reserved OpenTelemetry prefix 'otel.'");
    }
    let words = name.split(['.', '_']);
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let good = name.starts_with(|first: char| first.is_ascii_lowercase()) && words.into_iter().all(word);
    (!good).then_some(
        "must start with a lowercase letter, use only lowercase letters, digits, '.' or '_', avoid consecutive delimiters, \
         and end with a letter or digit",
    )
}
