//! The fields of expressions, and their values of a request (kong/router/fields.lua).

use super::request::Request;
use atc_router::ast::Value;

/// A field that an expression can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Protocol,
    Sni,
    SourceAddress,
    SourcePort,
    DestinationAddress,
    DestinationPort,
    Method,
    Host,
    Path,
    /// The number of segments.
    Segments,
    /// The segments from one to another, both included, counted from 0.
    SegmentRange(usize, usize),
    Header(String),
    Query(String),
}

impl Field {
    /// The field `name`.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "net.protocol" => Self::Protocol,
            "tls.sni" => Self::Sni,
            "net.src.ip" => Self::SourceAddress,
            "net.src.port" => Self::SourcePort,
            "net.dst.ip" => Self::DestinationAddress,
            "net.dst.port" => Self::DestinationPort,
            "http.method" => Self::Method,
            "http.host" => Self::Host,
            "http.path" => Self::Path,
            "http.path.segments.len" => Self::Segments,
            _ => {
                if let Some(range) = name.strip_prefix("http.path.segments.") {
                    let (first, last) = range.split_once('_').map_or((range, None), |(a, b)| (a, Some(b)));
                    let (first, last) = (index(first)?, last.map_or(Some(None), |last| index(last).map(Some))?);
                    // A range of one segment is written without `_`.
                    return match last {
                        Some(last) => (first < last).then_some(Self::SegmentRange(first, last)),
                        None => Some(Self::SegmentRange(first, first)),
                    };
                }
                let header = name.strip_prefix("http.headers.").map(|name| Self::Header(name.to_owned()));
                header.or_else(|| Some(Self::Query(name.strip_prefix("http.queries.")?.to_owned())))?
            }
        })
    }

    /// Passes each value that `request` has for the field to `add`.
    pub(super) fn values(&self, request: &Request<'_>, mut add: impl FnMut(Value)) {
        let text = |text: &str| Value::String(text.to_owned());
        match self {
            Self::Protocol => add(text(request.protocol)),
            Self::Sni => request.sni().as_deref().map(text).into_iter().for_each(add),
            Self::SourceAddress => request.source_address().map(Value::IpAddr).into_iter().for_each(add),
            Self::SourcePort => request.source_port().map(Value::Int).into_iter().for_each(add),
            Self::DestinationAddress => request.destination_address().map(Value::IpAddr).into_iter().for_each(add),
            Self::DestinationPort => request.port.map(Value::Int).into_iter().for_each(add),
            Self::Method => request.method().as_deref().map(text).into_iter().for_each(add),
            Self::Host => request.host.as_deref().map(text).into_iter().for_each(add),
            Self::Path => request.path.as_deref().map(text).into_iter().for_each(add),
            Self::Segments => {
                if request.path.is_some() {
                    add(Value::Int(i64::try_from(request.segments().count()).unwrap_or(i64::MAX)));
                }
            }
            Self::SegmentRange(first, last) => {
                let segments: Vec<_> = request.segments().skip(*first).take(last - first + 1).collect();
                if segments.len() == last - first + 1 {
                    add(Value::String(segments.join("/")));
                }
            }
            Self::Header(name) => request.header(name, |value| add(text(value))),
            Self::Query(name) => request.query(name, |value| add(text(value))),
        }
    }
}

/// An index of a segment: decimal, without leading zeros.
fn index(text: &str) -> Option<usize> {
    let canonical = text == "0" || (!text.starts_with('0') && !text.is_empty());
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}
