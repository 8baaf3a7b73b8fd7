//! Why an entry has the access logs that it has.

use std::fmt::Write;
use std::sync::Arc;

use logphase_protocol::envoy::entry::{Common, HttpEntry, HttpRequest, TcpEntry};
use logphase_protocol::envoy::{Record, RecordKind, Sources};

use super::choose::{self, Applied, AppliedTrafficLog, Part};
use super::engine::Engine;
use super::evaluate::{Evaluator, Line, route};
use super::listener::Listener;
use super::proxy::Proxy;
use super::resource_name::ResourceName;

/// Which policies and backends an entry goes to, and why, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Who sends it, and the listener that it came in on.
    pub listener: String,
    /// Each policy that applies, with the reason; or why none does.
    pub policies: Vec<String>,
    /// The lines, each with what it goes to.
    pub lines: Vec<(String, Line)>,
}

impl Engine {
    /// Explains the access logs of an entry. `None` if it cannot be read.
    pub fn explain(self: &Arc<Self>, record: &Record) -> Option<Explanation> {
        match record.kind {
            RecordKind::Http => {
                let entry = HttpEntry::decode(&record.bytes).ok()?;
                Some(self.explain_entry(record, entry.common.as_ref()?, entry.request.as_ref()))
            }
            RecordKind::Tcp => {
                let entry = TcpEntry::decode(&record.bytes).ok()?;
                Some(self.explain_entry(record, entry.common.as_ref()?, None))
            }
        }
    }

    fn explain_entry(
        self: &Arc<Self>,
        record: &Record,
        common: &Common<'_>,
        request: Option<&HttpRequest<'_>>,
    ) -> Explanation {
        let sources = Sources { origin: &record.origin, common, request };
        let names = &self.options.names;
        let proxy = Proxy::new(&self.resources, &record.origin, &names.of_proxy(sources));
        let listener = Listener::new(&proxy, common, &names.of_listener(sources));
        let route = route(&listener, common);
        let lines = Evaluator::new(self.clone()).lines(record);
        let outputs = self.outputs();
        let shown = |line: Line| (outputs[line.output].destination.to_string(), line);
        Explanation {
            listener: described(&proxy, &listener, route.as_ref()),
            policies: self.reasons(&proxy, &listener, route.as_ref(), common),
            lines: lines.into_iter().map(shown).collect(),
        }
    }

    fn reasons(
        &self,
        proxy: &Proxy,
        listener: &Listener,
        route: Option<&ResourceName>,
        common: &Common<'_>,
    ) -> Vec<String> {
        let mut reasons = Vec::new();
        if common.is_intermediate() {
            reasons.push("no access log: it tells the start or the state of what has not ended".to_owned());
            return reasons;
        }
        let traffic_log = choose::traffic_log(&self.resources, proxy, listener);
        reasons.extend(traffic_log.map(|log| of_traffic_log(&log, &self.rivals(&log, proxy, listener))));
        let applied = choose::access_logs((&self.resources, &self.order), proxy, listener, route);
        reasons.extend(applied.iter().map(|applied| of_access_log(applied, common)));
        if reasons.is_empty() {
            reasons.push(format!(
                "no policy applies: none of {} MeshAccessLogs and {} TrafficLogs selects this listener",
                self.resources.access_logs.len(),
                self.resources.traffic_logs.len()
            ));
        }
        reasons
    }

    /// The TrafficLogs that apply as well and lose.
    fn rivals(&self, won: &AppliedTrafficLog<'_>, proxy: &Proxy, listener: &Listener) -> Vec<String> {
        let (Some(destination), source) = (listener.traffic_log_service(), proxy.sources()) else { return Vec::new() };
        let connection = super::Connection { mesh: &proxy.mesh, source: &source, destination };
        let others = self.resources.traffic_logs.iter().filter(|log| !std::ptr::eq(*log, won.policy));
        let applying = others.filter_map(|log| Some((log, super::winner::rank(log, connection)?)));
        let reason = |(log, rank): (&super::TrafficLog, super::Rank)| {
            let why = if rank < won.rank {
                "is less specific"
            } else if log.meta.created < won.policy.meta.created {
                "was created earlier"
            } else {
                "has a later name"
            };
            format!("`{}` {why}", log.meta.name)
        };
        applying.map(reason).collect()
    }
}

fn described(proxy: &Proxy, listener: &Listener, route: Option<&ResourceName>) -> String {
    let mut text = format!("mesh `{}`, data plane `{}`, service `{}`", proxy.mesh, proxy.name, proxy.service);
    for (what, value) in [("zone", &proxy.zone), ("namespace", &proxy.namespace)] {
        if !value.is_empty() {
            let _ = write!(text, ", {what} `{value}`");
        }
    }
    let _ = write!(text, ": {listener}");
    if let Some(route) = route {
        let _ = write!(text, ", {route}");
    }
    text
}

fn of_traffic_log(applied: &AppliedTrafficLog<'_>, rivals: &[String]) -> String {
    let AppliedTrafficLog { policy, backend, .. } = applied;
    let name = &policy.meta.name;
    let backend = match backend {
        Some(backend) => format!("backend `{}` ({})", backend.name, backend.destination),
        None => "no access log, because its mesh has no such backend".to_owned(),
    };
    match rivals {
        [] => format!("TrafficLog `{name}`: {backend}; no other applies"),
        rivals => format!("TrafficLog `{name}`: {backend}; {}", rivals.join(", ")),
    }
}

fn of_access_log(applied: &Applied<'_>, common: &Common<'_>) -> String {
    let Applied { policy, part, condition, backends, replaced } = applied;
    let part_text = match part {
        Part::To(index) => format!("to[{index}]"),
        Part::From(index) => format!("from[{index}]"),
        Part::Rules(index) => format!("rules[{index}]"),
    };
    let mut text = format!("MeshAccessLog `{}`, {part_text}: ", policy.meta.name);
    if condition.is_some_and(|condition| !condition.holds(common)) {
        text.push_str("its match does not hold");
        return text;
    }
    let named: Vec<_> = backends.iter().map(|backend| backend.destination.to_string()).collect();
    text.push_str(&if named.is_empty() {
        "no access log, because its list of backends is empty".to_owned()
    } else {
        named.join(", ")
    });
    match (part, replaced) {
        (Part::To(_), 0) => text.push_str("; no other applies"),
        (Part::To(_), 1) => text.push_str("; it is stronger than the other one that applies"),
        (Part::To(_), others) => {
            let _ = write!(text, "; it is stronger than the {others} others that apply");
        }
        _ => {}
    }
    text
}
