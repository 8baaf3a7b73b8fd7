//! One call of `StreamAccessLogs`: a stream of messages until its sender, or the service, ends it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use logphase_protocol::envoy::batch::{self, Part, Parts};
use logphase_protocol::envoy::{METHOD, Origin, Record, RecordKind};
use logphase_script::transaction::Transaction;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::connection::Activity;
use super::feed::{Budget, Feed};
use crate::connections::Slot;
use crate::decode::{AlsDecoder, DecodeError};
use crate::input::accept::Peer;
use crate::input::grpc::framing::{FramingError, Messages};
use crate::input::grpc::response::{self, Code, Response};
use crate::input::lines::UnfinishedLine;
use crate::input::transport::Access;
use crate::input::{Context, Reason, grpc};

/// Entries that are decoded before other tasks have their turn.
const TURN_ENTRIES: usize = 64;

/// Bytes of the text of so many entries, or, if the last one is long, a little more. It stays in memory until the last one has
/// left the log phase.
const TURN_BYTES: usize = 64 << 10;

/// How many times longer the text of most entries is than the entry.
const TEXT_RATIO: usize = 3;

/// Bytes of the text of most entries, at most.
const TYPICAL_BYTES: usize = 2048;

/// Silence after which, when the inputs stop, a peer counts as done.
const DRAIN_IDLE: Duration = Duration::from_millis(100);

/// How long, when the inputs stop, a peer that keeps sending is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The calls of one connection.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) context: Context,
    decoder: AlsDecoder,
    budget: Arc<Budget>,
    max_message_bytes: usize,
    peer: Option<IpAddr>,
    /// Which calls are taken, and whether the connection has the certificate of a client.
    access: (Access, bool),
}

/// The end of a call that is not the sender's.
type Failure = (Code, Option<Reason>, &'static str);

impl Calls {
    pub(super) fn new(
        context: Context,
        decoder: AlsDecoder,
        budget: Arc<Budget>,
        max_message_bytes: usize,
        peer: Peer,
        access: (Access, bool),
    ) -> Self {
        Self { context, decoder, budget, max_message_bytes, peer: peer.address(), access }
    }

    /// Answers one request. `running` is held until everything of it is in the queues.
    pub(super) async fn respond(
        &self,
        request: Request<Incoming>,
        activity: Arc<Activity>,
        slot: Slot,
        running: mpsc::Sender<()>,
    ) -> Response {
        if !grpc::is_grpc(&request) {
            self.context.counters.count_rejected(Reason::Unsupported);
            return response::not_grpc();
        }
        let (access, is_verified) = &self.access;
        if access.check(request.headers(), *is_verified).is_err() {
            self.context.counters.count_rejected(Reason::Unauthorized);
            self.warn_unauthorized();
            return response::failed(
                Code::Unauthenticated,
                "send a bearer token of inputs.als.auth as `authorization`",
            );
        }
        if request.uri().path() != METHOD {
            self.context.counters.count_rejected(Reason::Unsupported);
            return response::failed(Code::Unimplemented, "the only method is AccessLogService/StreamAccessLogs");
        }
        let call = Call {
            unfinished: self.context.unfinished.enter(self.peer),
            feed: Feed::new(self.context.clone(), self.budget.clone()),
            messages: Messages::new(self.max_message_bytes),
            origin: Arc::default(),
            calls: self.clone(),
            activity,
            slot,
            drain_until: None,
        };
        // A task of its own: what was received is taken even if the peer goes away meanwhile.
        let ended = tokio::spawn(async move {
            let ended = call.run(request.into_body()).await;
            drop(running);
            ended
        });
        match ended.await {
            Ok(Ok(())) => response::done(&[]),
            Ok(Err((code, _, message))) => response::failed(code, message),
            Err(_) => response::failed(Code::Internal, "a bug of the service"),
        }
    }

    fn warn_unauthorized(&self) {
        if let Some(suppressed) = self.context.counters.log_limit.admit() {
            let peer = self.peer.map(tracing::field::display);
            tracing::warn!(
                input = self.context.input,
                peer,
                suppressed,
                "a call without an accepted bearer token is refused"
            );
        }
    }
}

struct Call {
    calls: Calls,
    activity: Arc<Activity>,
    slot: Slot,
    unfinished: UnfinishedLine,
    feed: Feed,
    messages: Messages,
    origin: Arc<Origin>,
    /// Set when the inputs are told to stop.
    drain_until: Option<Instant>,
}

impl Call {
    async fn run(mut self, mut body: Incoming) -> Result<(), Failure> {
        let ended = self.read(&mut body).await;
        if let Err((_, reason, message)) = &ended {
            let input = self.calls.context.input;
            if let Some(reason) = reason {
                self.calls.context.counters.count_rejected(*reason);
                self.warn(*reason, message);
            } else {
                tracing::debug!(input, "a stream ended: {message}");
            }
        }
        drop(body);
        // Its place is free for another while what was received waits for the queues.
        let Self { mut feed, slot, unfinished, .. } = self;
        drop((slot, unfinished));
        feed.finish().await;
        ended
    }

    async fn read(&mut self, body: &mut Incoming) -> Result<(), Failure> {
        let context = self.calls.context.clone();
        loop {
            self.unfinished.wait_with(self.messages.held());
            let quiet = self.drain_until.map(|until| until.min(Instant::now() + DRAIN_IDLE));
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = self.feed.advance() => continue,
                () = self.unfinished.evicted() => {
                    let message = "unfinished for too long while others needed the memory for unfinished messages";
                    return Err((Code::ResourceExhausted, Some(Reason::Timeout), message));
                }
                () = context.stopped(), if self.drain_until.is_none() => {
                    self.drain_until = Some(Instant::now() + DRAIN_TIMEOUT);
                    continue;
                }
                () = sleep_until(quiet.unwrap_or_else(Instant::now)), if quiet.is_some() => {
                    return Err((Code::Unavailable, None, "shutting down"));
                }
            };
            self.unfinished.resume();
            let data = match frame {
                None if self.messages.held() > 0 => {
                    return Err((Code::InvalidArgument, Some(Reason::Incomplete), "the last message is not complete"));
                }
                None => return Ok(()),
                Some(Err(_)) if self.messages.held() > 0 => {
                    return Err((
                        Code::Unavailable,
                        Some(Reason::Incomplete),
                        "the peer has gone in the middle of a message",
                    ));
                }
                Some(Err(_)) => return Err((Code::Unavailable, None, "the peer has gone")),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
            context.counters.count_bytes(data.len());
            self.messages.push(&data);
            drop(data);
            while let Some(message) = self.messages.next().map_err(refusal)? {
                self.take(message).await;
                self.slot.progress();
                self.activity.touch();
            }
        }
    }

    /// Takes the entries of a message, in one batch if it has no more than most.
    async fn take(&mut self, message: Bytes) {
        let mut parts = batch::read(&message);
        while self.take_turn(&mut parts, message.len()) {
            self.feed.pump_whole();
            tokio::task::yield_now().await;
        }
        self.feed.pump();
    }

    /// Takes the next entries of a message of `bytes`. Returns whether there may be more. Their texts share a buffer, which costs
    /// less than one for each.
    fn take_turn(&mut self, parts: &mut Parts<'_>, bytes: usize) -> bool {
        let mut text = Vec::with_capacity(bytes.saturating_mul(TEXT_RATIO).min(TURN_BYTES));
        let mut ends = Vec::with_capacity(TURN_ENTRIES);
        let mut records = self.calls.context.intake().reads_records().then(Records::default);
        let mut more = true;
        for _ in 0..TURN_ENTRIES {
            match parts.next() {
                None => {
                    more = false;
                    break;
                }
                Some(Ok(Part::Identifier(identifier))) => match Origin::decode(identifier) {
                    Ok(origin) => self.origin = Arc::new(origin),
                    Err(error) => self.reject(Reason::Malformed, &error.to_string()),
                },
                Some(Ok(entry)) => match self.calls.decoder.write(entry, &self.origin, &mut text) {
                    Ok(true) => {
                        ends.push(text.len());
                        if let Some(records) = &mut records {
                            records.push(entry, &self.origin);
                        }
                    }
                    Ok(false) => self.calls.context.counters.count_skipped(),
                    Err(error) => self.reject(Reason::from(&error), &error.reason),
                },
                Some(Err(error)) => self.reject(Reason::Malformed, &error.to_string()),
            }
            if text.len() + TYPICAL_BYTES > TURN_BYTES {
                break;
            }
        }
        self.index(text, &ends, records);
        more
    }

    /// Takes the transactions whose texts end at `ends`, one behind the other. They share the buffer if they are taken all, so that
    /// no buffer stays for a few of them; otherwise each has its own.
    fn index(&mut self, mut text: Vec<u8>, ends: &[usize], records: Option<Records>) {
        if text.capacity() / 2 > text.len() {
            text.shrink_to_fit();
        }
        let text = Bytes::from(text);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let texts = || starts.clone().zip(ends).map(|(start, end)| text.slice(start..*end));
        let decoder = &self.calls.decoder;
        let records = records.map_or_else(Vec::new, Records::into_records);
        let with_record = |at: usize, mut transaction: Transaction, copy: bool| {
            if let Some(record) = records.get(at) {
                let bytes = if copy { Bytes::copy_from_slice(&record.bytes) } else { record.bytes.clone() };
                transaction.attach(Arc::new(Record { bytes, ..record.clone() }));
            }
            transaction
        };
        let indexed = texts().enumerate().map(|(at, text)| Ok(with_record(at, decoder.index(text)?, false)));
        let indexed: Result<Vec<_>, DecodeError> = indexed.collect();
        if indexed.is_ok_and(|transactions| self.feed.add_all(transactions)) {
            return;
        }
        for (at, text) in texts().enumerate() {
            match self.calls.decoder.index(Bytes::copy_from_slice(&text)) {
                Ok(transaction) => self.feed.add(with_record(at, transaction, true)),
                Err(error) => self.reject(Reason::from(&error), &error.reason),
            }
        }
    }

    fn reject(&self, reason: Reason, message: &str) {
        self.calls.context.counters.count_rejected(reason);
        self.warn(reason, message);
    }

    fn warn(&self, reason: Reason, message: &str) {
        if let Some(suppressed) = self.calls.context.counters.log_limit.admit() {
            let (input, reason) = (self.calls.context.input, reason.name());
            let node = String::from_utf8_lossy(&self.origin.node_id);
            tracing::warn!(input, %node, reason, suppressed, "access log entry not taken: {message}");
        }
    }
}

/// The entries that transactions are made of, one behind the other in one buffer.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    /// What each is, who sent it, and where it ends.
    entries: Vec<(RecordKind, Arc<Origin>, usize)>,
}

impl Records {
    fn push(&mut self, entry: Part<'_>, origin: &Arc<Origin>) {
        let (Part::Http(bytes) | Part::Tcp(bytes) | Part::Identifier(bytes)) = entry;
        let Some(kind) = RecordKind::of(entry) else { return };
        self.bytes.extend_from_slice(bytes);
        self.entries.push((kind, origin.clone(), self.bytes.len()));
    }

    fn into_records(self) -> Vec<Record> {
        let bytes = Bytes::from(self.bytes);
        let mut start = 0;
        let record = |(kind, origin, end)| {
            let record = Record { kind, bytes: bytes.slice(start..end), origin };
            start = end;
            record
        };
        self.entries.into_iter().map(record).collect()
    }
}

fn refusal(error: FramingError) -> Failure {
    match error {
        FramingError::Compressed => {
            (Code::Unimplemented, Some(Reason::Unsupported), "compressed messages are not read")
        }
        FramingError::TooLarge(_) => {
            (Code::ResourceExhausted, Some(Reason::TooLarge), "a message is larger than limits.max_body_bytes")
        }
    }
}
