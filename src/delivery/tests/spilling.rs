use super::*;

fn spilling(identity: &str, config: Value) -> OutputSpec {
    let mut spec = spec(identity, "file-log", config);
    spec.queue.spill = true;
    spec
}

fn delivery_in(directory: &Path) -> Delivery {
    Delivery::new(SinkShared::new(None), Budget::default(), directory.to_owned())
}

/// Scenario: a thousand plugins whose queues may spill; each delivers a message to the same file.
/// Guarantees: all deliver and end in time; nothing but the lock is created in the data directory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_queues_that_need_not_spill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let delivery = delivery_in(directory.path());
    let open = |i: usize| started(&delivery, spilling(&format!("p{i}"), json!({"path": path})));
    let outputs: Vec<_> = (0..1000).map(open).collect();
    for output in &outputs {
        put(output, "{}").unwrap();
    }
    idle(&delivery).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\n".repeat(1000));
    assert!(delivery.shut_down(Instant::now() + PATIENCE).await.is_empty());
    let names = std::fs::read_dir(directory.path().join("queues")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["lock"]);
}

/// Scenario: a queue with waiting messages at a stop, then with another configuration that keeps all queues on disk.
/// Guarantees: the messages are kept, and the queue on disk finds them in the same folder.
#[tokio::test]
async fn a_change_to_disk_finds_what_was_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let before = delivery_in(directory.path());
    let stuck = started(&before, spilling("id", json!({"path": "/dev/full"})));
    (0..5).for_each(|i| put(&stuck, i.to_string()).unwrap());
    until("one is in flight", || stuck.counters().leased > 0).await;
    let left = before.shut_down(Instant::now() + Duration::from_millis(50)).await;
    assert_eq!(left.iter().map(|left| (left.entries, left.kept)).collect::<Vec<_>>(), [(5, true)]);
    drop((before, stuck));
    let after = delivery_in(directory.path());
    let mut spec = spec("id", "file-log", json!({"path": path}));
    spec.queue.durability = Durability::Disk;
    let output = started(&after, spec);
    assert_eq!(output.counters().recovered, 5);
    idle(&after).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\n2\n3\n4\n");
    after.shut_down(Instant::now() + PATIENCE).await;
}

/// Scenario: the folder of a queue cannot be opened; then another process uses the data directory.
/// Guarantees: the first is an error, since the folder may have messages that nothing else would deliver; with the second,
/// the queue is in memory.
#[tokio::test]
async fn only_a_data_directory_that_is_not_ours_is_done_without() {
    let directory = tempfile::tempdir().unwrap();
    let config = json!({"path": directory.path().join("log")});
    let ours = delivery_in(directory.path());
    ours.claim().unwrap();
    std::fs::write(directory.path().join("queues/file-log-id"), "not a folder").unwrap();
    let error = ours.open(spilling("id", config.clone())).err().expect("it cannot be opened");
    assert!(error.to_string().contains("the queue cannot be opened"), "{error}");
    let others = delivery_in(directory.path());
    let output = started(&others, spilling("id", config));
    assert!(others.inner.running.lock().tasks.iter().all(|task| task.stored.is_none()));
    put(&output, "{}").unwrap();
    idle(&others).await;
    assert_eq!(std::fs::read_to_string(directory.path().join("log")).unwrap(), "{}\n");
}
