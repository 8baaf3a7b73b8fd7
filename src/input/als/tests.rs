//! Streams of access log entries: what arrives, what is counted, limits, full queues, stopping.

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use logphase_protocol::envoy::message::{
    AccessLogType, Common, HttpEntry, HttpRequest, Identifier, Node, TcpEntry, encode,
};
use std::convert::Infallible;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::decode::mapping::Mappings;
use crate::input::tests::harness::{Behavior, Harness, any_port, field, framed, hostile, wait_until};
use crate::input::{Limits, Reason};
use bytes::Bytes;
use serde_json::Value;

fn settings() -> Settings {
    Settings {
        listen: any_port(),
        max_connections: 1000,
        idle_timeout: Duration::from_secs(3600),
        auth: Auth::default(),
        tls: Tls::default(),
        proxy_protocol: Vec::new(),
        per_peer: PerPeer::default(),
        max_buffered_bytes: 64 << 20,
        intermediate: false,
        names: Vec::new(),
        match_routes: false,
    }
}

fn als(settings: Settings) -> Als {
    let limits = Limits { max_body_bytes: 1 << 20, ..limits() };
    Als::new(settings, Shared { limits: &limits, mappings: &Mappings::default(), data_dir: std::path::Path::new("") })
        .unwrap()
}

fn start(settings: Settings) -> Harness {
    Harness::start(als(settings))
}

fn limits() -> Limits {
    Limits {
        max_body_bytes: 8 << 20,
        max_unfinished_bytes: 32 << 20,
        max_transaction_bytes: 1 << 20,
        max_depth: 64,
        max_members: 10_000,
    }
}

fn identifier(node: &'static str, log: &'static str) -> Vec<u8> {
    let node = Node { id: node.into(), ..Node::default() };
    field(1, &encode(&Identifier { node: Some(node), log_name: log.into() }))
}

/// A message with HTTP entries, one for each stream id.
fn http_logs(ids: impl IntoIterator<Item = usize>, kind: AccessLogType) -> Vec<u8> {
    let entry = |id: usize| {
        let common = Common { stream_id: id.to_string().into(), access_log_type: kind as i32, ..Common::default() };
        field(1, &encode(&HttpEntry { common: Some(common), ..HttpEntry::default() }))
    };
    field(2, &ids.into_iter().flat_map(entry).collect::<Vec<_>>())
}

/// One call, as Envoy makes it.
struct Call {
    body: mpsc::Sender<Bytes>,
    response: tokio::task::JoinHandle<hyper::Result<Response<Incoming>>>,
    connection: tokio::task::JoinHandle<()>,
}

impl Call {
    async fn start(harness: &Harness, path: &str, content_type: &str) -> Self {
        let stream = TcpStream::connect(harness.inet()).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        let (body, mut frames) = mpsc::channel::<Bytes>(1024);
        let stream = futures_util::stream::poll_fn(move |task| {
            frames.poll_recv(task).map(|frame| frame.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))))
        });
        let request = Request::post(format!("http://{}{path}", harness.inet())).header("content-type", content_type);
        let request = request.body(UnsyncBoxBody::new(StreamBody::new(stream))).unwrap();
        let response = tokio::spawn(async move { client.send_request(request).await });
        Self { body, response, connection }
    }

    async fn envoy(harness: &Harness) -> Self {
        Self::start(harness, logphase_protocol::envoy::METHOD, "application/grpc").await
    }

    fn send(&self, message: &[u8]) {
        self.send_raw(framed(message));
    }

    fn send_raw(&self, bytes: Vec<u8>) {
        self.body.try_send(bytes.into()).unwrap();
    }

    /// Ends the stream; the status of gRPC and the body.
    async fn end(self) -> (String, Bytes) {
        drop(self.body);
        let response = self.response.await.unwrap().unwrap();
        let status =
            |headers: &hyper::HeaderMap| headers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
        let early = status(response.headers());
        let body = response.into_body().collect().await.unwrap();
        let late = body.trailers().and_then(status);
        (early.or(late).unwrap_or_default(), body.to_bytes())
    }
}

fn ids(taken: &[String]) -> Vec<usize> {
    let id = |text: &String| {
        let object: Value = serde_json::from_str(text).unwrap();
        object["envoy"]["stream_id"].as_str().unwrap().parse().unwrap()
    };
    taken.iter().map(id).collect()
}

/// Scenario: a stream whose first message says who sends it; entries of both kinds in several messages; the sender ends it.
/// Guarantees: each entry arrives once and in order, with the node and the log's name of the first message; the answer is
/// the empty message and status 0.
#[tokio::test]
async fn entries_arrive() {
    let harness = start(settings());
    let call = Call::envoy(&harness).await;
    let kind = AccessLogType::DownstreamEnd;
    call.send(&[identifier("node-7", "shop"), http_logs(0..3, kind)].concat());
    call.send(&http_logs(3..5, kind));
    let common = Common { stream_id: "5".into(), ..Common::default() };
    call.send(&field(3, &field(1, &encode(&TcpEntry { common: Some(common), connection: None }))));
    let taken = harness.worker().wait_for(6).await;
    assert_eq!(call.end().await, ("0".to_owned(), Bytes::from_static(&[0; 5])));
    assert_eq!(ids(&taken), [0, 1, 2, 3, 4, 5]);
    for text in &taken {
        let object: Value = serde_json::from_str(text).unwrap();
        assert_eq!((&object["envoy"]["log_name"], &object["envoy"]["node"]["id"]), (&"shop".into(), &"node-7".into()));
    }
    wait_until("the entries to be counted", || harness.counters().received() == 6).await;
    assert_eq!(harness.counters().rejected_total(), 0);
}

/// Scenario: start and periodic records among final ones, without and with the setting that keeps them.
/// Guarantees: they are skipped and counted; or they arrive, marked.
#[tokio::test]
async fn intermediate_records() {
    for keep in [false, true] {
        let harness = start(Settings { intermediate: keep, ..settings() });
        let call = Call::envoy(&harness).await;
        call.send(&http_logs([1], AccessLogType::DownstreamStart));
        call.send(&http_logs([2], AccessLogType::DownstreamPeriodic));
        call.send(&http_logs([3], AccessLogType::DownstreamEnd));
        let (expected, skipped) = if keep { (vec![1, 2, 3], 0) } else { (vec![3], 2) };
        assert_eq!(ids(&harness.worker().wait_for(expected.len()).await), expected);
        assert_eq!(harness.counters().skipped(), skipped);
    }
}

/// Scenario: rules that name a consumer by the node.
/// Guarantees: the transaction has it.
#[tokio::test]
async fn names() {
    let harness = start(Settings { names: vec!["consumer.username=node_id".to_owned()], ..settings() });
    let call = Call::envoy(&harness).await;
    call.send(&[identifier("edge", "l"), http_logs([1], AccessLogType::DownstreamEnd)].concat());
    let taken: Value = serde_json::from_str(&harness.worker().wait_for(1).await[0]).unwrap();
    assert_eq!(taken["consumer"]["username"], "edge");
    assert!(rule(&Value::from("consumer.username=node_id")).is_ok() && rule(&Value::from("x")).is_err());
}

/// Scenario: the queues take nothing while a stream sends more than the buffer holds; then they have room.
/// Guarantees: the stream is read to its end all the same; what the buffer held arrives in order, the rest is counted as
/// lost; the memory is given back, so that as much is taken again.
#[tokio::test]
async fn full_queues_do_not_block() {
    let harness = start(Settings { max_buffered_bytes: 300_000, ..settings() });
    harness.worker().set(Behavior::Room(0));
    let call = Call::envoy(&harness).await;
    for batch in 0..10 {
        call.send(&http_logs(batch * 50..(batch + 1) * 50, AccessLogType::DownstreamEnd));
    }
    wait_until("the buffer to be full", || harness.counters().lost() > 0).await;
    let sent: usize = 500;
    let last = http_logs([sent], AccessLogType::DownstreamEnd);
    call.send(&last);
    let bytes: u64 = (0..10)
        .map(|batch| framed(&http_logs(batch * 50..(batch + 1) * 50, AccessLogType::DownstreamEnd)).len() as u64)
        .sum::<u64>()
        + framed(&last).len() as u64;
    wait_until("everything to be read", || harness.counters().bytes() == bytes).await;
    harness.worker().set(Behavior::Take);
    let (status, _) = call.end().await;
    assert_eq!(status, "0");
    let taken = ids(&harness.worker().taken());
    let lost = usize::try_from(harness.counters().lost()).unwrap();
    assert_eq!(taken.len() + lost, sent + 1);
    assert!(taken.len() > 50 && lost > 0);
    assert!(taken.is_sorted());
    assert_eq!(harness.counters().received(), taken.len() as u64);
    let call = Call::envoy(&harness).await;
    call.send(&http_logs(0..taken.len(), AccessLogType::DownstreamEnd));
    assert_eq!(call.end().await.0, "0");
    assert_eq!(harness.counters().received(), 2 * taken.len() as u64);
}

/// Scenario: entries that are none among good ones; a message that is none; one that is too large, compressed or cut off.
/// Guarantees: each is counted by its reason; the good entries of the stream arrive; a stream that cannot be read further
/// ends with gRPC's status for it.
#[tokio::test]
async fn bad_messages() {
    let harness = start(settings());
    let call = Call::envoy(&harness).await;
    let good = http_logs([1], AccessLogType::DownstreamEnd);
    call.send(&[field(2, &field(1, b"\xff")), good.clone(), field(2, b"\xff")].concat());
    call.send(&http_logs([2], AccessLogType::DownstreamEnd));
    assert_eq!(ids(&harness.worker().wait_for(2).await), [1, 2]);
    assert_eq!(harness.counters().rejected(Reason::Malformed), 2);
    call.send_raw(vec![0, 0x7f, 0, 0, 0]);
    assert_eq!(call.end().await.0, "8");
    assert_eq!(harness.counters().rejected(Reason::TooLarge), 1);
    for (bytes, status, reason) in
        [(vec![1, 0, 0, 0, 0], "12", Reason::Unsupported), (framed(&good)[..7].to_vec(), "3", Reason::Incomplete)]
    {
        let call = Call::envoy(&harness).await;
        call.send_raw(bytes);
        assert_eq!(call.end().await.0, status);
        assert_eq!(harness.counters().rejected(reason), 1);
    }
}

/// Scenario: one message with more entries than are decoded at once, one of which becomes a transaction over the limit.
/// Guarantees: that one is counted as too large; the others arrive once and in order.
#[tokio::test]
async fn a_transaction_over_the_limit_among_others() {
    let harness = start(settings());
    let call = Call::envoy(&harness).await;
    // As JSON each of its bytes takes two.
    let request = HttpRequest { path: vec![b'"'; 600_000].into(), ..HttpRequest::default() };
    let long = HttpEntry { common: Some(Common::default()), request: Some(request), ..HttpEntry::default() };
    let logs = |ids: std::ops::Range<usize>| http_logs(ids, AccessLogType::DownstreamEnd);
    call.send(&[logs(0..100), field(2, &field(1, &encode(&long))), logs(100..300)].concat());
    assert_eq!(call.end().await.0, "0");
    assert_eq!(ids(&harness.worker().taken()), (0..300).collect::<Vec<_>>());
    assert_eq!(harness.counters().rejected(Reason::TooLarge), 1);
}

/// Scenario: another method, and a request that is not gRPC.
/// Guarantees: gRPC's status for a method that is not there; HTTP's for another media type.
#[tokio::test]
async fn other_requests() {
    let harness = start(settings());
    let call =
        Call::start(&harness, "/envoy.service.metrics.v3.MetricsService/StreamMetrics", "application/grpc").await;
    assert_eq!(call.end().await.0, "12");
    let call = Call::start(&harness, logphase_protocol::envoy::METHOD, "application/json").await;
    assert_eq!(call.response.await.unwrap().unwrap().status(), 415);
    assert_eq!(harness.counters().rejected(Reason::Unsupported), 2);
}

/// Scenario: the inputs stop while a stream is open and the queues are full; then they have room.
/// Guarantees: what was received is taken; the stream ends; the input ends.
#[tokio::test]
async fn stopping() {
    let mut harness = start(settings());
    harness.worker().set(Behavior::Room(0));
    let call = Call::envoy(&harness).await;
    call.send(&http_logs(0..10, AccessLogType::DownstreamEnd));
    wait_until("the message to arrive", || harness.counters().bytes() > 0).await;
    harness.stop.send_replace(true);
    harness.worker().set(Behavior::Take);
    harness.serving.finished().await;
    assert_eq!(ids(&harness.worker().taken()), (0..10).collect::<Vec<_>>());
    call.connection.await.unwrap();
}

/// Scenario: the peer goes away while its entries wait for the queues.
/// Guarantees: they are taken all the same.
#[tokio::test]
async fn the_peer_goes_away() {
    let harness = start(settings());
    harness.worker().set(Behavior::Room(0));
    let call = Call::envoy(&harness).await;
    call.send(&http_logs(0..10, AccessLogType::DownstreamEnd));
    wait_until("the message to arrive", || harness.counters().bytes() > 0).await;
    call.connection.abort();
    harness.worker().set(Behavior::Take);
    assert_eq!(harness.worker().wait_for(10).await.len(), 10);
}

/// Scenario: a connection without a message, with a short idle timeout.
/// Guarantees: it is closed from this side.
#[tokio::test]
async fn idle() {
    let harness = start(Settings { idle_timeout: Duration::from_millis(20), ..settings() });
    let call = Call::envoy(&harness).await;
    call.connection.await.unwrap();
    wait_until("the connection to end", || harness.counters().open_connections() == 0).await;
}

/// Scenario: texts that are not HTTP/2, on more connections than there may be; the same as messages of gRPC; a good stream.
/// Guarantees: nothing of them arrives, each message is counted, and the good stream is served.
#[tokio::test]
async fn hostile_bytes() {
    use tokio::io::AsyncWriteExt;
    let harness = start(Settings { max_connections: 8, ..settings() });
    for bytes in hostile() {
        let mut stream = TcpStream::connect(harness.inet()).await.unwrap();
        let _ = stream.write_all(&bytes).await;
    }
    let call = Call::envoy(&harness).await;
    for bytes in hostile() {
        call.send(&field(2, &field(1, &bytes)));
    }
    call.send(&http_logs([1], AccessLogType::DownstreamEnd));
    assert_eq!(ids(&harness.worker().wait_for(1).await), [1]);
    assert_eq!(harness.counters().rejected(Reason::Malformed), hostile().len() as u64);
}
