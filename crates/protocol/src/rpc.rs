//! Messages of gRPC's status, which every method has (`google/rpc/status.proto`, `error_details.proto`).

use std::time::Duration;

use prost::Message;

/// The type of a [`RetryInfo`] in a [`Detail`].
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status`: why a call has failed.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// The code (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What failed.
    #[prost(string, tag = "2")]
    pub message: String,
    /// More about it, in messages of their own.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Detail>,
}

/// `google.protobuf.Any`: a message, and its type.
#[derive(Clone, PartialEq, Message)]
pub struct Detail {
    /// The type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`: when the call may be tried again.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Status {
    /// Why a call has failed; it may be tried again after `retry`.
    pub fn new(code: i32, message: String, retry: Option<Duration>) -> Self {
        let detail = |retry: Duration| Detail {
            type_url: RETRY_INFO.to_owned(),
            value: RetryInfo {
                retry_delay: Some(Delay {
                    seconds: i64::try_from(retry.as_secs()).unwrap_or(i64::MAX),
                    nanos: retry.subsec_nanos().cast_signed(),
                }),
            }
            .encode_to_vec(),
        };
        Self { code, message, details: retry.map(detail).into_iter().collect() }
    }

    /// After what time the call may be tried again, if the status says that it may.
    pub fn retry(&self) -> Option<Duration> {
        let detail = self.details.iter().find(|detail| detail.type_url == RETRY_INFO)?;
        let info = RetryInfo::decode(&*detail.value).ok()?;
        let Some(delay) = info.retry_delay else { return Some(Duration::ZERO) };
        let (seconds, nanos) = (u64::try_from(delay.seconds), u32::try_from(delay.nanos));
        Some(match (seconds, nanos) {
            (Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos.min(999_999_999)),
            _ => Duration::ZERO,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: statuses with a pause, without one, with a detail of another type and with broken details.
    /// Guarantees: the pause is the one that was given; nothing else is taken for one.
    #[test]
    fn pauses() {
        for pause in [Duration::ZERO, Duration::from_secs(7), Duration::new(1, 500_000_000)] {
            let status = Status::decode(&*Status::new(14, "full".into(), Some(pause)).encode_to_vec()).unwrap();
            assert_eq!((status.code, &*status.message, status.retry()), (14, "full", Some(pause)));
        }
        assert_eq!(Status::new(14, String::new(), None).retry(), None);
        let with = |type_url: &str, value: &[u8]| Status {
            details: vec![Detail { type_url: type_url.into(), value: value.into() }],
            ..Status::default()
        };
        assert_eq!(with("type.googleapis.com/google.rpc.ErrorInfo", b"").retry(), None);
        assert_eq!(with(RETRY_INFO, b"\xff").retry(), None);
        assert_eq!(with(RETRY_INFO, b"").retry(), Some(Duration::ZERO));
        let negative = RetryInfo { retry_delay: Some(Delay { seconds: -1, nanos: 5 }) }.encode_to_vec();
        assert_eq!(with(RETRY_INFO, &negative).retry(), Some(Duration::ZERO));
    }
}
