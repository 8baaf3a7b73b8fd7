//! Routes requests to handlers by method and path.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// A response. Its body may be a stream.
pub type Reply = Response<BoxBody<Bytes, Infallible>>;

/// A request.
#[derive(Debug)]
pub struct Call {
    /// The segment for each `{}` of the path, percent-decoded.
    pub arguments: Vec<String>,
    /// The query, as it is in the URL.
    pub query: String,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Call {
    /// The first value of `name` in the query.
    pub fn query(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

type Handler = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;

struct Route {
    method: Method,
    path: &'static str,
    handler: Handler,
}

/// The handlers of paths. HEAD is handled as GET, without the body. The response for an unknown path lists the known ones.
#[derive(Default)]
pub struct Routes {
    routes: Vec<Route>,
}

impl Routes {
    /// No routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler of GET and HEAD requests for `path`, in which the segment `{}` matches any one.
    #[must_use]
    pub fn get<F: Future<Output = Reply> + Send + 'static>(
        self,
        path: &'static str,
        answer: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        self.on(Method::GET, path, answer)
    }

    /// Adds a handler of `method` requests for `path`, in which the segment `{}` matches any one.
    #[must_use]
    pub fn on<F: Future<Output = Reply> + Send + 'static>(
        mut self,
        method: Method,
        path: &'static str,
        answer: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        let handler: Handler = Arc::new(move |call| Box::pin(answer(call)));
        self.routes.push(Route { method, path, handler });
        self
    }

    /// These routes and those of `other`.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.routes.extend(other.routes);
        self
    }

    /// Handles a request.
    pub(crate) async fn answer(&self, method: &Method, path: &str, call: Call) -> Reply {
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        let matching: Vec<(&Route, Vec<String>)> =
            self.routes.iter().filter_map(|route| Some((route, arguments(route.path, path)?))).collect();
        if let Some((route, arguments)) = matching.iter().find(|(route, _)| route.method == wanted) {
            return (route.handler)(Call { arguments: arguments.clone(), ..call }).await;
        }
        if matching.is_empty() {
            let mut paths: Vec<&str> = self.routes.iter().map(|route| route.path).collect();
            paths.dedup();
            return json_reply(StatusCode::NOT_FOUND, &json!({"message": "Not found", "paths": paths}));
        }
        let mut allowed: Vec<&str> = matching.iter().map(|(route, _)| route.method.as_str()).collect();
        if allowed.contains(&"GET") {
            allowed.push("HEAD");
        }
        let allowed = allowed.join(", ");
        let message = format!("Method not allowed: use {allowed}");
        let mut reply = json_reply(StatusCode::METHOD_NOT_ALLOWED, &json!({"message": message}));
        if let Ok(value) = HeaderValue::from_str(&allowed) {
            reply.headers_mut().insert(ALLOW, value);
        }
        reply
    }
}

/// The segment for each `{}` of `pattern`; `None` if `path` does not match.
fn arguments(pattern: &str, path: &str) -> Option<Vec<String>> {
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let mut arguments = Vec::new();
    let mut segments = path.split('/');
    for part in pattern.split('/') {
        let segment = segments.next()?;
        if part == "{}" {
            arguments.push(percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned());
        } else if part != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(arguments)
}

/// A JSON response.
pub fn json_reply(status: StatusCode, body: &Value) -> Reply {
    text_reply(status, "application/json; charset=utf-8", format!("{body}\n"))
}

/// A text response.
pub fn text_reply(status: StatusCode, content_type: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Full::from(body).boxed());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(method: Method, path: &str) -> (u16, String, Option<String>) {
        let echo = |call: Call| async move { json_reply(StatusCode::OK, &json!([call.arguments, call.query("a")])) };
        let routes = Routes::new().get("/status", echo).get("/a/{}/b", echo).on(Method::POST, "/a/{}/b", echo);
        let call = Call {
            arguments: Vec::new(),
            query: "a=1%202&a=3".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let reply = routes.answer(&method, path, call).await;
        let allow = reply.headers().get(ALLOW).map(|value| value.to_str().unwrap().to_owned());
        let status = reply.status().as_u16();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap(), allow)
    }

    /// Scenario: known paths, with and without a slash at the end, with arguments; unknown paths; a method that a path does
    /// not have.
    /// Guarantees: arguments and query are decoded; 404 lists the paths, 405 the methods.
    #[tokio::test]
    async fn paths_methods_and_arguments() {
        assert_eq!(ask(Method::GET, "/status").await.1, "[[],\"1 2\"]\n");
        assert_eq!(ask(Method::HEAD, "/status/").await.0, 200);
        assert_eq!(ask(Method::POST, "/a/x%2Fy/b").await.1, "[[\"x/y\"],\"1 2\"]\n");
        for unknown in ["/", "/statuss", "/a/b", "/a/x/b/c", "/status/x", ""] {
            let (status, body, _) = ask(Method::GET, unknown).await;
            assert_eq!(status, 404, "{unknown}");
            assert_eq!(body, "{\"message\":\"Not found\",\"paths\":[\"/status\",\"/a/{}/b\"]}\n");
        }
        let (status, _, allow) = ask(Method::DELETE, "/a/x/b").await;
        assert_eq!((status, allow.as_deref()), (405, Some("GET, POST, HEAD")));
    }
}
