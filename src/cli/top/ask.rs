//! Who is asked for the status.

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
use super::view::Seen;
use crate::cli::control::{ControlClient, ControlError};
use crate::settings::Settings;

/// How often the service is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const LARGEST: usize = 16 << 20;

/// Where a service answers.
pub(super) enum Source {
    /// Its control socket.
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
    /// The service that `url` names, else that of the data directory of `settings`, else the one at its status listener;
    /// with its first answer.
    ///
    /// # Errors
    /// None answers; what to do about it.
    pub(super) async fn find(url: Option<&str>, settings: &Settings) -> Result<(Self, Seen), String> {
        if let Some(url) = url {
            let source = Self::Listener(address(url)?);
            let seen = source.ask().await.map_err(|error| format!("{error}; is status.listen set there?"))?;
            return Ok((source, seen));
        }
        let source = Self::Control(ControlClient::new(&settings.data_dir));
        let error = match source.ask().await {
            Ok(seen) => return Ok((source, seen)),
            Err(error) => error,
        };
        for listen in &settings.status.listen {
            let source = Self::Listener(listen.clone());
            if let Ok(seen) = source.ask().await {
                return Ok((source, seen));
            }
        }
        Err(format!(
            "{error}\n\nTo watch a service elsewhere, let it answer on an address (in its logphase.yml):\n\n  status:\n    \
            listen: [127.0.0.1:8007]\n\nand name it here: logphase top --url http://127.0.0.1:8007"
        ))
    }

    /// Asks once.
    async fn ask(&self) -> Result<Seen, String> {
        let asked = async {
            match self {
                Self::Control(client) => client.get("/status").await.map_err(|error: ControlError| error.to_string()),
                Self::Listener(address) => {
                    get(address).await.map_err(|error| format!("http://{address}/status: {error}"))
                }
            }
        };
        let json = timeout(PATIENCE, asked).await.map_err(|_| format!("{self}: no answer within {PATIENCE:?}"))??;
        let status: Status = serde_json::from_value(json).map_err(|error| format!("{self}: not a status: {error}"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(Seen { status, at: u64::try_from(now).unwrap_or(u64::MAX) })
    }

    /// Asks again and again, on a thread of its own, until nobody receives.
    pub(super) fn watch(self, runtime: Runtime) -> Receiver<Result<Seen, String>> {
        let (send, receive) = sync_channel(1);
        std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    sleep(EVERY).await;
                    if send.send(self.ask().await).is_err() {
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
    let wrong = |why: &str| format!("cannot ask `{url}`: {why}; give a URL like http://127.0.0.1:8007");
    let uri: Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
    if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
        return Err(wrong("status listeners speak plain HTTP"));
    }
    let host = uri.host().ok_or_else(|| wrong("it names no host"))?;
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(8007)))
}

async fn get(address: &str) -> Result<serde_json::Value, String> {
    let failed = |error: &dyn fmt::Display| error.to_string();
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    let request = Request::get("/status").header(HOST, address).body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.map_err(|error| failed(&error))?).await.map_err(|error| failed(&error))?;
    if answer.status() != StatusCode::OK {
        return Err(format!("the answer is {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), LARGEST).collect().await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| format!("the answer is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::address;

    /// Scenario: URLs as people write them. Guarantees: host and port are found, 8007 is the default; what cannot be
    /// asked is refused with an example.
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
            assert!(address(url).is_err_and(|error| error.contains("give a URL like")), "{url}");
        }
    }
}
