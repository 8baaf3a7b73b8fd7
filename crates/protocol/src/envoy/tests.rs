//! Entries that a real Envoy sent, entries made here, and random ones.

mod borrowed;
mod fields;
mod random;
mod samples;

use bytes::Bytes;
use prost::Message;
use serde_json::Value;

use crate::envoy::message::{Identifier, Locality, Node};
use crate::envoy::{Conversion, Converter, Origin};

/// The sender of most streams here.
fn origin() -> Origin {
    let locality = Locality { region: "r1".into(), zone: "z1".into(), sub_zone: Bytes::new() };
    let node = Node { id: "node-1".into(), cluster: "svc-a".into(), locality: Some(locality), ..Node::default() };
    let identifier = Identifier { node: Some(node), log_name: "http".into() };
    Origin::decode(&identifier.encode_to_vec()).unwrap()
}

/// The log object of an encoded entry, with all records kept.
fn convert(converter: &Converter, http: bool, entry: impl AsRef<[u8]>) -> Value {
    let mut out = Vec::new();
    let entry = entry.as_ref();
    let converted =
        if http { converter.http(entry, &origin(), &mut out) } else { converter.tcp(entry, &origin(), &mut out) };
    assert_eq!(converted, Ok(Conversion::Written));
    serde_json::from_slice(&out).unwrap()
}

fn keep_all() -> Converter {
    Converter::new(Vec::new(), true)
}
