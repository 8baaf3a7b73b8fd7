//! TCP and UDP receivers that can stop and restart.

use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use super::{Messages, free_port, wait_until};

/// A receiver of lines over TCP or TLS.
pub struct TcpPeer {
    /// The port that it listens on.
    pub port: u16,
    shared: Arc<Shared>,
    running: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    leaving: AtomicBool,
    stalled: AtomicBool,
    lines: Mutex<Vec<Vec<u8>>>,
    open: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    ended: AtomicUsize,
    tls: Option<Arc<ServerConfig>>,
}

impl TcpPeer {
    /// A receiver that listens.
    pub fn start() -> Self {
        let mut peer = Self::absent();
        peer.restart();
        peer
    }

    /// A receiver that listens on this port.
    pub fn start_at(port: u16) -> Self {
        let mut peer = Self::absent();
        peer.port = port;
        peer.restart();
        peer
    }

    /// A receiver with a port on which it does not listen yet.
    pub fn absent() -> Self {
        Self { port: free_port(), shared: Arc::default(), running: None }
    }

    /// A receiver that uses TLS with a self-signed certificate.
    pub fn start_tls() -> Self {
        Self::start_certified().0
    }

    /// The same, with its certificate as PEM.
    pub fn start_certified() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let shared = Shared { tls: Some(Arc::new(config)), ..Shared::default() };
        let mut peer = Self { port: free_port(), shared: Arc::new(shared), running: None };
        peer.restart();
        (peer, made.cert.pem())
    }

    /// Listens again on the same port.
    pub fn restart(&mut self) {
        assert!(self.running.is_none(), "it is there");
        self.shared.stop.store(false, Ordering::SeqCst);
        self.shared.leaving.store(false, Ordering::SeqCst);
        let listener = logphase_net::testing::listen_on(self.port);
        let shared = self.shared.clone();
        self.running = Some(thread::spawn(move || listen(&listener, &shared)));
    }

    /// Stops like a killed process: refuses connections and breaks open ones.
    pub fn crash(&mut self) {
        let Some(running) = self.running.take() else { return };
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        running.join().unwrap();
        self.shared.stalled.store(false, Ordering::SeqCst);
    }

    /// Stops gracefully: reads everything that its kernel has acknowledged, to the end of each connection.
    pub fn shut_down(&mut self) {
        self.shared.leaving.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.running.take().expect("it is there").join().unwrap();
    }

    /// Stops reading: data stays in the kernel, acknowledged and never read.
    pub fn stall(&self) {
        self.shared.stalled.store(true, Ordering::SeqCst);
    }

    /// Number of connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Number of connections that have ended.
    pub fn ended(&self) -> usize {
        self.shared.ended.load(Ordering::SeqCst)
    }

    /// Number of whole lines received.
    pub fn count(&self) -> usize {
        self.shared.lines.lock().len()
    }

    /// The whole lines received.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        self.shared.lines.lock().clone()
    }

    /// The messages received.
    pub fn messages(&self) -> Messages {
        Messages::of(self.lines())
    }

    /// Waits until this many lines have arrived.
    #[track_caller]
    pub fn wait_for(&self, lines: usize) {
        wait_until(&format!("the TCP receiver has {lines} lines"), || self.count() >= lines);
    }
}

impl Drop for TcpPeer {
    fn drop(&mut self) {
        self.crash();
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut readers = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        if shared.stop.load(Ordering::SeqCst) || shared.leaving.load(Ordering::SeqCst) {
            break;
        }
        shared.connections.fetch_add(1, Ordering::SeqCst);
        shared.open.lock().push(stream.try_clone().unwrap());
        let (shared, end) = (shared.clone(), stream.try_clone().unwrap());
        readers.push(thread::spawn(move || {
            serve(stream, &shared);
            if !shared.stop.load(Ordering::SeqCst) {
                // Like a receiver that has read everything: it closes its end, too.
                let _ = end.shutdown(Shutdown::Both);
            }
            shared.ended.fetch_add(1, Ordering::SeqCst);
        }));
    }
    let open: Vec<TcpStream> = shared.open.lock().drain(..).collect();
    for stream in &open {
        // A crash tells the peer nothing before the last descriptor is closed: then the kernel ends the connection, and
        // resets it if data is unread.
        let how = if shared.leaving.load(Ordering::SeqCst) { Shutdown::Write } else { Shutdown::Read };
        let _ = stream.shutdown(how);
    }
    for reader in readers {
        reader.join().unwrap();
    }
}

fn serve(stream: TcpStream, shared: &Shared) {
    let socket = stream.try_clone().unwrap();
    let mut stream: Box<dyn Read> = match &shared.tls {
        Some(config) => Box::new(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)),
        None => Box::new(stream),
    };
    let mut pending = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        while shared.stalled.load(Ordering::SeqCst) && !shared.stop.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(2));
        }
        // Data read after the stop counts as never read: the kernel of a killed process would reset the connection.
        if shared.stop.load(Ordering::SeqCst) {
            SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
            return;
        }
        pending.extend_from_slice(&buffer[..read]);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line = pending.drain(..=end).take(end).collect();
            shared.lines.lock().push(line);
        }
    }
}

/// A receiver of datagrams.
pub struct UdpPeer {
    /// The port that it listens on.
    pub port: u16,
    datagrams: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    running: Option<JoinHandle<()>>,
}

impl UdpPeer {
    /// A receiver that listens.
    pub fn start() -> Self {
        let port = free_port();
        let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (datagrams, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let running = {
            let (datagrams, stop) = (datagrams.clone(), stop.clone());
            thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                while !stop.load(Ordering::SeqCst) {
                    if let Ok(length) = socket.recv(&mut buffer) {
                        datagrams.lock().push(buffer[..length].to_vec());
                    }
                }
            })
        };
        Self { port, datagrams, stop, running: Some(running) }
    }

    /// Number of datagrams received.
    pub fn count(&self) -> usize {
        self.datagrams.lock().len()
    }

    /// The datagrams received.
    pub fn datagrams(&self) -> Vec<Vec<u8>> {
        self.datagrams.lock().clone()
    }

    /// Waits until this many datagrams have arrived.
    #[track_caller]
    pub fn wait_for(&self, datagrams: usize) {
        wait_until(&format!("the UDP receiver has {datagrams} datagrams"), || self.count() >= datagrams);
    }
}

impl Drop for UdpPeer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}
