//! A receiver with scripted answers, for HTTP/1 and HTTP/2.

use std::convert::Infallible;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use logphase_protocol::otlp::message::{ExportResponse, PartialSuccess};
use logphase_protocol::otlp::{Encoding, read};
use logphase_protocol::rpc::Status;

#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    headers: HeaderMap,
    /// The message, neither framed nor compressed.
    message: Bytes,
    pub taken: bool,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The records, as the OTLP input reads them, each with the attributes of its resource.
    pub fn records(&self) -> Vec<Value> {
        let json = self.header("content-type") == "application/json";
        let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
        let mut records = Vec::new();
        read(&self.message, encoding, |group, record| {
            let group = group.members(1 << 20).unwrap();
            let object = record.unwrap().object(group, 1 << 20).unwrap();
            records.push(serde_json::from_slice(&object).unwrap());
            Ok::<_, ()>(())
        })
        .unwrap();
        records
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    pub trailers: Vec<(&'static str, String)>,
    /// Never answer.
    pub silent: bool,
}

impl Default for Answer {
    fn default() -> Self {
        let trailers = vec![("grpc-status", "0".to_owned())];
        Self { status: 200, headers: Vec::new(), body: Bytes::new(), trailers, silent: false }
    }
}

impl Answer {
    pub fn grpc(code: i32, message: &str, pause: Option<Duration>, in_headers: bool) -> Self {
        let details = Status::new(code, message.to_owned(), pause).encode_to_vec();
        let fields = vec![
            ("grpc-status", code.to_string()),
            ("grpc-message", utf8_percent_encode(message, NON_ALPHANUMERIC).to_string()),
            ("grpc-status-details-bin", STANDARD.encode(details)),
        ];
        let (headers, trailers) = if in_headers { (fields, Vec::new()) } else { (Vec::new(), fields) };
        Self { headers, trailers, ..Self::default() }
    }

    pub fn partial(request: &Request, partial: &PartialSuccess) -> Self {
        let message = ExportResponse { partial_success: Some(partial.clone()) }.encode_to_vec();
        let body = match request.header("content-type") {
            "application/grpc" => super::grpc::framed(&message, false),
            "application/json" => {
                let rejected = partial.rejected_log_records.to_string();
                let partial = json!({"rejectedLogRecords": rejected, "errorMessage": partial.error_message});
                json!({"partialSuccess": partial}).to_string().into()
            }
            _ => message.into(),
        };
        Self { body, ..Self::default() }
    }
}

type Script = dyn Fn(&Request, usize) -> Answer + Send + Sync;

pub struct Peer {
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    task: Arc<JoinHandle<()>>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// Answers each request with what `script` returns for it and its number.
    pub async fn start(script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (script, seen): (Arc<Script>, _) = (Arc::new(script), requests.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, seen) = (script.clone(), seen.clone());
                let service = service_fn(move |request| answer(request, script.clone(), seen.clone()));
                let builder = auto::Builder::new(TokioExecutor::new());
                tokio::spawn(async move { builder.serve_connection(TokioIo::new(stream), service).await.ok() });
            }
        });
        Self { port, requests, task: Arc::new(task) }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Request>>>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let mut message = body.collect().await?.to_bytes();
    if head.headers.get("content-type").is_some_and(|kind| kind == "application/grpc") {
        assert_eq!(head.headers["te"], "trailers");
        let length = u32::from_be_bytes(message[1..5].try_into().unwrap()) as usize;
        assert_eq!((message[0], length), (u8::from(head.headers.contains_key("grpc-encoding")), message.len() - 5));
        message = message.slice(5..);
    }
    if ["grpc-encoding", "content-encoding"].iter().any(|name| head.headers.get(*name).is_some_and(|v| v == "gzip")) {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&message[..]).read_to_end(&mut plain).unwrap();
        message = plain.into();
    }
    let mut request = Request { path: head.uri.path().to_owned(), headers: head.headers, message, taken: false };
    let answer = script(&request, seen.lock().len());
    let failed =
        answer.trailers.iter().chain(&answer.headers).any(|(name, code)| *name == "grpc-status" && code != "0");
    request.taken = answer.status == 200 && !failed;
    seen.lock().push(request);
    if answer.silent {
        std::future::pending::<()>().await;
    }
    let fields = |fields: &[(&'static str, String)]| -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.parse::<hyper::header::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    };
    let trailers = (!answer.trailers.is_empty() && answer.status == 200).then(|| fields(&answer.trailers));
    let body = Full::new(answer.body).with_trailers(async move { trailers.map(Ok) }).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = answer.status.try_into().unwrap();
    response.headers_mut().extend(fields(&answer.headers));
    Ok(response)
}
