//! TCP entries: Kong's log object of a stream session.

use super::common::{self, milliseconds, nanoseconds, socket};
use crate::envoy::entry::{Common, TcpEntry};
use crate::envoy::flags::Flags;
use crate::envoy::rule::Rule;
use crate::envoy::source::Sources;
use crate::envoy::tls;
use crate::json::Writer;

/// Writes the log object.
pub(super) fn write(
    json: &mut Writer<'_>,
    entry: &TcpEntry<'_>,
    common: &Common<'_>,
    rules: &[Rule],
    sources: Sources<'_>,
) {
    let flags = Flags::new(common.response_flags, b"");
    let connection = entry.connection.unwrap_or_default();
    json.begin();
    json.open_member("session");
    if let Some(tls) = &common.tls {
        tls::write(json, tls);
    }
    json.number_member("received", connection.received_bytes);
    json.number_member("sent", connection.sent_bytes);
    json.number_member("status", status(flags));
    if let Some(local) = socket(common.downstream_local_address) {
        json.number_member("server_port", local.port);
    }
    json.close(b'}');
    json.open_member("upstream");
    json.number_member("received", common.upstream_wire_bytes_received);
    json.number_member("sent", common.upstream_wire_bytes_sent);
    json.close(b'}');
    json.open_member("latencies");
    // Envoy passes bytes on as they come: no time of its own is measured.
    json.number_member("kong", 0);
    if let Some(session) = nanoseconds(common.duration) {
        milliseconds(json, "session", session);
    }
    json.close(b'}');
    common::tries(json, common);
    common::entities(json, common, rules, sources);
    common::client(json, common);
    json.open_member("envoy");
    common::extras(json, common, flags, false, sources);
    json.close(b'}');
    json.close(b'}');
}

/// nginx's status of a session (<https://nginx.org/en/docs/stream/ngx_stream_core_module.html#var_status>): 502 if no upstream
/// could be connected to, 503 for another reason of Envoy's to end it.
fn status(flags: Flags) -> u32 {
    match (flags.is_empty(), flags.no_upstream()) {
        (true, _) => 200,
        (false, true) => 502,
        (false, false) => 503,
    }
}
