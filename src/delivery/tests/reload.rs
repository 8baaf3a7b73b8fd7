//! Outputs over reloads.

use super::*;

/// A plugin whose queue bound is `max_entries`.
fn bounded(identity: &str, config: Value, max_entries: usize) -> OutputSpec {
    let mut spec = spec(identity, "file-log", config);
    spec.queue.max_entries = Some(max_entries);
    spec
}

/// Scenario: a plugin is opened again unchanged, then with another bound; the old output is retired with entries in it;
/// then one is opened for a reload that fails.
/// Guarantees: an unchanged plugin keeps its output; a retired output delivers its entries and accepts no more; after
/// the failed reload the previous outputs continue.
#[tokio::test]
async fn reload_keeps_unchanged_outputs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let open =
        |delivery: &Delivery, bound| started(delivery, bounded("p1", json!({"path": path, "reopen": false}), bound));
    let delivery = delivery();
    let one = open(&delivery, 100);
    assert!(Arc::ptr_eq(&one, &open(&delivery, 100)));
    put(&one, "old").unwrap();
    let two = open(&delivery, 200);
    assert!(!Arc::ptr_eq(&one, &two));
    delivery.commit(std::slice::from_ref(&two));
    assert_eq!(put(&one, "late"), Err(ReserveError::Closed));
    until("the retired one has ended", || delivery.stats().len() == 1).await;
    put(&two, "new").unwrap();
    idle(&delivery).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old\nnew\n");

    let failed = delivery.open(bounded("p1", json!({"path": path, "reopen": false}), 300)).unwrap();
    delivery.rollback(std::slice::from_ref(&two));
    assert!(failed.is_closed() && !two.is_closed());
    assert!(Arc::ptr_eq(&two, &open(&delivery, 200)));
}

/// Scenario: a queue on disk that holds a message of an earlier run is opened for a reload that is rolled back, then for one
/// that is committed.
/// Guarantees: the rollback delivers nothing and leaves no statistics; after the commit the message is delivered, once.
#[tokio::test]
async fn a_rolled_back_output_delivers_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let delivery = || Delivery::new(SinkShared::new(None), Budget::default(), directory.path().to_owned());
    let durable = || {
        let mut spec = spec("p1", "file-log", json!({"path": path, "reopen": false}));
        spec.queue.durability = Durability::Disk;
        spec
    };
    let earlier = delivery();
    put(&earlier.open(durable()).unwrap(), "message").unwrap();
    earlier.shut_down(Instant::now()).await;
    drop(earlier);

    let delivery = delivery();
    let output = delivery.open(durable()).unwrap();
    delivery.rollback(&[]);
    drop(output);
    assert!(delivery.stats().is_empty() && delivery.plugins().is_empty());
    until("the queue is an orphan again", || delivery.orphaned_queues() == 1).await;
    assert!(!path.exists());

    let output = delivery.open(durable()).unwrap();
    delivery.commit(std::slice::from_ref(&output));
    until("the message is delivered", || output.counters().is_idle()).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "message\n");
}

/// Scenario: a plugin gets a new queue fifty times, each time with entries in the old queue and a message that was not
/// made; then the plugin is removed and the service shuts down; another thread reads the totals all the time.
/// Guarantees: every message is counted exactly once at every moment, and no total decreases.
#[tokio::test(flavor = "multi_thread")]
async fn totals_outlive_outputs() {
    let directory = tempfile::tempdir().unwrap();
    let delivery = delivery();
    let stop = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (delivery, stop) = (delivery.clone(), stop.clone());
        move || {
            let (mut before, mut reads) = (Counters::default(), 0);
            while !stop.load(Ordering::SeqCst) {
                let plugins = delivery.plugins();
                let now = plugins.first().map_or_else(Counters::default, |plugin| plugin.counters);
                assert!(plugins.len() <= 1);
                assert_eq!(now.appended, now.delivered + now.depth as u64 + now.unmade());
                assert!(now.appended >= before.appended && now.delivered >= before.delivered, "{now:?} {before:?}");
                (before, reads) = (now, reads + 1);
            }
            reads
        }
    });
    for turn in 0..50 {
        let config = json!({"path": directory.path().join(turn.to_string()), "reopen": false});
        let output = started(&delivery, bounded("p1", config, 1000 + turn));
        for entry in 0..20 {
            put(&output, entry.to_string()).unwrap();
        }
        output.queue().reserve(1, 1).unwrap();
        output.queue().release_dropped(1, 1, logphase_queue::DropReason::Script);
        delivery.commit(std::slice::from_ref(&output));
        tokio::task::yield_now().await;
    }
    delivery.commit(&[]);
    until("all have ended", || delivery.stats().is_empty()).await;
    let totals = || {
        let plugin = &delivery.plugins()[0];
        (plugin.counters.appended, plugin.counters.delivered, plugin.times.count(), plugin.configured)
    };
    assert_eq!(totals(), (50 * 21, 50 * 20, 50 * 20, false));
    let config = json!({"path": directory.path().join("last"), "reopen": false});
    let output = started(&delivery, spec("p1", "file-log", config));
    put(&output, "x").unwrap();
    assert_eq!(delivery.shut_down(Instant::now() + PATIENCE).await, []);
    assert_eq!((totals().0, totals().1), (50 * 21 + 1, 50 * 20 + 1));
    stop.store(true, Ordering::SeqCst);
    assert!(reader.join().expect("every moment adds up") > 0);
}
