//! Who sends a stream.

use bytes::Bytes;
use prost::{DecodeError, Message};

use crate::envoy::message::{Identifier, Locality, Node};
use crate::json::Writer;

/// Bytes of a name that are kept. It is in every transaction of the stream, so that a long one would cost with each.
const MAX_NAME_BYTES: usize = 1024;

/// The node and the name of the log, from the first message of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// `node.id`.
    pub node_id: Bytes,
    /// `node.cluster`.
    pub node_cluster: Bytes,
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
        let Node { id, cluster, locality } = node.unwrap_or_default();
        let (node_id, node_cluster) = (kept(&id), kept(&cluster));
        let mut members = Vec::new();
        let mut json = Writer(&mut members);
        json.text_member("log_name", &kept(&log_name));
        json.open_member("node");
        json.text_member("id", &node_id);
        json.text_member("cluster", &node_cluster);
        if let Some(Locality { region, zone, sub_zone }) = locality {
            json.open_member("locality");
            json.text_member("region", &kept(&region));
            json.text_member("zone", &kept(&zone));
            json.text_member("sub_zone", &kept(&sub_zone));
            json.close(b'}');
        }
        json.close(b'}');
        Ok(Self { node_id, node_cluster, members })
    }
}

/// A copy of the start of `name`, which does not keep the whole message in memory.
fn kept(name: &Bytes) -> Bytes {
    Bytes::copy_from_slice(&name[..name.len().min(MAX_NAME_BYTES)])
}
