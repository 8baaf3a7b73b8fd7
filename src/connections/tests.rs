//! Which connection has to go, peers that do not read, and names of the service.

use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::{Uri, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn peer(last: u8) -> Option<IpAddr> {
    Some(IpAddr::from([192, 0, 2, last]))
}

fn told(slot: &Slot) -> bool {
    slot.place.state.shed.load(Ordering::Relaxed)
}

/// Scenario: a listener at its limit with connections of one peer that wait, one for which the service works, and one of
/// another peer that waits for longer than all of them.
/// Guarantees: a new one is admitted at once in the place of that of the larger peer that has waited for the longest
/// time; the one at work stays.
#[tokio::test]
async fn the_oldest_of_the_largest_peer_goes() {
    let connections = Connections::new(4);
    let other = connections.admit(peer(9)).await;
    let mut slots = Vec::new();
    for _ in 0..3 {
        slots.push(connections.admit(peer(1)).await);
    }
    tokio::time::sleep(Duration::from_millis(MIN_WAIT + 10)).await;
    for (age, slot) in [&other, &slots[0], &slots[1], &slots[2]].into_iter().enumerate() {
        slot.place.state.since.store(age as u64, Ordering::Relaxed);
    }
    let at_work = slots[0].working();
    let admitting = tokio::spawn({
        let connections = connections.clone();
        async move { connections.admit(peer(2)).await }
    });
    slots[1].shed().await;
    assert!(!told(&slots[0]) && told(&slots[1]) && !told(&slots[2]) && !told(&other));
    drop(slots.remove(1));
    let _new = admitting.await.unwrap();
    drop(at_work);
}

/// Scenario: the service works for every connection of a full listener.
/// Guarantees: none is told to end; a new one waits until there is room.
#[tokio::test]
async fn work_is_not_interrupted() {
    let connections = Connections::new(1);
    let slot = connections.admit(peer(1)).await;
    let working = slot.working();
    assert!(timeout(3 * SHED_TIMEOUT, connections.admit(peer(2))).await.is_err());
    assert!(!told(&slot));
    drop((working, slot));
    connections.admit(peer(2)).await;

    // Where it may be interrupted, the one goes that was answered most often.
    let connections = Connections::interruptible(2);
    let slots = [connections.admit(peer(1)).await, connections.admit(peer(1)).await];
    drop(slots[1].working());
    let _working = slots.each_ref().map(Slot::working);
    assert!(timeout(3 * SHED_TIMEOUT, connections.admit(peer(2))).await.is_err());
    assert!(!told(&slots[0]) && told(&slots[1]));
}

/// Scenario: a peer that does not read, and then one that reads slowly.
/// Guarantees: the write fails at the time-out, and not while the peer reads; while it waits, the connection may be closed
/// for a new one although a request is being answered.
#[tokio::test]
async fn peers_that_do_not_read() {
    let connections = Connections::new(1);
    let slot = connections.admit(None).await;
    let _working = slot.working();
    let (ours, mut theirs) = tokio::io::duplex(16);
    let mut stream = WatchedStream::new(ours, slot.clone(), Duration::from_secs(1));
    let begun = Instant::now();
    let error = stream.write_all(&[0; 64]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(slot.place.state.waits_for_peer());

    let reading = tokio::spawn(async move {
        let mut buffer = [0; 8];
        while theirs.read(&mut buffer).await.is_ok_and(|read| read > 0) {
            // Altogether longer than the time-out.
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    });
    stream.write_all(&[0; 64]).await.unwrap();
    assert!(!slot.place.state.waits_for_peer());
    drop(stream);
    reading.await.unwrap();
}

/// Scenario: addresses of two protocols. Guarantees: a peer is an IPv4 address or an IPv6 network of 64 bits.
#[test]
fn networks() {
    let network = |text: &str| network_of(text.parse().unwrap()).to_string();
    assert_eq!(network("192.0.2.7"), "192.0.2.7");
    assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
    assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
}

fn check(allowed: &AllowedHosts, version: Version, uri: &str, headers: &[(HeaderName, &str)]) -> Result<(), HostError> {
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
    allowed.check(version, &uri.parse::<Uri>().unwrap(), &headers)
}

/// Scenario: names that nobody can register, of the machine and of the setting; names that a web page can have; none;
/// origins of each.
/// Guarantees: only the first are allowed; the refusal names the setting.
#[test]
fn names_of_the_service() {
    let allowed =
        AllowedHosts::new(&["Logs.example.com".to_owned(), "*.corp.example".to_owned()], "status.allowed_hosts");
    let host = |host| check(&allowed, Version::HTTP_11, "/status", &[(HOST, host)]);
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for name in [
        "127.0.0.1:8007",
        "10.1.2.3",
        "[::1]:8007",
        "[fd00::1]",
        "localhost:8007",
        "LOCALHOST",
        "a.localhost",
        "logphase",
        "logphase:8007",
        "logphase.logging.svc:8007",
        "logphase.logging.svc.cluster.local",
        "x.internal",
        "logs.example.com",
        "LOGS.example.com.:8007",
        "a.b.corp.example",
        &machine,
    ] {
        assert_eq!(host(name), Ok(()), "{name}");
    }
    for name in [
        "evil.example",
        "localhost.evil.example:8007",
        "127.0.0.1.nip.io",
        "corp.example",
        "a b",
        "x/y",
        "u@localhost",
        "",
    ] {
        let error = host(name).unwrap_err();
        assert!(error.to_string().contains("status.allowed_hosts"), "{name}: {error}");
    }
    assert_eq!(check(&allowed, Version::HTTP_11, "/", &[]), Err(HostError::Malformed));
    assert_eq!(check(&allowed, Version::HTTP_10, "/", &[]), Ok(()));
    assert!(check(&allowed, Version::HTTP_11, "http://evil.example/", &[(HOST, "localhost")]).is_err());
    let origin = |origin| check(&allowed, Version::HTTP_11, "/", &[(HOST, "localhost"), (ORIGIN, origin)]);
    assert_eq!(origin("http://localhost:3000"), Ok(()));
    for foreign in ["http://evil.example", "null", "https://localhost.evil.example"] {
        assert!(matches!(origin(foreign), Err(HostError::Origin { .. })), "{foreign}");
    }
    let all = AllowedHosts::new(&["*".to_owned()], "status.allowed_hosts");
    assert_eq!(check(&all, Version::HTTP_11, "/", &[(HOST, "evil.example")]), Ok(()));
}

/// Scenario: a stream that takes bytes at once and passes them on when it is flushed, as TLS does; its peer reads nothing, and
/// then everything.
/// Guarantees: flushing fails after the time for writes, and not while the peer reads.
#[tokio::test]
async fn a_flush_that_waits_for_the_peer() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, duplex};
    let places = Connections::new(1);
    let slot = places.try_admit(None).unwrap();
    let watched = |timeout| {
        let (ours, theirs) = duplex(4);
        (WatchedStream::new(BufWriter::new(ours), slot.clone(), Duration::from_millis(timeout)), theirs)
    };
    let (mut stream, _unread) = watched(50);
    stream.write_all(b"more than four bytes").await.unwrap();
    assert_eq!(stream.flush().await.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    let (mut stream, mut peer) = watched(60_000);
    stream.write_all(b"more than four bytes").await.unwrap();
    let mut bytes = [0; 20];
    let (flushed, read) = tokio::join!(stream.flush(), peer.read_exact(&mut bytes));
    assert!(flushed.is_ok() && read.is_ok());
    assert!(!slot.place.state.stalled.load(Ordering::Relaxed), "it counts as one that does not read");
}
