//! Receivers that misbehave at random, until they are told to behave.
//!
//! Each counts as received what its program has consumed, and nothing else: bytes that its kernel has acknowledged and that
//! nobody has read are not received, and neither is a request that it did not answer or that it answered with an error.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;

use super::http;
use super::rng::Rng;
use super::streams::{self, Framing};
use crate::kill::checker::{Arrivals, Make};
use crate::service::{free_port, wait_until};

/// How often a waiting connection looks whether the receiver ends.
const LOOK: Duration = Duration::from_millis(20);

/// What a receiver speaks.
#[derive(Debug, Clone, Copy)]
pub enum Protocol {
    /// Requests with a list of messages.
    Http,
    /// Messages in a stream.
    Stream(Framing),
}

impl Protocol {
    /// Lines in a stream.
    pub const LINES: Self = Self::Stream(Framing::Lines);
}

/// What a receiver does next with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Takes some messages as it should.
    Take,
    /// Answers with an error; where there is no answer, closes the connection in order.
    Refuse,
    /// Reads everything that has arrived, and resets the connection. It keeps what it has read.
    ResetRead,
    /// Resets the connection while unread bytes are in its kernel.
    ResetUnread,
    /// Stops reading for a while.
    Hang(Duration),
    /// Reads some bytes, which end in the middle of something, and resets the connection.
    Half(usize),
}

/// How the connections of a receiver go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Mood {
    /// It takes everything.
    Good,
    /// At each step chance decides.
    Bad,
    /// It refuses connections, and the open ones are reset.
    Away,
    /// It accepts every connection and resets it with unread bytes.
    Breaking,
    /// It accepts connections and reads nothing.
    Stalled,
    /// It answers as if it took everything, and forgets one message: a planted defect.
    Lying,
}

const MOODS: [Mood; 6] = [Mood::Good, Mood::Bad, Mood::Away, Mood::Breaking, Mood::Stalled, Mood::Lying];

/// A receiver on a port of its own.
pub struct Receiver {
    /// The port.
    pub port: u16,
    shared: Arc<Shared>,
    running: Option<JoinHandle<()>>,
}

/// What the connections of a receiver share.
pub struct Shared {
    mood: AtomicUsize,
    stop: AtomicBool,
    connections: AtomicUsize,
    open: AtomicUsize,
    rng: Mutex<Rng>,
    arrivals: Mutex<Arrivals>,
}

impl Receiver {
    /// A receiver that behaves, of transactions that `make` creates.
    pub fn start(protocol: Protocol, rng: Rng, make: Make) -> Self {
        let port = free_port();
        let shared = Arc::new(Shared {
            mood: AtomicUsize::new(Mood::Good as usize),
            stop: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            rng: Mutex::new(rng),
            arrivals: Mutex::new(Arrivals::of(make)),
        });
        let own = shared.clone();
        let running = Some(thread::spawn(move || listen(port, protocol, &own)));
        wait_until("the receiver listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { port, shared, running }
    }

    /// Changes how it goes on. A connection follows when its current step ends.
    pub fn set_mood(&self, mood: Mood) {
        self.shared.mood.store(mood as usize, Ordering::SeqCst);
    }

    /// What it has consumed.
    pub fn arrivals(&self) -> Arrivals {
        self.shared.arrivals.lock().clone()
    }

    /// Number of messages that it has consumed.
    pub fn count(&self) -> usize {
        self.shared.arrivals.lock().count()
    }

    /// Number of connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until every connection has ended, and everything that came over them is consumed.
    pub fn await_end(&self) {
        wait_until("the receiver has read all connections to their end", || {
            self.shared.open.load(Ordering::SeqCst) == 0
        });
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}

fn listen(port: u16, protocol: Protocol, shared: &Arc<Shared>) {
    let mut listener = None;
    while !shared.stop.load(Ordering::SeqCst) {
        if shared.mood() == Mood::Away {
            listener = None;
        } else {
            let listener = listener.get_or_insert_with(|| {
                let listener = logphase_net::testing::listen_on(port);
                listener.set_nonblocking(true).unwrap();
                listener
            });
            if let Ok((stream, _)) = listener.accept() {
                begin(stream, protocol, shared);
                continue;
            }
        }
        thread::sleep(Duration::from_millis(3));
    }
}

/// Serves a connection in a thread of its own.
fn begin(stream: TcpStream, protocol: Protocol, shared: &Arc<Shared>) {
    shared.connections.fetch_add(1, Ordering::SeqCst);
    shared.open.fetch_add(1, Ordering::SeqCst);
    let shared = shared.clone();
    thread::spawn(move || {
        stream.set_nonblocking(false).unwrap();
        let _ = stream.set_nodelay(true);
        stream.set_read_timeout(Some(LOOK)).unwrap();
        // How a connection ends is no finding: what has arrived is.
        let _ = match protocol {
            Protocol::Http => http::serve(&stream, &shared),
            Protocol::Stream(framing) => streams::serve(&stream, framing, &shared),
        };
        if shared.mood() == Mood::Away {
            reset_at_end(&stream);
        }
        drop(stream);
        shared.open.fetch_sub(1, Ordering::SeqCst);
    });
}

impl Shared {
    /// How it goes now.
    pub fn mood(&self) -> Mood {
        MOODS[self.mood.load(Ordering::SeqCst)]
    }

    /// What a connection does next.
    pub fn next_act(&self) -> Act {
        match self.mood() {
            Mood::Good | Mood::Lying => return Act::Take,
            Mood::Away | Mood::Breaking => return Act::ResetUnread,
            Mood::Stalled => return Act::Hang(LOOK),
            Mood::Bad => {}
        }
        let mut rng = self.rng.lock();
        match rng.within(0..100) {
            0..50 => Act::Take,
            50..60 => Act::Refuse,
            60..70 => Act::ResetRead,
            70..80 => Act::ResetUnread,
            80..90 => Act::Hang(rng.millis(20..1500)),
            _ => Act::Half(usize::try_from(rng.within(1..20_000)).expect("it is small")),
        }
    }

    /// A random number below `end`.
    pub fn below(&self, end: usize) -> usize {
        usize::try_from(self.rng.lock().within(0..end as u64)).expect("it is below a usize")
    }

    /// Messages are consumed.
    pub fn take<'a>(&self, messages: impl IntoIterator<Item = &'a [u8]>) {
        let mut arrivals = self.arrivals.lock();
        messages.into_iter().for_each(|message| arrivals.take(message));
    }

    /// Reads what is there into `buffer`, and waits for it; 0 at the end of the connection. When the receiver is away, bytes
    /// are read by nobody.
    pub fn read(&self, mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // When it stalls, a read that has begun waits with it.
            while self.mood() == Mood::Stalled && !self.stop.load(Ordering::SeqCst) {
                thread::sleep(LOOK);
            }
            let result = stream.read(buffer);
            if self.mood() == Mood::Away {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            match result {
                Err(error) if is_timeout(&error) && !self.stop.load(Ordering::SeqCst) => {}
                result => return result,
            }
        }
    }

    /// Waits for some time until bytes have arrived that nobody reads.
    pub fn await_unread(&self, stream: &TcpStream) {
        for _ in 0..15 {
            if self.mood() == Mood::Away || matches!(stream.peek(&mut [0]), Ok(1..)) {
                return;
            }
        }
    }
}

/// Whether a read has found nothing yet.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// Makes the end of a connection a reset, whatever was read or written.
pub fn reset_at_end(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
