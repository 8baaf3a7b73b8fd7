//! Opens segments, also those whose header is damaged: the salt of their checksums follows from their frames.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, File, within};
use super::frame::{BadHeader, FRAME_BYTES, FrameHead, HEADER_BYTES, Header, MAX_PAYLOAD, u32_at};
use super::window::Window;

/// How many places a search for an intact frame tries at most, so that no content makes it long.
const MAX_TRIES: usize = 100_000;

/// A file with the name of a segment.
pub enum Opened {
    /// It does not exist.
    Missing,
    /// It is a segment.
    Segment(OpenSegment),
    /// It was read, and is not a segment.
    Invalid {
        /// Why not.
        reason: BadHeader,
        /// Its bytes.
        len: u64,
    },
}

/// An open segment.
pub struct OpenSegment {
    /// The file.
    pub file: Arc<dyn File>,
    /// The bytes in it.
    pub len: u64,
    /// Its header.
    pub header: Header,
    /// The header on disk is damaged; this one was computed from the frames. Its `queue` is 0.
    pub is_rebuilt: bool,
}

/// Opens the segment at `path`.
///
/// # Errors
/// The file cannot be opened or read, or a later version has written it.
pub fn open(disk: &dyn Disk, path: &Path) -> io::Result<Opened> {
    let file = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Missing),
        result => result.map_err(within("open", path))?,
    };
    examine(file).map_err(within("read", path))
}

fn examine(file: Arc<dyn File>) -> io::Result<Opened> {
    let mut bytes = [0; HEADER_BYTES];
    let read = file.read_at(&mut bytes, 0)?;
    let len = file.len()?;
    match Header::decode(&bytes[..read]) {
        Ok(header) => Ok(Opened::Segment(OpenSegment { file, len, header, is_rebuilt: false })),
        // It is not damaged, and its messages are not lost.
        Err(version @ BadHeader::Version(_)) => Err(io::Error::new(io::ErrorKind::InvalidData, version)),
        Err(reason) => Ok(match rebuild(&file, &bytes)? {
            Some(header) => Opened::Segment(OpenSegment { file, len, header, is_rebuilt: true }),
            None => Opened::Invalid { reason, len },
        }),
    }
}

/// The header of a segment whose header is damaged.
fn rebuild(file: &Arc<dyn File>, damaged: &[u8; HEADER_BYTES]) -> io::Result<Option<Header>> {
    let mut window = Window::new(file.clone());
    let start = HEADER_BYTES as u64;
    if let Some((head, payload)) = frame_at(&mut window, start)? {
        let header = |salt| Header { salt, first: head.seq, queue: 0 };
        let salt = u32_at(damaged, 12);
        if head.verifies(salt, &payload) {
            return Ok(Some(header(salt)));
        }
        let mut repaired = *damaged;
        repaired[12..16].copy_from_slice(&head.salt_for(&payload).to_le_bytes());
        if let Ok(found) = Header::decode(&repaired) {
            return Ok(Some(header(found.salt)));
        }
    }
    find_pair(&mut window, &mut Window::new(file.clone()), file.len()?)
}

/// Searches two frames, one after the other, whose checksums are right with the same salt, in a file of `len` bytes.
fn find_pair(window: &mut Window, ahead: &mut Window, len: u64) -> io::Result<Option<Header>> {
    let mut tries = 0;
    for at in HEADER_BYTES as u64.. {
        let Some(head) = window.peek(at, FRAME_BYTES)?.map(FrameHead::decode) else { break };
        let end = at + FRAME_BYTES as u64 + u64::from(head.len);
        if end + FRAME_BYTES as u64 > len || head.len as usize > MAX_PAYLOAD || head.seq == u64::MAX {
            continue;
        }
        tries += 1;
        let next = ahead.peek(end, FRAME_BYTES)?.map(FrameHead::decode);
        if next.is_none_or(|next| next.seq != head.seq + 1) {
            continue;
        }
        if let (Some((head, first)), Some((next, second))) = (frame_at(window, at)?, frame_at(ahead, end)?) {
            let salt = head.salt_for(&first);
            if next.verifies(salt, &second) {
                return Ok(Some(Header { salt, first: head.seq, queue: 0 }));
            }
        }
        if tries >= MAX_TRIES {
            break;
        }
    }
    Ok(None)
}

/// The head and the payload of a frame, not verified; `None` if the file is too short for it.
fn frame_at(window: &mut Window, at: u64) -> io::Result<Option<(FrameHead, Vec<u8>)>> {
    let Some(head) = window.peek(at, FRAME_BYTES)?.map(FrameHead::decode) else { return Ok(None) };
    if head.len as usize > MAX_PAYLOAD {
        return Ok(None);
    }
    let frame = window.peek(at, FRAME_BYTES + head.len as usize)?;
    Ok(frame.map(|frame| (head, frame[FRAME_BYTES..].to_vec())))
}
