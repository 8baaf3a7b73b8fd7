//! The part of a Mesh about access logs: `logging.defaultBackend` and `logging.backends`
//! (<https://docs.konghq.com/mesh/2.4.x/policies/traffic-log/>).

use std::collections::HashSet;
use std::sync::Arc;

use super::address::split_host_port;
use super::backend::Destination;
use super::envelope::{Meta, Object};
use super::field::{Field, Reader};
use super::template::{self, Format};
use logphase_config::diagnostic::Origin;

/// A mesh.
#[derive(Debug)]
pub struct Mesh {
    /// What it is called.
    pub meta: Meta,
    /// The backend of TrafficLogs that name none; empty if there is none.
    pub default_backend: String,
    /// The backends that TrafficLogs name.
    pub backends: Vec<MeshBackend>,
}

/// A backend of a mesh.
#[derive(Debug)]
pub struct MeshBackend {
    /// The name that TrafficLogs use.
    pub name: String,
    /// Its format; none is the default format of the connection's protocol.
    pub format: Option<Arc<Format>>,
    /// Where the lines go.
    pub destination: Destination,
    /// Where it stands.
    pub origin: Origin,
}

impl Mesh {
    /// The backend `name`; if it is empty, the default backend.
    pub fn backend(&self, name: &str) -> Option<&MeshBackend> {
        let name = if name.is_empty() { &self.default_backend } else { name };
        self.backends.iter().find(|backend| backend.name == name)
    }
}

/// Reads a Mesh. What it says about anything else is not looked at.
pub(super) fn read(object: &Object<'_>, reader: &mut Reader) -> Option<Mesh> {
    let logging = object.body.get("logging");
    if logging.is_set() {
        logging.only(reader, &["defaultBackend", "backends"]);
    }
    let mut names = HashSet::new();
    let mut backends = Vec::new();
    for item in logging.get("backends").items(reader).unwrap_or_default() {
        item.only(reader, &["name", "format", "type", "conf"]);
        let field = item.get("name");
        let name = field.text(reader).unwrap_or_default();
        if name.is_empty() {
            field.violation(reader, "cannot be empty");
        }
        let destination = destination(&item, reader);
        if !names.insert(name) {
            field.violation(reader, format!("\"{name}\" name is already used for another backend"));
        }
        let format = item.get("format");
        let format =
            format.text(reader).filter(|text| !text.is_empty()).map(|_| template::plain(&format, false, reader));
        if let (Some(destination), Some(format)) = (destination, format.map_or(Some(None), |format| format.map(Some))) {
            backends.push(MeshBackend {
                name: name.to_owned(),
                format: format.map(Arc::new),
                destination,
                origin: field.origin(),
            });
        }
    }
    let default = logging.get("defaultBackend");
    let default_backend = default.text(reader).unwrap_or_default();
    if !default_backend.is_empty() && !names.contains(default_backend) {
        default.violation(reader, "has to be set to one of the logging backend in mesh");
    }
    Some(Mesh { meta: object.meta.clone(), default_backend: default_backend.to_owned(), backends })
}

fn destination(item: &Field<'_>, reader: &mut Reader) -> Option<Destination> {
    let conf = item.get("conf");
    // Kuma calls it `config` in its errors.
    let member = |name: &str| conf.get(name).named(format!("{}.config.{name}", item.path()));
    let kind = item.get("type");
    match kind.text(reader).unwrap_or_default() {
        "file" => {
            if conf.is_set() {
                conf.only(reader, &["path"]);
            }
            let path = member("path");
            let text = path.text(reader).unwrap_or_default();
            if text.is_empty() {
                path.violation(reader, "cannot be empty");
                return None;
            }
            Some(Destination::File { path: text.to_owned() })
        }
        "tcp" => {
            if conf.is_set() {
                conf.only(reader, &["address"]);
            }
            let address = member("address");
            let text = address.text(reader).unwrap_or_default();
            if text.is_empty() {
                address.violation(reader, "cannot be empty");
                return None;
            }
            if split_host_port(text).is_none() {
                address.violation(reader, "has to be in format of HOST:PORT");
                return None;
            }
            Some(Destination::Tcp { address: text.to_owned() })
        }
        _ => {
            kind.violation(reader, "unknown backend type. Available backends: \"tcp\", \"file\"");
            None
        }
    }
}
