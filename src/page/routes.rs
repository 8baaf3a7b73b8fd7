//! What the page asks the service under `/api/`.

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Uri};

use super::{Page, Session, events, lua, message, playground, tap};
use crate::api::{Call, Reply, json_reply};

/// Messages of a queue in one answer, at most.
const MAX_SHOWN: u64 = 100;

/// Answers a request for `path`, below `/api/`, of a `session`.
pub(super) async fn answer(page: &Page, session: Session, path: &str, head: Parts, body: Bytes) -> Reply {
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    if session.caller().is_read_only() && may_write(&head.method, &segments) {
        return message(StatusCode::FORBIDDEN, "this token may only read");
    }
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    match &*segments {
        ["events"] if reads => events::answer(page, session),
        ["history"] if reads => events::history(page, &head).await,
        ["lua"] if reads => lua::answer(),
        ["tap"] if reads => tap::answer(page, session, head).await,
        ["playground"] if head.method == Method::POST => playground(page, &body, false).await,
        ["playground", "test"] if head.method == Method::POST => playground(page, &body, true).await,
        ["playground", "start"] if reads => start(page, session).await,
        ["plan"] if head.method == Method::POST => plan(page, session, body).await,
        ["queues", ..] => queues(page, path, head, body).await,
        ["admin", ..] => admin(page, session, path, head, body).await,
        _ => message(StatusCode::NOT_FOUND, "Not found"),
    }
}

/// Whether a request can change something. The Admin API decides itself: some of its requests only check.
fn may_write(method: &Method, segments: &[&str]) -> bool {
    !matches!(*method, Method::GET | Method::HEAD) && !matches!(segments, ["admin" | "playground" | "plan", ..])
}

/// What somebody tries.
async fn playground(page: &Page, body: &Bytes, test: bool) -> Reply {
    match &page.parts.playground {
        Some(playground) => playground.answer(body, &(page.parts.settings)(), test).await,
        None => message(StatusCode::SERVICE_UNAVAILABLE, "the playground's process could not be started: see the log"),
    }
}

/// What somebody can begin with in the playground. Real transactions have what redaction and snippets hide in messages.
async fn start(page: &Page, session: Session) -> Reply {
    let (admin, last) = (page.parts.admin.clone(), page.parts.last_transactions.clone());
    let sees_all = !session.caller().is_read_only();
    let found =
        tokio::task::spawn_blocking(move || playground::start(&admin.state().tables(), sees_all.then_some(&*last)));
    match found.await {
        Ok(found) => json_reply(StatusCode::OK, &found),
        Err(error) => message(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// What a write to the Admin API would do.
async fn plan(page: &Page, session: Session, body: Bytes) -> Reply {
    let (admin, caller) = (page.parts.admin.clone(), session.caller().clone());
    match tokio::task::spawn_blocking(move || admin.plan(&body, &caller)).await {
        Ok(Ok(plan)) => json_reply(StatusCode::OK, &plan),
        Ok(Err(why)) => message(StatusCode::BAD_REQUEST, &why),
        Err(error) => message(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// The routes of the control socket for queues and dead letters, which show [`MAX_SHOWN`] messages at a time.
async fn queues(page: &Page, path: &str, head: Parts, body: Bytes) -> Reply {
    let query = bounded(head.uri.query().unwrap_or_default());
    let call = Call { arguments: Vec::new(), query, headers: head.headers, body };
    page.queues.answer(&head.method, &format!("/{path}"), call).await
}

/// The arguments `query` with a limit of [`MAX_SHOWN`] at most.
fn bounded(query: &str) -> String {
    let mut arguments = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let limit = value.parse().ok().filter(|limit: &u64| name == "limit" && *limit > MAX_SHOWN);
        arguments.append_pair(&name, &limit.map_or_else(|| value.into_owned(), |_| MAX_SHOWN.to_string()));
    }
    arguments.finish()
}

/// The Admin API, with the rights of the session. No token passes through the browser.
async fn admin(page: &Page, session: Session, path: &str, mut head: Parts, body: Bytes) -> Reply {
    let path = path.strip_prefix("admin").unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    let target = head.uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let Ok(uri) = target.parse::<Uri>() else { return message(StatusCode::NOT_FOUND, "Not found") };
    head.uri = uri;
    page.parts.admin.answer_as(head, body, session.caller().clone()).await
}
