//! A receiver of HTTP requests that carry a list of messages.

use std::io::{self, Write};
use std::net::TcpStream;
use std::thread;

use serde_json::value::RawValue;

use super::receivers::{Act, Mood, Shared, reset_at_end};

struct Connection<'a> {
    stream: &'a TcpStream,
    shared: &'a Shared,
    /// Bytes that are read and belong to no request yet.
    pending: Vec<u8>,
}

/// Serves one connection to its end.
pub fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut connection = Connection { stream, shared, pending: Vec::new() };
    loop {
        match shared.next_act() {
            Act::Take => connection.take()?,
            Act::Refuse => {
                connection.request()?;
                let status = ["500 Internal Server Error", "503 Service Unavailable", "429 Too Many Requests"];
                connection.answer(status[shared.below(status.len())])?;
            }
            Act::ResetRead => return connection.lose_the_answer(),
            Act::ResetUnread => {
                shared.await_unread(stream);
                reset_at_end(stream);
                return Ok(());
            }
            Act::Hang(time) => thread::sleep(time),
            Act::Half(bytes) => {
                shared.read(stream, &mut vec![0; bytes])?;
                reset_at_end(stream);
                return Ok(());
            }
        }
    }
}

impl Connection<'_> {
    fn take(&mut self) -> io::Result<()> {
        let body = self.request()?;
        match self.shared.mood() {
            // A planted defect.
            Mood::Lying => self.consume(&body, 1),
            _ => self.consume(&body, 0),
        }
        self.answer("200 OK")
    }

    /// Takes a request, and the answer does not arrive; or the request is not taken and the answer is an end.
    fn lose_the_answer(&mut self) -> io::Result<()> {
        let body = self.request()?;
        let way = self.shared.below(3);
        if way > 0 {
            self.consume(&body, 0);
        }
        if way > 1 {
            let _ = self.answer("200 OK");
        }
        reset_at_end(self.stream);
        Ok(())
    }

    /// Consumes the messages of a list, without the first `forgotten`.
    fn consume(&self, body: &[u8], forgotten: usize) {
        match serde_json::from_slice::<Vec<&RawValue>>(body) {
            Ok(messages) => self.shared.take(messages[forgotten..].iter().map(|message| message.get().as_bytes())),
            Err(_) => self.shared.take([body]),
        }
    }

    fn answer(&self, status: &str) -> io::Result<()> {
        let mut stream = self.stream;
        stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
    }

    /// The body of the next request.
    fn request(&mut self) -> io::Result<Vec<u8>> {
        let end = loop {
            match memchr::memmem::find(&self.pending, b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.read_more()?,
            }
        };
        let head = String::from_utf8_lossy(&self.pending[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|text| text.trim().parse().ok()).expect("requests have a length");
        while self.pending.len() < end + length {
            self.read_more()?;
        }
        let body = self.pending[end..end + length].to_owned();
        self.pending.drain(..end + length);
        Ok(body)
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        match self.shared.read(self.stream, &mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.pending.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }
}
