//! Log records of OpenTelemetry: what a backend of MeshAccessLog says of their body and attributes.
//!
//! As in Envoy, all values of operators are texts, and `-` if they are absent.

use logphase_config::document::Node;
use logphase_protocol::envoy::Origin;
use logphase_protocol::format::Entry;
use serde_json::{Map, Value, json};

use super::field::{Field, Reader};
use super::proxy::Proxy;
use super::template::{self, Format};
use crate::sink::otlp::LogEntry;

/// The name that Kuma gives the logs of these backends.
const LOG_NAME: &str = "MeshAccessLog";
/// What a placeholder of Kuma begins with.
const PLACEHOLDER: &str = "%KUMA_";
/// What Envoy says of a body that has other values.
const UNSUPPORTED: &str = "Only string values, nested key value lists and array values are supported in OpenTelemetry access \
                           log format.";

/// What the records of a backend have.
#[derive(Debug, Default)]
pub struct RecordFormat {
    /// The body; none is the default format of the connection's protocol.
    body: Option<Body>,
    /// The attributes, in their order.
    attributes: Vec<(String, Format)>,
}

/// A value of OpenTelemetry with templates in its texts.
#[derive(Debug)]
enum Body {
    Text(Format),
    List(Vec<Body>),
    Map(Vec<(Name, Body)>),
}

/// The key of a member, in which only Kuma's placeholders are replaced.
#[derive(Debug)]
enum Name {
    Literal(String),
    Template(Format),
}

impl RecordFormat {
    /// Reads the `body` of a backend, with its attributes.
    pub(super) fn read(body: &Field<'_>, attributes: Vec<(String, Format)>, reader: &mut Reader) -> Self {
        Self { body: body.is_set().then(|| Body::read(body, reader)).flatten(), attributes }
    }

    /// The record of an entry at `time`, in nanoseconds since the Unix epoch; without a body of its own, `standard` makes it.
    pub(super) fn record<E: Entry + ?Sized>(
        &self,
        entry: &E,
        standard: &Format,
        time: u64,
        resource: &Map<String, Value>,
    ) -> Vec<u8> {
        let body = self.body.as_ref().map_or_else(|| text(standard, entry).into(), |body| body.value(entry));
        let attributes =
            self.attributes.iter().map(|(key, format)| (key.clone(), text(format, entry).into())).collect();
        LogEntry { time_unix_nano: time, body, attributes, resource: resource.clone() }.encode().into()
    }
}

fn text<E: Entry + ?Sized>(format: &Format, entry: &E) -> String {
    let line = format.line(entry, false);
    String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

impl Body {
    /// Reads a value in OTLP's JSON form. What is none is a text: its JSON, as in Kuma.
    fn read(field: &Field<'_>, reader: &mut Reader) -> Option<Self> {
        let node = field.node()?;
        match node.entries() {
            Some([(key, _)]) => match key.name.as_str() {
                "stringValue" => return template::plain(&field.get("stringValue"), false, reader).map(Self::Text),
                "arrayValue" => {
                    let items = field.get("arrayValue").get("values").items(reader).unwrap_or_default();
                    return Some(Self::List(items.iter().filter_map(|item| Self::read(item, reader)).collect()));
                }
                "kvlistValue" => {
                    let items = field.get("kvlistValue").get("values").items(reader).unwrap_or_default();
                    let member = |item: &Field<'_>| {
                        let name = Name::read(&item.get("key"), reader)?;
                        Some((name, Self::read(&item.get("value"), reader)?))
                    };
                    return Some(Self::Map(items.iter().filter_map(member).collect()));
                }
                "boolValue" | "intValue" | "doubleValue" | "bytesValue" => {
                    field.violation(reader, UNSUPPORTED);
                    return None;
                }
                _ => {}
            },
            Some([]) => return Some(Self::Map(Vec::new())),
            _ => {}
        }
        template::text(field, &raw(node), reader).map(Self::Text)
    }

    fn value<E: Entry + ?Sized>(&self, entry: &E) -> Value {
        match self {
            Self::Text(format) => text(format, entry).into(),
            Self::List(items) => items.iter().map(|item| item.value(entry)).collect(),
            Self::Map(members) => {
                let member = |(name, value): &(Name, Self)| (name.text(entry), value.value(entry));
                Value::Object(members.iter().map(member).collect())
            }
        }
    }
}

impl Name {
    fn read(field: &Field<'_>, reader: &mut Reader) -> Option<Self> {
        let name = field.text(reader)?;
        if name.contains(PLACEHOLDER) {
            return template::plain(field, false, reader).map(Self::Template);
        }
        Some(Self::Literal(name.to_owned()))
    }

    fn text<E: Entry + ?Sized>(&self, entry: &E) -> String {
        match self {
            Self::Literal(name) => name.clone(),
            Self::Template(format) => text(format, entry),
        }
    }
}

/// The JSON of a value.
fn raw(node: &Node) -> String {
    node.to_json().to_string()
}

/// The attributes of the resource: those that Envoy sets from its node, and Kuma's.
pub(super) fn resource(origin: &Origin, proxy: &Proxy) -> Map<String, Value> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut resource = Map::new();
    for (key, value) in [
        ("log_name", LOG_NAME.to_owned()),
        ("zone_name", lossy(&origin.zone)),
        ("cluster_name", lossy(&origin.node_cluster)),
        ("node_name", lossy(&origin.node_id)),
        ("kuma.mesh", proxy.mesh.clone()),
    ] {
        resource.insert(key.to_owned(), json!(value));
    }
    for (key, value) in [("kuma.zone", &proxy.zone), ("kuma.workload", &proxy.workload)] {
        if !value.is_empty() {
            resource.insert(key.to_owned(), json!(value));
        }
    }
    resource
}
