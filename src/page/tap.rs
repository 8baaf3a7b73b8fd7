//! `GET /api/tap`: the tap of the control socket, with a rate that a page can show.

use bytes::Bytes;
use futures_util::{StreamExt, future};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::http::request::Parts;

use super::{Page, Session};
use crate::api::{Call, Reply};

/// Messages per second, by default and at most.
const RATE: f64 = 20.0;
const MAX_RATE: f64 = 200.0;

/// Answers with the messages of a `session`, until it ends.
pub(super) async fn answer(page: &Page, session: Session, head: Parts) -> Reply {
    let query = bounded(head.uri.query().unwrap_or_default());
    let call = Call { arguments: Vec::new(), query, headers: head.headers, body: Bytes::new() };
    while_open(page.taps.answer(&head.method, "/tap", call).await, session)
}

/// The arguments of a tap: both sides and a bounded rate, unless `query` says less. What it leaves empty says nothing.
fn bounded(query: &str) -> String {
    let given = form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty());
    let mut arguments = form_urlencoded::Serializer::new(String::new());
    let (mut has_rate, mut has_sides) = (false, false);
    for (name, value) in given {
        has_rate |= name == "rate";
        has_sides |= name == "sides";
        match value.parse::<f64>() {
            Ok(rate) if name == "rate" && rate > MAX_RATE => arguments.append_pair(&name, &MAX_RATE.to_string()),
            _ => arguments.append_pair(&name, &value),
        };
    }
    if !has_rate {
        arguments.append_pair("rate", &RATE.to_string());
    }
    if !has_sides {
        arguments.append_pair("sides", "both");
    }
    arguments.append_pair("changes", "true");
    arguments.finish()
}

/// The same answer, whose body ends with the session.
pub(super) fn while_open(reply: Reply, session: Session) -> Reply {
    reply.map(|body| {
        let frames = BodyStream::new(body).take_while(move |_| future::ready(session.is_open()));
        BodyExt::boxed(StreamBody::new(frames))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: no arguments, empty ones, and a rate that no page can show. Guarantees: both sides at a rate that a page can show; what is
    /// given otherwise stays.
    #[test]
    fn rates_are_bounded() {
        assert_eq!(bounded(""), "rate=20&sides=both&changes=true");
        assert_eq!(bounded("plugin=&rate=&where=&text=&sides="), "rate=20&sides=both&changes=true");
        assert_eq!(bounded("rate=1e9&sides=after"), "rate=200&sides=after&changes=true");
        assert_eq!(
            bounded("rate=0.5&plugin=a%20b&where=a%3Db&where=c%3Dd"),
            "rate=0.5&plugin=a+b&where=a%3Db&where=c%3Dd&sides=both&changes=true"
        );
        assert_eq!(bounded("rate=x"), "rate=x&sides=both&changes=true");
    }
}
