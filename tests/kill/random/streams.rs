//! Receivers of messages in a TCP stream: lines, and syslog with octet counting (RFC 6587, 3.4.1).

use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::thread;

use super::receivers::{Act, Shared, reset_at_end};
use crate::service::rfc5424;

/// How messages are delimited.
#[derive(Debug, Clone, Copy)]
pub enum Framing {
    /// Each is a line.
    Lines,
    /// Each is a syslog message behind its length.
    Octets,
}

struct Reader<'a> {
    stream: &'a TcpStream,
    shared: &'a Shared,
    framing: Framing,
    /// Bytes that are no whole message yet.
    pending: Vec<u8>,
}

/// Serves one connection to its end.
pub fn serve(stream: &TcpStream, framing: Framing, shared: &Shared) -> io::Result<()> {
    let mut reader = Reader { stream, shared, framing, pending: Vec::new() };
    loop {
        match shared.next_act() {
            Act::Take => {
                // Some reads, so that the next step does not depend on the size of messages.
                for _ in 0..=shared.below(20) {
                    if reader.read(64 << 10)? == 0 {
                        return Ok(());
                    }
                }
            }
            Act::Refuse => {
                stream.shutdown(Shutdown::Write)?;
                while reader.read(64 << 10)? > 0 {}
                return Ok(());
            }
            Act::ResetRead => {
                reader.read_all_that_is_there();
                reset_at_end(stream);
                return Ok(());
            }
            Act::ResetUnread => {
                shared.await_unread(stream);
                reset_at_end(stream);
                return Ok(());
            }
            Act::Hang(time) => thread::sleep(time),
            Act::Half(bytes) => {
                reader.read(bytes)?;
                reset_at_end(stream);
                return Ok(());
            }
        }
    }
}

impl Reader<'_> {
    /// Reads at most `most` bytes and consumes the whole messages; waits for the first byte.
    fn read(&mut self, most: usize) -> io::Result<usize> {
        let mut buffer = vec![0; most];
        let read = self.shared.read(self.stream, &mut buffer)?;
        self.pending.extend_from_slice(&buffer[..read]);
        self.consume();
        Ok(read)
    }

    fn read_all_that_is_there(&mut self) {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match (&mut &*self.stream).read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => {
                    self.pending.extend_from_slice(&buffer[..read]);
                    self.consume();
                }
                // Nothing more is there now, or nothing more will be.
                Err(_) => return,
            }
        }
    }

    fn consume(&mut self) {
        let mut from = 0;
        while let Some((message, end)) = self.next(from) {
            self.shared.take([message.as_slice()]);
            from = end;
        }
        self.pending.drain(..from);
    }

    /// The whole message at `from`, and where it ends.
    fn next(&self, from: usize) -> Option<(Vec<u8>, usize)> {
        let rest = &self.pending[from..];
        match self.framing {
            Framing::Lines => {
                let end = memchr::memchr(b'\n', rest)?;
                Some((rest[..end].to_owned(), from + end + 1))
            }
            Framing::Octets => {
                let space = rest.iter().take(12).position(|byte| *byte == b' ')?;
                let length = std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse::<usize>().ok());
                let Some(length) = length else { panic!("no length: {:?}", &rest[..rest.len().min(60)]) };
                let message = rest.get(space + 1..space + 1 + length)?;
                // What is no syslog message is kept as it is: the checker finds it.
                let text = rfc5424::parse(message).map_or_else(|_| message.to_owned(), |it| it.message.into_bytes());
                Some((text, from + space + 1 + length))
            }
        }
    }
}
