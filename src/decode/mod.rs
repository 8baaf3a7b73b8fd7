//! Decoders: from the bytes of a protocol to [`Transaction`]s.
//!
//! An input splits what it receives into frames (a line, a datagram, a request body, a record of a topic) and gives each to
//! its decoder. A decoder knows no transport, so that several inputs can share one.

pub mod kong;

use bytes::Bytes;
use logphase_script::transaction::{Rejection, Transaction};

pub use kong::KongDecoder;

/// Decodes frames.
///
/// Inputs are generic over it: a call for each frame is not dispatched dynamically. An input whose settings choose the
/// decoder chooses once for each connection, not for each frame.
pub trait Decode: Clone + Send + Sync + 'static {
    /// Appends the transactions of `frame` to `transactions`: all of them, or none if the frame is rejected. What is
    /// appended may be slices of `frame`, which is not copied.
    ///
    /// # Errors
    /// The frame is not what this decoder reads, or past a limit.
    fn decode(&self, frame: Bytes, transactions: &mut Vec<Transaction>) -> Result<(), DecodeError>;

    /// Bytes of the longest frame that can be decoded. An input that reads a stream drops longer ones unread.
    fn max_frame_bytes(&self) -> usize;
}

/// Why a frame was rejected, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct DecodeError {
    /// Which transaction of the frame, counted from 0.
    pub index: usize,
    /// Offset in bytes from the start of the frame.
    pub offset: usize,
    /// The mistake, as a sentence fragment.
    pub reason: String,
    /// The frame is valid, but past a limit (HTTP answers 413).
    pub too_large: bool,
}

impl DecodeError {
    /// `rejection` of the transaction `index`, whose text starts at `start`.
    fn of(rejection: Rejection, index: usize, start: usize) -> Self {
        let Rejection { offset, reason, too_large } = rejection;
        Self { index, offset: start + offset, reason, too_large }
    }
}
