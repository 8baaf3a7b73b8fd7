//! `GET /tap`: messages as they are sent, one JSON object per line, until the client disconnects. Only on the control
//! socket: messages are confidential.

mod redact;

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::router::{Call, Reply, Routes, json_reply};
use crate::phase::{Condition, MessageOutcome, Sample, Source, Step, Subscription, TapFilter, Taps, Text};

/// How often an empty line is sent when there is nothing else, so that each side notices that the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// The route of a tap. Query: `plugin` (a name, an instance name or an id; default all), `rate` (messages per second;
/// default all), `sides` (`before`, `after` or `both`; default `after`), `changes` (`true`: which snippet changed what), `text`
/// (which a message must have somewhere) and any number of `where` (`KEY=VALUE`, see [`Condition::parse`]).
pub fn routes(taps: &Arc<Taps>) -> Routes {
    let taps = taps.clone();
    Routes::new().get("/tap", move |call| {
        let reply = tap(&taps, &call);
        async { reply }
    })
}

/// Which versions of a message are shown: without any edit, and as it is sent.
#[derive(Debug, Clone, Copy)]
struct Versions {
    before: bool,
    after: bool,
    /// Whether it is said which snippet changed what.
    changes: bool,
}

fn tap(taps: &Arc<Taps>, call: &Call) -> Reply {
    let rate = match call.query("rate").map(|rate| rate.parse::<f64>()) {
        None => None,
        Some(Ok(rate)) if rate > 0.0 => Some(rate),
        Some(_) => {
            let message = "`rate` is a number of messages per second, above 0";
            return json_reply(StatusCode::BAD_REQUEST, &json!({"message": message}));
        }
    };
    let changes = call.query("changes").as_deref() == Some("true");
    let versions = match call.query("sides").as_deref() {
        None | Some("after") => Versions { before: false, after: true, changes },
        Some("before") => Versions { before: true, after: false, changes },
        Some("both") => Versions { before: true, after: true, changes },
        Some(_) => {
            let message = "`sides` is `before`, `after` or `both`";
            return json_reply(StatusCode::BAD_REQUEST, &json!({"message": message}));
        }
    };
    let wheres = form_urlencoded::parse(call.query.as_bytes()).filter(|(name, _)| name == "where");
    let Some(conditions) = wheres.map(|(_, condition)| Condition::parse(&condition)).collect() else {
        let message = "`where` is KEY=VALUE, like response.status=500";
        return json_reply(StatusCode::BAD_REQUEST, &json!({"message": message}));
    };
    let (plugin, text) = (call.query("plugin"), call.query("text").as_deref().and_then(Text::new));
    match taps.subscribe(&TapFilter { plugin, rate, before: versions.before, changes, conditions, text }) {
        Ok(subscription) => stream(subscription, versions),
        Err(error) => json_reply(StatusCode::TOO_MANY_REQUESTS, &json!({"message": error.to_string()})),
    }
}

/// A response without an end. Samples that the client does not read wait in the bounded buffer of the subscription.
fn stream(subscription: Subscription, versions: Versions) -> Reply {
    // The head is sent with the first line, so that the client knows at once that it is subscribed.
    let lines = stream::unfold((subscription, true), move |(mut subscription, first)| async move {
        let line = if first { b"\n".to_vec() } else { next_line(&mut subscription, versions).await };
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(line))), (subscription, false)))
    });
    let mut reply = Response::new(StreamBody::new(lines).boxed());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    reply
}

async fn next_line(subscription: &mut Subscription, versions: Versions) -> Vec<u8> {
    let sample = tokio::select! {
        sample = subscription.next() => Some(sample),
        () = sleep_until(Instant::now() + KEEP_ALIVE) => None,
    };
    let mut line = Vec::new();
    let skipped = subscription.take_skipped();
    if skipped > 0 {
        line.extend_from_slice(format!("{{\"skipped\":{skipped}}}\n").as_bytes());
    }
    match sample {
        Some(sample) => line.extend_from_slice(&describe(&sample, versions)),
        None if line.is_empty() => line.push(b'\n'),
        None => {}
    }
    line
}

/// One message as a line: its plugin, the message before and after Lua, and what failed.
#[derive(serde::Serialize)]
struct Line<'a> {
    plugin: &'a str,
    id: &'a str,
    instance_name: Option<&'a str>,
    /// Milliseconds since 1970.
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Cow<'a, RawValue>>,
    /// Why there is no `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_sent: Option<&'static str>,
    /// The fields whose Lua failed. The error is only in the log: it may quote values that are in no message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<String>,
    /// Which snippet or rule of redaction changed what.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<Value>>,
}

fn describe(sample: &Sample, versions: Versions) -> Vec<u8> {
    let (plugin, id, instance_name) = sample.source.names();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let (sent, not_sent) = match &sample.outcome {
        MessageOutcome::Sent(bytes) => (Some(bytes), None),
        MessageOutcome::Dropped => (None, Some("a snippet failed, and on_error is drop")),
        MessageOutcome::Refused => (None, Some("a body is not what its content type says, and on_body_error is drop")),
    };
    // Nothing is shown of a message that is not sent: it has never left the service.
    let before = sent.zip(sample.before.as_ref()).map(|(sent, before)| redact::only_what_is_sent(before, sent));
    let failed = |step: &Step| sample.failed.iter().map(|&part| step.parts[part].name()).collect();
    let line = Line {
        plugin,
        id,
        instance_name,
        at: u64::try_from(now).unwrap_or(u64::MAX),
        before: before.and_then(|before| RawValue::from_string(String::from_utf8(before).ok()?).ok()),
        after: sent.filter(|_| versions.after).and_then(|sent| shown(sent, &sample.source)),
        not_sent,
        failed: sample.step().map_or_else(Vec::new, failed),
        changes: versions.changes.then(|| sample.changes_as_json()),
    };
    let mut line = serde_json::to_vec(&line).unwrap_or_default();
    line.push(b'\n');
    line
}

/// A message or a line as JSON: a line that is no object is a text.
fn shown<'a>(sent: &'a Bytes, source: &Source) -> Option<Cow<'a, RawValue>> {
    let json = serde_json::from_slice::<&RawValue>(sent).ok().map(Cow::Borrowed);
    match source {
        Source::Lines(_) if !sent.starts_with(b"{") || json.is_none() => {
            serde_json::value::to_raw_value(&String::from_utf8_lossy(sent)).ok().map(Cow::Owned)
        }
        _ => json,
    }
}
