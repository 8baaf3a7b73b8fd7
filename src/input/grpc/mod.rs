//! gRPC over hyper's HTTP/2: the framing of five bytes and the answers. tonic would add its own layers for two methods with
//! one message each.

pub(super) mod framing;
pub(super) mod response;

use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request};

/// Whether a request is one of gRPC, with messages in protobuf.
pub(super) fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let rest = content_type.strip_prefix(b"application/grpc");
    let in_protobuf = |rest: &[u8]| rest.is_empty() || rest.starts_with(b"+proto") || rest.starts_with(b";");
    request.method() == Method::POST && rest.is_some_and(in_protobuf)
}
