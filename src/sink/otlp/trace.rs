//! The trace that a transaction belongs to: from the headers of W3C (<https://www.w3.org/TR/trace-context/>) and B3
//! (<https://github.com/openzipkin/b3-propagation>), and from the ids that Kong's tracing plugins leave in the log object.

use serde_json::{Map, Value};

use super::attributes::first;

/// The flag of W3C's trace context for a trace that is recorded.
const SAMPLED: u32 = 1;

/// A trace, and what in it has made the request; empty if there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) trace_id: Vec<u8>,
    pub(super) span_id: Vec<u8>,
    pub(super) flags: u32,
}

impl Trace {
    /// The trace of a message. Where Kong says which trace it has used, headers of another one do not count.
    pub(super) fn of(message: &Map<String, Value>) -> Option<Self> {
        let headers = message.get("request").and_then(|request| request.get("headers")).and_then(Value::as_object);
        let of_headers = headers.and_then(Self::of_headers);
        match message.get("trace_id").and_then(logged) {
            Some(trace_id) if of_headers.as_ref().is_none_or(|trace| trace.trace_id != trace_id) => {
                Some(Self { trace_id, ..Self::default() })
            }
            _ => of_headers,
        }
    }

    fn of_headers(headers: &Map<String, Value>) -> Option<Self> {
        let header = |name: &str| headers.get(name).and_then(first).map(str::trim);
        let w3c = header("traceparent").and_then(Self::of_w3c);
        let b3 = || header("b3").and_then(Self::of_b3);
        let several = || {
            let sampled = header("x-b3-sampled").is_some_and(|value| matches!(value, "1" | "true"));
            let debug = header("x-b3-flags") == Some("1");
            Some(Self {
                trace_id: trace_id(header("x-b3-traceid")?)?,
                span_id: header("x-b3-spanid").and_then(span_id).unwrap_or_default(),
                flags: if sampled || debug { SAMPLED } else { 0 },
            })
        };
        w3c.or_else(b3).or_else(several)
    }

    /// `VERSION-TRACE-SPAN-FLAGS`; later versions may have more.
    fn of_w3c(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let known = version == "00" && parts.next().is_none();
        let later = version.len() == 2 && version != "00" && version != "ff" && bytes(version).is_some();
        if !(known || later) || trace.len() != 32 || flags.len() != 2 {
            return None;
        }
        let flags = bytes(flags)?;
        Some(Self { trace_id: trace_id(trace)?, span_id: span_id(span)?, flags: u32::from(*flags.first()?) })
    }

    /// `TRACE-SPAN`, and perhaps whether it is recorded and the parent.
    fn of_b3(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (trace, span, sampled) = (parts.next()?, parts.next()?, parts.next());
        let flags = if matches!(sampled, Some("1" | "d")) { SAMPLED } else { 0 };
        Some(Self { trace_id: trace_id(trace)?, span_id: span_id(span)?, flags })
    }
}

/// The id that Kong has logged, in the first of the formats that are ids of OpenTelemetry as well.
fn logged(ids: &Value) -> Option<Vec<u8>> {
    ["w3c", "b3", "ot", "jaeger"].iter().find_map(|format| trace_id(ids.get(format)?.as_str()?))
}

/// An id of a trace: sixteen bytes. B3 may have eight, which are the last ones.
fn trace_id(text: &str) -> Option<Vec<u8>> {
    let id = bytes(text).filter(|id| matches!(id.len(), 8 | 16) && id.iter().any(|byte| *byte != 0))?;
    Some([&vec![0; 16 - id.len()][..], &id].concat())
}

fn span_id(text: &str) -> Option<Vec<u8>> {
    bytes(text).filter(|id| id.len() == 8 && id.iter().any(|byte| *byte != 0))
}

/// The bytes of a hexadecimal text.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let pair = |pair: &[u8]| u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok();
    let text = text.as_bytes();
    if text.len() % 2 == 1 || text.len() > 64 {
        return None;
    }
    text.chunks_exact(2).map(pair).collect()
}
