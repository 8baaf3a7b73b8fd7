//! `POST /`, over HTTP/1.1 and HTTP/2 without TLS, as Kong's http-log sends it.
//!
//! A request is taken whole or not at all, and answered 200 only when every entry is safe in its queue.
//!
//! Requests that a browser made for a web page (they have an `Origin`) are refused: any page could otherwise write
//! to the log of a service on its visitor's machine, without that page being able to read a word.

mod answer;
mod body;
mod connection;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{EXPECT, ORIGIN};
use hyper::{Method, Request, Version};
use tokio::net::TcpListener;
use tokio::time::timeout;

use self::answer::{Answer, Fault};
use self::body::{Budget, Format, Hold};
use super::accept;
use super::{Context, Kind};
use logphase_script::transaction::{Limits, Transaction, parse_body, parse_lines};

/// Bodies up to this size are parsed where they are read; larger ones, and compressed ones, would keep other
/// connections waiting.
const PARSED_AT_ONCE: usize = 64 << 10;

/// Transactions out of a body, and what it holds of the memory for bodies while they are on their way.
type Parsed = Result<(Vec<Transaction>, Hold), Fault>;

/// The HTTP input; one for all its listeners.
#[derive(Clone)]
pub(super) struct Service {
    context: Arc<Context>,
    budget: Arc<Budget>,
}

impl Service {
    pub(super) fn new(context: Arc<Context>) -> Self {
        let settings = &context.settings;
        // One body of the largest size, compressed and not, must always fit, or it would be refused for ever.
        let largest = settings.max_body_bytes.saturating_mul(2).saturating_add(2 * body::INFLATE_STEP);
        let budget = Arc::new(Budget::new(settings.max_bytes_in_flight.max(largest)));
        Self { context, budget }
    }

    /// Serves `listener` until the inputs stop and every request has been answered.
    pub(super) async fn listen(self, listener: TcpListener) {
        let handle = {
            let service = self.clone();
            move |stream, peer| connection::serve(service.clone(), stream, peer)
        };
        accept::run(self.context, Kind::Http, listener, false, handle).await;
    }

    /// Answers one request.
    async fn respond(&self, request: Request<Incoming>) -> Answer {
        let version = request.version();
        let mut answer = match self.route(request).await {
            Ok(answer) => answer,
            Err(fault) => {
                self.context.meters.of(Kind::Http).reject(fault.reason);
                tracing::debug!(input = "http", status = fault.status.as_u16(), ?fault, "request not taken");
                fault.answer()
            }
        };
        if version >= Version::HTTP_2 {
            answer.headers_mut().remove(hyper::header::CONNECTION);
        }
        answer
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Answer, Fault> {
        let path = request.uri().path();
        if !matches!(path, "/" | "" | "*") {
            let fault = Fault::not_found(path);
            return refuse(request, fault);
        }
        match *request.method() {
            Method::POST | Method::PUT | Method::PATCH => self.post(request).await,
            Method::GET | Method::HEAD => Ok(answer::hint()),
            Method::OPTIONS => Ok(answer::options()),
            _ => {
                let fault = Fault::method(request.method().as_str());
                refuse(request, fault)
            }
        }
    }

    async fn post(&self, mut request: Request<Incoming>) -> Result<Answer, Fault> {
        let settings = &self.context.settings;
        let format = match self.admit(&request) {
            Ok(format) => format,
            Err(fault) => return refuse(request, fault),
        };
        let mut hold = Hold::new(self.budget.clone());
        let collect = body::collect(request.body_mut(), settings.max_body_bytes, &mut hold);
        let body = match timeout(settings.body_timeout, collect).await {
            Ok(Ok(body)) => body,
            Ok(Err(fault)) => return refuse(request, fault),
            Err(_) => return Err(Fault::slow_body(settings.body_timeout.as_secs_f64())),
        };
        self.context.meters.of(Kind::Http).read(body.len());
        let (limit, limits) = (settings.max_body_bytes, settings.limits);
        let (transactions, hold) = if format.gzip || body.len() > PARSED_AT_ONCE {
            let parse = move || parse(&body, format, limit, &limits, hold);
            tokio::task::spawn_blocking(parse).await.map_err(|error| Fault::internal(&error))??
        } else {
            parse(&body, format, limit, &limits, hold)?
        };
        self.offer(transactions, hold).await
    }

    /// Whether the head of a request is one whose body is worth reading.
    fn admit(&self, request: &Request<Incoming>) -> Result<Format, Fault> {
        if self.context.stopping() {
            return Err(Fault::shutting_down());
        }
        if request.headers().contains_key(ORIGIN) {
            return Err(Fault::web_page());
        }
        let format = Format::of(request.headers())?;
        let limit = self.context.settings.max_body_bytes;
        if request.body().size_hint().lower() > limit as u64 {
            return Err(Fault::body_too_large(limit));
        }
        Ok(format)
    }

    async fn offer(&self, transactions: Vec<Transaction>, hold: Hold) -> Result<Answer, Fault> {
        let context = self.context.clone();
        // A task of its own: a peer that goes away meanwhile must not leave what was taken uncounted.
        let offered = tokio::spawn(async move {
            let _hold = hold;
            let offered = transactions.len();
            context.intake.offer(transactions).await?;
            context.meters.of(Kind::Http).receive(offered);
            Ok(offered)
        });
        match offered.await {
            Ok(Ok(taken)) => Ok(answer::accepted(taken)),
            Ok(Err(refusal)) => Err(Fault::refused(&refusal)),
            Err(error) => Err(Fault::internal(&error)),
        }
    }
}

/// The transactions of a body.
fn parse(body: &Bytes, format: Format, limit: usize, limits: &Limits, mut hold: Hold) -> Parsed {
    let inflated = if format.gzip { Some(body::inflate(body, limit, &mut hold)?) } else { None };
    let body = inflated.as_ref().unwrap_or(body);
    let parsed = if format.lines { parse_lines(body, limits) } else { parse_body(body, limits) };
    parsed.map(|transactions| (transactions, hold)).map_err(Fault::rejected)
}

/// Refuses `request` while some of its body may still be on its way.
fn refuse(request: Request<Incoming>, fault: Fault) -> Result<Answer, Fault> {
    // Who asked first (`Expect: 100-continue`) has sent no body and, by the answer, will not.
    if !request.body().is_end_stream() && !request.headers().contains_key(EXPECT) {
        tokio::spawn(body::linger(request.into_body()));
    }
    Err(fault)
}
