//! HTTP entries.

use std::cmp::Ordering;

use super::common::{self, milliseconds, nanoseconds, socket};
use crate::envoy::entry::{Common, HttpEntry, HttpRequest, HttpResponse, HttpVersion, TextMember};
use crate::envoy::flags::Flags;
use crate::envoy::rule::Rule;
use crate::envoy::source::Sources;
use crate::envoy::{query, tls};
use crate::json::Writer;

/// The details of a response that came from the upstream.
const VIA_UPSTREAM: &[u8] = b"via_upstream";

/// How the details of a response begin whose upstream failed after its head had been passed on.
const BROKE_OFF: &[u8] = b"upstream_reset_after_response_started";

/// Writes the log object.
pub(super) fn write(
    json: &mut Writer<'_>,
    entry: &HttpEntry<'_>,
    common: &Common<'_>,
    rules: &[Rule],
    sources: Sources<'_>,
) {
    let (no_request, no_response) = (HttpRequest::default(), HttpResponse::default());
    let request = entry.request.as_ref().unwrap_or(&no_request);
    let response = entry.response.as_ref().unwrap_or(&no_response);
    let status = response.code.unwrap_or(0);
    let first_rx = common.time_to_first_upstream_rx_byte;
    json.begin();
    write_request(json, request, common);
    write_response(json, response, common, status);
    let upstream = common.upstream_remote_address.is_some();
    json.name("upstream_uri");
    // Kong's is empty for a request that it did not proxy.
    json.text(if upstream { request.path } else { b"" });
    let answered = response.code_details == VIA_UPSTREAM || first_rx.is_some();
    json.name("upstream_status");
    json.text(if answered { status.to_string() } else { String::new() }.as_bytes());
    write_latencies(json, common);
    common::tries(json, common);
    common::entities(json, common, rules, sources);
    common::client(json, common);
    let from_upstream =
        response.code_details == VIA_UPSTREAM || (first_rx.is_some() && response.code_details.starts_with(BROKE_OFF));
    json.text_member("source", if from_upstream { b"upstream" } else { b"kong" });
    write_extras(json, entry, (request, response), common, sources);
    write_context(json, entry, common);
    json.close(b'}');
}

fn write_request(json: &mut Writer<'_>, request: &HttpRequest<'_>, common: &Common<'_>) {
    let uri = if request.original_path.is_empty() { request.path } else { request.original_path };
    json.open_member("request");
    json.text_member("id", if request.request_id.is_empty() { common.stream_id } else { request.request_id });
    json.text_member("method", request.method_name());
    json.text_member("uri", uri);
    if !request.authority.is_empty() {
        let scheme = if request.scheme.is_empty() { b"http" } else { request.scheme };
        json.parts_member("url", &[scheme, b"://", request.authority, uri]);
    }
    json.name("querystring");
    query::write(json, uri);
    headers(
        json,
        &request.headers,
        &[],
        &[
            ("host", request.authority),
            ("user-agent", request.user_agent),
            ("referer", request.referer),
            ("x-forwarded-for", request.forwarded_for),
            ("x-request-id", request.request_id),
        ],
    );
    let wire = common.downstream_wire_bytes_received;
    json.number_member("size", size(wire, request.headers_bytes, request.body_bytes));
    if let Some(tls) = &common.tls {
        tls::write(json, tls);
    }
    json.close(b'}');
}

fn write_response(json: &mut Writer<'_>, response: &HttpResponse<'_>, common: &Common<'_>, status: u32) {
    json.open_member("response");
    json.number_member("status", status);
    // Of a header and a trailer with one name the header counts.
    headers(json, &response.trailers, &response.headers, &[]);
    json.number_member("size", size(common.downstream_wire_bytes_sent, response.headers_bytes, response.body_bytes));
    json.close(b'}');
}

/// Bytes on the wire, or what Envoy counted itself where it has no such number.
fn size(wire: u64, headers: u64, body: u64) -> u64 {
    if wire > 0 { wire } else { headers.saturating_add(body) }
}

/// `headers`: those that Envoy has `fields` for, and those that are listed. Names are in lower case and sorted; of one name the
/// last counts, a later list before an earlier one before `fields`.
fn headers(
    json: &mut Writer<'_>,
    listed: &[TextMember<'_>],
    later: &[TextMember<'_>],
    fields: &[(&'static str, &[u8])],
) {
    // Pseudo headers (`:path`) are members of their own.
    let listed = || listed.iter().chain(later).filter(|member| !member.key.starts_with(b":"));
    // Envoy's are in lower case.
    let lowered: Vec<Vec<u8>> = match listed().any(|member| member.key.iter().any(u8::is_ascii_uppercase)) {
        true => listed().map(|member| member.key.to_ascii_lowercase()).collect(),
        false => Vec::new(),
    };
    let mut all = Vec::with_capacity(listed().count() + fields.len());
    let fields = fields.iter().filter(|(_, value)| !value.is_empty());
    all.extend(fields.map(|(name, value)| Header::new(name.as_bytes(), value)));
    all.extend(listed().enumerate().map(|(at, member)| {
        let name = lowered.get(at).map_or(member.key, Vec::as_slice);
        Header::new(name, member.value)
    }));
    all.sort_by(Header::compare);
    json.open_member("headers");
    for (at, header) in all.iter().enumerate() {
        if all.get(at + 1).is_none_or(|next| next.name != header.name) {
            json.foreign_name(header.name);
            json.text(header.value);
        }
    }
    json.close(b'}');
}

struct Header<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// The first bytes of the name, which nearly always decide the order.
    start: u64,
}

impl<'a> Header<'a> {
    fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        let mut start = [0; 8];
        let length = name.len().min(start.len());
        start[..length].copy_from_slice(&name[..length]);
        Self { name, value, start: u64::from_be_bytes(start) }
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.start.cmp(&other.start).then_with(|| self.name.cmp(other.name))
    }
}

/// `latencies`. Differences are taken in nanoseconds and truncated afterwards, as Envoy does.
fn write_latencies(json: &mut Writer<'_>, common: &Common<'_>) {
    let total = nanoseconds(common.duration.or(common.time_to_last_downstream_tx_byte));
    let first_tx = nanoseconds(common.time_to_first_upstream_tx_byte);
    let sent = nanoseconds(common.time_to_last_upstream_tx_byte).or(first_tx);
    let first_rx = nanoseconds(common.time_to_first_upstream_rx_byte);
    // Without an answer Kong, too, waited until it gave up.
    let answer = first_rx.or(nanoseconds(common.time_to_first_downstream_tx_byte)).or(total);
    let waiting = sent.zip(answer).map(|(sent, answer)| (answer - sent).max(0));
    // An upstream that broke off was read until then.
    let last_rx = nanoseconds(common.time_to_last_upstream_rx_byte).or(total);
    let receiving = first_rx.zip(last_rx).map_or(0, |(first, last)| (last - first).max(0));
    json.open_member("latencies");
    match total {
        Some(total) => milliseconds(json, "kong", (total - waiting.unwrap_or(0) - receiving).max(0)),
        None => {
            if let Some(first) = first_tx {
                milliseconds(json, "kong", first);
            }
        }
    }
    match waiting {
        Some(waiting) => milliseconds(json, "proxy", waiting),
        None => json.number_member("proxy", -1),
    }
    if let Some(total) = total {
        milliseconds(json, "request", total);
    }
    milliseconds(json, "receive", receiving);
    json.close(b'}');
}

fn write_extras(
    json: &mut Writer<'_>,
    entry: &HttpEntry<'_>,
    (request, response): (&HttpRequest<'_>, &HttpResponse<'_>),
    common: &Common<'_>,
    sources: Sources<'_>,
) {
    json.open_member("envoy");
    let flags = Flags::new(common.response_flags, response.code_details);
    common::extras(json, common, flags, true, sources);
    json.text_member("protocol", entry.protocol_name().as_bytes());
    json.text_member("response_code_details", response.code_details);
    json.number_member("request_headers_bytes", request.headers_bytes);
    json.number_member("request_body_bytes", request.body_bytes);
    json.number_member("response_headers_bytes", response.headers_bytes);
    json.number_member("response_body_bytes", response.body_bytes);
    json.close(b'}');
}

/// What snippets can ask for and the log object lacks.
fn write_context(json: &mut Writer<'_>, entry: &HttpEntry<'_>, common: &Common<'_>) {
    json.open_member("_context");
    match HttpVersion::try_from(entry.protocol_version) {
        Ok(HttpVersion::Http10) => json.float_member("http_version", 1.0),
        Ok(HttpVersion::Http11) => json.float_member("http_version", 1.1),
        Ok(HttpVersion::Http2) => json.float_member("http_version", 2.0),
        Ok(HttpVersion::Http3) => json.float_member("http_version", 3.0),
        Ok(HttpVersion::Unspecified) | Err(_) => {}
    }
    if let Some(socket) = socket(common.downstream_direct_remote_address) {
        json.number_member("client_port", socket.port);
    }
    json.close(b'}');
}
