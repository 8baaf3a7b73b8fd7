#[path = "../../../tests/service/rfc5424.rs"]
pub(crate) mod rfc5424;

mod daemon;
mod headers;
