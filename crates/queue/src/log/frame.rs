//! The format of a segment, version 1. All numbers are little-endian.
//!
//! ```text
//! header   magic 8 | version u32 | salt u32 | first sequence number u64 | queue u32 | crc32 u32 of the 28 before
//! frame    length u32 | crc32 u32 | sequence number u64 | payload
//! ```
//!
//! `queue` is a random number that all segments and the cursor of a queue have in common: a file that was moved here from
//! another queue is noticed. It is 0 in files of versions that did not write it.
//!
//! A frame's checksum begins with the segment's salt and goes over length, sequence number and payload. The salt is a
//! random number, so that bytes that look like a frame within a payload, or in a block of another file, are not taken for one.

/// Bytes of the header.
pub const HEADER_BYTES: usize = 32;
/// Bytes of a frame before its payload.
pub const FRAME_BYTES: usize = 16;
/// The version that is written.
pub const VERSION: u32 = 1;
/// The largest payload.
pub const MAX_PAYLOAD: usize = 1 << 30;

const MAGIC: [u8; 8] = *b"LPQUEUE\n";

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The initial value of the checksums.
    pub salt: u32,
    /// The sequence number of the first record.
    pub first: u64,
    /// The number of the queue that it belongs to, or 0.
    pub queue: u32,
}

/// Why a segment cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// It is not a header, or it is damaged.
    #[error("its header is damaged")]
    Damaged,
    /// A later version of the format.
    #[error("its format is {0}, which this version does not know; start the version that wrote it")]
    Version(u32),
}

impl Header {
    /// Encodes the header.
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.queue.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes the header at the start of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let bytes = bytes.get(..HEADER_BYTES).ok_or(BadHeader::Damaged)?;
        if bytes[..8] != MAGIC || crc32fast::hash(&bytes[..28]) != u32_at(bytes, 28) {
            return Err(BadHeader::Damaged);
        }
        match u32_at(bytes, 8) {
            VERSION => Ok(Self { salt: u32_at(bytes, 12), first: u64_at(bytes, 16), queue: u32_at(bytes, 24) }),
            other => Err(BadHeader::Version(other)),
        }
    }
}

/// The fixed part of a frame, not yet verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of the payload.
    pub len: u32,
    crc: u32,
    /// The record's sequence number.
    pub seq: u64,
}

impl FrameHead {
    /// Decodes the head at the start of `bytes`, which are at least [`FRAME_BYTES`].
    pub fn decode(bytes: &[u8]) -> Self {
        Self { len: u32_at(bytes, 0), crc: u32_at(bytes, 4), seq: u64_at(bytes, 8) }
    }

    /// Whether the checksum is right for `payload` in a segment with this salt.
    pub fn verifies(&self, salt: u32, payload: &[u8]) -> bool {
        checksum(salt, self.len, self.seq, payload) == self.crc
    }

    /// The only salt with which the checksum is right for `payload`.
    pub fn salt_for(&self, payload: &[u8]) -> u32 {
        // CRC-32 inverts the register before and after; each byte can be taken back from the register.
        let take_back = |register: u32, byte: &u8| {
            let index = REVERSE_TABLE[(register >> 24) as usize];
            ((register ^ TABLE[index as usize]) << 8) | u32::from(index ^ byte)
        };
        let [len, seq] = [&self.len.to_le_bytes()[..], &self.seq.to_le_bytes()[..]];
        let bytes = payload.iter().rev().chain(seq.iter().rev()).chain(len.iter().rev());
        !bytes.fold(!self.crc, take_back)
    }
}

/// The table of CRC-32 (IEEE 802.3, reflected).
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut entry, mut bit) = (byte as u32, 0);
        while bit < 8 {
            entry = if entry & 1 == 1 { (entry >> 1) ^ 0xEDB8_8320 } else { entry >> 1 };
            bit += 1;
        }
        table[byte] = entry;
        byte += 1;
    }
    table
};

/// The index in [`TABLE`] of the entry with a highest byte; each occurs once.
const REVERSE_TABLE: [u8; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        table[(TABLE[index] >> 24) as usize] = index as u8;
        index += 1;
    }
    table
};

/// Appends a frame to `out`.
pub fn put_frame(out: &mut Vec<u8>, salt: u32, seq: u64, payload: &[u8]) {
    let len = u32::try_from(payload.len()).expect("no payload is larger than MAX_PAYLOAD");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&checksum(salt, len, seq, payload).to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(payload);
}

fn checksum(salt: u32, len: u32, seq: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(&len.to_le_bytes());
    hasher.update(&seq.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario: a frame of any payload with any salt.
        /// Guarantees: the salt is computed from the frame alone.
        #[test]
        fn the_salt_follows_from_a_frame(salt: u32, seq: u64, payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut frame = Vec::new();
            put_frame(&mut frame, salt, seq, &payload);
            let head = FrameHead::decode(&frame);
            prop_assert_eq!(head.salt_for(&frame[FRAME_BYTES..]), salt);
            prop_assert!(head.verifies(salt, &payload));
        }
    }
}
