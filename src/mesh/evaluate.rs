//! From an entry to the lines of its access logs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use logphase_protocol::envoy::entry::{Address, Common, HttpEntry, HttpRequest, TcpEntry};
use logphase_protocol::envoy::{Origin, Record, RecordKind, Sources};
use logphase_protocol::format::{AlsEntry, Entry, Placeholder, Placeholders};
use serde_json::{Map, Value};

use super::access_log::Match;
use super::backend::Destination;
use super::choose;
use super::engine::Engine;
use super::listener::Listener;
use super::log_record::{self, RecordFormat};
use super::names::ProxyNames;
use super::proxy::{Proxy, UNKNOWN};
use super::resource_name::ResourceName;
use super::target_ref::TargetKind;
use super::template::Format;

/// Bytes that an evaluator keeps of what it has found out, about; beyond, it begins anew. A mesh of a thousand Envoys has less.
const MAX_KEPT: usize = 32 << 20;
/// Bytes of a stream, or of a listener, beside those of its names, about.
const OVERHEAD: usize = 1024;
/// How many times larger a Dataplane is than its text, about.
const PARSED_RATIO: usize = 4;

/// A line for an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The index of the output ([`Engine::outputs`]).
    pub output: usize,
    /// The line, without a line end.
    pub text: Bytes,
}

/// Makes lines. Each worker has one: it keeps what it has found out about streams, so that policies are looked at once for each
/// listener and not for each entry.
#[derive(Debug)]
pub struct Evaluator {
    engine: Arc<Engine>,
    proxies: HashMap<ProxyKey, Known>,
    /// What rules say of the proxy of a stream, if they depend on nothing else.
    names: HashMap<usize, (Arc<Origin>, ProxyNames)>,
    /// Bytes of both, about.
    kept: usize,
}

/// A stream, by the address of its origin, and what rules say of the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ProxyKey(usize, ProxyNames);

#[derive(Debug)]
struct Known {
    /// Keeps the address of the key from being used again.
    _origin: Arc<Origin>,
    proxy: Proxy,
    /// The attributes of the resource of its log records.
    resource: Rc<Map<String, Value>>,
    plans: HashMap<(Listener, Option<ResourceName>, RecordKind), Rc<[Planned]>>,
}

/// A line to be made.
#[derive(Debug)]
struct Planned {
    output: usize,
    format: Arc<Format>,
    /// Of a record of OpenTelemetry, what else it has; the format is then that of a body without one of its own.
    record: Option<Recorded>,
    condition: Option<Match>,
    values: Placeholders,
    side: Side,
}

/// What a record of OpenTelemetry has.
#[derive(Debug)]
struct Recorded {
    format: Arc<RecordFormat>,
    resource: Rc<Map<String, Value>>,
}

impl Planned {
    /// The line of `entry`, or its record.
    fn text<E: Entry + ?Sized>(&self, entry: &E, common: &Common<'_>, escape: bool) -> Vec<u8> {
        match &self.record {
            Some(Recorded { format, resource }) => format.record(entry, &self.format, time(common), resource),
            None => self.format.line(entry, escape),
        }
    }
}

/// When an entry began, in nanoseconds since the Unix epoch; 0 if it does not say so.
fn time(common: &Common<'_>) -> u64 {
    let Some(time) = common.start_time else { return 0 };
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.nanos).unwrap_or_default())
}

/// Whose address a proxy has, where it does not say its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The address is known.
    Known,
    /// That which Envoy connects to the upstream from.
    Upstream,
    /// That which the client connects to.
    Downstream,
}

impl Evaluator {
    /// An evaluator for `engine`.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, proxies: HashMap::new(), names: HashMap::new(), kept: 0 }
    }

    /// The lines of an entry. None for one that cannot be read, and for one that tells the start or the state of what has not
    /// ended.
    pub fn lines(&mut self, record: &Record) -> Vec<Line> {
        match record.kind {
            RecordKind::Http => {
                let Ok(entry) = HttpEntry::decode(&record.bytes) else { return Vec::new() };
                let Some(common) = entry.common.as_ref() else { return Vec::new() };
                let plan = self.plan(record, common, entry.request.as_ref());
                let render = |planned: &Planned, values: &Placeholders, escape| {
                    AlsEntry::http(&entry, values).map(|entry| planned.text(&entry, common, escape))
                };
                self.render(common, &plan, render)
            }
            RecordKind::Tcp => {
                let Ok(entry) = TcpEntry::decode(&record.bytes) else { return Vec::new() };
                let Some(common) = entry.common.as_ref() else { return Vec::new() };
                let plan = self.plan(record, common, None);
                let render = |planned: &Planned, values: &Placeholders, escape| {
                    AlsEntry::tcp(&entry, values).map(|entry| planned.text(&entry, common, escape))
                };
                self.render(common, &plan, render)
            }
        }
    }

    fn render(
        &self,
        common: &Common<'_>,
        plan: &[Planned],
        render: impl Fn(&Planned, &Placeholders, bool) -> Option<Vec<u8>>,
    ) -> Vec<Line> {
        let escape = self.engine.options.escape_json;
        let holding =
            plan.iter().filter(|planned| planned.condition.as_ref().is_none_or(|condition| condition.holds(common)));
        let line = |planned: &Planned| {
            let own_address = address_of(planned.side, common);
            let text = match own_address {
                Some(address) => {
                    let mut values = planned.values.clone();
                    set_address(&mut values, &address);
                    render(planned, &values, escape)
                }
                None => render(planned, &planned.values, escape),
            };
            Some(Line { output: planned.output, text: text?.into() })
        };
        holding.filter_map(line).collect()
    }

    fn plan(&mut self, record: &Record, common: &Common<'_>, request: Option<&HttpRequest<'_>>) -> Rc<[Planned]> {
        if common.is_intermediate() {
            return Rc::default();
        }
        let sources = Sources { origin: &record.origin, common, request };
        let key = self.key(&record.origin, sources);
        let engine = self.engine.clone();
        if !self.proxies.contains_key(&key) {
            self.keep(OVERHEAD + PARSED_RATIO * record.origin.size() + 2 * key.1.size());
        }
        let known = self.proxies.entry(key).or_insert_with_key(|ProxyKey(_, names)| {
            let proxy = Proxy::new(&engine.resources, &record.origin, names);
            let resource = Rc::new(log_record::resource(&record.origin, &proxy));
            Known { _origin: record.origin.clone(), proxy, resource, plans: HashMap::new() }
        });
        let listener = Listener::new(&known.proxy, common, &engine.options.names.of_listener(sources));
        let route = route(&listener, common);
        let key = (listener, route, record.kind);
        if let Some(plan) = known.plans.get(&key) {
            return plan.clone();
        }
        let plan: Rc<[Planned]> = engine.planned(known, &key.0, key.1.as_ref(), key.2).into();
        let size = OVERHEAD * (1 + plan.len()) + 2 * (common.upstream_cluster.len() + common.route_name.len());
        if self.kept + size > MAX_KEPT {
            self.forget();
        } else {
            self.kept += size;
            known.plans.insert(key, plan.clone());
        }
        plan
    }

    /// Bytes that are kept, about.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// Makes room for so many bytes more.
    fn keep(&mut self, bytes: usize) {
        if self.kept + bytes > MAX_KEPT {
            self.forget();
        }
        self.kept += bytes;
    }

    fn forget(&mut self) {
        self.proxies.clear();
        self.names.clear();
        self.kept = 0;
    }

    fn key(&mut self, origin: &Arc<Origin>, sources: Sources<'_>) -> ProxyKey {
        let engine = self.engine.clone();
        let names = &engine.options.names;
        let stream = Arc::as_ptr(origin) as usize;
        if names.tell_proxies_of_entries() {
            return ProxyKey(stream, names.of_proxy(sources));
        }
        if !self.names.contains_key(&stream) {
            self.keep(OVERHEAD + origin.size());
        }
        let (_, of_stream) = self.names.entry(stream).or_insert_with(|| (origin.clone(), names.of_proxy(sources)));
        ProxyKey(stream, of_stream.clone())
    }
}

impl Engine {
    /// The lines to be made of entries of a listener.
    fn planned(
        &self,
        known: &Known,
        listener: &Listener,
        route: Option<&ResourceName>,
        kind: RecordKind,
    ) -> Vec<Planned> {
        let Known { proxy, resource, .. } = known;
        let mut all = Vec::new();
        let side = match (proxy.address.is_empty(), listener) {
            (false, _) => Side::Known,
            (true, Listener::Inbound(_)) => Side::Downstream,
            (true, _) => Side::Upstream,
        };
        let mut add = |destination: &Destination,
                       format: Arc<Format>,
                       record: Option<&Arc<RecordFormat>>,
                       condition: Option<&Match>,
                       values: &Placeholders| {
            let Some(output) = self.output(destination) else { return };
            let record = record.map(|format| Recorded { format: format.clone(), resource: resource.clone() });
            let (condition, values) = (condition.cloned(), values.clone());
            all.push(Planned { output, format, record, condition, values, side });
        };
        if let Some(backend) = choose::traffic_log(&self.resources, proxy, listener).and_then(|log| log.backend) {
            let standard = match kind {
                RecordKind::Http => &self.standard.traffic_log_http,
                RecordKind::Tcp => &self.standard.tcp,
            };
            let format = backend.format.as_ref().unwrap_or(standard);
            add(&backend.destination, format.clone(), None, None, &values(proxy, listener, Policy::TrafficLog));
        }
        let standard = match kind {
            RecordKind::Http => &self.standard.access_log_http,
            RecordKind::Tcp => &self.standard.tcp,
        };
        for applied in choose::access_logs((&self.resources, &self.order), proxy, listener, route) {
            let incoming = matches!(listener, Listener::Inbound(_)) || !matches!(applied.part, choose::Part::To(_));
            let values = values(proxy, listener, if incoming { Policy::Incoming } else { Policy::Outgoing });
            for backend in applied.backends {
                let format = backend.format.as_ref().unwrap_or(standard);
                add(&backend.destination, format.clone(), backend.record.as_ref(), applied.condition, &values);
            }
        }
        all
    }
}

/// The policy, and the part of it, that values of placeholders are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    TrafficLog,
    /// `to` of a MeshAccessLog.
    Outgoing,
    /// `from` and `rules` of a MeshAccessLog.
    Incoming,
}

/// What Kuma puts in the place of its placeholders (facts: pkg/plugins/policies/meshaccesslog of Kuma 2.14).
pub(super) fn values(proxy: &Proxy, listener: &Listener, policy: Policy) -> Placeholders {
    let own = proxy.service.as_str();
    let of_zone = |index: &usize| proxy.dataplane.inbounds.get(*index).is_some_and(|inbound| inbound.of_zone);
    let destination = listener.destination_name(proxy);
    let (source, destination, direction) = match (policy, listener) {
        (_, Listener::Inbound(index)) if of_zone(index) => (UNKNOWN, UNKNOWN.to_owned(), "UNSPECIFIED"),
        (Policy::Incoming, _) => (UNKNOWN, own.to_owned(), "INBOUND"),
        (Policy::TrafficLog, Listener::PassThrough) => (own, destination, "UNSPECIFIED"),
        (Policy::TrafficLog, Listener::Gateway(_)) => (own, destination, "INBOUND"),
        _ => (own, destination, "OUTBOUND"),
    };
    let mut values = Placeholders::default();
    values.set(Placeholder::SourceService, source);
    values.set(Placeholder::DestinationService, destination);
    values.set(Placeholder::TrafficDirection, direction);
    values.set(Placeholder::Mesh, proxy.mesh.as_str());
    values.set(Placeholder::Zone, proxy.zone.as_str());
    values.set(Placeholder::Workload, proxy.workload.as_str());
    set_address(&mut values, &proxy.address);
    values
}

fn set_address(values: &mut Placeholders, address: &str) {
    let with_port = match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{address}]:0"),
        _ if address.is_empty() => String::new(),
        _ => format!("{address}:0"),
    };
    values.set(Placeholder::SourceAddress, with_port);
    values.set(Placeholder::SourceAddressWithoutPort, address);
}

/// The address of a proxy that does not say it.
fn address_of(side: Side, common: &Common<'_>) -> Option<String> {
    let candidates = match side {
        Side::Known => return None,
        Side::Upstream => [common.upstream_local_address, common.downstream_remote_address],
        Side::Downstream => [common.downstream_local_address, common.upstream_local_address],
    };
    let text = |address: Address<'_>| match address {
        Address::Socket(socket) => Some(String::from_utf8_lossy(socket.address).into_owned()),
        _ => None,
    };
    candidates.into_iter().flatten().find_map(text)
}

/// The MeshHTTPRoute of a request, where a policy may be for it.
pub(super) fn route(listener: &Listener, common: &Common<'_>) -> Option<ResourceName> {
    if !matches!(listener, Listener::Outbound(super::listener::To::Resource(_))) {
        return None;
    }
    let name = ResourceName::of_kri(&String::from_utf8_lossy(common.route_name))?;
    (name.kind == TargetKind::MeshHTTPRoute).then_some(name)
}
