//! Kafka: the settings of a client, logins, the producers that plugins share, and the schema registry.
//!
//! [`client`] turns fields into librdkafka's settings (with the table of all of them), [`producer`] has the clients
//! that plugins share, [`error`] the table of errors, [`token`] the tokens of OAUTHBEARER, [`registry`] the schemas.

pub mod client;
pub mod config;
pub mod error;
pub mod producer;
pub mod registry;
mod set_token;
pub mod token;

#[cfg(test)]
mod tests;
