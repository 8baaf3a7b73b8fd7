//! Settled entries that the destination may still lose.

use super::*;

/// What a test decides about an [`Unsure`] sink, and what it has seen.
#[derive(Default)]
struct Fate {
    delivered: Vec<Bytes>,
    /// How many of the newest settled entries are unconfirmed.
    unconfirmed: usize,
    /// The connection is to break, with these to be sent again.
    revoked: usize,
    /// Closing confirms everything.
    confirms: bool,
}

/// A sink that settles every entry, and confirms none before a test says so.
struct Unsure {
    fate: Arc<Mutex<Fate>>,
    changed: Arc<tokio::sync::Notify>,
}

impl Unsure {
    fn check(&self) -> Result<(), SendError> {
        let mut fate = self.fate.lock();
        let revoked = std::mem::take(&mut fate.revoked);
        fate.unconfirmed -= revoked;
        if revoked > 0 { Err(SendError { revoked, ..SendError::retry(0, "it broke") }) } else { Ok(()) }
    }
}

impl Sink for Unsure {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async move {
            self.check()?;
            let mut fate = self.fate.lock();
            fate.delivered.extend_from_slice(entries);
            fate.unconfirmed += entries.len();
            Ok(Sent::settled(entries.len()))
        })
    }

    fn unconfirmed(&mut self) -> usize {
        self.fate.lock().unconfirmed
    }

    fn maintain(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(async move {
            self.changed.notified().await;
            self.check()
        })
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(async move {
            self.check()?;
            let mut fate = self.fate.lock();
            if fate.confirms {
                fate.unconfirmed = 0;
            }
            Ok(())
        })
    }
}

type Parts = (Arc<Mutex<Fate>>, Arc<tokio::sync::Notify>);

fn unsure() -> (Unsure, Parts) {
    let (fate, changed) = (Arc::default(), Arc::default());
    (Unsure { fate: Arc::clone(&fate), changed: Arc::clone(&changed) }, (fate, changed))
}

fn counts(output: &Output) -> (u64, usize, usize) {
    let counters = output.counters();
    assert_eq!(counters.appended, counters.delivered + counters.depth as u64 + counters.dropped());
    (counters.delivered, counters.depth, counters.unconfirmed)
}

/// Scenario: a sink settles entries, confirms a part of them while it is idle, and loses its connection; it settles them
/// again; the output is closed, and the sink confirms nothing until later.
/// Guarantees: entries are delivered when they are confirmed, and not sooner; those that were revoked are sent again, in
/// order and before the others; a plugin that was removed ends when everything is confirmed.
#[tokio::test]
async fn entries_are_delivered_when_they_are_confirmed() {
    let (sink, (fate, changed)) = unsure();
    let (output, handle) = dispatcher(&std::env::temp_dir(), quick(), 5, sink);
    until("they are settled", || counts(&output) == (0, 5, 5)).await;
    fate.lock().unconfirmed = 3;
    changed.notify_one();
    until("two are confirmed", || counts(&output) == (2, 3, 3)).await;
    fate.lock().revoked = 2;
    changed.notify_one();
    until("two are sent again", || fate.lock().delivered.len() == 7).await;
    put(&output, "5").unwrap();
    until("all are settled", || counts(&output) == (2, 4, 4)).await;
    assert_eq!(texts(&fate.lock().delivered), [0, 1, 2, 3, 4, 3, 4, 5]);
    assert_eq!((output.stats().retried, output.stats().failures, output.stats().failing), (2, 1, false));
    output.close();
    fate.lock().unconfirmed = 1;
    changed.notify_one();
    until("all but one are confirmed", || counts(&output) == (5, 1, 1)).await;
    assert!(!handle.is_finished());
    fate.lock().unconfirmed = 0;
    changed.notify_one();
    tokio::time::timeout(PATIENCE, handle).await.expect("ends in time").unwrap();
    assert_eq!(counts(&output), (6, 0, 0));
}

/// Scenario: the connection of a closed output breaks when it is closed in order; then the process stops.
/// Guarantees: the entries are sent again before the output ends; what the sink does not confirm then is left.
#[tokio::test]
async fn a_stop_sends_again_what_was_lost() {
    let (sink, (fate, _)) = unsure();
    let (output, handle) = dispatcher(&std::env::temp_dir(), quick(), 3, sink);
    until("they are settled", || counts(&output) == (0, 3, 3)).await;
    fate.lock().revoked = 3;
    output.stop();
    tokio::time::timeout(PATIENCE, handle).await.expect("ends in time").unwrap();
    assert_eq!(texts(&fate.lock().delivered), [0, 1, 2, 0, 1, 2]);
    // A queue in memory cannot keep them.
    assert_eq!(counts(&output), (3, 0, 0));
}

/// Scenario: a sink is replaced whose entries are unconfirmed; closing it confirms them, or does not.
/// Guarantees: the next sink sends exactly those again that are not confirmed.
#[tokio::test]
async fn a_new_sink_sends_what_is_not_confirmed() {
    for confirms in [true, false] {
        let (sink, (fate, _)) = unsure();
        let (output, handle) = dispatcher(&std::env::temp_dir(), quick(), 3, sink);
        until("they are settled", || counts(&output) == (0, 3, 3)).await;
        fate.lock().confirms = confirms;
        let (sink, (new, _)) = unsure();
        let spec = OutputSpec { config: json!({"other": true}), ..(*output.spec()).clone() };
        output.replace_sink(spec.into(), Box::new(sink));
        let expected = if confirms { vec![] } else { vec![0, 1, 2] };
        until("the new sink is used", || texts(&new.lock().delivered) == expected && !output.swap.is_due()).await;
        output.stop();
        tokio::time::timeout(PATIENCE, handle).await.expect("ends in time").unwrap();
        assert_eq!((texts(&new.lock().delivered), counts(&output)), (expected, (3, 0, 0)));
    }
}

/// Scenario: a TCP receiver has messages of a queue on disk unread in its system when the process stops: it hangs, or has
/// reset the connection, or the process is killed. Then there is a receiver that reads.
/// Guarantees: the stop reports the messages as left and kept; the next run sends all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receiver_has_not_read_is_left_for_the_next_run() {
    for (resets, is_killed) in [(false, false), (true, false), (false, true)] {
        let directory = tempfile::tempdir().unwrap();
        let delivery = || Delivery::new(SinkShared::new(None), Budget::default(), directory.path().to_owned());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let tcp = || {
            let mut spec = spec("p1", "tcp-log", json!({"host": "127.0.0.1", "port": port, "timeout": 300}));
            spec.queue.durability = Durability::Disk;
            spec
        };
        let first = delivery();
        let output = started(&first, tcp());
        for number in 0..20 {
            put(&output, number.to_string()).unwrap();
        }
        let mut peer = Some((listener.accept().await.unwrap(), listener));
        until("they are settled", || counts(&output) == (0, 20, 20)).await;
        if resets {
            peer = None;
            until("they wait again", || counts(&output) == (0, 20, 0) && output.stats().failing).await;
        }
        let time = if is_killed || resets { Duration::ZERO } else { PATIENCE };
        let left = first.shut_down(Instant::now() + time).await;
        assert_eq!((left.len(), left[0].entries, left[0].kept), (1, 20, true));
        let reason = left[0].last_error.clone().expect("a reason");
        assert_eq!(reason.contains("has not confirmed"), !resets, "{reason}");
        drop((first, output, peer));

        let reading = tokio::task::spawn_blocking(move || {
            let stream = logphase_net::testing::listen_on(port).accept().unwrap().0;
            std::io::BufReader::new(stream).lines().take(20).map(Result::unwrap).collect::<Vec<_>>()
        });
        let second = delivery();
        let output = started(&second, tcp());
        let lines = tokio::time::timeout(PATIENCE, reading).await.expect("in time").unwrap();
        assert_eq!(lines, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
        drop(output);
        second.shut_down(Instant::now()).await;
    }
}
