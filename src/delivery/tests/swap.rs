//! Sinks replaced by a reload.

use tokio::sync::Semaphore;

use super::*;

fn good() -> (Box<dyn Sink>, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    (Box::new(Scripted { steps: Vec::new(), batching: Batching::Batches, seen: seen.clone() }), seen)
}

fn newer(output: &Output) -> OutputSpec {
    OutputSpec { config: json!({"password": "right"}), ..(*output.spec()).clone() }
}

async fn ends(output: &Output, dispatcher: JoinHandle<()>) {
    output.close();
    tokio::time::timeout(PATIENCE, dispatcher).await.expect("ends in time").unwrap();
}

/// Scenario: a destination fails after it has taken none or one entry of a batch, with backoff of an hour; meanwhile
/// the sink is replaced by a working one.
/// Guarantees: the new sink is used at once and gets all undelivered entries, in order and once.
#[tokio::test]
async fn waiting_entries_follow() {
    for taken in [0, 1] {
        let hour = Duration::from_secs(3600);
        let options = QueueOptions {
            max_batch_size: 3,
            max_coalescing_delay: Duration::ZERO,
            initial_retry_delay: hour,
            max_retry_delay: hour,
            ..QueueOptions::default()
        };
        let steps = vec![Step::Fail(taken, FailureKind::Retryable)];
        let (output, old, dispatcher) = scripted(options, Batching::Batches, steps, 8);
        until("the old one has failed", || output.stats().failing).await;
        let (sink, new) = good();
        output.replace_sink(newer(&output).into(), sink);
        until("all is delivered", || output.counters().is_idle()).await;
        assert_eq!(output.spec().config, json!({"password": "right"}));
        assert!(!output.stats().failing);
        put(&output, "8").unwrap();
        ends(&output, dispatcher).await;
        let mut all = texts(&old.lock().delivered);
        assert_eq!(all.len(), taken);
        all.extend(texts(&new.lock().delivered));
        assert_eq!(all, (0..9).collect::<Vec<_>>());
    }
}

/// A sink that settles one entry per permit.
struct Slow {
    allowed: Arc<Semaphore>,
    seen: Arc<Mutex<Seen>>,
}

impl Sink for Slow {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        self.seen.lock().delivered.extend_from_slice(entries);
        Box::pin(std::future::ready(Ok(Sent::default())))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(async move {
            self.allowed.acquire().await.expect("it is not closed").forget();
            Ok(Sent::settled(1))
        })
    }

    fn window(&self) -> usize {
        1
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        self.seen.lock().closed = true;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Scenario: entries are in flight and unsettled when the sink is replaced; then they settle one by one, or never.
/// Guarantees: in the first case they are not sent again, and the old sink is closed in order; in the second the new
/// sink sends them again.
#[tokio::test]
async fn entries_in_flight_settle_or_are_sent_again() {
    for settles in [true, false] {
        let (allowed, seen) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Seen::default())));
        let slow = Slow { allowed: allowed.clone(), seen: seen.clone() };
        let (output, dispatcher) = dispatcher(&std::env::temp_dir(), QueueOptions::default(), 3, slow);
        until("they are on their way", || seen.lock().delivered.len() == 3).await;
        put(&output, "3").unwrap();
        let (sink, new) = good();
        output.replace_sink(newer(&output).into(), sink);
        if settles {
            allowed.add_permits(3);
        }
        until("all is delivered", || output.counters().is_idle()).await;
        ends(&output, dispatcher).await;
        let expected = if settles { vec![3] } else { vec![0, 1, 2, 3] };
        assert_eq!(texts(&new.lock().delivered), expected);
        assert_eq!(texts(&seen.lock().delivered), [0, 1, 2]);
        assert_eq!(seen.lock().closed, settles);
    }
}

/// Scenario: no entry waits when the sink is replaced, and replaced again before the first replacement was used.
/// Guarantees: the newest sink gets the next entries, and the replaced one gets none.
#[tokio::test]
async fn idle_outputs_swap_too() {
    let (output, old, dispatcher) = scripted(QueueOptions::default(), Batching::Stream, Vec::new(), 0);
    let ((first, between), (second, new)) = (good(), good());
    output.replace_sink(newer(&output).into(), first);
    output.replace_sink(newer(&output).into(), second);
    until("the old one is closed", || old.lock().closed).await;
    put(&output, "1").unwrap();
    ends(&output, dispatcher).await;
    assert_eq!(texts(&new.lock().delivered), [1]);
    assert!(old.lock().delivered.is_empty() && between.lock().delivered.is_empty());
}

/// Scenario: a plugin is opened with another path, but opening another plugin fails; then the plugin is opened again
/// and all succeeds.
/// Guarantees: the output is the same throughout; it is unchanged after the failed reload, and changed after the
/// successful one.
#[tokio::test]
async fn all_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let file = |name: &str| spec("p1", "file-log", json!({"path": path(name), "reopen": false}));
    let delivery = delivery();
    let output = started(&delivery, file("one"));
    assert!(Arc::ptr_eq(&output, &delivery.open(file("two")).unwrap()));
    assert!(delivery.open(spec("p2", "file-log", Value::Null)).is_err());
    delivery.rollback(std::slice::from_ref(&output));
    put(&output, "1").unwrap();
    idle(&delivery).await;
    assert_eq!(output.spec().config["path"], json!(path("one")));
    assert!(Arc::ptr_eq(&output, &delivery.open(file("two")).unwrap()));
    delivery.commit(std::slice::from_ref(&output));
    put(&output, "2").unwrap();
    idle(&delivery).await;
    assert_eq!(std::fs::read_to_string(path("one")).unwrap(), "1\n");
    assert_eq!(std::fs::read_to_string(path("two")).unwrap(), "2\n");
}

/// Scenario: two plugins share a queue that holds a message for an unreachable destination; one plugin is removed, and
/// the other is changed.
/// Guarantees: the message is not sent with the changed settings, because it may belong to either plugin: there are two
/// outputs.
#[tokio::test]
async fn shared_queues_do_not_follow_a_change_of_one_plugin() {
    let (port, other) = (own_port(), own_port());
    let sharing = |port: u16, shares: &[&str]| OutputSpec {
        shares: Arc::new(shares.iter().map(|id| (*id).to_owned()).collect()),
        ..spec("a", "tcp-log", json!({"host": "127.0.0.1", "port": port}))
    };
    let delivery = delivery();
    let old = started(&delivery, sharing(port, &["a", "b"]));
    put(&old, "message").unwrap();
    let new = delivery.open(sharing(other, &[])).unwrap();
    assert!(!Arc::ptr_eq(&old, &new));
    delivery.commit(std::slice::from_ref(&new));
    assert_eq!(old.spec().config["port"], json!(port));
    assert_eq!(new.spec().config["port"], json!(other));
}
