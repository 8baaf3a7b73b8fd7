//! Rules of the settings that say where the names of a mesh are, for Envoys that are not Kuma's (`mesh.names`).

use std::str::FromStr;

use logphase_protocol::envoy::{Source, Sources};
use regex::bytes::Regex;

use super::tags::Tags;

/// The rules, of which the first with a value counts for each target.
#[derive(Debug, Clone, Default)]
pub struct Names(Vec<NameRule>);

/// `TARGET=SOURCE` or `TARGET=SOURCE ~ PATTERN`: what is found at SOURCE; with a pattern, its first group, or all that it
/// matches if it has none.
#[derive(Debug, Clone)]
pub struct NameRule {
    target: Target,
    source: Source,
    pattern: Option<Regex>,
}

/// What a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Mesh,
    Zone,
    Namespace,
    SourceService,
    SourceAddress,
    Workload,
    /// A tag of the data plane.
    Tag(String),
    DestinationService,
    Direction,
}

/// The targets other than tags.
const TARGETS: [(&str, Target); 8] = [
    ("mesh", Target::Mesh),
    ("zone", Target::Zone),
    ("namespace", Target::Namespace),
    ("source_service", Target::SourceService),
    ("source_address", Target::SourceAddress),
    ("workload", Target::Workload),
    ("destination_service", Target::DestinationService),
    ("direction", Target::Direction),
];

/// What rules say of the proxy that sends an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct ProxyNames {
    pub(super) mesh: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) service: Option<String>,
    pub(super) address: Option<String>,
    pub(super) workload: Option<String>,
    pub(super) tags: Tags,
}

impl ProxyNames {
    /// Bytes that they hold, about.
    pub(super) fn size(&self) -> usize {
        let names = [&self.mesh, &self.zone, &self.namespace, &self.service, &self.address, &self.workload];
        let names = names.into_iter().flatten().map(String::len);
        names.chain(self.tags.iter().map(|(name, value)| name.len() + value.len())).sum()
    }
}

/// What rules say of the listener of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ListenerNames {
    pub(super) destination: Option<String>,
    pub(super) direction: Option<Direction>,
}

/// The side of a proxy that a connection comes in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Inbound,
    Outbound,
    PassThrough,
    Gateway,
    /// It has no access log.
    None,
}

impl Direction {
    fn find(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "inbound" => Self::Inbound,
            "outbound" => Self::Outbound,
            "pass_through" => Self::PassThrough,
            "gateway" => Self::Gateway,
            "none" => Self::None,
            _ => return None,
        })
    }
}

impl FromStr for NameRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((target, source)) = text.split_once('=') else {
            return Err("expected TARGET=SOURCE, like source_service=node_cluster".to_owned());
        };
        let target = target.trim();
        let found = TARGETS.into_iter().find(|(name, _)| *name == target).map(|(_, target)| target);
        let tag =
            || target.strip_prefix("tag:").filter(|name| !name.is_empty()).map(|name| Target::Tag(name.to_owned()));
        let target = found.or_else(tag).ok_or_else(|| {
            let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
            format!("no target `{target}`; it is tag:NAME, or one of {}", names.join(", "))
        })?;
        let (source, pattern) =
            source.split_once(" ~ ").map_or((source, None), |(source, pattern)| (source, Some(pattern)));
        let pattern = pattern.map(|pattern| Regex::new(pattern.trim())).transpose();
        let pattern = pattern.map_err(|error| format!("not a regular expression: {error}"))?;
        Ok(Self {
            target,
            source: source.parse().map_err(|error: logphase_protocol::envoy::SourceError| error.to_string())?,
            pattern,
        })
    }
}

impl NameRule {
    fn is_of_proxy(&self) -> bool {
        !matches!(self.target, Target::DestinationService | Target::Direction)
    }

    /// What it finds, if that is not empty. Bytes that are not UTF-8 are replaced.
    fn value(&self, sources: Sources<'_>) -> Option<String> {
        let value = sources.value(&self.source)?;
        let found = match &self.pattern {
            Some(pattern) => {
                let groups = pattern.captures(&value)?;
                groups.get(1).or_else(|| groups.get(0).filter(|_| groups.len() == 1))?.as_bytes()
            }
            None => &value,
        };
        (!found.is_empty()).then(|| String::from_utf8_lossy(found).into_owned())
    }
}

impl Names {
    /// The rules in their order.
    pub fn new(rules: Vec<NameRule>) -> Self {
        Self(rules)
    }

    /// Whether entries of one stream may be of several proxies.
    pub(super) fn tell_proxies_of_entries(&self) -> bool {
        self.0.iter().any(|rule| rule.is_of_proxy() && !rule.source.is_of_stream())
    }

    /// What they say of the proxy.
    pub(super) fn of_proxy(&self, sources: Sources<'_>) -> ProxyNames {
        let mut names = ProxyNames::default();
        for rule in self.0.iter().filter(|rule| rule.is_of_proxy()) {
            let slot = match &rule.target {
                Target::Mesh => &mut names.mesh,
                Target::Zone => &mut names.zone,
                Target::Namespace => &mut names.namespace,
                Target::SourceService => &mut names.service,
                Target::SourceAddress => &mut names.address,
                Target::Workload => &mut names.workload,
                Target::Tag(tag) => {
                    if !names.tags.contains_key(tag)
                        && let Some(value) = rule.value(sources)
                    {
                        names.tags.insert(tag.clone(), value);
                    }
                    continue;
                }
                Target::DestinationService | Target::Direction => continue,
            };
            if slot.is_none() {
                *slot = rule.value(sources);
            }
        }
        names
    }

    /// What they say of the listener.
    pub(super) fn of_listener(&self, sources: Sources<'_>) -> ListenerNames {
        let mut names = ListenerNames::default();
        for rule in &self.0 {
            match rule.target {
                Target::DestinationService if names.destination.is_none() => names.destination = rule.value(sources),
                Target::Direction if names.direction.is_none() => {
                    names.direction = rule.value(sources).as_deref().and_then(Direction::find);
                }
                _ => {}
            }
        }
        names
    }
}
