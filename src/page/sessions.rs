//! Who uses the page: a login with a token of the Admin API opens a session, which a cookie names.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{COOKIE, HeaderMap, HeaderValue, RETRY_AFTER, SET_COOKIE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Page, message};
use crate::admin::Caller;
use crate::api::{Client, Reply, json_reply};

const COOKIE_NAME: &str = "logphase_session";
/// Sessions at the same time, at most: the one that was not used for the longest time ends for a new one.
const MAX_SESSIONS: usize = 64;
/// How long a session lasts.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// How long one lasts that nobody uses. A page that shows figures uses it.
const IDLE: Duration = Duration::from_secs(3600);
/// Bytes of the random number in a cookie.
const ID_BYTES: usize = 32;

/// Who sends a request.
#[derive(Clone)]
pub(crate) struct Session {
    caller: Caller,
    /// `None`: nobody has to log in.
    opened: Option<Arc<Opened>>,
}

impl Session {
    /// That of `caller`, who need not log in.
    pub(super) fn without_login(caller: Caller) -> Self {
        Self { caller, opened: None }
    }

    /// What the sender may do in the Admin API.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether it lasts. Counts as a use of it.
    pub(crate) fn is_open(&self) -> bool {
        self.opened.as_ref().is_none_or(|opened| opened.use_at(Instant::now()))
    }
}

/// A session that a login has opened.
struct Opened {
    caller: Caller,
    since: Instant,
    /// Milliseconds from `since` to its last use.
    used: AtomicU64,
    ended: AtomicBool,
}

impl Opened {
    fn new(caller: Caller, since: Instant) -> Arc<Self> {
        Arc::new(Self { caller, since, used: AtomicU64::new(0), ended: AtomicBool::new(false) })
    }

    fn lasts_at(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.since);
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        age < LIFETIME && age.saturating_sub(used) < IDLE && !self.ended.load(Ordering::Relaxed)
    }

    fn use_at(&self, now: Instant) -> bool {
        let lasts = self.lasts_at(now);
        if lasts {
            let age = now.saturating_duration_since(self.since).as_millis();
            self.used.fetch_max(u64::try_from(age).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        lasts
    }
}

/// The digest of the number in a cookie: what is compared says nothing of the number.
type Id = [u8; 32];

fn id_of(cookie: &str) -> Option<Id> {
    digest(&SHA256, cookie.as_bytes()).as_ref().try_into().ok()
}

/// The open sessions.
#[derive(Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<Id, Arc<Opened>>>,
}

impl Sessions {
    /// The session that the cookie of a request names.
    pub(super) fn find(&self, headers: &HeaderMap) -> Option<Session> {
        self.find_at(headers, Instant::now())
    }

    fn find_at(&self, headers: &HeaderMap, now: Instant) -> Option<Session> {
        let id = id_of(cookie(headers)?)?;
        let opened = self.open.lock().get(&id).cloned().filter(|opened| opened.use_at(now))?;
        Some(Session { caller: opened.caller.clone(), opened: Some(opened) })
    }

    /// Opens a session of `caller`. Returns the number for the cookie.
    fn open(&self, caller: Caller, now: Instant) -> Option<(String, Session)> {
        let mut number = [0; ID_BYTES];
        rand::fill(&mut number).ok()?;
        let cookie = URL_SAFE_NO_PAD.encode(number);
        let opened = Opened::new(caller.clone(), now);
        let mut open = self.open.lock();
        open.retain(|_, opened| opened.lasts_at(now));
        let used = |opened: &Opened| opened.since + Duration::from_millis(opened.used.load(Ordering::Relaxed));
        if open.len() >= MAX_SESSIONS
            && let Some(oldest) = open.iter().min_by_key(|(_, opened)| used(opened)).map(|(id, _)| *id)
            && let Some(oldest) = open.remove(&oldest)
        {
            oldest.ended.store(true, Ordering::Relaxed);
        }
        open.insert(id_of(&cookie)?, opened.clone());
        Some((cookie, Session { caller, opened: Some(opened) }))
    }

    /// Ends the session that the cookie of a request names.
    fn end(&self, headers: &HeaderMap) {
        let ended = cookie(headers).and_then(id_of).and_then(|id| self.open.lock().remove(&id));
        if let Some(ended) = ended {
            ended.ended.store(true, Ordering::Relaxed);
        }
    }
}

/// The value of the session's cookie (RFC 6265, section 5.4).
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    let mut named = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == COOKIE_NAME);
    named.next().map(|(_, value)| value)
}

/// Answers `/api/session`: who one is, a login, a logout.
pub(super) fn answer(page: &Page, head: &Parts, body: &[u8], client: &Client) -> Reply {
    match head.method {
        Method::GET | Method::HEAD => {
            json_reply(StatusCode::OK, &shown(page, page.session(head, client).ok().as_ref()))
        }
        Method::POST => log_in(page, body, client),
        Method::DELETE => {
            page.sessions.end(&head.headers);
            let mut reply = json_reply(StatusCode::OK, &shown(page, None));
            set_cookie(page, &mut reply, "", 0);
            reply
        }
        _ => message(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed: use GET, POST, DELETE"),
    }
}

fn log_in(page: &Page, body: &[u8], client: &Client) -> Reply {
    let now = Instant::now();
    if let Some(wait) = page.logins.wait(client.address, now) {
        let seconds = wait.as_secs() + 1;
        let text = format!("too many wrong tokens; try again in {seconds} seconds");
        let mut reply = message(StatusCode::TOO_MANY_REQUESTS, &text);
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        return reply;
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(token) = body.get("token").and_then(Value::as_str).filter(|token| !token.is_empty()) else {
        return message(StatusCode::BAD_REQUEST, "expected {\"token\": \"...\"}");
    };
    let Ok(caller) = page.parts.access.caller_with(Some(token.as_bytes()), client.clone()) else {
        page.logins.failed(client.address, now);
        return message(StatusCode::UNAUTHORIZED, "this is not the token of the Admin API");
    };
    let Some((cookie, session)) = page.sessions.open(caller, now) else {
        return message(StatusCode::INTERNAL_SERVER_ERROR, "the system gives no random numbers");
    };
    tracing::info!(target: crate::log::AUDIT_TARGET, "page: login from {}", session.caller);
    let mut reply = json_reply(StatusCode::OK, &shown(page, Some(&session)));
    set_cookie(page, &mut reply, &cookie, LIFETIME.as_secs());
    reply
}

/// Sets the cookie of a session for so many seconds. No script sees it, and no other site has it sent.
fn set_cookie(page: &Page, reply: &mut Reply, value: &str, seconds: u64) {
    let secure = if page.parts.encrypted { "; Secure" } else { "" };
    let cookie = format!("{COOKIE_NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        reply.headers_mut().insert(SET_COOKIE, cookie);
    }
}

/// What the page knows of who uses it, and of the service.
fn shown(page: &Page, session: Option<&Session>) -> Value {
    let login = match session {
        None => "needed",
        Some(Session { opened: None, .. }) => "none",
        Some(_) => "done",
    };
    let configuration = match () {
        () if page.parts.admin.state().has_database() => "database",
        // `/config` replaces them until they change, or the service restarts.
        () if page.parts.of_files => "files",
        () => "memory",
    };
    json!({
        "login": login,
        "role": session.map(|session| session.caller.role()),
        "version": env!("CARGO_PKG_VERSION"),
        "node": rustix::system::uname().nodename().to_string_lossy(),
        "configuration": configuration,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Access;

    fn caller() -> Caller {
        Access::default().caller_with(None, Client::default()).unwrap()
    }

    fn with_cookie(cookie: &str) -> HeaderMap {
        [(COOKIE, HeaderValue::from_str(cookie).unwrap())].into_iter().collect()
    }

    /// Scenario: a session is used, left alone, and used all the time; cookies of others, none, several. Guarantees: it ends after an hour
    /// without use and after twelve in any case; only its own cookie names it, which has 256 random bits.
    #[test]
    fn sessions_end() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let (cookie, session) = sessions.open(caller(), start).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(&cookie).unwrap().len() * 8, 256);
        assert_ne!(cookie, sessions.open(caller(), start).unwrap().0);
        let mine = with_cookie(&format!("a=b; {COOKIE_NAME}={cookie}; c"));
        let at = |minutes: u64| sessions.find_at(&mine, start + Duration::from_secs(60 * minutes)).is_some();
        assert!(at(0) && at(59) && at(118) && !at(118 + 60));
        for other in ["", "a=b", &format!("{COOKIE_NAME}="), &format!("{COOKIE_NAME}={cookie}x"), &cookie] {
            assert!(sessions.find_at(&with_cookie(other), start).is_none(), "{other}");
        }
        let (cookie, _) = sessions.open(caller(), start).unwrap();
        let mine = with_cookie(&format!("{COOKIE_NAME}={cookie}"));
        let all: Vec<u64> = (0..)
            .map(|turn| turn * 30)
            .take_while(|minutes| sessions.find_at(&mine, start + Duration::from_secs(60 * minutes)).is_some())
            .collect();
        assert_eq!(all.last(), Some(&(12 * 60 - 30)));
        drop(session);
    }

    /// Scenario: more logins than sessions, and a logout. Guarantees: the one that was used least recently ends, and so do the streams
    /// that it has open.
    #[test]
    fn sessions_are_bounded() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let second = |at: usize| start + Duration::from_secs(at as u64);
        let opened: Vec<_> = (0..MAX_SESSIONS).map(|at| sessions.open(caller(), second(at)).unwrap()).collect();
        let named = |at: usize| with_cookie(&format!("{COOKIE_NAME}={}", opened[at].0));
        assert!(sessions.find_at(&named(0), second(MAX_SESSIONS)).is_some());
        sessions.open(caller(), second(MAX_SESSIONS)).unwrap();
        assert_eq!(sessions.open.lock().len(), MAX_SESSIONS);
        assert!(opened[0].1.is_open() && !opened[1].1.is_open() && opened[2].1.is_open());
        sessions.end(&named(2));
        assert!(!opened[2].1.is_open() && sessions.find_at(&named(2), second(MAX_SESSIONS)).is_none());
    }
}
