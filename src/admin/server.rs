//! The Admin API over HTTP: access, methods, bodies, headers.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, SERVER, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use super::access::{Access, Caller};
use super::answer::{self, Call};
use super::body::{self, Body, BodyError};
use super::error::{ApiError, ApiResult};
use super::node::{KONG_VERSION, Node};
use super::plan;
use super::route::Target;
use super::state::State;
use crate::api::{Client, Handler, Reply, Unread};

/// The header with the time that an answer took, in milliseconds.
const LATENCY: HeaderName = HeaderName::from_static("x-kong-admin-latency");

/// The Admin API of a service.
pub(crate) struct Admin {
    inner: Arc<Inner>,
}

struct Inner {
    state: Arc<State>,
    node: Node,
    access: Access,
    gui_urls: Vec<String>,
}

impl Admin {
    /// The Admin API for the entities of `state`. Pages of `gui_urls` may use it.
    pub(crate) fn new(state: Arc<State>, node: Node, access: Access, gui_urls: Vec<String>) -> Self {
        Self { inner: Arc::new(Inner { state, node, access, gui_urls }) }
    }
}

impl Admin {
    /// Answers a request of `caller`, who was let in elsewhere. The answer has no headers that let pages of others read it.
    pub(crate) async fn answer_as(&self, head: Parts, body: Bytes, caller: Caller) -> Reply {
        let inner = self.inner.clone();
        let answered = tokio::task::spawn_blocking(move || inner.answer(&head, Ok(body), |_| Ok(caller))).await;
        answered.unwrap_or_else(|panic| failure(&ApiError::unexpected(&panic.to_string())))
    }

    /// What the request `request`, `{"method", "path", "body"}`, of `caller` would do; see docs/page.md. Blocks.
    ///
    /// # Errors
    /// It is no request that could be planned.
    pub(crate) fn plan(&self, request: &[u8], caller: &Caller) -> Result<serde_json::Value, String> {
        plan::plan(&self.inner.state, &self.inner.node, request, caller)
    }

    /// The entities.
    pub(crate) fn state(&self) -> &Arc<State> {
        &self.inner.state
    }
}

impl Handler for Admin {
    const NAME: &'static str = "admin";
    const MAX_CONNECTIONS: usize = 256;
    const MAX_BODY_BYTES: usize = body::MAX_BODY;

    async fn handle(&self, head: Parts, body: Result<Bytes, Unread>, client: &Client) -> Reply {
        let begun = Instant::now();
        let (origin, wanted) = (head.headers.get(ORIGIN).cloned(), head.headers.clone());
        let (inner, client) = (self.inner.clone(), client.clone());
        // A write waits for the disk, and a read for a write.
        let answer = move || inner.answer(&head, body, |access| access.caller(&head.headers, client));
        let answered = tokio::task::spawn_blocking(answer).await;
        let mut reply = answered.unwrap_or_else(|panic| failure(&ApiError::unexpected(&panic.to_string())));
        self.inner.add_headers(&mut reply, origin.as_ref(), &wanted, begun);
        reply
    }
}

impl Inner {
    /// Answers a request of whom `who` lets in.
    fn answer(
        &self,
        head: &Parts,
        body: Result<Bytes, Unread>,
        who: impl FnOnce(&Access) -> ApiResult<Caller>,
    ) -> Reply {
        let path = head.uri.path();
        let Some(target) = Target::of(path) else { return failure(&ApiError::not_found()) };
        let methods = target.methods();
        if !methods.contains(&head.method.as_str()) {
            return failure(&ApiError::plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"));
        }
        if head.method == Method::OPTIONS {
            return options(methods);
        }
        if let Err(error @ BodyError::TooMany) = body::urlencoded(head.uri.query().unwrap_or_default().as_bytes()) {
            return refused_body(&error);
        }
        let caller = match who(&self.access) {
            Ok(caller) => caller,
            Err(refused) => return failure(&refused),
        };
        let reads = matches!(head.method, Method::GET | Method::HEAD) || matches!(target, Target::Validate(_));
        if !reads && caller.is_read_only() {
            return failure(&ApiError::plain(StatusCode::FORBIDDEN, "this token may only read"));
        }
        match self.read_body(head, body, &target) {
            Ok(body) => self.respond(head, target, body, &caller),
            Err(reply) => *reply,
        }
    }

    /// The body, which matters only to methods that have one.
    fn read_body(&self, head: &Parts, body: Result<Bytes, Unread>, target: &Target) -> Result<Body, Box<Reply>> {
        if !matches!(head.method, Method::POST | Method::PUT | Method::PATCH) {
            return Ok(Body::None);
        }
        let body = body.map_err(|unread| Box::new(unread_body(&unread)))?;
        body::read(&head.headers, &body, *target == Target::Config).map_err(|error| Box::new(refused_body(&error)))
    }

    fn respond(&self, head: &Parts, target: Target, body: Body, caller: &Caller) -> Reply {
        let call = Call {
            method: head.method.clone(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body,
            caller: caller.clone(),
        };
        match answer::answer(&self.state, &self.node, target, call) {
            Ok((status, body)) => reply(status, body.as_ref()),
            Err(error) => failure(&error),
        }
    }

    /// The headers of every answer.
    fn add_headers(&self, reply: &mut Reply, origin: Option<&HeaderValue>, wanted: &HeaderMap, begun: Instant) {
        let allowed = match (&*self.gui_urls, origin) {
            ([], Some(origin)) => origin.clone(),
            ([], None) => HeaderValue::from_static("*"),
            ([first, ..], origin) => {
                let listed =
                    origin.filter(|origin| self.gui_urls.iter().any(|url| url.as_bytes() == origin.as_bytes()));
                let first = HeaderValue::from_str(first).unwrap_or(HeaderValue::from_static("null"));
                listed.cloned().unwrap_or(first)
            }
        };
        let is_preflight = reply.headers().contains_key(ACCESS_CONTROL_ALLOW_METHODS);
        let headers = reply.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if !self.gui_urls.is_empty() {
            headers.insert(VARY, HeaderValue::from_static("Origin"));
        }
        if is_preflight {
            let asked = wanted.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(HeaderValue::from_static("Content-Type")));
        }
        if let Ok(server) = HeaderValue::from_str(&format!("kong/{KONG_VERSION}")) {
            headers.insert(SERVER, server);
        }
        headers.insert(LATENCY, HeaderValue::from(begun.elapsed().as_millis() as u64));
    }
}

fn options(methods: &[&str]) -> Reply {
    let mut reply = reply(StatusCode::NO_CONTENT, None);
    if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
        reply.headers_mut().insert(ALLOW, methods.clone());
        reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    reply
}

fn failure(error: &ApiError) -> Reply {
    reply(error.status, Some(&error.body))
}

fn reply(status: StatusCode, body: Option<&Value>) -> Reply {
    text(status, "application/json; charset=utf-8", body.map(Value::to_string).unwrap_or_default())
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Full::from(body).boxed());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

fn refused_body(error: &BodyError) -> Reply {
    match error {
        BodyError::TooLarge => too_large(),
        error => text(error.status(), "application/json; charset=utf-8", error.body()),
    }
}

fn unread_body(unread: &Unread) -> Reply {
    match unread {
        Unread::TooLarge => too_large(),
        other => failure(&ApiError::plain(other.status(), other.to_string())),
    }
}

/// What nginx answers in front of Kong's Admin API.
fn too_large() -> Reply {
    let page = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n<center><h1>413 Request \
                Entity Too Large</h1></center>\r\n</body>\r\n</html>\r\n";
    text(StatusCode::PAYLOAD_TOO_LARGE, "text/html", page.to_owned())
}
