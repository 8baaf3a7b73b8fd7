//! Response flags by their short names.

use crate::wire::{Field, strict};

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
pub struct Flags {
    bits: u32,
    /// Those that the message has no field for, by the details of the response code.
    inferred: Option<&'static str>,
}

impl Flags {
    /// The flags in `message`, and those that `details` of the response code tell.
    pub fn new(message: &[u8], details: &[u8]) -> Self {
        let inferred = match details {
            b"drop_overload" => Some("DO"),
            b"unconditional_drop_overload" => Some("UDO"),
            _ => None,
        };
        Self { bits: bits(message), inferred }
    }

    fn has(self, field: u32) -> bool {
        self.bits & (1 << (field - 1)) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.bits == 0 && self.inferred.is_none()
    }

    /// Whether Envoy had no connection to an upstream: there was no host, or it could not be reached.
    pub fn no_upstream(self) -> bool {
        // UH, UF, UO, NR, URX, NC, DF.
        [2, CONNECTION_FAILURE, 8, 9, RETRY_LIMIT, 25, 27].into_iter().any(|field| self.has(field))
    }

    /// The names. Envoy prints them in the order in which they were raised, which its messages do not have: this is the
    /// order of the fields, except that a request's retries end (URX) before its connection counts as failed (UF).
    pub fn names(self, http: bool) -> impl Iterator<Item = &'static str> {
        let swap = http && self.has(CONNECTION_FAILURE) && self.has(RETRY_LIMIT);
        let field = move |field| match field {
            CONNECTION_FAILURE if swap => RETRY_LIMIT,
            RETRY_LIMIT if swap => CONNECTION_FAILURE,
            field => field,
        };
        // Most entries have none.
        let fields = 1..if self.bits == 0 { 1 } else { 29_u32 };
        let set = fields.map(field).filter(move |field| self.has(*field));
        set.filter_map(|field| NAMES.get(field as usize - 1).copied()).chain(self.inferred)
    }
}

/// A bit for each field that is set. What cannot be read counts as not set.
fn bits(mut message: &[u8]) -> u32 {
    let mut bits = 0;
    while let Ok(Some((number, field))) = strict(&mut message) {
        let set = match field {
            Field::Varint(value) => value != 0,
            Field::Bytes(_) | Field::Other => number == UNAUTHORIZED,
        };
        if set && (1..=28).contains(&number) {
            bits |= 1 << (number - 1);
        }
    }
    bits
}
