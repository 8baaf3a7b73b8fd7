//! A receiver that ends abruptly under load.

use super::*;

fn settled(counters: &Counters) -> u64 {
    counters.delivered + counters.unconfirmed as u64
}

/// A receiver that reads ids line by line. In each of its first lives it reads some lines, then drops connection and
/// listener abruptly, if possible with settled messages unread; the last life lasts until `end`.
struct MortalPeer {
    output: std::sync::OnceLock<Arc<Output>>,
    left_unread: AtomicUsize,
    port: u16,
    ids: Mutex<BTreeSet<usize>>,
    end: AtomicBool,
}

impl MortalPeer {
    fn live(&self, lives: &[usize]) {
        for &lines in lives {
            self.live_once(lines);
        }
    }

    fn live_once(&self, lines: usize) {
        let listener = logphase_net::testing::listen_on(self.port);
        listener.set_nonblocking(true).unwrap();
        let mut read = 0;
        while read < lines && !self.ended() {
            let Ok((stream, _)) = listener.accept() else {
                std::thread::yield_now();
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let mut reader = std::io::BufReader::new(stream);
            let mut line = String::new();
            while read < lines && !self.ended() {
                match reader.read_line(&mut line) {
                    Ok(0) => break,
                    Ok(_) if line.ends_with('\n') => {
                        let id = line.trim_end().rsplit(' ').next().unwrap().parse().expect("a whole line");
                        self.ids.lock().insert(id);
                        line.clear();
                        read += 1;
                    }
                    // The end of a broken connection, or a pause.
                    _ => {}
                }
            }
            self.wait_for_unread();
        }
    }

    /// Waits briefly until more messages are settled than were read.
    fn wait_for_unread(&self) {
        let deadline = std::time::Instant::now() + Duration::from_millis(500);
        let settled = || self.output.get().map_or(0, |output| settled(&output.counters()));
        while !self.ended() && std::time::Instant::now() < deadline {
            if settled() > self.ids.lock().len() as u64 {
                self.left_unread.fetch_add(1, Ordering::SeqCst);
                return;
            }
            std::thread::yield_now();
        }
    }

    fn ended(&self) -> bool {
        self.end.load(Ordering::SeqCst)
    }
}

/// Ends the peer even if the test fails: the runtime would wait for its thread.
struct EndOnDrop(Arc<MortalPeer>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end.store(true, Ordering::SeqCst);
    }
}

/// Scenario: a TCP receiver that ends abruptly again and again under load, each time with unread messages in its
/// buffers.
/// Guarantees: every message is read in the end, and the queue's counters add up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tcp_peer_that_restarts_under_load_misses_nothing() {
    const ALL: usize = 20_000;
    let peer = Arc::new(MortalPeer {
        output: std::sync::OnceLock::new(),
        left_unread: AtomicUsize::new(0),
        port: own_port(),
        ids: Mutex::default(),
        end: AtomicBool::new(false),
    });
    let _end = EndOnDrop(peer.clone());
    let living = tokio::task::spawn_blocking({
        let peer = peer.clone();
        move || peer.live(&[500, 3000, 1, 8000, 700, usize::MAX])
    });
    let config = json!({"host": "127.0.0.1", "port": peer.port, "timeout": 1000});
    let delivery = delivery();
    let output = started(&delivery, spec("tcp", "tcp-log", config));
    assert!(peer.output.set(output.clone()).is_ok());
    let room = delivery.room();
    for id in 0..ALL {
        let entry = Bytes::from(format!("{} {id}", "x".repeat(id % 400)));
        loop {
            let notified = room.notified();
            match put(&output, entry.clone()) {
                Ok(()) => break,
                Err(_) => tokio::time::timeout(PATIENCE, notified).await.expect("room appears"),
            }
        }
    }
    idle(&delivery).await;
    until("every message was read", || peer.ids.lock().len() == ALL).await;
    let counters = output.counters();
    assert_eq!((settled(&counters), counters.dropped()), (ALL as u64, 0));
    assert!(delivery.shut_down(Instant::now() + PATIENCE).await.is_empty());
    assert_eq!(output.counters().delivered, ALL as u64, "the peer's end confirms all");
    peer.end.store(true, Ordering::SeqCst);
    living.await.unwrap();
    assert!(peer.left_unread.load(Ordering::SeqCst) > 0, "it died with settled messages unread");
}
