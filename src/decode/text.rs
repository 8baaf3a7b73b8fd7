//! Decodes text: Kong's log objects, or what another proxy logs and a mapping translates.

use std::sync::Arc;

use bytes::Bytes;
use logphase_script::transaction::{Limits, Transaction};

use super::kong::{Format, KongDecoder};
use super::mapped::MappedDecoder;
use super::mapping::Mapping;
use super::{Decode, DecodeError};

/// The decoder of inputs that receive text. Their setting `mapping` selects it.
#[derive(Debug, Clone)]
pub enum TextDecoder {
    /// Kong's log objects, as they are.
    Kong(KongDecoder),
    /// Objects that a mapping translates.
    Mapped(MappedDecoder),
}

impl TextDecoder {
    /// A decoder of frames in `format` by `mapping`, or of Kong's log objects without one; `limits` apply to each
    /// transaction.
    pub fn new(mapping: Option<Arc<Mapping>>, format: Format, limits: Limits) -> Self {
        match mapping {
            Some(mapping) => Self::Mapped(MappedDecoder::new(mapping, format, limits)),
            None => Self::kong(format, limits),
        }
    }

    /// A decoder of Kong's log objects.
    pub fn kong(format: Format, limits: Limits) -> Self {
        Self::Kong(KongDecoder::new(format, limits))
    }

    /// Whether transactions have memory of their own; else they are slices of their frame.
    pub fn copies(&self) -> bool {
        matches!(self, Self::Mapped(_))
    }

    /// The same decoder for frames in `format`.
    pub fn reading(&self, format: Format) -> Self {
        match self {
            Self::Kong(decoder) => Self::Kong(decoder.reading(format)),
            Self::Mapped(decoder) => Self::Mapped(decoder.reading(format)),
        }
    }
}

impl Decode for TextDecoder {
    #[inline]
    fn decode(&self, frame: Bytes, transactions: &mut Vec<Transaction>) -> Result<(), DecodeError> {
        match self {
            Self::Kong(decoder) => decoder.decode(frame, transactions),
            Self::Mapped(decoder) => decoder.decode(frame, transactions),
        }
    }

    fn max_frame_bytes(&self) -> usize {
        match self {
            Self::Kong(decoder) => decoder.max_frame_bytes(),
            Self::Mapped(decoder) => decoder.max_frame_bytes(),
        }
    }
}
