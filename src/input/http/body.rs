//! Reading a request's body: within its limit, within the memory for all bodies, and decompressed.

use std::io::Read;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HeaderValue};
use hyper::{HeaderMap, Request};

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::error::RequestError;
use super::memory::Reservation;
use crate::connections::Slot;
use crate::decode::kong::Format;

/// Bytes that are decompressed at a time.
pub(super) const DECOMPRESS_STEP: usize = 64 << 10;

/// How long a body may take before its rate counts.
const GRACE: Duration = Duration::from_secs(5);

/// Bytes of a refused body that are read and discarded, so that its sender reads the response instead of a reset
/// connection.
const DRAIN_BYTES: usize = 64 << 20;

/// How long a refused body is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

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
        Ok(Self { format, gzip: is_gzip(headers)? })
    }
}

/// Whether a body is compressed.
pub(in crate::input) fn is_gzip(headers: &HeaderMap) -> Result<bool, RequestError> {
    let mut gzip = false;
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes());
        for coding in value.split(',').map(|coding| coding.trim().to_ascii_lowercase()) {
            match coding.as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" if !gzip => gzip = true,
                _ => return Err(RequestError::unsupported_encoding(&value)),
            }
        }
    }
    Ok(gzip)
}

/// How fast a body must arrive.
#[derive(Debug, Clone, Copy)]
pub(in crate::input) struct Pace {
    /// How long the whole body may take.
    pub(in crate::input) timeout: Duration,
    /// Bytes per second, on average after [`GRACE`].
    pub(in crate::input) min_rate: usize,
}

impl Pace {
    /// When more than `bytes` must have arrived of a body that began at `start`.
    fn deadline(self, start: Instant, bytes: usize) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "a body has far fewer than 2^52 bytes")]
        let earned = Duration::try_from_secs_f64(bytes as f64 / self.min_rate.max(1) as f64).unwrap_or(self.timeout);
        start + self.timeout.min(GRACE.saturating_add(earned))
    }
}

/// Reads all of `body`, up to `limit` bytes. A body of one frame is not copied.
pub(super) async fn read(
    body: &mut Incoming,
    limit: usize,
    pace: Pace,
    reservation: &mut Reservation,
    slot: &Slot,
) -> Result<Bytes, RequestError> {
    let start = Instant::now();
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut length = 0;
    loop {
        let frame = tokio::select! {
            biased;
            // First: a body whose next bytes are always there must go, too.
            () = reservation.evicted() => return Err(RequestError::evicted()),
            frame = body.frame() => frame,
            () = sleep_until(pace.deadline(start, length)) => {
                let seconds = start.elapsed().as_secs_f64();
                return Err(RequestError::body_timeout(seconds, length, pace.min_rate));
            }
        };
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|error| RequestError::incomplete(&error))?.into_data() else {
            continue;
        };
        length += data.len();
        if length > limit {
            return Err(RequestError::body_too_large(limit));
        }
        slot.progress();
        reservation.grow(data.len(), body.is_end_stream()).await?;
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    reservation.complete();
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Reserves `bytes` more, on a thread of the runtime that may wait.
pub(in crate::input) fn grow(reservation: &mut Reservation, bytes: usize) -> Result<(), RequestError> {
    Handle::current().block_on(reservation.grow(bytes, true))
}

/// Decompresses `body` to at most `limit` bytes, on a thread of the runtime that may wait.
pub(in crate::input) fn decompress(
    body: &Bytes,
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, RequestError> {
    let mut decoder = MultiGzDecoder::new(&body[..]);
    let mut all = Vec::new();
    loop {
        grow(reservation, DECOMPRESS_STEP)?;
        let step = decoder.by_ref().take(DECOMPRESS_STEP as u64).read_to_end(&mut all);
        match step.map_err(|error| RequestError::invalid_gzip(&error))? {
            0 => return Ok(all.into()),
            _ if all.len() > limit => return Err(RequestError::decompressed_too_large(limit)),
            _ => {}
        }
    }
}

/// Discards what may still arrive of the body of a request that is refused for `error`.
pub(in crate::input) fn refuse(request: Request<Incoming>, error: RequestError) -> RequestError {
    // With `Expect: 100-continue` the peer has sent no body and, after this response, will not.
    if !request.body().is_end_stream() && !request.headers().contains_key(EXPECT) {
        tokio::spawn(drain(request.into_body()));
    }
    error
}

/// Reads and discards the rest of a refused body for a while.
async fn drain(mut body: Incoming) {
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
