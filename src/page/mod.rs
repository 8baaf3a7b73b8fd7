//! The page in a browser (docs/page.md): its assets, and what it asks the service under `/api/`.
//!
//! A request is checked for where it comes from (`origin`) and who sends it (`sessions`), then answered: by a module of this
//! room, or by the routes of the control socket and the Admin API, which it reaches in the same process.

mod assets;
mod events;
mod figures;
mod headers;
mod logins;
mod lua;
mod origin;
pub(crate) mod playground;
mod problems;
mod routes;
mod sessions;
mod tap;

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::http::request::Parts as Head;
use serde_json::json;

use crate::admin::{Access, Admin, MAX_BODY};
use crate::api::{self, Client, Handler, Reply, Routes, ServiceState, Unread, json_reply};
use crate::connections::AllowedHosts;
use crate::delivery::Delivery;
use crate::phase::{LastTransactions, Taps};
use crate::settings::Settings;
use events::Figures;
use logins::Logins;
use playground::Playground;
use sessions::{Session, Sessions};

/// The largest body of a request without a session, in bytes: a login.
const MAX_LOGIN_BYTES: usize = 4096;

/// The parts of a service that the page shows and changes.
pub(crate) struct ServiceParts {
    /// Its state.
    pub(crate) state: ServiceState,
    /// Its messages.
    pub(crate) taps: Arc<Taps>,
    /// Its queues.
    pub(crate) delivery: Delivery,
    /// Its entities.
    pub(crate) admin: Arc<Admin>,
    /// Who may use the page.
    pub(crate) access: Access,
    /// The names that requests may use.
    pub(crate) hosts: AllowedHosts,
    /// Whether connections are encrypted.
    pub(crate) encrypted: bool,
    /// Whether the configuration was read from declarative files.
    pub(crate) of_files: bool,
    /// The last transactions of its inputs.
    pub(crate) last_transactions: Arc<LastTransactions>,
    /// What runs what somebody tries; `None` if it could not be started.
    pub(crate) playground: Option<Playground>,
    /// Reads the active settings.
    pub(crate) settings: Box<dyn Fn() -> Settings + Send + Sync>,
}

/// The page of a service.
pub(crate) struct Page {
    parts: ServiceParts,
    queues: Routes,
    taps: Routes,
    sessions: Sessions,
    logins: Logins,
    figures: Arc<Figures>,
}

impl Page {
    /// The page of the service that has `parts`.
    pub(crate) fn new(parts: ServiceParts) -> Self {
        let (queues, taps) = (api::queue_routes(&parts.delivery), api::tap_routes(&parts.taps));
        Self { parts, queues, taps, sessions: Sessions::default(), logins: Logins::default(), figures: Arc::default() }
    }

    /// Reads the figures that the page shows, again and again. Never returns.
    pub(crate) fn watch(&self) -> impl Future<Output = ()> + Send + use<> {
        self.figures.clone().watch(self.parts.state.clone())
    }

    /// The answer to a request, without the headers of all answers.
    async fn answer(&self, head: Head, body: Result<Bytes, Unread>, client: &Client) -> Reply {
        if let Some(refusal) = origin::refusal(&head, &self.parts.hosts) {
            return refusal;
        }
        let Some(path) = head.uri.path().strip_prefix("/api/") else { return assets::answer(&head) };
        let path = path.to_owned();
        let body = match body {
            Ok(body) => body,
            Err(unread) => return json_reply(unread.status(), &json!({"message": unread.to_string()})),
        };
        if path == "session" {
            return sessions::answer(self, &head, &body, client);
        }
        match self.session(&head, client) {
            Ok(session) => routes::answer(self, session, &path, head, body).await,
            Err(reply) => *reply,
        }
    }

    /// The session of a request.
    ///
    /// # Errors
    /// The answer if it has none, and needs one.
    fn session(&self, head: &Head, client: &Client) -> Result<Session, Box<Reply>> {
        if let Some(session) = self.sessions.find(&head.headers) {
            return Ok(session);
        }
        let refused = |_| Box::new(message(StatusCode::UNAUTHORIZED, "log in with the token of the Admin API"));
        self.parts.access.caller_with(None, client.clone()).map(Session::without_login).map_err(refused)
    }
}

impl Handler for Page {
    const NAME: &'static str = "page";
    // A page has one for its figures, one for messages, and some for requests.
    const MAX_CONNECTIONS: usize = 128;
    const MAX_BODY_BYTES: usize = MAX_BODY;

    fn body_limit(&self, head: &Head, client: &Client) -> usize {
        if self.session(head, client).is_ok() { MAX_BODY } else { MAX_LOGIN_BYTES }
    }

    async fn handle(&self, head: Head, body: Result<Bytes, Unread>, client: &Client) -> Reply {
        let is_asset = !head.uri.path().starts_with("/api/");
        let mut reply = self.answer(head, body, client).await;
        headers::add(&mut reply, is_asset);
        reply
    }
}

/// An answer that says something to the person at the page.
fn message(status: StatusCode, message: &str) -> Reply {
    json_reply(status, &json!({ "message": message }))
}
