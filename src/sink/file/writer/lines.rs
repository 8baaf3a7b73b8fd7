//! Lines into a stream that may take them in parts.

use std::io::{self, IoSlice};

use bytes::{BufMut, Bytes, BytesMut};

/// Lines of one system call: each is two slices, and POSIX systems take 1,024 of them at once (`IOV_MAX`).
pub(super) const LINES_AT_ONCE: usize = 512;

/// Something that takes bytes like `writev(2)`: any number of them, from the front.
pub(super) trait Out {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// A line of which only the beginning was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Torn {
    /// The whole line, without its newline.
    pub line: Bytes,
    /// What is missing, with the newline.
    pub rest: Bytes,
    /// How many bytes were written.
    pub begun: usize,
}

/// How far a write came.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Whole lines, from the front.
    pub lines: usize,
    /// Bytes altogether, newlines and the torn line's beginning included.
    pub bytes: usize,
    /// The line that a failure left incomplete.
    pub torn: Option<Torn>,
    /// Why not everything was written.
    pub failure: Option<io::Error>,
}

/// Writes `lines`, each with a newline, in as few calls as `out` allows.
pub(super) fn write_lines(out: &mut impl Out, lines: &[Bytes]) -> Progress {
    let mut progress = Progress::default();
    for chunk in lines.chunks(LINES_AT_ONCE) {
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(chunk.len() * 2);
        for line in chunk {
            slices.push(IoSlice::new(line));
            slices.push(IoSlice::new(b"\n"));
        }
        let (bytes, failure) = write_all(out, &mut slices);
        progress.bytes += bytes;
        if failure.is_some() {
            let (whole, torn) = divide(chunk, bytes);
            progress.lines += whole;
            progress.torn = torn;
            progress.failure = failure;
            return progress;
        }
        progress.lines += chunk.len();
    }
    progress
}

/// Writes one run of bytes; returns how many were written.
pub(super) fn write_rest(out: &mut impl Out, rest: &[u8]) -> (usize, Option<io::Error>) {
    write_all(out, &mut [IoSlice::new(rest)])
}

fn write_all(out: &mut impl Out, slices: &mut [IoSlice<'_>]) -> (usize, Option<io::Error>) {
    let mut rest = slices;
    let mut written = 0;
    // Empty lines are empty slices: passed over, or a write of nothing would look like a full device.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(bytes) => {
                written += bytes;
                IoSlice::advance_slices(&mut rest, bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

/// How many of `lines` are whole after `bytes` bytes, and the one that is begun.
fn divide(lines: &[Bytes], mut bytes: usize) -> (usize, Option<Torn>) {
    for (index, line) in lines.iter().enumerate() {
        if bytes == 0 {
            return (index, None);
        }
        if bytes <= line.len() {
            let mut rest = BytesMut::with_capacity(line.len() - bytes + 1);
            rest.extend_from_slice(&line[bytes..]);
            rest.put_u8(b'\n');
            return (index, Some(Torn { line: line.clone(), rest: rest.freeze(), begun: bytes }));
        }
        bytes -= line.len() + 1;
    }
    (lines.len(), None)
}
