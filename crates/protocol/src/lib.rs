//! Messages of protocols that proxies log with, and the JSON that is made of them: Envoy's access log service ([`envoy`]) and
//! OpenTelemetry's logs ([`otlp`]), which are sent, too; the status of gRPC's answers ([`rpc`]); lines of text or JSON that are
//! made of them by a template ([`mod@format`]); and expressions of CEL on them ([`expression`]).
//!
//! The messages are ours, with the fields that are used; text is kept as bytes: entries of a proxy may hold what is not
//! UTF-8, and one such header must not cost the entry.

pub mod envoy;
pub mod expression;
pub mod format;
mod json;
pub mod otlp;
pub mod rpc;
mod wire;
