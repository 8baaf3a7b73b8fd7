//! Kafka for sinks and inputs: client settings, authentication, shared producers, and the schema registry.
//!
//! - [`config`]: the fields of a plugin's `config`: [`config::ConnectionConfig`] is needed by every client,
//!   [`config::ProducerConfig`] additionally by producers.
//! - [`consumer`]: a member of a consumer group.
//! - [`settings`]: turns fields into settings of librdkafka, with the table of all of them.
//! - [`oauthbearer`]: access tokens for the SASL mechanism OAUTHBEARER.
//! - [`producer`]: the producers that plugins share, and their delivery reports.
//! - [`error`]: what each error of librdkafka means for a message, and what an operator can do about it.
//! - [`registry`]: schemas of a registry, by which messages are validated and encoded.

pub mod config;
pub mod consumer;
pub mod error;
pub mod oauthbearer;
pub mod producer;
pub mod registry;
pub mod settings;

#[cfg(test)]
mod tests;
