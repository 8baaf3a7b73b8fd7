//! The metrics of Kong's plugin datadog (kong/plugins/datadog/handler.lua, 3.9).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::Render;
use super::kong::{ConsumerIdentifier, StatType, localhost, port};
use super::line::{Lines, NAME_BREAKS, check, rate, safe};
use super::message::{Measure, Message};
use super::sink::MetricSink;
use crate::sink::udp::UdpSink;
use crate::sink::{ConfigError, Opened, SinkShared, defaults, parse};

/// What to do about a metric that is larger than a datagram.
const ADVICE: &str = "a name or tag in it has more than 60 KB; shorten it";

/// The members of a plugin's `config` that the sink uses.
#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default = "localhost")]
    host: String,
    #[serde(default = "port")]
    port: u16,
    prefix: Option<String>,
    service_name_tag: Option<String>,
    status_tag: Option<String>,
    consumer_tag: Option<String>,
    metrics: Vec<Metric>,
}

#[derive(Debug, Deserialize)]
struct Metric {
    name: Measure,
    stat_type: StatType,
    #[serde(default)]
    tags: Vec<String>,
    sample_rate: Option<f64>,
    consumer_identifier: Option<ConsumerIdentifier>,
}

impl Config {
    /// Every field that would make lines that no server can read.
    fn errors(&self) -> Vec<ConfigError> {
        let tag = &[':', '|', ','][..];
        let texts = [
            ("prefix", &self.prefix, NAME_BREAKS),
            ("service_name_tag", &self.service_name_tag, tag),
            ("status_tag", &self.status_tag, tag),
            ("consumer_tag", &self.consumer_tag, tag),
        ];
        let of_texts = texts.into_iter().filter_map(|(field, text, breaks)| check(field, text.as_deref()?, breaks));
        // A tag with commas is several.
        let of_tags = self.metrics.iter().enumerate().flat_map(|(at, metric)| {
            let tags = metric.tags.iter().enumerate();
            tags.filter_map(move |(index, tag)| check(&format!("metrics[{at}].tags[{index}]"), tag, &['|']))
        });
        of_texts.chain(of_tags).collect()
    }
}

/// Makes a sink from `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// Every field that the sink cannot use.
pub fn open(config: &Value, shared: &SinkShared) -> Opened {
    let config: Config = parse(config)?;
    let errors = config.errors();
    if !errors.is_empty() {
        return Err(errors);
    }
    let udp = UdpSink::dropping(config.host.clone(), config.port, defaults::timeout(), ADVICE, shared);
    Ok(Box::new(MetricSink::new(Arc::new(Metrics::new(config)), udp, 0)))
}

/// Makes the metrics of a plugin.
#[derive(Debug)]
struct Metrics {
    config: Config,
    /// The tags of each metric that do not depend on the transaction, each after a comma.
    tags: Vec<String>,
    /// `|@RATE` of each metric.
    rates: Vec<String>,
}

impl Metrics {
    fn new(config: Config) -> Self {
        let tags = |metric: &Metric| metric.tags.iter().map(|tag| format!(",{tag}")).collect();
        Self {
            tags: config.metrics.iter().map(tags).collect(),
            rates: config.metrics.iter().map(|metric| rate(metric.sample_rate)).collect(),
            config,
        }
    }

    /// The tag of the consumer, after a comma.
    fn consumer(&self, metric: &Metric, message: &Message<'_>) -> Option<String> {
        let identifier = metric.consumer_identifier?;
        let name = safe(identifier.of(message.consumer.as_ref()?)?, BREAKS);
        let name = if identifier == ConsumerIdentifier::ConsumerId { name.replace('-', "_") } else { name };
        Some(format!(",{}:{name}", self.config.consumer_tag.as_deref().unwrap_or("consumer")))
    }
}

/// What ends a tag.
const BREAKS: &[char] = &[',', '|'];

impl Render for Metrics {
    fn render(&self, message: &Message<'_>, lines: &mut Lines) {
        let prefix = self.config.prefix.as_deref().unwrap_or("kong");
        let service_tag = self.config.service_name_tag.as_deref().unwrap_or("name");
        let status_tag = self.config.status_tag.as_deref().unwrap_or("status");
        let service = message.service.as_ref().and_then(|service| service.name.as_deref().or(service.host.as_deref()));
        let service = safe(service.unwrap_or_default(), &[',', '|', '.']);
        let status = message.status.as_deref().unwrap_or("-");
        for ((metric, tags), rate) in self.config.metrics.iter().zip(&self.tags).zip(&self.rates) {
            let (stat, value) = message.measure(metric.name);
            // Kong sends `nil` as the value of what an L4 session does not have.
            let Some(value) = value else { continue };
            let consumer = self.consumer(metric, message).unwrap_or_default();
            let name = [prefix, ".", stat, ":", value, "|", metric.stat_type.letters(), rate];
            let tags = ["|#", service_tag, ":", &service, ",", status_tag, ":", status, &consumer, tags];
            lines.push(&[&name[..], &tags[..]].concat());
        }
    }
}
