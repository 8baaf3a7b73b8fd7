//! What HTTP and TCP entries share.

use std::borrow::Cow;

use crate::envoy::entry::{AccessLogType, Address, Common, SocketAddress, Time};
use crate::envoy::flags::Flags;
use crate::envoy::rule::Rule;
use crate::envoy::source::{Sources, filter_state_text};
use crate::envoy::{metadata, tls};
use crate::json::{Writer, decimal, sorted};

/// Tries of the balancer that are written; the number of all is under `envoy`.
const MAX_TRIES: u32 = 100;

/// Nanoseconds of a millisecond.
const MILLISECOND: i64 = 1_000_000;

/// A duration in nanoseconds, if Envoy measured it.
pub(super) fn nanoseconds(time: Option<Time>) -> Option<i128> {
    time.map(Time::nanoseconds)
}

/// A member in milliseconds. Envoy truncates, and so do its own logs.
pub(super) fn milliseconds(json: &mut Writer<'_>, name: &str, nanoseconds: i128) {
    match i64::try_from(nanoseconds) {
        Ok(nanoseconds) => json.number_member(name, nanoseconds.div_euclid(MILLISECOND)),
        // A division of that width takes its time.
        Err(_) => json.number_member(name, nanoseconds.div_euclid(MILLISECOND.into())),
    }
}

/// The address of the network, if it is one.
pub(super) fn socket(address: Option<Address<'_>>) -> Option<SocketAddress<'_>> {
    address?.socket().filter(|socket| !socket.address.is_empty())
}

/// `tries`: Envoy tells the last host only; of the earlier tries only the number is known.
pub(super) fn tries(json: &mut Writer<'_>, common: &Common<'_>) {
    let host = common.upstream_remote_address;
    let count = if host.is_some() { common.upstream_request_attempt_count.clamp(1, MAX_TRIES) } else { 0 };
    json.list("tries", 1..=count, |json, number| {
        json.open(b'{');
        if number == count
            && let Some(socket) = socket(host)
        {
            json.text_member("ip", socket.address);
            json.number_member("port", socket.port);
        }
        json.close(b'}');
    });
}

/// `route`, `service`, `consumer`, `authenticated_entity` and `workspace`, each if it has a member.
pub(super) fn entities<'e>(json: &mut Writer<'_>, common: &'e Common<'e>, rules: &[Rule], sources: Sources<'e>) {
    let found = |target: &str| sources.find(rules, target).unwrap_or_default();
    let named = |target: &str, envoys: &'e [u8]| sources.find(rules, target).unwrap_or(Cow::Borrowed(envoys));
    let (route_id, route_name) = (found("route.id"), named("route.name", common.route_name));
    if !route_id.is_empty() || !route_name.is_empty() {
        json.open_member("route");
        json.text_member("id", &route_id);
        json.text_member("name", &route_name);
        json.close(b'}');
    }
    let (service_id, service_name) = (found("service.id"), named("service.name", common.upstream_cluster));
    let host = socket(common.upstream_remote_address);
    if !service_id.is_empty() || !service_name.is_empty() || host.is_some() {
        json.open_member("service");
        json.text_member("id", &service_id);
        json.text_member("name", &service_name);
        if let Some(host) = host {
            json.text_member("host", host.address);
            json.number_member("port", host.port);
        }
        json.close(b'}');
    }
    if rules.is_empty() {
        return;
    }
    for (entity, members) in [
        ("consumer", &["consumer.id", "consumer.username", "consumer.custom_id"][..]),
        ("authenticated_entity", &["authenticated_entity.id", "authenticated_entity.consumer_id"][..]),
    ] {
        let values: Vec<_> = members.iter().map(|target| (*target, found(target))).collect();
        if values.iter().all(|(_, value)| value.is_empty()) {
            continue;
        }
        json.open_member(entity);
        for (target, value) in values {
            json.text_member(&target[entity.len() + 1..], &value);
        }
        json.close(b'}');
    }
    json.text_member("workspace", &found("workspace"));
    json.text_member("workspace_name", &found("workspace_name"));
}

/// `client_ip` and `started_at`.
pub(super) fn client(json: &mut Writer<'_>, common: &Common<'_>) {
    let remote = socket(common.downstream_remote_address);
    if let Some(remote) = remote.or_else(|| socket(common.downstream_direct_remote_address)) {
        json.text_member("client_ip", remote.address);
    }
    if let Some(start) = common.start_time {
        milliseconds(json, "started_at", start.nanoseconds());
    }
}

/// The members of `envoy` that both kinds of entry have. The caller opens and closes it.
pub(super) fn extras(json: &mut Writer<'_>, common: &Common<'_>, flags: Flags, http: bool, sources: Sources<'_>) {
    json.0.extend_from_slice(&sources.origin.members);
    match AccessLogType::try_from(common.access_log_type) {
        Ok(kind) => json.text_member("access_log_type", kind.name().as_bytes()),
        Err(_) => json.number_member("access_log_type", common.access_log_type),
    }
    if common.intermediate_log_entry {
        json.bool_member("intermediate_log_entry", true);
    }
    json.text_member("stream_id", common.stream_id);
    json.list("response_flags", flags.names(http), |json, name| json.text(name.as_bytes()));
    json.text_member("connection_termination_details", common.connection_termination_details);
    json.text_member("upstream_transport_failure_reason", common.upstream_transport_failure_reason);
    json.text_member("downstream_transport_failure_reason", common.downstream_transport_failure_reason);
    json.text_member("route_name", common.route_name);
    json.text_member("upstream_cluster", common.upstream_cluster);
    json.number_member("upstream_request_attempt_count", common.upstream_request_attempt_count);
    for (name, address) in [
        ("upstream_host", common.upstream_remote_address),
        ("upstream_local_address", common.upstream_local_address),
        ("downstream_remote_address", common.downstream_remote_address),
        ("downstream_direct_remote_address", common.downstream_direct_remote_address),
        ("downstream_local_address", common.downstream_local_address),
    ] {
        if let Some(address) = address {
            write_address(json, name, address);
        }
    }
    json.number_member("downstream_wire_bytes_received", common.downstream_wire_bytes_received);
    json.number_member("downstream_wire_bytes_sent", common.downstream_wire_bytes_sent);
    json.number_member("upstream_wire_bytes_received", common.upstream_wire_bytes_received);
    json.number_member("upstream_wire_bytes_sent", common.upstream_wire_bytes_sent);
    if let Some(tls) = &common.tls {
        tls::write_extras(json, tls);
    }
    maps(json, common);
}

/// `metadata`, `filter_state` and `custom_tags`.
fn maps(json: &mut Writer<'_>, common: &Common<'_>) {
    metadata::write(json, common.metadata);
    if !common.filter_state_objects.is_empty() {
        json.open_member("filter_state");
        for object in sorted(&common.filter_state_objects, |object| object.key) {
            let Some(value) = object.value else { continue };
            json.foreign_name(object.key);
            match filter_state_text(value.type_url, value.value) {
                Some(text) => json.text(text),
                // What it holds only its type's definition tells.
                None => {
                    json.open(b'{');
                    json.text_member("@type", value.type_url);
                    json.close(b'}');
                }
            }
        }
        json.close(b'}');
    }
    json.texts_member("custom_tags", &common.custom_tags);
}

/// A member with an address as Envoy's logs print it: `ip:port`, `[v6]:port`, the path of a Unix socket.
fn write_address(json: &mut Writer<'_>, name: &str, address: Address<'_>) {
    match address {
        Address::Socket(SocketAddress { address, port }) => {
            // Formatting would take its time; there are five addresses in an entry.
            let mut digits = [0; 20];
            let port = decimal(port.into(), &mut digits);
            if address.contains(&b':') {
                json.parts_member(name, &[b"[", address, b"]:", port]);
            } else {
                json.parts_member(name, &[address, b":", port]);
            }
        }
        Address::Pipe(path) => json.text_member(name, path),
        Address::Internal(listener) => json.parts_member(name, &[b"envoy://", listener]),
        Address::Unknown => {}
    }
}
