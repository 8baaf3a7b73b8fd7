#[path = "../../../tests/service/rfc5424.rs"]
pub(in crate::plugin) mod rfc5424;

mod headers;
mod local;
