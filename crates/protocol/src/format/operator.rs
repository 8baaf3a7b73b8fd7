//! Operators, compiled.

use super::address::Part;
use super::cel::Expression;
use super::time::TimeFormat;
use super::view::{Count, Header, Peer, Placeholder, Point, Section, Text};

/// What an operator prints.
#[derive(Debug, Clone)]
pub(super) enum Operator {
    Start(TimeFormat),
    Count(Count),
    Text {
        text: Text,
        underscores: bool,
    },
    /// The time between two points.
    Duration {
        from: Point,
        to: Point,
        unit: Unit,
    },
    /// The same, unless it is negative.
    Between {
        from: Point,
        to: Point,
        unit: Unit,
    },
    Flags {
        long: bool,
    },
    Address(Peer, Part),
    /// The first of them that is there, even if it is empty.
    Header(Header, Option<Header>),
    GrpcStatus {
        form: GrpcForm,
        headers: Box<GrpcHeaders>,
    },
    Path {
        query: bool,
        from: PathFrom,
    },
    QueryParameter(String),
    Query {
        decoded: bool,
    },
    Metadata(Vec<String>),
    FilterState {
        key: String,
        plain: bool,
    },
    /// `hosts`: headers with the name of the host, of which the first that is there counts.
    ServerName {
        from: NameFrom,
        hosts: Vec<Header>,
    },
    Placeholder(Placeholder),
    Cel(Expression),
    /// The first that has a value.
    Coalesce(Vec<Limited>),
}

/// An operator and the largest number of bytes of what it prints.
#[derive(Debug, Clone)]
pub(super) struct Limited {
    pub(super) operator: Operator,
    pub(super) length: Option<usize>,
}

/// The unit of a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    pub(super) fn nanoseconds(self) -> i64 {
        match self {
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }
}

/// How a status of gRPC is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GrpcForm {
    Camel,
    Snake,
    Number,
}

/// The headers that tell the status of gRPC.
#[derive(Debug, Clone)]
pub(super) struct GrpcHeaders {
    pub(super) content_type: Header,
    pub(super) trailer: Header,
    pub(super) header: Header,
}

impl Operator {
    /// The status of gRPC.
    pub(super) fn grpc_status(form: GrpcForm) -> Self {
        let headers = GrpcHeaders {
            content_type: Header::new(Section::Request, "content-type"),
            trailer: Header::new(Section::Trailer, "grpc-status"),
            header: Header::new(Section::Response, "grpc-status"),
        };
        Self::GrpcStatus { form, headers: Box::new(headers) }
    }

    /// The headers that it reads.
    pub(super) fn headers(&self) -> Vec<&Header> {
        match self {
            Self::Header(header, alternative) => std::iter::once(header).chain(alternative).collect(),
            Self::GrpcStatus { headers, .. } => vec![&headers.content_type, &headers.trailer, &headers.header],
            Self::ServerName { hosts, .. } => hosts.iter().collect(),
            Self::Coalesce(operators) => operators.iter().flat_map(|limited| limited.operator.headers()).collect(),
            _ => Vec::new(),
        }
    }
}

/// Which path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathFrom {
    Original,
    Path,
    OriginalOrPath,
}

/// Which name a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameFrom {
    Sni,
    SniThenHost,
    HostThenSni,
}

/// The codes of gRPC, by number: as in `OK` and `NotFound`, and as in `NOT_FOUND`.
/// Envoy writes the first code with one l in the one and two in the other form.
pub(super) const GRPC_CODES: [(&str, &str); 17] = [
    ("OK", "OK"),
    ("Canceled", "CANCELLED"),
    ("Unknown", "UNKNOWN"),
    ("InvalidArgument", "INVALID_ARGUMENT"),
    ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
    ("NotFound", "NOT_FOUND"),
    ("AlreadyExists", "ALREADY_EXISTS"),
    ("PermissionDenied", "PERMISSION_DENIED"),
    ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
    ("FailedPrecondition", "FAILED_PRECONDITION"),
    ("Aborted", "ABORTED"),
    ("OutOfRange", "OUT_OF_RANGE"),
    ("Unimplemented", "UNIMPLEMENTED"),
    ("Internal", "INTERNAL"),
    ("Unavailable", "UNAVAILABLE"),
    ("DataLoss", "DATA_LOSS"),
    ("Unauthenticated", "UNAUTHENTICATED"),
];
