//! `GET /tap`: messages as they leave, one JSON object in a line, for as long as the caller listens. On the control
//! socket alone, as messages are what a service has to protect.

mod kept;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until};

use super::router::{Call, Reply, Routes, json_reply};
use crate::phase::{After, Condition, Sample, Taps, Watching, Wish};

/// How often an empty line is sent when there is nothing else, so that each side notices when the other is gone.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// What a tap is served under. Query: `plugin` (a name, an instance name or an id; all without it), `rate` (messages in
/// a second; all without it), `sides` (`before`, `after` or `both`; `after` without it) and any number of `where`
/// (`KEY=VALUE`, as [`Condition::parse`] reads it).
pub fn routes(taps: &Arc<Taps>) -> Routes {
    let taps = taps.clone();
    Routes::new().get("/tap", move |call| {
        let reply = tap(&taps, &call);
        async { reply }
    })
}

/// Which messages are shown.
#[derive(Debug, Clone, Copy)]
struct Sides {
    before: bool,
    after: bool,
}

fn tap(taps: &Arc<Taps>, call: &Call) -> Reply {
    let rate = match call.query("rate").map(|rate| rate.parse::<f64>()) {
        None => None,
        Some(Ok(rate)) if rate > 0.0 => Some(rate),
        Some(_) => {
            let message = "`rate` is a number of messages in a second, above 0";
            return json_reply(StatusCode::BAD_REQUEST, &json!({"message": message}));
        }
    };
    let sides = match call.query("sides").as_deref() {
        None | Some("after") => Sides { before: false, after: true },
        Some("before") => Sides { before: true, after: false },
        Some("both") => Sides { before: true, after: true },
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
    match taps.watch(&Wish { plugin: call.query("plugin"), rate, before: sides.before, conditions }) {
        Ok(watching) => stream(watching, sides),
        Err(error) => json_reply(StatusCode::TOO_MANY_REQUESTS, &json!({"message": error.to_string()})),
    }
}

/// An answer that goes on. What the caller does not read waits in the watcher's bounded room.
fn stream(watching: Watching, sides: Sides) -> Reply {
    // The head goes out with the first line, so that the caller knows at once that it watches.
    let lines = stream::unfold((watching, true), move |(mut watching, first)| async move {
        let line = if first { b"\n".to_vec() } else { next_line(&mut watching, sides).await };
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(line))), (watching, false)))
    });
    let mut reply = Response::new(StreamBody::new(lines).boxed());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    reply
}

async fn next_line(watching: &mut Watching, sides: Sides) -> Vec<u8> {
    let sample = tokio::select! {
        sample = watching.next() => Some(sample),
        () = sleep_until(Instant::now() + SIGN_OF_LIFE) => None,
    };
    let mut line = Vec::new();
    let skipped = watching.take_skipped();
    if skipped > 0 {
        line.extend_from_slice(format!("{{\"skipped\":{skipped}}}\n").as_bytes());
    }
    match sample {
        Some(sample) => line.extend_from_slice(&describe(&sample, sides)),
        None if line.is_empty() => line.push(b'\n'),
        None => {}
    }
    line
}

/// One message as a line: whose it is, the message before and after Lua, and what went wrong.
#[derive(serde::Serialize)]
struct Shown<'a> {
    plugin: &'a str,
    id: &'a str,
    instance_name: Option<&'a str>,
    /// Milliseconds since 1970.
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a RawValue>,
    /// Why there is no `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_sent: Option<&'static str>,
    /// The fields whose Lua failed. What it said is in the log: it may quote what is in no message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<String>,
}

fn describe(sample: &Sample, sides: Sides) -> Vec<u8> {
    let step = sample.step();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let (sent, not_sent) = match &sample.after {
        After::Sent(bytes) => (Some(bytes), None),
        After::Dropped => (None, Some("a snippet failed, and on_error is drop")),
        After::Refused => (None, Some("a body is not what its content type says, and on_body_error is drop")),
    };
    // Of a message that is not sent nothing is shown: nobody but the service has seen it.
    let before = sent.zip(sample.before.as_ref()).map(|(sent, before)| kept::only_what_is_sent(before, sent));
    let shown = Shown {
        plugin: step.definition.name,
        id: &step.id,
        instance_name: step.instance_name.as_deref(),
        at: u64::try_from(now).unwrap_or(u64::MAX),
        before: before.and_then(|before| RawValue::from_string(String::from_utf8(before).ok()?).ok()),
        after: sent.filter(|_| sides.after).and_then(|sent| serde_json::from_slice(sent).ok()),
        not_sent,
        failed: sample.failed.iter().map(|&part| step.parts[part].name(part)).collect(),
    };
    let mut line = serde_json::to_vec(&shown).unwrap_or_default();
    line.push(b'\n');
    line
}
