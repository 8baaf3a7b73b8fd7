//! The members of a message that metrics are made of. Edits can give any of them any type: what does not fit counts as absent.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;

/// What metrics read of a message.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    pub request_size: Option<String>,
    pub response_size: Option<String>,
    /// The status of the response.
    pub status: Option<String>,
    /// The status of an L4 session.
    session_status: Option<String>,
    /// The latencies `request`, `proxy` and `kong`, in milliseconds.
    pub latencies: [Option<String>; 3],
    pub service: Option<Service>,
    /// The name of the API (Kong before 1.0), if the transaction has one.
    pub api: Option<Option<String>>,
    pub route: Route,
    pub consumer: Option<Consumer>,
    workspace: Option<&'a RawValue>,
    workspace_name: Option<&'a RawValue>,
}

#[derive(Debug, Default)]
pub(super) struct Service {
    pub id: Option<String>,
    pub name: Option<String>,
    pub host: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Route {
    pub id: Option<String>,
    pub name: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Consumer {
    pub id: Option<String>,
    pub custom_id: Option<String>,
    pub username: Option<String>,
}

/// A value of a transaction that both plugins send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Measure {
    KongLatency,
    Latency,
    RequestCount,
    RequestSize,
    ResponseSize,
    UpstreamLatency,
}

impl<'a> Message<'a> {
    /// Reads a message; none if it is no JSON object. Linear in its bytes.
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let names = [
            "request",
            "response",
            "session",
            "latencies",
            "service",
            "api",
            "route",
            "consumer",
            "workspace",
            "workspace_name",
        ];
        let [request, response, session, latencies, service, api, route, consumer, workspace, workspace_name] =
            members(std::str::from_utf8(message).ok()?, names)?;
        let [request_size] = numbers(request, ["size"]);
        let [response_size, status] = numbers(response, ["size", "status"]);
        let [session_status] = numbers(session, ["status"]);
        let [route_id, route_name] = texts(route, ["id", "name"]).unwrap_or_default();
        Some(Self {
            request_size,
            response_size,
            status,
            session_status,
            latencies: numbers(latencies, ["request", "proxy", "kong"]),
            service: texts(service, ["id", "name", "host"]).map(|[id, name, host]| Service { id, name, host }),
            api: texts(api, ["name"]).map(|[name]| name),
            route: Route { id: route_id, name: route_name },
            consumer: texts(consumer, ["id", "custom_id", "username"]).map(|[id, custom_id, username]| Consumer {
                id,
                custom_id,
                username,
            }),
            workspace,
            workspace_name,
        })
    }

    /// How a value is called in a line, and the value, if the transaction has it.
    pub fn measure(&self, measure: Measure) -> (&'static str, Option<&str>) {
        let [request, proxy, kong] = &self.latencies;
        match measure {
            Measure::RequestCount => ("request.count", Some("1")),
            Measure::RequestSize => ("request.size", self.request_size.as_deref()),
            Measure::ResponseSize => ("response.size", self.response_size.as_deref()),
            Measure::Latency => ("latency", request.as_deref()),
            Measure::UpstreamLatency => ("upstream_latency", proxy.as_deref()),
            Measure::KongLatency => ("kong_latency", kong.as_deref()),
        }
    }

    /// The status of the response, or of an L4 session.
    pub fn any_status(&self) -> Option<&str> {
        self.status.as_deref().or(self.session_status.as_deref())
    }

    /// The workspace's id, or its name.
    pub fn workspace(&self, by_name: bool) -> Option<String> {
        text(if by_name { self.workspace_name? } else { self.workspace? })
    }
}

/// The members `names` of an object, each as a text; none if it is no object.
fn texts<const N: usize>(object: Option<&RawValue>, names: [&str; N]) -> Option<[Option<String>; N]> {
    Some(members(object?.get(), names)?.map(|value| value.and_then(text)))
}

/// The members `names` of an object that are numbers, as Lua writes them. Kong before 3.0 logs sizes as texts.
fn numbers<const N: usize>(object: Option<&RawValue>, names: [&str; N]) -> [Option<String>; N] {
    let found = object.and_then(|object| members(object.get(), names)).unwrap_or([None; N]);
    found.map(|value| {
        let written = value?.get();
        let quoted = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let number: f64 = serde_json::from_str(quoted.unwrap_or(written)).ok()?;
        Some(logphase_script::lua_number(number))
    })
}

/// A text, or a number as Lua writes it.
fn text(value: &RawValue) -> Option<String> {
    let written = value.get();
    if written.starts_with('"') {
        return serde_json::from_str(written).ok();
    }
    serde_json::from_str::<f64>(written).ok().map(logphase_script::lua_number)
}

/// The members `names` of the JSON object `text`, the last one of a name; none if it is no object.
fn members<'a, const N: usize>(text: &'a str, names: [&str; N]) -> Option<[Option<&'a RawValue>; N]> {
    Deserializer::from_str(text).deserialize_map(Members(names)).ok()
}

struct Members<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(index) = map.next_key_seed(Name(&self.0))? {
            match index {
                Some(index) => found[index] = Some(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// Reads a name; its index, if it is one of these.
struct Name<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|wanted| *wanted == name))
    }
}
