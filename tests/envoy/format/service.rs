//! An access log service that keeps the entries as they came.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use logphase_protocol::envoy::batch::{self, Part};
use logphase_protocol::envoy::message::Identifier;
use parking_lot::Mutex;
use prost::Message;

use crate::service::free_port;

/// An entry, encoded.
#[derive(Debug, Clone)]
pub(super) enum Received {
    Http(Vec<u8>),
    Tcp(Vec<u8>),
}

type Logs = Arc<Mutex<HashMap<String, Vec<Received>>>>;

/// The service. It ends with the process.
pub(super) struct AccessLogService {
    pub(super) port: u16,
    logs: Logs,
}

impl AccessLogService {
    pub(super) fn start() -> Self {
        let (port, logs) = (free_port(), Logs::default());
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let kept = logs.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let logs = kept.clone();
                    let answer = move |request| keep(request, logs.clone());
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    tokio::spawn(http.serve_connection(TokioIo::new(stream), service_fn(answer)));
                }
            });
        });
        Self { port, logs }
    }

    /// The entries of a log so far.
    pub(super) fn received(&self, log: &str) -> Vec<Received> {
        self.logs.lock().get(log).cloned().unwrap_or_default()
    }
}

/// Keeps what a stream sends until it ends.
async fn keep(request: Request<Incoming>, logs: Logs) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (mut body, mut buffer, mut name) = (request.into_body(), BytesMut::new(), String::new());
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        buffer.extend_from_slice(&data);
        // A message of gRPC: a byte that says whether it is compressed, and its length.
        while let Some(length) = buffer.get(1..5).map(|mut length| length.get_u32() as usize) {
            if buffer.len() < 5 + length {
                break;
            }
            buffer.advance(5);
            let message = buffer.split_to(length).freeze();
            for part in batch::read(&message) {
                let received = match part.unwrap() {
                    Part::Identifier(bytes) => {
                        let identifier = Identifier::decode(bytes).unwrap();
                        name = String::from_utf8(identifier.log_name.to_vec()).unwrap();
                        continue;
                    }
                    Part::Http(bytes) => Received::Http(bytes.to_vec()),
                    Part::Tcp(bytes) => Received::Tcp(bytes.to_vec()),
                };
                logs.lock().entry(name.clone()).or_default().push(received);
            }
        }
    }
    Ok(Response::new(Empty::new()))
}
