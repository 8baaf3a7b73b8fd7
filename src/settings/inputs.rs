//! Where transactions come in.

use std::path::PathBuf;
use std::time::Duration;

use super::checks;
use super::record::{TEXT, count, duration, list, settings_record};
use logphase_config::schema::{Check, Default, Field};

/// An address, `HOST:PORT`.
pub(super) const ADDRESS: Field = Field::string("").checks(&[Check::Custom(checks::address)]);

const MAX_CONNECTIONS: Field = count(1000, &[Check::Between(1.0, 1_000_000.0)]);

const fn idle_timeout(default: i64) -> Field {
    duration(default, &[Check::GreaterThan(0.0)])
}

settings_record! {
    /// The inputs. One without an address is off.
    pub struct Inputs {
        /// HTTP.
        @restart http: HttpListener = Field::record("", HttpListener::RECORD).required();
        /// JSON lines over TCP.
        @restart tcp: TcpListener = Field::record("", TcpListener::RECORD).required();
        /// JSON lines over Unix sockets.
        @restart unix: UnixListener = Field::record("", UnixListener::RECORD).required();
        /// One object per datagram.
        @restart udp: UdpListener = Field::record("", UdpListener::RECORD).required();
    }
}

settings_record! {
    /// Listeners for HTTP.
    pub struct HttpListener {
        /// Addresses, `HOST:PORT`.
        listen: Vec<String> = list(&ADDRESS).default(Default::Strings(&["127.0.0.1:9080"]));
        /// Connections at the same time.
        max_connections: usize = MAX_CONNECTIONS;
        /// How long a connection may be idle.
        #[serde(deserialize_with = "super::record::seconds")]
        idle_timeout: Duration = idle_timeout(60);
    }
}

settings_record! {
    /// Listeners for JSON lines over TCP.
    pub struct TcpListener {
        /// Addresses, `HOST:PORT`.
        listen: Vec<String> = list(&ADDRESS);
        /// Connections at the same time.
        max_connections: usize = MAX_CONNECTIONS;
        /// How long a connection may be idle.
        // Kong's tcp-log keeps a connection for a minute after its last message.
        #[serde(deserialize_with = "super::record::seconds")]
        idle_timeout: Duration = idle_timeout(300);
    }
}

settings_record! {
    /// Listeners for JSON lines over Unix sockets.
    pub struct UnixListener {
        /// Paths of the sockets.
        paths: Vec<PathBuf> = list(&TEXT);
        /// Connections at the same time.
        max_connections: usize = MAX_CONNECTIONS;
        /// How long a connection may be idle.
        #[serde(deserialize_with = "super::record::seconds")]
        idle_timeout: Duration = idle_timeout(300);
    }
}

settings_record! {
    /// Listeners for datagrams.
    pub struct UdpListener {
        /// Addresses, `HOST:PORT`.
        listen: Vec<String> = list(&ADDRESS);
    }
}
