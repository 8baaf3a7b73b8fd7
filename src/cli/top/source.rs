//! Fetches the status of a service.

use std::fmt;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::HOST;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::status::Status;
use super::view::Snapshot;
use crate::cli::control::{ControlClient, ControlError};
use crate::settings::Settings;

/// The pause between two requests.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum size of an answer, in bytes.
const MAX_BODY_BYTES: usize = 16 << 20;

/// Where the status comes from.
pub(super) enum Source {
    /// The control socket.
    Control(ControlClient),
    /// A status listener: host and port.
    Listener(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(_) => f.write_str("control socket"),
            Self::Listener(address) => write!(f, "http://{address}"),
        }
    }
}

impl Source {
    /// Finds the service and fetches its first status: at `url`, or else at the control socket in the data directory, or
    /// else at the status listeners of `settings`.
    ///
    /// # Errors
    /// No service answers. The message says what to do.
    pub(super) async fn find(url: Option<&str>, settings: &Settings) -> Result<(Self, Snapshot), String> {
        if let Some(url) = url {
            let source = Self::Listener(address(url)?);
            let snapshot = source.fetch().await.map_err(|error| format!("{error}; is status.listen set there?"))?;
            return Ok((source, snapshot));
        }
        let source = Self::Control(ControlClient::new(&settings.data_dir));
        let error = match source.fetch().await {
            Ok(snapshot) => return Ok((source, snapshot)),
            Err(error) => error,
        };
        for listen in &settings.status.listen {
            let source = Self::Listener(listen.clone());
            if let Ok(snapshot) = source.fetch().await {
                return Ok((source, snapshot));
            }
        }
        Err(format!(
            "{error}\n\nTo watch a service elsewhere, set a status listener in its logphase.yml:\n\n  status:\n    \
            listen: [127.0.0.1:8007]\n\nand pass its URL: logphase top --url http://127.0.0.1:8007"
        ))
    }

    /// Fetches the status once.
    async fn fetch(&self) -> Result<Snapshot, String> {
        let request = async {
            match self {
                Self::Control(client) => client.get("/status").await.map_err(|error: ControlError| error.to_string()),
                Self::Listener(address) => {
                    get(address).await.map_err(|error| format!("http://{address}/status: {error}"))
                }
            }
        };
        let json = timeout(TIMEOUT, request).await.map_err(|_| format!("{self}: no answer within {TIMEOUT:?}"))??;
        let status: Status =
            serde_json::from_value(json).map_err(|error| format!("{self}: invalid status: {error}"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(Snapshot { status, at: u64::try_from(now).unwrap_or(u64::MAX) })
    }

    /// Fetches the status repeatedly on a new thread, until the receiver is dropped.
    pub(super) fn watch(self, runtime: Runtime) -> Receiver<Result<Snapshot, String>> {
        let (send, receive) = sync_channel(1);
        std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    sleep(INTERVAL).await;
                    if send.send(self.fetch().await).is_err() {
                        return;
                    }
                }
            });
        });
        receive
    }
}

/// Host and port of a URL like `http://127.0.0.1:8007`, with or without a path.
fn address(url: &str) -> Result<String, String> {
    let invalid = |why: &str| format!("invalid URL `{url}`: {why}; use a URL like http://127.0.0.1:8007");
    let uri: Uri = url.parse().map_err(|error| invalid(&format!("{error}")))?;
    if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
        return Err(invalid("status listeners support only http"));
    }
    let host = uri.host().ok_or_else(|| invalid("no host"))?;
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(8007)))
}

async fn get(address: &str) -> Result<serde_json::Value, String> {
    let failed = |error: &dyn fmt::Display| error.to_string();
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    let request = Request::get("/status").header(HOST, address).body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.map_err(|error| failed(&error))?).await.map_err(|error| failed(&error))?;
    if answer.status() != StatusCode::OK {
        return Err(format!("the status is {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), MAX_BODY_BYTES).collect().await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| format!("the answer is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::address;

    /// Scenario: URLs with and without scheme, port and path; invalid URLs.
    /// Guarantees: host and port are parsed, with port 8007 by default; invalid URLs are refused with an example.
    #[test]
    fn addresses() {
        let good = [
            ("http://127.0.0.1:8007", "127.0.0.1:8007"),
            ("http://node-3/status", "node-3:8007"),
            ("http://[::1]:9/", "[::1]:9"),
            ("node-3:81", "node-3:81"),
        ];
        for (url, expected) in good {
            assert_eq!(address(url).as_deref(), Ok(expected), "{url}");
        }
        for url in ["https://a:8007", "", "http://", "unix:/x y"] {
            assert!(address(url).is_err_and(|error| error.contains("use a URL like")), "{url}");
        }
    }
}
