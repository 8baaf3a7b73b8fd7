//! The playground: what somebody pastes is run in a process of its own, which a keeper starts.

mod frames;
mod keeper;
mod start;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::message;
use crate::api::Reply;
use crate::settings::Settings;
use frames::{HEAD, Head, Kind, MAX_REQUEST, frame};

pub(crate) use keeper::keep;
pub(super) use start::start;

/// Requests that run at the same time.
const MAX_RUNNING: usize = 2;
/// Requests that wait for one of them to end, and how long.
const MAX_WAITING: usize = 16;
const WAIT: Duration = Duration::from_secs(10);

/// The process that starts others, before the service uses it.
pub(crate) struct Keeper {
    process: std::process::Child,
    to: OwnedFd,
    from: OwnedFd,
}

impl Keeper {
    /// Starts it. Must be called before the process is confined.
    ///
    /// # Errors
    /// No process can be started.
    pub(crate) fn start() -> io::Result<Self> {
        let mut process = keeper::command().spawn()?;
        let missing = || io::Error::other("the process has no pipes");
        let to = process.stdin.take().ok_or_else(missing)?.into();
        let from = process.stdout.take().ok_or_else(missing)?.into();
        Ok(Self { process, to, from })
    }
}

/// Runs requests.
pub(crate) struct Playground {
    frames: mpsc::Sender<Vec<u8>>,
    waiting: Arc<Waiting>,
    running: Semaphore,
    places: Semaphore,
    next: AtomicU64,
}

/// Who waits for which request; `None` once the keeper has ended.
type Waiting = Mutex<Option<HashMap<u64, oneshot::Sender<(Kind, Vec<u8>)>>>>;

impl Playground {
    /// A playground with the processes of `keeper`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Its pipes cannot be used.
    pub(crate) fn new(keeper: Keeper) -> io::Result<Self> {
        let Keeper { mut process, to, from } = keeper;
        Self::over(to, from, move || {
            let _ = process.kill();
            let _ = process.wait();
        })
    }

    /// A playground with a keeper at these pipes; `ended` is called when it has closed its own.
    fn over(to: OwnedFd, from: OwnedFd, ended: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (mut to, mut from) = (pipe::Sender::from_owned_fd(to)?, pipe::Receiver::from_owned_fd(from)?);
        let (sender, mut frames) = mpsc::channel::<Vec<u8>>(MAX_RUNNING * 4);
        tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                if to.write_all(&frame).await.is_err() {
                    break;
                }
            }
        });
        let waiting: Arc<Waiting> = Arc::new(Mutex::new(Some(HashMap::new())));
        let answered = waiting.clone();
        tokio::spawn(async move {
            while let Ok((head, content)) = next(&mut from).await {
                let waiting = answered.lock().as_mut().and_then(|waiting| waiting.remove(&head.request));
                waiting.map(|waiting| waiting.send((head.kind, content)));
            }
            answered.lock().take();
            ended();
        });
        let (running, places) = (Semaphore::new(MAX_RUNNING), Semaphore::new(MAX_RUNNING + MAX_WAITING));
        Ok(Self { frames: sender, waiting, running, places, next: AtomicU64::new(1) })
    }

    /// The answer to the request `body` of the page, with the settings of the service.
    pub(super) async fn answer(&self, body: &Bytes, settings: &Settings, test: bool) -> Reply {
        match request(body, settings, test) {
            Ok(request) => self.run(&request).await,
            Err(why) => message(StatusCode::BAD_REQUEST, &why),
        }
    }

    /// Runs a request. If the future is dropped, its process is ended.
    async fn run(&self, request: &[u8]) -> Reply {
        if request.len() > MAX_REQUEST {
            return message(StatusCode::PAYLOAD_TOO_LARGE, "the playground takes 8 MiB at once");
        }
        let busy = || message(StatusCode::TOO_MANY_REQUESTS, "the playground is busy: try it again in a moment");
        let Ok(_place) = self.places.try_acquire() else { return busy() };
        let Ok(Ok(_running)) = tokio::time::timeout(WAIT, self.running.acquire()).await else { return busy() };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        let ended =
            || message(StatusCode::SERVICE_UNAVAILABLE, "the playground's process has ended: restart the service");
        match self.waiting.lock().as_mut() {
            Some(waiting) => drop(waiting.insert(number, sender)),
            None => return ended(),
        }
        let asked = Asked { playground: self, number };
        if self.frames.send(frame(Kind::Run, number, request)).await.is_err() {
            return ended();
        }
        let Ok((kind, content)) = answer.await else { return ended() };
        drop(asked);
        match kind {
            Kind::Answer => answered(content),
            Kind::Late => stopped("time"),
            Kind::OutOfMemory => stopped("memory"),
            _ => {
                let why = String::from_utf8_lossy(&content).into_owned();
                message(StatusCode::INTERNAL_SERVER_ERROR, &format!("the playground failed: {why}"))
            }
        }
    }
}

/// A request that somebody waits for.
struct Asked<'a> {
    playground: &'a Playground,
    number: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let waiting = self.playground.waiting.lock().as_mut().and_then(|waiting| waiting.remove(&self.number));
        if waiting.is_some() {
            // If there is no room for it, the process ends by its limits.
            let _ = self.playground.frames.try_send(frame(Kind::Cancel, self.number, b""));
        }
    }
}

/// The next frame of the keeper.
async fn next(from: &mut pipe::Receiver) -> io::Result<(Head, Vec<u8>)> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head).await?;
    let head = Head::read(head).ok_or(io::ErrorKind::InvalidData)?;
    let mut content = vec![0; head.length];
    from.read_exact(&mut content).await?;
    Ok((head, content))
}

/// The request of the page as the process takes it.
///
/// # Errors
/// It is not one.
fn request(body: &[u8], settings: &Settings, test: bool) -> Result<Vec<u8>, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    let text = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("`{name}` is no text")),
    };
    let required = |name: &str| text(name)?.ok_or_else(|| format!("`{name}` is missing"));
    let name = if test { Some(text("name")?.unwrap_or("playground")) } else { None };
    let request = json!({
        "configuration": required("configuration")?,
        "transaction": required("transaction")?,
        "settings": text("settings")?,
        "mapping": text("mapping")?,
        "own_settings": settings.of_log_phase(),
        "test": name,
    });
    Ok(request.to_string().into_bytes())
}

/// What the process has answered.
fn answered(content: Vec<u8>) -> Reply {
    // It has no answer but a message if there is none to give.
    let status = match content.starts_with(br#"{"message""#) {
        true => StatusCode::UNPROCESSABLE_ENTITY,
        false => StatusCode::OK,
    };
    let mut reply = Response::new(Full::from(content).boxed());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    reply
}

/// The answer for a process that was stopped.
fn stopped(why: &str) -> Reply {
    let answer = json!({"diagnostics": [], "transactions": [], "log": [], "stopped": why});
    answered(answer.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::time::Instant;

    use super::*;
    use hyper::body::Body;

    /// A playground, and the keeper's ends of its pipes.
    fn playground() -> (Arc<Playground>, File, File) {
        let (of_keeper, to) = rustix::pipe::pipe().unwrap();
        let (from, by_keeper) = rustix::pipe::pipe().unwrap();
        (Arc::new(Playground::over(to, from, || {}).unwrap()), of_keeper.into(), by_keeper.into())
    }

    /// The next frame that the keeper reads.
    async fn received(pipe: &mut File) -> (Head, Vec<u8>) {
        let mut pipe = pipe.try_clone().unwrap();
        tokio::task::spawn_blocking(move || frames::next(&mut pipe).unwrap().unwrap()).await.unwrap()
    }

    async fn body(reply: Reply) -> (u16, Value) {
        assert!(!reply.body().is_end_stream());
        let status = reply.status().as_u16();
        let bytes = reply.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    /// Scenario: requests that are answered out of their order, one that takes too long, one that takes too much memory, one that fails, one whose
    /// client goes away; and the keeper ends. Guarantees: each gets its own answer; the process of a request that nobody waits for is
    /// ended; without a keeper, requests are refused at once.
    #[tokio::test]
    async fn answers_and_ends() {
        let (playground, mut of_keeper, mut by_keeper) = playground();
        let ask = |text: &'static str| {
            let playground = playground.clone();
            tokio::spawn(async move { body(playground.run(text.as_bytes()).await).await })
        };
        let first = ask("first");
        let (one, content) = received(&mut of_keeper).await;
        assert_eq!((one.kind, &content[..]), (Kind::Run, &b"first"[..]));
        let second = ask("second");
        let (two, _) = received(&mut of_keeper).await;
        by_keeper.write_all(&frame(Kind::Answer, two.request, b"{\"n\":2}")).unwrap();
        by_keeper.write_all(&frame(Kind::Answer, 999, b"nobody's")).unwrap();
        by_keeper.write_all(&frame(Kind::Answer, one.request, b"{\"message\":\"no test\"}")).unwrap();
        assert_eq!(second.await.unwrap(), (200, json!({"n": 2})));
        assert_eq!(first.await.unwrap(), (422, json!({"message": "no test"})));
        for (kind, stopped) in [(Kind::Late, "time"), (Kind::OutOfMemory, "memory")] {
            let asked = ask("x");
            let (head, _) = received(&mut of_keeper).await;
            by_keeper.write_all(&frame(kind, head.request, b"")).unwrap();
            let (status, answer) = asked.await.unwrap();
            assert_eq!((status, &answer["stopped"]), (200, &json!(stopped)));
        }
        let asked = ask("x");
        let (head, _) = received(&mut of_keeper).await;
        by_keeper.write_all(&frame(Kind::Failed, head.request, b"no process")).unwrap();
        assert_eq!(asked.await.unwrap(), (500, json!({"message": "the playground failed: no process"})));

        let left = ask("left");
        let (head, _) = received(&mut of_keeper).await;
        left.abort();
        let (cancelled, _) = received(&mut of_keeper).await;
        assert_eq!((cancelled.kind, cancelled.request), (Kind::Cancel, head.request));

        let last = ask("last");
        received(&mut of_keeper).await;
        drop((of_keeper, by_keeper));
        assert_eq!(last.await.unwrap().0, 503);
        assert_eq!(ask("none").await.unwrap().0, 503);
    }

    /// Scenario: many more requests at once than run and wait. Guarantees: two run; those that find no place are told so at once; the others run
    /// when there is room.
    #[tokio::test]
    async fn two_run_and_some_wait() {
        let (playground, mut of_keeper, mut by_keeper) = playground();
        let start = Instant::now();
        let asked: Vec<_> = (0..MAX_RUNNING + MAX_WAITING + 5)
            .map(|_| {
                let playground = playground.clone();
                tokio::spawn(async move { playground.run(b"x").await.status().as_u16() })
            })
            .collect();
        let mut running = vec![received(&mut of_keeper).await.0, received(&mut of_keeper).await.0];
        let mut answered = 0;
        while let Some(head) = running.pop() {
            by_keeper.write_all(&frame(Kind::Answer, head.request, b"{}")).unwrap();
            answered += 1;
            if answered + running.len() < MAX_RUNNING + MAX_WAITING {
                running.push(received(&mut of_keeper).await.0);
            }
        }
        let mut statuses = Vec::new();
        for one in asked {
            statuses.push(one.await.unwrap());
        }
        let count = |status: u16| statuses.iter().filter(|one| **one == status).count();
        // Whoever waits for too long on a busy machine is refused, too.
        assert!(count(429) >= 5 && (count(200) == MAX_RUNNING + MAX_WAITING || start.elapsed() > WAIT), "{statuses:?}");
        drop(playground);
        let rest = tokio::task::spawn_blocking(move || of_keeper.read(&mut [0; 1]).unwrap()).await.unwrap();
        assert_eq!(rest, 0, "nothing else was asked");
    }

    /// Scenario: what the page may send. Guarantees: what is no request is refused with its reason; the settings of the service are added, and no
    /// member that the page sends replaces them.
    #[test]
    fn requests() {
        let settings = Settings::default();
        let text = |body: &str| request(body.as_bytes(), &settings, false);
        assert!(text("x").unwrap_err().contains("no JSON"));
        assert!(text(r#"{"configuration": ""}"#).unwrap_err().contains("`transaction` is missing"));
        assert!(text(r#"{"configuration": "", "transaction": 1}"#).unwrap_err().contains("`transaction` is no text"));
        let sent = text(r#"{"configuration": "a", "transaction": "b", "own_settings": "c", "test": "d"}"#).unwrap();
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        assert_eq!((&sent["configuration"], &sent["test"]), (&json!("a"), &Value::Null));
        assert_eq!(sent["own_settings"].as_str().unwrap(), settings.of_log_phase());
    }
}
