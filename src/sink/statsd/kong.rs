//! The metrics of Kong's plugin statsd (kong/plugins/statsd/log.lua, 3.9).

use serde::Deserialize;

use super::Render;
use super::line::{Lines, NAME_BREAKS, check, part, rate, safe};
use super::message::{Consumer, Measure, Message, Service};
use super::tags::{TagStyle, Tags};
use crate::sink::ConfigError;
use crate::sink::syslog::local_hostname;

/// The members of a plugin's `config` that the sink uses.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    /// Host name or IP address of the server.
    #[serde(default = "localhost")]
    pub host: String,
    /// Its port.
    #[serde(default = "port")]
    pub port: u16,
    prefix: Option<String>,
    #[serde(default)]
    metrics: Vec<Metric>,
    allow_status_codes: Option<Vec<StatusRange>>,
    #[serde(default)]
    udp_packet_size: f64,
    /// Send over TCP.
    #[serde(default)]
    pub use_tcp: bool,
    #[serde(default)]
    hostname_in_prefix: bool,
    hostname: Option<String>,
    consumer_identifier_default: ConsumerIdentifier,
    service_identifier_default: ServiceIdentifier,
    workspace_identifier_default: WorkspaceIdentifier,
    tag_style: Option<TagStyle>,
}

/// The default of `host`.
pub(super) fn localhost() -> String {
    "localhost".to_owned()
}

/// The default of `port`.
pub(super) fn port() -> u16 {
    8125
}

impl Config {
    /// Every field that would make lines that no server can read.
    pub fn errors(&self) -> Vec<ConfigError> {
        let texts = [("prefix", &self.prefix), ("hostname", &self.hostname)];
        texts.into_iter().filter_map(|(field, text)| check(field, text.as_deref()?, NAME_BREAKS)).collect()
    }

    /// The most bytes of a datagram with several metrics; 0 for one metric each.
    pub fn packet_size(&self) -> usize {
        self.udp_packet_size as usize
    }
}

#[derive(Debug, Deserialize)]
struct Metric {
    name: Name,
    stat_type: StatType,
    sample_rate: Option<f64>,
    consumer_identifier: Option<ConsumerIdentifier>,
    service_identifier: Option<ServiceIdentifier>,
    workspace_identifier: Option<WorkspaceIdentifier>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Name {
    Measure(Measure),
    Counted(Counted),
}

/// A metric that counts transactions of a consumer, a workspace or a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Counted {
    RequestPerUser,
    StatusCount,
    StatusCountPerUser,
    UniqueUsers,
    StatusCountPerWorkspace,
    StatusCountPerUserPerRoute,
    ShdictUsage,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StatType {
    Counter,
    Gauge,
    Histogram,
    Meter,
    Set,
    Timer,
    /// Datadog's.
    Distribution,
}

impl StatType {
    /// As it is written in a line.
    pub fn letters(self) -> &'static str {
        match self {
            Self::Counter => "c",
            Self::Gauge => "g",
            Self::Histogram => "h",
            Self::Meter => "m",
            Self::Set => "s",
            Self::Timer => "ms",
            Self::Distribution => "d",
        }
    }
}

/// What names a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ConsumerIdentifier {
    ConsumerId,
    CustomId,
    Username,
}

impl ConsumerIdentifier {
    /// The name of `consumer`.
    pub fn of(self, consumer: &Consumer) -> Option<&str> {
        match self {
            Self::ConsumerId => consumer.id.as_deref(),
            Self::CustomId => consumer.custom_id.as_deref(),
            Self::Username => consumer.username.as_deref(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names are those of Kong's values")]
enum ServiceIdentifier {
    ServiceId,
    ServiceName,
    ServiceHost,
    ServiceNameOrHost,
}

impl ServiceIdentifier {
    fn of(self, service: &Service) -> Option<&str> {
        match self {
            Self::ServiceId => service.id.as_deref(),
            Self::ServiceName => service.name.as_deref(),
            Self::ServiceHost => service.host.as_deref(),
            Self::ServiceNameOrHost => service.name.as_deref().or(service.host.as_deref()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WorkspaceIdentifier {
    WorkspaceId,
    WorkspaceName,
}

/// A range of status codes, both ends included.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct StatusRange(f64, f64);

impl TryFrom<String> for StatusRange {
    type Error = String;

    fn try_from(range: String) -> Result<Self, String> {
        let ends = range.split_once('-').and_then(|(from, to)| Some(Self(from.parse().ok()?, to.parse().ok()?)));
        ends.ok_or_else(|| format!("invalid value: {range}"))
    }
}

/// Makes the metrics of a plugin.
#[derive(Debug)]
pub(super) struct Metrics {
    config: Config,
    /// The prefix, with the node's name if it is wanted there.
    prefix: String,
    /// The node's name, as it is sent.
    node: String,
    /// `|@RATE` of each metric.
    rates: Vec<String>,
}

impl Metrics {
    /// The metrics of `config`.
    pub fn new(config: Config) -> Self {
        let node = part(&config.hostname.clone().unwrap_or_else(local_hostname));
        let mut prefix = config.prefix.clone().unwrap_or_else(|| "kong".to_owned());
        if config.hostname_in_prefix && config.tag_style.is_none() {
            prefix = format!("{prefix}.node.{node}");
        }
        let rates = config.metrics.iter().map(|metric| rate(metric.sample_rate)).collect();
        Self { config, prefix, node, rates }
    }

    fn allows(&self, status: Option<&str>) -> bool {
        let Some(ranges) = &self.config.allow_status_codes else { return true };
        let status = status.and_then(|status| status.parse::<f64>().ok());
        status.is_some_and(|status| ranges.iter().any(|StatusRange(from, to)| (*from..=*to).contains(&status)))
    }

    fn consumer<'m>(&self, metric: &Metric, message: &'m Message<'_>) -> Option<&'m str> {
        metric.consumer_identifier.unwrap_or(self.config.consumer_identifier_default).of(message.consumer.as_ref()?)
    }

    fn service(&self, metric: &Metric) -> ServiceIdentifier {
        metric.service_identifier.unwrap_or(self.config.service_identifier_default)
    }

    fn workspace(&self, metric: &Metric, message: &Message<'_>) -> Option<String> {
        let identifier = metric.workspace_identifier.unwrap_or(self.config.workspace_identifier_default);
        message.workspace(identifier == WorkspaceIdentifier::WorkspaceName)
    }

    /// `service.NAME`: what the metrics of a transaction are about.
    fn scope(&self, metric: &Metric, message: &Message<'_>) -> String {
        let unnamed = || "unnamed".to_owned();
        match (&message.service, &message.api) {
            (Some(service), _) => {
                format!("service.{}", self.service(metric).of(service).map_or_else(unnamed, part))
            }
            (None, Some(api)) => format!("api.{}", api.as_deref().map_or_else(unnamed, part)),
            (None, None) => "global.unmatched".to_owned(),
        }
    }

    /// The tags of a metric; none for a transaction whose service has no such name, as in Kong.
    fn tags(&self, style: TagStyle, metric: &Metric, message: &Message<'_>) -> Option<Tags> {
        let service = self.service(metric).of(message.service.as_ref()?)?;
        let mut tags = Tags::new(style);
        // In Kong the order is that of a Lua table: any.
        tags.add("service", Some(service));
        tags.add("route", message.route.name.as_deref().or(message.route.id.as_deref()));
        tags.add("workspace", self.workspace(metric, message).as_deref());
        tags.add("consumer", self.consumer(metric, message));
        tags.add("node", Some(&self.node));
        tags.add("status", message.any_status());
        Some(tags)
    }

    /// A metric that is named after a consumer, a workspace or a status: Kong has none of them as tags.
    fn push_counted(
        &self,
        (metric, counted): (&Metric, Counted),
        rate: &str,
        message: &Message<'_>,
        lines: &mut Lines,
    ) -> Option<()> {
        let scope = self.scope(metric, message);
        let user = || self.consumer(metric, message).map(|name| safe(name, NAME_BREAKS));
        let name = match counted {
            Counted::UniqueUsers => {
                lines.push(&[&self.prefix, ".", &scope, ".user.uniques:", &user()?, "|s"]);
                return Some(());
            }
            Counted::RequestPerUser => format!("{scope}.user.{}.request.count", user()?),
            Counted::StatusCount => format!("{scope}.status.{}", message.any_status()?),
            Counted::StatusCountPerUser => format!("{scope}.user.{}.status.{}", user()?, message.any_status()?),
            Counted::StatusCountPerWorkspace => {
                let workspace = safe(&self.workspace(metric, message)?, NAME_BREAKS);
                format!("{scope}.workspace.{workspace}.status.{}", message.any_status()?)
            }
            Counted::StatusCountPerUserPerRoute => {
                let route = safe(message.route.id.as_deref()?, NAME_BREAKS);
                format!("route.{route}.user.{}.status.{}", user()?, message.any_status()?)
            }
            Counted::ShdictUsage => return None,
        };
        lines.push(&[&self.prefix, ".", &name, ":1|c", rate]);
        Some(())
    }

    /// A metric with a value of the transaction.
    fn push_value(
        &self,
        metric: &Metric,
        (stat, value): (&str, &str),
        rate: &str,
        message: &Message<'_>,
        lines: &mut Lines,
    ) {
        let kind = metric.stat_type.letters();
        let Some(style) = self.config.tag_style else {
            let scope = self.scope(metric, message);
            return lines.push(&[&self.prefix, ".", &scope, ".", stat, ":", value, "|", kind, rate]);
        };
        match self.tags(style, metric, message) {
            Some(tags) => tags.push(lines, [&self.prefix, stat], [value, "|", kind, rate]),
            None => lines.push(&[&self.prefix, ".", stat, ":", value, "|", kind, rate]),
        }
    }
}

impl Render for Metrics {
    fn render(&self, message: &Message<'_>, lines: &mut Lines) {
        if !self.allows(message.any_status()) {
            return;
        }
        for (metric, rate) in self.config.metrics.iter().zip(&self.rates) {
            let measure = match metric.name {
                Name::Measure(measure) => measure,
                // Kong has none of them with tags.
                Name::Counted(_) if self.config.tag_style.is_some() => continue,
                Name::Counted(counted) => {
                    self.push_counted((metric, counted), rate, message, lines);
                    continue;
                }
            };
            let (stat, value) = message.measure(measure);
            // -1: no upstream was asked.
            if let Some(value) = value.filter(|value| *value != "-1") {
                self.push_value(metric, (stat, value), rate, message, lines);
            }
        }
    }
}
