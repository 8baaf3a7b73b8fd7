//! Data planes as their resource describes them: a document among the files, or the text that kuma-dp puts into the metadata
//! of its Envoy (`dataplane.resource`).

use std::net::IpAddr;

use super::tags::{SERVICE, Tags};
use logphase_config::diagnostic::SourceFile;
use logphase_config::document::{self, Node};

/// What a Dataplane says of its proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dataplane {
    /// Labels of the resource.
    pub labels: Tags,
    /// The address that Kuma takes for the proxy's own; empty if it says none.
    pub address: String,
    /// Where it accepts connections for its service, in their order.
    pub inbounds: Vec<Inbound>,
    /// Where it accepts connections to other services.
    pub outbounds: Vec<Outbound>,
    /// Its gateway, if it is one.
    pub gateway: Option<GatewayPart>,
}

/// A listener for connections to the service of a data plane, or one of a zone's ingress or egress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inbound {
    /// Its name, or its port where it has none.
    pub section: String,
    /// Its address; empty is that of the data plane.
    pub address: String,
    /// Its port; 0 if it is not known.
    pub port: u16,
    /// The port of the service behind it.
    pub service_port: u16,
    /// Its tags.
    pub tags: Tags,
    /// Whether it is of a zone's ingress or egress.
    pub of_zone: bool,
}

/// A listener for connections to another service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Its address; empty is that of the local host.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The service.
    pub service: String,
}

/// The part of a Dataplane that makes it a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayPart {
    /// Whether its listeners are those of a MeshGateway, not of another program.
    pub builtin: bool,
    /// Its tags.
    pub tags: Tags,
}

impl Dataplane {
    /// Reads the text of a Dataplane in its Universal form; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (root, _) = document::parse(&SourceFile::new("dataplane.resource", text), None);
        let root = root?;
        (root.get("type").and_then(Node::as_str) == Some("Dataplane"))
            .then(|| Self::read(&root, tags(root.get("labels"))))
    }

    /// Reads what has the member `networking`: a Dataplane of the Universal form, or the `spec` of one of Kubernetes.
    pub(super) fn read(body: &Node, labels: Tags) -> Self {
        let Some(networking) = body.get("networking") else { return Self { labels, ..Self::default() } };
        let text = |name: &str| networking.get(name).and_then(Node::as_str).unwrap_or_default().to_owned();
        let advertised = text("advertisedAddress");
        let address = if advertised.is_empty() { text("address") } else { advertised };
        let list = |name: &str| networking.get(name).and_then(Node::items).unwrap_or_default();
        let inbounds = list("inbound").iter().map(|node| inbound(node, false));
        let listeners = list("listeners").iter().map(|node| inbound(node, true));
        let gateway = networking.get("gateway").map(|gateway| GatewayPart {
            builtin: gateway.get("type").and_then(Node::as_str) == Some("BUILTIN"),
            tags: tags(gateway.get("tags")),
        });
        Self {
            labels,
            address,
            inbounds: inbounds.chain(listeners).collect(),
            outbounds: list("outbound").iter().filter_map(outbound).collect(),
            gateway,
        }
    }
}

impl Inbound {
    /// Whether it listens at `address` and `port`; an address that it does not say is any.
    pub fn listens_at(&self, address: IpAddr, port: u16) -> bool {
        self.port == port && (self.address.is_empty() || self.address.parse() == Ok(address))
    }
}

impl Outbound {
    /// Whether it listens at `address` and `port`.
    pub fn listens_at(&self, address: IpAddr, port: u16) -> bool {
        let same = if self.address.is_empty() { address.is_loopback() } else { self.address.parse() == Ok(address) };
        self.port == port && same
    }
}

fn inbound(node: &Node, of_zone: bool) -> Inbound {
    let port = port(node.get("port"));
    let service_port = self::port(node.get("servicePort"));
    let name = node.get("name").and_then(Node::as_str).unwrap_or_default();
    Inbound {
        section: if name.is_empty() { port.to_string() } else { name.to_owned() },
        address: node.get("address").and_then(Node::as_str).unwrap_or_default().to_owned(),
        port,
        service_port: if service_port == 0 { port } else { service_port },
        tags: tags(node.get("tags")),
        of_zone,
    }
}

/// An outbound to a service that it names. Those to resources have no name that the cluster does not have.
fn outbound(node: &Node) -> Option<Outbound> {
    let tag = || node.get("tags").and_then(|tags| tags.get(SERVICE)).and_then(Node::as_str);
    let service = node.get("service").and_then(Node::as_str).or_else(tag)?;
    Some(Outbound {
        address: node.get("address").and_then(Node::as_str).unwrap_or_default().to_owned(),
        port: port(node.get("port")),
        service: service.to_owned(),
    })
}

fn port(node: Option<&Node>) -> u16 {
    let number = node.and_then(|node| node.as_i64().or_else(|| node.as_str()?.parse().ok()));
    number.and_then(|number| u16::try_from(number).ok()).unwrap_or(0)
}

/// The members of a mapping whose values are strings.
pub(super) fn tags(node: Option<&Node>) -> Tags {
    let entries = node.and_then(Node::entries).unwrap_or_default();
    entries.iter().filter_map(|(key, value)| Some((key.name.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the text that kuma-dp sends for a Dataplane with two inbounds and an outbound, and other texts.
    /// Guarantees: addresses, ports, sections, tags and outbounds are read; what is no Dataplane is none.
    #[test]
    fn the_text_of_a_dataplane() {
        let text = r#"{"type":"Dataplane","mesh":"default","name":"web-1","labels":{"app":"web"},"networking":{
            "address":"10.0.0.1","inbound":[{"port":80,"servicePort":8080,"name":"http","tags":{"kuma.io/service":"web"}},
            {"port":81,"tags":{"kuma.io/service":"admin"}}],
            "outbound":[{"port":5000,"tags":{"kuma.io/service":"db"}},{"port":5001,"backendRef":{"kind":"MeshService"}}]}}"#;
        let read = Dataplane::parse(text).unwrap();
        assert_eq!(read.address, "10.0.0.1");
        let shown: Vec<_> = read
            .inbounds
            .iter()
            .map(|inbound| (inbound.section.as_str(), inbound.port, inbound.service_port))
            .collect();
        assert_eq!(shown, [("http", 80, 8080), ("81", 81, 81)]);
        assert_eq!(read.inbounds[1].tags[SERVICE], "admin");
        assert_eq!(read.outbounds, [Outbound { address: String::new(), port: 5000, service: "db".into() }]);
        assert!(read.outbounds[0].listens_at("127.0.0.1".parse().unwrap(), 5000));
        assert!(!read.outbounds[0].listens_at("10.0.0.1".parse().unwrap(), 5000));
        assert_eq!(read.labels["app"], "web");
        for other in ["", "{}", "a: [", "type: ZoneIngress\nnetworking: {}", "- type: Dataplane"] {
            assert_eq!(Dataplane::parse(other), None, "{other}");
        }
    }
}
