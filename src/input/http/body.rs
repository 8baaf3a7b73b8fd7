//! Reading a request's body: within its limit, within the memory for all bodies, and decompressed.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

use super::error::RequestError;
use crate::decode::kong::Format;

/// Bytes that are decompressed at a time.
pub(super) const DECOMPRESS_STEP: usize = 64 << 10;

/// Bytes of a refused body that are read and discarded, so that its sender reads the response instead of a reset
/// connection.
const DRAIN_BYTES: usize = 64 << 20;

/// How long a refused body is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The memory for all bodies.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    available: AtomicUsize,
}

impl MemoryBudget {
    pub(super) fn new(bytes: usize) -> Self {
        Self { available: AtomicUsize::new(bytes) }
    }

    /// Bytes that no request has reserved.
    #[cfg(test)]
    pub(super) fn available(&self) -> usize {
        self.available.load(Ordering::Relaxed)
    }
}

/// The bytes that one request has reserved; released when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

impl Reservation {
    pub(super) fn new(budget: Arc<MemoryBudget>) -> Self {
        Self { budget, bytes: 0 }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), RequestError> {
        let take = |available: usize| available.checked_sub(bytes);
        match self.budget.available.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => {
                self.bytes += bytes;
                Ok(())
            }
            Err(_) => Err(RequestError::out_of_memory()),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.available.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BodyFormat {
    pub(super) format: Format,
    pub(super) gzip: bool,
}

impl BodyFormat {
    /// Reads it from the headers. A missing type means JSON; so does `application/x-www-form-urlencoded`, which curl's
    /// `-d` and many libraries send by default.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Self, RequestError> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let full = headers.get(CONTENT_TYPE).map(text).unwrap_or_default();
        let essence = full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let format = match essence.as_str() {
            "" | "application/json" | "text/json" | "application/x-www-form-urlencoded" => Format::Document,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Format::Lines
            }
            other if other.starts_with("application/") && other.ends_with("+json") => Format::Document,
            _ => return Err(RequestError::unsupported_type(&full)),
        };
        let mut gzip = false;
        for value in headers.get_all(CONTENT_ENCODING) {
            let value = text(value);
            for coding in value.split(',').map(|coding| coding.trim().to_ascii_lowercase()) {
                match coding.as_str() {
                    "" | "identity" => {}
                    "gzip" | "x-gzip" if !gzip => gzip = true,
                    _ => return Err(RequestError::unsupported_encoding(&value)),
                }
            }
        }
        Ok(Self { format, gzip })
    }
}

/// Reads all of `body`, up to `limit` bytes. A body of one frame is not copied.
pub(super) async fn read(
    body: &mut Incoming,
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, RequestError> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| RequestError::incomplete(&error))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length > limit {
            return Err(RequestError::body_too_large(limit));
        }
        reservation.grow(data.len())?;
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Decompresses `body` to at most `limit` bytes.
pub(super) fn decompress(body: &Bytes, limit: usize, reservation: &mut Reservation) -> Result<Bytes, RequestError> {
    let mut decoder = MultiGzDecoder::new(&body[..]);
    let mut all = Vec::new();
    loop {
        reservation.grow(DECOMPRESS_STEP)?;
        let step = decoder.by_ref().take(DECOMPRESS_STEP as u64).read_to_end(&mut all);
        match step.map_err(|error| RequestError::invalid_gzip(&error))? {
            0 => return Ok(all.into()),
            _ if all.len() > limit => return Err(RequestError::decompressed_too_large(limit)),
            _ => {}
        }
    }
}

/// Reads and discards the rest of a refused body for a while.
pub(super) async fn drain(mut body: Incoming) {
    let discard = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, discard).await;
}
