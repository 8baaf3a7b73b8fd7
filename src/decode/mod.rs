//! Decoders turn the bytes of a protocol into [`Transaction`]s.
//!
//! An input splits its stream into frames (a line, a datagram, a request body, a record of a topic) and passes each to its
//! decoder. A decoder does not depend on the transport, so that several inputs can share it.

pub mod als;
pub mod kong;
pub mod mapped;
pub mod mapping;
pub mod otlp;
pub mod syslog;
pub mod text;

use bytes::Bytes;
use logphase_script::transaction::{Rejection, Transaction};

pub use als::AlsDecoder;
pub use kong::KongDecoder;
pub use mapped::MappedDecoder;
pub use otlp::OtlpDecoder;
pub use text::TextDecoder;

/// Decodes frames.
///
/// Inputs are generic over it, so that calls are not dispatched dynamically. An input whose settings select the decoder
/// selects it once for each connection, not for each frame.
pub trait Decode: Clone + Send + Sync + 'static {
    /// Appends the transactions of `frame` to `transactions`: all of them, or none if the frame is rejected. They may be
    /// slices of `frame`, without a copy.
    ///
    /// # Errors
    /// The frame is malformed or exceeds a limit.
    fn decode(&self, frame: Bytes, transactions: &mut Vec<Transaction>) -> Result<(), DecodeError>;

    /// Maximum bytes of a frame. An input that reads a stream skips longer frames.
    fn max_frame_bytes(&self) -> usize;
}

/// Why a frame was rejected, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct DecodeError {
    /// Index of the transaction in the frame, from 0.
    pub index: usize,
    /// Offset in bytes from the start of the frame.
    pub offset: usize,
    /// The mistake, as a sentence fragment.
    pub reason: String,
    /// Whether the frame exceeds a limit (HTTP status 413).
    pub too_large: bool,
}

impl DecodeError {
    /// `rejection` of the transaction `index`, whose text starts at `start`.
    fn of(rejection: Rejection, index: usize, start: usize) -> Self {
        let Rejection { offset, reason, too_large } = rejection;
        Self { index, offset: start + offset, reason, too_large }
    }
}
