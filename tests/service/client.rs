//! A blocking HTTP/1.1 client with a persistent connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::TIMEOUT;

/// An answer of the service.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }
}

/// A connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a local port.
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Posts a JSON body.
    pub fn post(&mut self, body: &[u8]) -> io::Result<Answer> {
        self.post_with("Content-Type: application/json\r\n", body)
    }

    /// Posts a body with these headers, each with its line end.
    pub fn post_with(&mut self, headers: &str, body: &[u8]) -> io::Result<Answer> {
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nHost: logphase\r\nContent-Length: {length}\r\n{headers}\r\n");
        self.send(&[head.as_bytes(), body].concat())?;
        self.answer()
    }

    /// Sends raw bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one answer.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.answer_to_head()?;
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("not an answer: {}", answer.head));
        let length = answer.header("content-length").map_or(Ok(0), str::parse).map_err(|_| malformed())?;
        answer.body.resize(length, 0);
        self.stream.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    /// Reads one answer to HEAD, which has no body whatever its head says.
    pub fn answer_to_head(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let head = head.to_ascii_lowercase();
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("not an answer: {head}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
        Ok(Answer { status, head, body: Vec::new() })
    }
}
