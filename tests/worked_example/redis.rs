//! Messages onto a list of Redis.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::sink::{BoxFuture, ConfigError, FailureKind, SendError, Sent, Sink, SinkShared, parse};

/// What the sink needs of a plugin's `config`.
#[derive(Debug, Deserialize)]
struct Config {
    host: String,
    port: u16,
    list: String,
    timeout: u64,
}

/// Pushes each message onto the list and waits for the answer.
struct RedisSink {
    config: Config,
    connection: Option<BufStream<TcpStream>>,
}

/// Makes a sink from `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// Every field that the sink cannot use.
pub fn open(config: &Value, _: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    let config: Config = parse(config)?;
    if config.list.contains(char::is_whitespace) {
        let error = ConfigError::new("list", "has a blank, which redis-cli takes for the end of the name");
        return Err(vec![error.with_help("use a name like kong:log")]);
    }
    Ok(Box::new(RedisSink { config, connection: None }))
}

impl RedisSink {
    async fn push_all(&mut self, entries: &[Bytes]) -> Result<Sent, SendError> {
        for (delivered, entry) in entries.iter().enumerate() {
            let limit = Duration::from_millis(self.config.timeout);
            let pushed = timeout(limit, self.push(entry)).await;
            let answer = pushed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            // Whether Redis has the message is not known: it is sent again on another connection.
            let answer = answer.map_err(|error| {
                self.connection = None;
                let Config { host, port, .. } = &self.config;
                SendError::retry(delivered, format!("cannot push to {host}:{port}: {error}; check that Redis runs"))
            })?;
            classify(&answer, delivered)?;
        }
        Ok(Sent::settled(entries.len()))
    }

    async fn push(&mut self, entry: &[u8]) -> io::Result<String> {
        if self.connection.is_none() {
            let stream = TcpStream::connect((self.config.host.as_str(), self.config.port)).await?;
            self.connection = Some(BufStream::new(stream));
        }
        let Some(connection) = &mut self.connection else { return Err(io::ErrorKind::NotConnected.into()) };
        connection.write_all(&command(&self.config.list, entry)).await?;
        connection.flush().await?;
        let mut answer = String::new();
        match connection.read_line(&mut answer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(answer.trim_end().to_owned()),
        }
    }
}

/// The message as Redis takes it: a command of three strings.
fn command(list: &str, entry: &[u8]) -> Vec<u8> {
    let mut out = b"*3\r\n".to_vec();
    for part in [b"RPUSH", list.as_bytes(), entry] {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// What an answer means for the entry after the first `delivered` ones.
fn classify(answer: &str, delivered: usize) -> Result<(), SendError> {
    let Some(error) = answer.strip_prefix('-') else { return Ok(()) };
    // Memory can be freed and a password can be set, but a message that is too large stays so.
    let too_large = error.contains("invalid bulk length");
    let kind = if too_large { FailureKind::TooLarge } else { FailureKind::Retryable };
    Err(SendError::new(delivered, kind, format!("Redis refuses the message: {error}")))
}

impl Sink for RedisSink {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.push_all(entries))
    }
}
