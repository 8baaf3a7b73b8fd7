//! The protocols of routes and plugins.

/// A protocol that Kong proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Unencrypted gRPC.
    Grpc,
    /// gRPC over TLS.
    Grpcs,
    /// Unencrypted HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// A TCP stream.
    Tcp,
    /// A TLS stream, terminated.
    Tls,
    /// A TLS stream, passed through.
    TlsPassthrough,
    /// UDP.
    Udp,
    /// Unencrypted WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Protocol {
    /// All protocols, sorted by name.
    pub const ALL: [Self; 10] = [
        Self::Grpc,
        Self::Grpcs,
        Self::Http,
        Self::Https,
        Self::Tcp,
        Self::Tls,
        Self::TlsPassthrough,
        Self::Udp,
        Self::Ws,
        Self::Wss,
    ];

    /// Its name in Kong's files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::TlsPassthrough => "tls_passthrough",
            Self::Udp => "udp",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The protocol with the name `name`.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }
}

/// Names of all protocols, for a schema.
pub const NAMES: &[&str] = &["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp", "ws", "wss"];

/// Some of the protocols.
pub type Protocols = &'static [Protocol];

/// The default protocols of plugins.
pub const HTTP: Protocols = &[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https];
/// The protocols of plugins without a stream mode.
pub const HTTP_AND_WEBSOCKET: Protocols =
    &[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https, Protocol::Ws, Protocol::Wss];
/// All protocols.
pub const ANY: Protocols = &Protocol::ALL;
