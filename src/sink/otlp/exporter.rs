//! Sends requests to one receiver, and says what its answers mean.
//!
//! OTLP says which failures are worth another attempt: <https://opentelemetry.io/docs/specs/otlp/#failures-1>. It has
//! exporters give up where the receiver refuses the sender and not the records (a token that has expired, a wrong path). Here
//! the records wait in their queue until that is put right.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, TE};
use hyper::{Request, Response, StatusCode, Uri};
use prost::Message;
use serde::Deserialize;

use super::{Compression, Protocol, grpc};
use crate::sink::http::endpoint::{Endpoint, EndpointConfig};
use crate::sink::requests::{self, Failure, Names, Posted, excerpt, retry_after};
use crate::sink::{ConfigError, FailureKind, SinkShared};
use logphase_net::http::{HttpClient, HttpError, StepLimits};
use logphase_net::tls::Identity;
use logphase_protocol::otlp::METHOD;
use logphase_protocol::otlp::message::{ExportRequest, ExportResponse, PartialSuccess, json_request};
use logphase_protocol::rpc::Status;

/// How long an idle connection is kept.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read: more than a message about records that were not taken has.
const ANSWER_BYTES: usize = 64 << 10;

const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Where requests go, and how.
pub(super) struct ExporterConfig<'a> {
    /// The field with the URL, for errors.
    pub(super) field: &'static str,
    pub(super) url: &'a str,
    pub(super) protocol: Protocol,
    pub(super) compression: Compression,
    pub(super) headers: &'a BTreeMap<String, String>,
    pub(super) connect: Duration,
    pub(super) send: Duration,
    pub(super) read: Duration,
    pub(super) verify: bool,
    pub(super) certificate: Option<&'a Identity>,
}

/// Sends requests to one receiver.
pub(super) struct Exporter {
    client: HttpClient,
    endpoint: Endpoint,
    protocol: Protocol,
    compression: Compression,
    limits: StepLimits,
    field: &'static str,
}

impl Exporter {
    /// Makes an exporter that connects with its first request.
    ///
    /// # Errors
    /// Every field that cannot be used.
    pub(super) fn new(config: &ExporterConfig<'_>, shared: &SinkShared) -> Result<Self, Vec<ConfigError>> {
        let url = url(config).map_err(|error| vec![error]);
        let endpoint = url.and_then(|url| {
            Endpoint::new(&EndpointConfig {
                field: config.field,
                url: &url,
                method: "POST",
                content_type: match config.protocol {
                    Protocol::Grpc => "application/grpc",
                    Protocol::HttpProtobuf => "application/x-protobuf",
                    Protocol::HttpJson => "application/json",
                },
                headers: config.headers,
            })
        });
        // An endpoint without TLS needs no trusted certificates.
        let https = endpoint.as_ref().map_or(true, |endpoint| endpoint.address.starts_with("https:"));
        let tls = requests::tls(shared, https, config.verify, config.certificate);
        let own = config.headers.keys().find(|name| name.eq_ignore_ascii_case("content-type"));
        let content_type = own.filter(|_| config.protocol == Protocol::Grpc).map(|name| {
            ConfigError::new(format!("headers.{name}"), "calls of gRPC have a content type of their own")
                .with_help("remove the header")
        });
        match (endpoint, tls, content_type) {
            (Ok(endpoint), Ok(tls), None) => {
                let client = match config.protocol {
                    Protocol::Grpc => HttpClient::http2(&tls, KEEPALIVE, config.connect),
                    _ => HttpClient::new(&tls, KEEPALIVE, config.connect),
                };
                let limits = StepLimits { send: config.send, read: config.read };
                let (protocol, compression) = (config.protocol, config.compression);
                Ok(Self { client, endpoint, protocol, compression, limits, field: config.field })
            }
            (endpoint, tls, content_type) => {
                Err(endpoint.err().into_iter().flatten().chain(tls.err()).chain(content_type).collect())
            }
        }
    }

    /// Sends a request with `count` records.
    pub(super) async fn export(&self, request: &ExportRequest, count: usize) -> Result<Posted, Failure> {
        let body = self.body(request);
        let mut result = self.exchange(&body).await;
        // The receiver may have closed an idle connection at this moment: a record can arrive twice.
        if matches!(&result, Err(error) if error.is_broken()) {
            result = self.exchange(&body).await;
        }
        let response = result.map_err(|error| Failure::retry(self.explain(&error)))?;
        let partial = match self.protocol {
            Protocol::Grpc => grpc::partial_success(&response, self)?,
            _ if response.status().is_success() => partial_success(response.body(), self.protocol),
            _ => return Err(self.refused(&response)),
        };
        Ok(partial.map_or_else(Posted::default, |partial| self.not_taken(partial, count)))
    }

    fn body(&self, request: &ExportRequest) -> Bytes {
        let encoded = match self.protocol {
            Protocol::HttpJson => json_request(request),
            _ => request.encode_to_vec(),
        };
        let gzip = self.compression == Compression::Gzip;
        let body = if gzip { compressed(&encoded) } else { encoded };
        if self.protocol == Protocol::Grpc { grpc::framed(&body, gzip) } else { body.into() }
    }

    async fn exchange(&self, body: &Bytes) -> Result<Response<Bytes>, HttpError> {
        let mut request: Request<Bytes> = self.endpoint.request(body.clone());
        let headers = request.headers_mut();
        let gzip = self.compression == Compression::Gzip;
        match self.protocol {
            Protocol::Grpc => {
                headers.insert(TE, HeaderValue::from_static("trailers"));
                if gzip {
                    headers.insert(GRPC_ENCODING, GZIP);
                }
            }
            _ if gzip => drop(headers.insert(CONTENT_ENCODING, GZIP)),
            _ => {}
        }
        self.client.exchange(request, self.limits, ANSWER_BYTES).await
    }

    /// What the receiver says that it has not taken of `count` records.
    fn not_taken(&self, partial: PartialSuccess, count: usize) -> Posted {
        let lost = u64::try_from(partial.rejected_log_records).unwrap_or_default().min(count as u64);
        let why = excerpt(partial.error_message.as_bytes());
        let address = self.address();
        let warning = match lost {
            0 => (!why.is_empty()).then(|| format!("{address} warns: {why}")),
            lost => {
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                Some(format!("{address} has not taken {lost} of {count} log records, which are not sent again{why}"))
            }
        };
        Posted { lost, warning }
    }

    /// The endpoint as messages show it.
    pub(super) fn address(&self) -> &str {
        &self.endpoint.address
    }

    /// What an answer of HTTP means that is not one of success.
    pub(super) fn refused(&self, response: &Response<Bytes>) -> Failure {
        let status = response.status();
        let said = said(response);
        let about_connection = status == StatusCode::BAD_REQUEST && requests::is_about_connection(&said);
        let kind = match status.as_u16() {
            408 | 429 | 502..=504 | 300..=399 | 401 | 403..=405 | 407 => FailureKind::Retryable,
            _ if about_connection => FailureKind::Retryable,
            _ => FailureKind::Permanent,
        };
        let quoted = if said.is_empty() { String::new() } else { format!(" ({said})") };
        let field = self.field;
        let advice = match status.as_u16() {
            300..=399 => format!("; redirections are not followed: correct config.{field}"),
            401 | 403 | 407 => "; see config.headers".to_owned(),
            404 | 405 => format!("; see config.{field} and config.protocol"),
            413 => "; the receiver rejects bodies of that size: raise its limit".to_owned(),
            415 => "; see config.protocol and config.compression".to_owned(),
            _ if about_connection => format!("; see config.client_certificate and config.{field}"),
            _ => String::new(),
        };
        Failure {
            kind,
            too_large: status == StatusCode::PAYLOAD_TOO_LARGE,
            message: format!("{} answers {status}{quoted}{advice}", self.address()),
            retry_after: retry_after(response.headers(), SystemTime::now()),
        }
    }

    fn explain(&self, error: &HttpError) -> String {
        let endpoint = format!("config.{}", self.field);
        let names = Names { endpoint: &endpoint, timeout: "config.read_timeout or config.send_timeout" };
        requests::explain(error, self.address(), &names)
    }
}

/// The URL that requests are sent to. Over gRPC the method is its path.
fn url(config: &ExporterConfig<'_>) -> Result<String, ConfigError> {
    if config.protocol != Protocol::Grpc {
        return Ok(config.url.to_owned());
    }
    // What is no URL is refused later.
    let Ok(uri) = config.url.parse::<Uri>() else { return Ok(config.url.to_owned()) };
    if uri.path_and_query().is_some_and(|path| path != "/") {
        let problem = "has a path, and calls of gRPC have one of their own";
        let help = "give the address alone, like http://collector:4317, or set config.protocol to http/protobuf";
        return Err(ConfigError::new(config.field, problem).with_help(help));
    }
    Ok(format!("{}{METHOD}", config.url.trim_end_matches('/')))
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4 + 64), Level::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes all bytes")
}

/// What the body of an answer says about records that were not taken. An answer in another form says nothing.
fn partial_success(body: &Bytes, protocol: Protocol) -> Option<PartialSuccess> {
    if protocol == Protocol::HttpJson {
        return json_partial_success(body);
    }
    ExportResponse::decode(body.clone()).ok()?.partial_success
}

fn json_partial_success(body: &[u8]) -> Option<PartialSuccess> {
    /// A 64-bit integer, which is a text or a number.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Whole {
        Number(i64),
        Text(String),
    }
    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    struct Partial {
        rejected_log_records: Option<Whole>,
        error_message: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        partial_success: Option<Partial>,
    }
    let partial = serde_json::from_slice::<Answer>(body).ok()?.partial_success?;
    let rejected_log_records = match partial.rejected_log_records {
        Some(Whole::Number(number)) => number,
        Some(Whole::Text(text)) => text.parse().ok()?,
        None => 0,
    };
    Some(PartialSuccess { rejected_log_records, error_message: partial.error_message.unwrap_or_default() })
}

/// What an answer of HTTP says: the message of its status in protobuf, or the beginning of its body.
fn said(response: &Response<Bytes>) -> String {
    let protobuf = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/x-protobuf");
    match Status::decode(response.body().clone()) {
        Ok(status) if protobuf => excerpt(status.message.as_bytes()),
        _ => excerpt(response.body()),
    }
}
