//! Response flags by their short names.

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Short names in the order of the fields of `envoy.data.accesslog.v3.ResponseFlags`, from field 1
/// (<https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage>, `%RESPONSE_FLAGS%`).
const NAMES: [&str; 28] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX", "SI", "IH",
    "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DR",
];

/// The field of UF.
const CONNECTION_FAILURE: u32 = 6;
/// The field of UAEX, a message.
const UNAUTHORIZED: u32 = 13;
/// The field of URX.
const RETRY_LIMIT: u32 = 16;

/// The flags of an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    bits: u32,
    /// Those that the message has no field for, by the details of the response code.
    inferred: Option<&'static str>,
}

impl Flags {
    /// The flags in `message`, and those that `details` of the response code tell.
    pub(crate) fn new(message: &Bytes, details: &[u8]) -> Self {
        let inferred = match details {
            b"drop_overload" => Some("DO"),
            b"unconditional_drop_overload" => Some("UDO"),
            _ => None,
        };
        Self { bits: bits(message.clone()), inferred }
    }

    fn has(self, field: u32) -> bool {
        self.bits & (1 << (field - 1)) != 0
    }

    /// Whether there is none.
    pub(crate) fn is_empty(self) -> bool {
        self.bits == 0 && self.inferred.is_none()
    }

    /// Whether Envoy had no connection to an upstream: there was no host, or it could not be reached.
    pub(crate) fn no_upstream(self) -> bool {
        // UH, UF, UO, NR, URX, NC, DF.
        [2, CONNECTION_FAILURE, 8, 9, RETRY_LIMIT, 25, 27].into_iter().any(|field| self.has(field))
    }

    /// The names. Envoy prints them in the order in which they were raised, which its messages do not have: this is the
    /// order of the fields, except that a request's retries end (URX) before its connection counts as failed (UF).
    pub(crate) fn names(self, http: bool) -> impl Iterator<Item = &'static str> {
        let swap = http && self.has(CONNECTION_FAILURE) && self.has(RETRY_LIMIT);
        let field = move |field| match field {
            CONNECTION_FAILURE if swap => RETRY_LIMIT,
            RETRY_LIMIT if swap => CONNECTION_FAILURE,
            field => field,
        };
        let set = (1..=28_u32).map(field).filter(move |field| self.has(*field));
        set.filter_map(|field| NAMES.get(field as usize - 1).copied()).chain(self.inferred)
    }
}

/// A bit for each field that is set. What cannot be read counts as not set.
fn bits(mut message: Bytes) -> u32 {
    let mut bits = 0;
    while message.has_remaining() {
        let Ok((number, wire_type)) = decode_key(&mut message) else { break };
        let set = match wire_type {
            WireType::Varint => match decode_varint(&mut message) {
                Ok(value) => value != 0,
                Err(_) => break,
            },
            _ if skip_field(wire_type, number, &mut message, DecodeContext::default()).is_err() => break,
            _ => number == UNAUTHORIZED,
        };
        if set && (1..=28).contains(&number) {
            bits |= 1 << (number - 1);
        }
    }
    bits
}
