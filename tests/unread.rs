//! Receivers that lose what their system has acknowledged.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};

use super::service::{Home, Service, Signal, TcpPeer, configuration, transaction, wait_until};

const ID: &str = "0f4f1c2e-3b1a-4f6e-8c7d-2a1b3c4d5e6f";

/// So many that a system keeps them for a receiver that does not read.
const MESSAGES: u64 = 20;

fn home(config: &Value, plugin: &str) -> Home {
    let kong = configuration(&json!([{"name": plugin, "id": ID, "config": config}]));
    Home::with(&kong)
        .set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "100ms")
        .set("LOGPHASE_QUEUE_DURABILITY", "disk")
        .set("LOGPHASE_SHUTDOWN_TIMEOUT", "1s")
}

fn accept(service: &Service, ids: std::ops::Range<u64>) {
    service.accept(Value::from(ids.map(transaction).collect::<Vec<_>>()).to_string());
}

/// Messages in the queue, and how many of them are not confirmed.
fn in_queue(home: &Home) -> (u64, u64) {
    let queues = home.queues();
    let sum = |name: &str| queues.iter().map(|queue| queue[name].as_u64().unwrap_or(0)).sum();
    (sum("messages"), sum("unconfirmed"))
}

/// The number in each message, and the message of a syslog line.
fn id_in(line: &str) -> u64 {
    let from = line.find('{').expect("a message");
    let message: Value = serde_json::from_str(line[from..].trim_end()).expect("a whole message");
    super::service::id_of(&message).expect("an id")
}

/// Reads a message; syslog's are counted in octets.
fn read(stream: &mut BufReader<TcpStream>, counted: bool) -> Option<u64> {
    let mut text = Vec::new();
    if counted {
        stream.read_until(b' ', &mut text).ok().filter(|read| *read > 0)?;
        let length = std::str::from_utf8(&text).unwrap().trim().parse().expect("a length");
        text = vec![0; length];
        stream.read_exact(&mut text).ok()?;
    } else {
        stream.read_until(b'\n', &mut text).ok().filter(|_| text.ends_with(b"\n"))?;
    }
    Some(id_in(std::str::from_utf8(&text).unwrap()))
}

/// Reads everything that comes, until all `ids` have.
fn read_all(listener: TcpListener, ids: &BTreeSet<u64>, counted: bool) -> thread::JoinHandle<()> {
    let mut missing = ids.clone();
    thread::spawn(move || {
        while !missing.is_empty() {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            while !missing.is_empty() {
                let Some(id) = read(&mut stream, counted) else { break };
                missing.remove(&id);
            }
        }
    })
}

/// Scenario: a receiver reads a few messages and hangs; it resets the connection with the others unread, or only
/// when the service is gone; the service stops, by SIGTERM or by SIGKILL, before the receiver is back. tcp-log, and syslog
/// over TCP.
/// Guarantees: until then, the messages are in the queue, sent and not confirmed, and do not count as delivered; a stop
/// says how many are left; the next run sends them, and nothing is missing.
#[test]
fn unread_messages_survive_a_stop() {
    for (round, plugin) in ["tcp-log", "tcp-log", "syslog", "tcp-log", "syslog"].into_iter().enumerate() {
        let (counted, resets, stops) = (plugin == "syslog", round % 2 == 0, round < 3);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let transport = if counted { json!({"transport": "tcp"}) } else { json!({}) };
        let mut config = json!({"host": "127.0.0.1", "port": address.port()});
        config.as_object_mut().unwrap().extend(transport.as_object().unwrap().clone());
        let mut service = home(&config, plugin).start();
        accept(&service, 0..MESSAGES);
        let mut stream = BufReader::with_capacity(1 << 10, listener.accept().unwrap().0);
        let mut ids: BTreeSet<u64> = (0..MESSAGES).collect();
        for _ in 0..3 {
            ids.remove(&read(&mut stream, counted).expect("a message"));
        }
        wait_until("the receiver's system has all", || in_queue(&service.home) == (MESSAGES, MESSAGES));
        if resets {
            drop((listener, stream));
            wait_until("they wait again", || in_queue(&service.home) == (MESSAGES, 0));
            stop(&mut service, stops);
        } else {
            stop(&mut service, stops);
            drop((listener, stream));
        }
        let back = read_all(logphase_net::testing::listen_on(address.port()), &ids, counted);
        service.start_again();
        back.join().expect("nothing is missing");
        assert_eq!(service.stop(), 0);
    }
}

fn stop(service: &mut Service, in_order: bool) {
    if in_order {
        assert_eq!(service.stop(), 0);
        assert!(
            service.has_logged(&format!("entries={MESSAGES}")) && service.has_logged("left in the queue on disk"),
            "{}",
            service.log()
        );
    } else {
        service.signal(Signal::KILL);
        service.wait();
    }
}

/// Scenario: a receiver reads everything; the service stops and starts.
/// Guarantees: the end of the connection confirms what it has read: nothing is left, and nothing comes twice.
#[test]
fn read_messages_come_once() {
    let peer = TcpPeer::start();
    let mut service = home(&json!({"host": "127.0.0.1", "port": peer.port}), "tcp-log").start();
    accept(&service, 0..50);
    peer.wait_for(50);
    assert_eq!(service.stop(), 0);
    assert!(service.has_logged("nothing is left in the queues"), "{}", service.log());
    service.start_again();
    accept(&service, 50..51);
    peer.wait_for(51);
    assert_eq!(service.stop(), 0);
    peer.messages().assert_once(&(0..51).collect());
}
