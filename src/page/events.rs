//! `GET /api/events` and `GET /api/history`: what the service does, once a second for all who look, and in the last hour.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::figures::flow::{Faces, Flow};
use super::figures::history::{History, STEP_SECONDS};
use super::figures::{Disk, Sample, Totals};
use super::problems::{Problem, Problems, Windows};
use super::{Page, Session, tap};
use crate::api::{self, Reply, ServiceState, text_reply};

/// The time from one event to the next.
const PERIOD: Duration = Duration::from_secs(1);
/// Bytes of an event for each of which a second passes: configurations with thousands of plugins are shown less often.
const BYTES_A_SECOND: usize = 1 << 20;
/// How often a line is sent when there is nothing else, so that each side notices that the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Reads of the history at the same time.
const READERS: usize = 2;

/// The figures of a service, and who looks at them.
pub(super) struct Figures {
    started: Instant,
    known: Mutex<Known>,
    /// The newest event; the receivers are those who look.
    newest: watch::Sender<Option<Bytes>>,
    readers: Semaphore,
}

/// What is known from before.
#[derive(Default)]
struct Known {
    last: Option<Totals>,
    /// Those of the last point of the history.
    last_point: Option<Totals>,
    disk: Disk,
    faces: Faces,
    history: History,
    windows: Windows,
    problems: Problems,
}

/// An event.
#[derive(Serialize)]
struct Now<'a> {
    /// Milliseconds since 1970.
    at: u64,
    status: &'a Value,
    flow: Flow<'a>,
    problems: &'a [Problem],
    problems_left_out: usize,
}

impl Default for Figures {
    fn default() -> Self {
        let newest = watch::Sender::new(None);
        Self { started: Instant::now(), known: Mutex::default(), newest, readers: Semaphore::new(READERS) }
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Figures {
    /// Reads the figures again and again, for those who look and for the history. Never returns.
    pub(super) async fn watch(self: Arc<Self>, state: ServiceState) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut next_event, mut last_step) = (Instant::now(), 0);
        loop {
            ticks.tick().await;
            let is_watched = self.newest.receiver_count() > 0;
            if !is_watched {
                self.newest.send_if_modified(|newest| newest.take().is_some());
            }
            let step = self.started.elapsed().as_secs() / STEP_SECONDS + 1;
            let (event, point) = (is_watched && Instant::now() >= next_event, step > last_step);
            if !event && !point {
                continue;
            }
            last_step = step;
            let (figures, state) = (self.clone(), state.clone());
            // Waits for locks; for a new point, of the disk, too.
            let read = move || figures.read(&state, step, point, event);
            if let Ok(Some(text)) = tokio::task::spawn_blocking(read).await {
                // Of an early tick, none is left out.
                next_event = Instant::now() + PERIOD * (text.len() / BYTES_A_SECOND) as u32;
                self.newest.send_replace(Some(text));
            }
        }
    }

    /// Reads the figures in step number `step` of the history, which is new if they are its `point`. Returns the `event`, if it is wanted.
    fn read(&self, state: &ServiceState, step: u64, point: bool, event: bool) -> Option<Bytes> {
        let mut known = self.known.lock();
        let known = &mut *known;
        if point {
            known.disk = Disk::read(state);
        }
        let sample = Sample::read(state, known.disk);
        let totals = Totals::of(&sample);
        known.windows.see(step, &sample);
        let at = now();
        let (problems, problems_left_out) = known.problems.find(&sample, &known.windows, at);
        let event = event.then(|| {
            let rates = totals.since(known.last.as_ref().unwrap_or(&totals));
            let status = api::status(state, &|_| None).unwrap_or_default();
            let flow = Flow::of(&sample, &rates, &mut known.faces);
            let now = Now { at, status: &status, flow, problems: &problems, problems_left_out };
            let json = serde_json::to_string(&now).unwrap_or_default();
            Bytes::from(format!("event: now\ndata: {json}\n\n"))
        });
        if point {
            if let Some(last) = &known.last_point {
                known.history.add(step, at, &sample, &totals.since(last));
            }
            known.last_point = Some(Totals::of(&sample));
        }
        known.last = Some(totals);
        event
    }
}

/// Answers with events, until the `session` ends. A reader that is slow gets the newest one when it is ready for it.
pub(super) fn answer(page: &Page, session: Session) -> Reply {
    tap::while_open(stream_of(&page.figures.newest), session)
}

/// An answer with every event of `newest` that its reader is ready for.
fn stream_of(newest: &watch::Sender<Option<Bytes>>) -> Reply {
    let mut viewer = newest.subscribe();
    // One that is there is news for this viewer.
    viewer.mark_changed();
    let frames = stream::unfold((viewer, true), |(mut viewer, first)| async move {
        let text = if first { Bytes::from_static(b"retry: 1000\n\n") } else { next(&mut viewer).await? };
        Some((Ok::<_, Infallible>(Frame::data(text)), (viewer, false)))
    });
    let mut reply = Response::new(StreamBody::new(frames).boxed());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // A proxy in front would collect events otherwise (nginx).
    reply.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    reply
}

/// The next event; a comment if there is none for a while.
async fn next(viewer: &mut watch::Receiver<Option<Bytes>>) -> Option<Bytes> {
    loop {
        match timeout(KEEP_ALIVE, viewer.changed()).await {
            Err(_) => return Some(Bytes::from_static(b":\n\n")),
            Ok(Err(_)) => return None,
            Ok(Ok(())) => {}
        }
        let newest = viewer.borrow_and_update().clone();
        if newest.is_some() {
            return newest;
        }
    }
}

/// Answers with the series of the last hour, or those that the argument `keys` names, separated by commas.
pub(super) async fn history(page: &Page, head: &Parts) -> Reply {
    let query = head.uri.query().unwrap_or_default();
    let keys = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "keys");
    let keys: Option<HashSet<String>> = keys.map(|(_, keys)| keys.split(',').map(str::to_owned).collect());
    // Never closed.
    let _turn = page.figures.readers.acquire().await;
    let figures = page.figures.clone();
    let read = move || figures.known.lock().history.json(keys.as_ref());
    let json = tokio::task::spawn_blocking(read).await.unwrap_or_default();
    text_reply(StatusCode::OK, "application/json; charset=utf-8", json)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn frame(reply: &mut Reply) -> String {
        let frame = timeout(Duration::from_secs(30), reply.frame()).await.expect("in time").expect("one more").unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    }

    /// Scenario: a viewer that reads, one that reads nothing while a thousand events come, and one that comes late. Guarantees: the slow one gets
    /// the newest event and no other; the late one gets the newest at once; without viewers nothing is kept.
    #[tokio::test]
    async fn slow_readers_skip() {
        let figures = Figures::default();
        let newest = &figures.newest;
        let (mut quick, mut slow) = (stream_of(newest), stream_of(newest));
        assert_eq!(frame(&mut quick).await, "retry: 1000\n\n");
        assert_eq!(frame(&mut slow).await, "retry: 1000\n\n");
        for number in 0..1000 {
            newest.send_replace(Some(Bytes::from(number.to_string())));
            assert_eq!(frame(&mut quick).await, number.to_string());
        }
        assert_eq!(frame(&mut slow).await, "999");
        let mut late = stream_of(newest);
        frame(&mut late).await;
        assert_eq!(frame(&mut late).await, "999");
        drop((quick, slow, late));
        assert_eq!(newest.receiver_count(), 0);
    }
}
