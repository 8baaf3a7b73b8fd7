//! The frame of a call of gRPC with one message, and its status
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{BufMut, Bytes, BytesMut};
use hyper::{HeaderMap, Response, StatusCode};
use percent_encoding::percent_decode_str;
use prost::Message;

use super::exporter::Exporter;
use crate::sink::FailureKind;
use crate::sink::requests::{Failure, excerpt};
use logphase_net::http::Trailers;
use logphase_protocol::otlp::message::{ExportResponse, PartialSuccess};
use logphase_protocol::rpc::Status;

/// Bytes in front of a message.
const PREFIX_BYTES: usize = 5;

/// Base64 of binary metadata, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A message as the body of a call.
pub(super) fn framed(message: &[u8], compressed: bool) -> Bytes {
    let mut body = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    body.put_u8(compressed.into());
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.put_slice(message);
    body.freeze()
}

/// What an answer says about records that were not taken.
///
/// # Errors
/// The call has failed.
pub(super) fn partial_success(
    response: &Response<Bytes>,
    exporter: &Exporter,
) -> Result<Option<PartialSuccess>, Failure> {
    let address = exporter.address();
    let headers = match response.extensions().get::<Trailers>() {
        Some(Trailers(trailers)) => trailers,
        // An answer without a message has all in its headers.
        None => response.headers(),
    };
    let Some(status) = status(headers) else {
        if response.status() != StatusCode::OK {
            return Err(exporter.refused(response));
        }
        return Err(Failure::retry(format!("{address} has ended its answer without a status")));
    };
    if status.code == 0 {
        let message = response.body().get(PREFIX_BYTES..).unwrap_or_default();
        return Ok(ExportResponse::decode(message).ok().and_then(|answer| answer.partial_success));
    }
    Err(failure(&status, address))
}

/// The status in `headers`: the one with details, or code and message.
fn status(headers: &HeaderMap) -> Option<Status> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code: i32 = text("grpc-status")?.trim().parse().ok()?;
    let message = percent_decode_str(text("grpc-message").unwrap_or_default()).decode_utf8_lossy().into_owned();
    let details = text("grpc-status-details-bin").and_then(|details| BASE64.decode(details).ok());
    let details =
        details.and_then(|details| Status::decode(&*details).ok()).map_or_else(Vec::new, |status| status.details);
    Some(Status { code, message, details })
}

/// What a status other than OK means (<https://opentelemetry.io/docs/specs/otlp/#failures>).
fn failure(status: &Status, address: &str) -> Failure {
    let retry_after = status.retry();
    // A receiver that is full says when to try again; one that does not say it will never take so much.
    let too_large = status.code == 8 && retry_after.is_none();
    let (name, advice) = match status.code {
        1 => ("CANCELLED", ""),
        3 => ("INVALID_ARGUMENT", ""),
        4 => ("DEADLINE_EXCEEDED", ""),
        7 => ("PERMISSION_DENIED", "; see config.headers"),
        8 if too_large => ("RESOURCE_EXHAUSTED", "; raise the limit of the receiver on messages"),
        8 => ("RESOURCE_EXHAUSTED", ""),
        10 => ("ABORTED", ""),
        11 => ("OUT_OF_RANGE", ""),
        12 => ("UNIMPLEMENTED", "; the receiver takes no logs: see its configuration"),
        13 => ("INTERNAL", ""),
        14 => ("UNAVAILABLE", ""),
        15 => ("DATA_LOSS", ""),
        16 => ("UNAUTHENTICATED", "; see config.headers"),
        _ => ("", ""),
    };
    let retryable = matches!(status.code, 1 | 4 | 7 | 10 | 11 | 12 | 14 | 15 | 16) || status.code == 8 && !too_large;
    let name = if name.is_empty() { format!("status {}", status.code) } else { name.to_owned() };
    let said = excerpt(status.message.as_bytes());
    let quoted = if said.is_empty() { String::new() } else { format!(" ({said})") };
    Failure {
        kind: if retryable { FailureKind::Retryable } else { FailureKind::Permanent },
        too_large,
        message: format!("{address} answers {name}{quoted}{advice}"),
        retry_after,
    }
}
