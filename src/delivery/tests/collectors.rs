//! Outputs that lines open by their address.

use super::*;

/// The collectors of a run with its queues in `home`, where lines may go to `allowed`. Waits until the tasks of an earlier run have
/// let go of the directory, which the end of a process makes sure of.
async fn run(home: &Path, allowed: &[&str]) -> (Delivery, Collectors) {
    let start = Instant::now();
    let delivery = loop {
        let delivery = Delivery::new(SinkShared::new(None), Budget::default(), home.to_owned());
        match delivery.claim() {
            Ok(()) => break delivery,
            Err(held) => assert!(start.elapsed() < Duration::from_secs(30), "{held}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let collectors = Collectors::new(delivery.clone(), home, 10, rules(allowed));
    collectors.hold().open_recorded();
    (delivery, collectors)
}

fn rules(allowed: &[&str]) -> CollectorRules {
    let allowed: Vec<String> = allowed.iter().map(|&address| address.to_owned()).collect();
    let of_address = |address: &str| {
        let (_, port) = address.rsplit_once(':').ok_or("no port")?;
        let port: u16 = port.parse().map_err(|_| "no port")?;
        let mut spec = spec(address, "tcp-log", json!({"host": "127.0.0.1", "port": port}));
        spec.queue.durability = Durability::Disk;
        Ok(spec)
    };
    let is_allowed = Box::new(move |address: &str| allowed.iter().any(|known| known == address));
    CollectorRules { is_allowed, spec: Box::new(of_address) }
}

/// The addresses of the open outputs.
fn open(collectors: &Collectors) -> Vec<String> {
    let mut open: Vec<_> = collectors.hold().outputs().iter().map(|output| output.spec().identity.clone()).collect();
    open.sort();
    open
}

async fn put_safely(collectors: &Collectors, address: &str) {
    let collector = collectors.collector(address).await.expect("it is allowed");
    let (done, safe) = oneshot::channel();
    collector.output.queue().reserve(1, 4).expect("there is room");
    let receipt = Receipt::new(move || {
        let _ = done.send(());
    });
    collector.output.queue().append(vec![Bytes::from_static(b"line")], 4, &receipt);
    drop(receipt);
    safe.await.expect("it becomes safe");
}

/// Scenario: lines wait for two collectors that are away when the service ends; the next run allows one of them and opens a third;
/// the run after that allows both again, and one of them is back.
/// Guarantees: a run opens the queues of those that it allows, without a line, and only those; what is left is not forgotten when
/// another address is recorded, and delivered once it is allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_run_has_left() {
    let home = tempfile::tempdir().unwrap();
    let ports = [own_port(), own_port(), own_port()];
    let [one, two, three] = ports.map(|port| format!("127.0.0.1:{port}"));
    let (delivery, collectors) = run(home.path(), &[&one, &two]).await;
    put_safely(&collectors, &one).await;
    put_safely(&collectors, &two).await;
    assert_eq!(collectors.collector(&three).await.err(), Some(CollectorError::NotAllowed(three.clone())));
    assert_eq!(delivery.shut_down(Instant::now()).await.len(), 2);
    drop((delivery, collectors));

    let (delivery, collectors) = run(home.path(), &[&one, &three]).await;
    assert_eq!(open(&collectors), std::slice::from_ref(&one));
    collectors.collector(&three).await.expect("it is allowed");
    assert_eq!(delivery.shut_down(Instant::now()).await.len(), 1);
    drop((delivery, collectors));

    let listener = std::net::TcpListener::bind(("127.0.0.1", ports[1])).unwrap();
    let reading = std::thread::spawn(move || {
        let mut line = String::new();
        std::io::BufReader::new(listener.accept().unwrap().0).read_line(&mut line).unwrap();
        line
    });
    let (delivery, collectors) = run(home.path(), &[&one, &two, &three]).await;
    let mut both = [one, two];
    both.sort();
    assert_eq!(open(&collectors), both);
    assert_eq!(reading.join().unwrap(), "line\n");
    delivery.shut_down(Instant::now()).await;
}

/// Scenario: a reload that allows one of two collectors no more while lines wait for both, and one that fails.
/// Guarantees: the first ends once its lines are delivered and takes no others; the other goes on with its queue; a reload that fails
/// changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads() {
    let home = tempfile::tempdir().unwrap();
    let [one, two] = [own_port(), own_port()].map(|port| format!("127.0.0.1:{port}"));
    let (delivery, collectors) = run(home.path(), &[&one, &two]).await;
    put_safely(&collectors, &one).await;
    put_safely(&collectors, &two).await;
    let before = collectors.collector(&two).await.expect("it is open").output.clone();
    let held = collectors.hold();
    delivery.rollback(&held.outputs());
    drop(held);
    assert_eq!(open(&collectors).len(), 2);
    let mut held = collectors.hold();
    let kept = held.replace(rules(&[&two]), &[]);
    delivery.commit(&kept);
    drop(held);
    assert!(!collectors.is_allowed(&one) && collectors.is_allowed(&two));
    assert_eq!(collectors.collector(&one).await.err(), Some(CollectorError::NotAllowed(one.clone())));
    let after = collectors.collector(&two).await.expect("it is open").output.clone();
    assert!(Arc::ptr_eq(&before, &after) && !after.is_closed());
    let retiring: Vec<_> = delivery.stats().into_iter().filter(|stats| stats.retiring).collect();
    assert_eq!((retiring.len(), retiring[0].identity.clone(), retiring[0].counters.depth), (1, one, 1));
    delivery.shut_down(Instant::now()).await;
}
