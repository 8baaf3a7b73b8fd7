//! Reading a request's body: within its limit, within the memory for all bodies, within its time.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::answer::Fault;

/// Bytes that are decompressed at a time.
pub(super) const INFLATE_STEP: usize = 64 << 10;

/// Bytes of a refused body that are read and thrown away, so that its sender gets to read the answer instead of a
/// reset connection.
const LINGER_BYTES: usize = 64 << 20;

/// How long that may take.
const LINGER: Duration = Duration::from_secs(2);

/// The bytes that all bodies together may hold.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicUsize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: AtomicUsize::new(bytes) }
    }

    /// Bytes that nobody holds.
    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

/// What one request holds of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Hold {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Hold {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Fault> {
        let take = |left: usize| left.checked_sub(bytes);
        match self.budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => {
                self.bytes += bytes;
                Ok(())
            }
            Err(_) => Err(Fault::busy()),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    /// JSON lines, else one object or an array.
    pub(super) lines: bool,
    /// Compressed.
    pub(super) gzip: bool,
}

impl Format {
    /// Reads it from the headers. No type at all is JSON; so is `application/x-www-form-urlencoded`, which is what
    /// curl's `-d` and many libraries say when nobody told them otherwise.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let full = headers.get(CONTENT_TYPE).map(text).unwrap_or_default();
        let essence = full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let lines = match essence.as_str() {
            "" | "application/json" | "text/json" | "application/x-www-form-urlencoded" => false,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => true,
            other if other.starts_with("application/") && other.ends_with("+json") => false,
            _ => return Err(Fault::media_type(&full)),
        };
        let mut gzip = false;
        for value in headers.get_all(CONTENT_ENCODING) {
            let value = text(value);
            for coding in value.split(',').map(|coding| coding.trim().to_ascii_lowercase()) {
                match coding.as_str() {
                    "" | "identity" => {}
                    "gzip" | "x-gzip" if !gzip => gzip = true,
                    _ => return Err(Fault::encoding(&value)),
                }
            }
        }
        Ok(Self { lines, gzip })
    }
}

/// Reads all of `body`, `limit` bytes at most. A body of one piece is not copied.
pub(super) async fn collect(body: &mut Incoming, limit: usize, hold: &mut Hold) -> Result<Bytes, Fault> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Fault::incomplete(&error))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length > limit {
            return Err(Fault::body_too_large(limit));
        }
        hold.grow(data.len())?;
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

/// Decompresses `body` to `limit` bytes at most.
pub(super) fn inflate(body: &Bytes, limit: usize, hold: &mut Hold) -> Result<Bytes, Fault> {
    let mut decoder = MultiGzDecoder::new(&body[..]);
    let mut all = Vec::new();
    loop {
        hold.grow(INFLATE_STEP)?;
        let step = decoder.by_ref().take(INFLATE_STEP as u64).read_to_end(&mut all);
        match step.map_err(|error| Fault::gzip(&error))? {
            0 => return Ok(all.into()),
            _ if all.len() > limit => return Err(Fault::inflated_too_large(limit)),
            _ => {}
        }
    }
}

/// Reads on for a while and throws away what comes.
pub(super) async fn linger(mut body: Incoming) {
    let drain = async {
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, drain).await;
}
