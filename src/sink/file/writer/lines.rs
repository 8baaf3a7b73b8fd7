//! Writes lines to a stream that may accept them in parts.

use std::io::{self, IoSlice};

use bytes::{BufMut, Bytes, BytesMut};

/// Lines per system call: a line takes two of the 1,024 slices that a call may have (`IOV_MAX`).
pub(super) const MAX_LINES_PER_WRITE: usize = 512;

/// Accepts bytes like `writev(2)`: any number of them, from the front.
pub(super) trait WriteVectored {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// A line that was written in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartialLine {
    /// The whole line, without its newline.
    pub line: Bytes,
    /// The unwritten rest, with the newline.
    pub rest: Bytes,
    /// How many bytes were written.
    pub written: usize,
}

/// The progress of a write.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Number of whole lines, from the front.
    pub lines: usize,
    /// Number of bytes, including newlines and the beginning of the partial line.
    pub bytes: usize,
    /// The line that a failure left incomplete.
    pub partial: Option<PartialLine>,
    /// Why not everything was written.
    pub failure: Option<io::Error>,
}

/// Writes `lines`, each with a newline, in as few calls as `out` allows.
pub(super) fn write_lines(out: &mut impl WriteVectored, lines: &[Bytes]) -> Progress {
    let mut progress = Progress::default();
    for chunk in lines.chunks(MAX_LINES_PER_WRITE) {
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(chunk.len() * 2);
        for line in chunk {
            slices.push(IoSlice::new(line));
            slices.push(IoSlice::new(b"\n"));
        }
        let (bytes, failure) = write_all(out, &mut slices);
        progress.bytes += bytes;
        if failure.is_some() {
            let (whole, partial) = split_at(chunk, bytes);
            progress.lines += whole;
            progress.partial = partial;
            progress.failure = failure;
            return progress;
        }
        progress.lines += chunk.len();
    }
    progress
}

/// Writes one run of bytes; returns how many were written.
pub(super) fn write_rest(out: &mut impl WriteVectored, rest: &[u8]) -> (usize, Option<io::Error>) {
    write_all(out, &mut [IoSlice::new(rest)])
}

fn write_all(out: &mut impl WriteVectored, slices: &mut [IoSlice<'_>]) -> (usize, Option<io::Error>) {
    let mut rest = slices;
    let mut written = 0;
    // Skips leading empty slices (empty lines): writing zero bytes would look like a full device.
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

/// Returns how many of `lines` are whole after `bytes` bytes, and the line that was written in part.
fn split_at(lines: &[Bytes], mut bytes: usize) -> (usize, Option<PartialLine>) {
    for (index, line) in lines.iter().enumerate() {
        if bytes == 0 {
            return (index, None);
        }
        if bytes <= line.len() {
            let mut rest = BytesMut::with_capacity(line.len() - bytes + 1);
            rest.extend_from_slice(&line[bytes..]);
            rest.put_u8(b'\n');
            return (index, Some(PartialLine { line: line.clone(), rest: rest.freeze(), written: bytes }));
        }
        bytes -= line.len() + 1;
    }
    (lines.len(), None)
}
