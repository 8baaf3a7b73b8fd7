//! Who sends a stream.

use std::borrow::Cow;

use bytes::Bytes;
use prost::{DecodeError, Message};

use crate::envoy::message::{Identifier, Locality, Node};
use crate::envoy::metadata;
use crate::json::Writer;

/// Bytes of a name that are kept. It is in every transaction of the stream, so that a long one would cost with each.
const MAX_NAME_BYTES: usize = 1024;

/// Bytes of a node's metadata that are kept; longer metadata are as if there were none. That of Kuma has a few kilobytes.
const MAX_METADATA_BYTES: usize = 128 << 10;

/// The node and the name of the log, from the first message of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// `node.id`.
    pub node_id: Bytes,
    /// `node.cluster`.
    pub node_cluster: Bytes,
    /// The name of the log, which the logger's configuration says.
    pub log_name: Bytes,
    /// `node.locality.region`.
    pub region: Bytes,
    /// `node.locality.zone`.
    pub zone: Bytes,
    /// `node.locality.sub_zone`.
    pub sub_zone: Bytes,
    /// `node.metadata`, encoded.
    metadata: Bytes,
    /// `"log_name":...,"node":{...}`, as members of `envoy`.
    pub(crate) members: Vec<u8>,
}

impl Origin {
    /// Reads [`Identifier`].
    ///
    /// # Errors
    /// `identifier` is not such a message.
    pub fn decode(identifier: &[u8]) -> Result<Self, DecodeError> {
        let Identifier { node, log_name } = Identifier::decode(identifier)?;
        Ok(Self::new(&node.unwrap_or_default(), &log_name))
    }

    /// The origin of a stream that `node` sends under `log_name`.
    pub fn new(node: &Node, log_name: &Bytes) -> Self {
        let Node { id, cluster, metadata, locality } = node;
        let (node_id, node_cluster, log_name) = (kept(id), kept(cluster), kept(log_name));
        let mut members = Vec::new();
        let mut json = Writer(&mut members);
        json.text_member("log_name", &log_name);
        json.open_member("node");
        json.text_member("id", &node_id);
        json.text_member("cluster", &node_cluster);
        let mut places = [Bytes::new(), Bytes::new(), Bytes::new()];
        if let Some(Locality { region, zone, sub_zone }) = locality {
            places = [kept(region), kept(zone), kept(sub_zone)];
            json.open_member("locality");
            json.text_member("region", &places[0]);
            json.text_member("zone", &places[1]);
            json.text_member("sub_zone", &places[2]);
            json.close(b'}');
        }
        json.close(b'}');
        let [region, zone, sub_zone] = places;
        let is_kept = metadata.len() <= MAX_METADATA_BYTES;
        let metadata = if is_kept { Bytes::copy_from_slice(metadata) } else { Bytes::new() };
        Self { node_id, node_cluster, log_name, region, zone, sub_zone, metadata, members }
    }

    /// Bytes that it holds.
    pub fn size(&self) -> usize {
        let names = [&self.node_id, &self.node_cluster, &self.log_name, &self.region, &self.zone, &self.sub_zone];
        names.iter().map(|name| name.len()).sum::<usize>() + self.metadata.len() + self.members.len()
    }

    /// The text of the value at `keys` of the node's metadata; none for objects, lists and `null`.
    pub fn node_metadata(&self, keys: &[String]) -> Option<Cow<'_, [u8]>> {
        metadata::find_in(&self.metadata, keys)
    }
}

/// A copy of the start of `name`, which does not keep the whole message in memory.
fn kept(name: &Bytes) -> Bytes {
    Bytes::copy_from_slice(&name[..name.len().min(MAX_NAME_BYTES)])
}
