//! From the encoding to an entry, by the rules of protobuf: of a field that is sent twice the last value counts, messages are
//! merged, unknown fields are skipped (<https://protobuf.dev/programming-guides/encoding/>).

use super::{
    Address, Any, AnyMember, Certificate, Common, Connection, HttpEntry, HttpRequest, HttpResponse, SocketAddress,
    TcpEntry, TextMember, Time, Tls,
};
use crate::wire::{Field, WireError, strict};

/// Members that most maps of headers have; room for them is made at once.
const MEMBERS: usize = 16;

/// A message of protobuf.
trait Message<'a>: Default {
    /// Takes the field `number`; unknown ones are left alone.
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError>;

    /// Takes all fields of `bytes`.
    fn merge(&mut self, mut bytes: &'a [u8]) -> Result<(), WireError> {
        while let Some((number, field)) = strict(&mut bytes)? {
            self.take(number, field)?;
        }
        Ok(())
    }

    fn of(field: Field<'a>) -> Result<Self, WireError> {
        let mut message = Self::default();
        message.merge(field.bytes()?)?;
        Ok(message)
    }
}

/// Takes a field that is a message.
fn merge<'a, M: Message<'a>>(into: &mut Option<M>, field: Field<'a>) -> Result<(), WireError> {
    into.get_or_insert_default().merge(field.bytes()?)
}

/// Takes a field that is a message and repeats.
fn push<'a, M: Message<'a>>(into: &mut Vec<M>, field: Field<'a>) -> Result<(), WireError> {
    let message = M::of(field)?;
    if into.capacity() == 0 {
        into.reserve(MEMBERS);
    }
    into.push(message);
    Ok(())
}

/// Takes a `google.protobuf.UInt32Value`.
fn number(into: &mut Option<u32>, field: Field<'_>) -> Result<(), WireError> {
    let mut number = Number(into.unwrap_or_default());
    number.merge(field.bytes()?)?;
    *into = Some(number.0);
    Ok(())
}

impl<'a> HttpEntry<'a> {
    /// Reads an entry.
    ///
    /// # Errors
    /// `bytes` are none.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut entry = Self::default();
        entry.merge(bytes)?;
        Ok(entry)
    }
}

impl<'a> TcpEntry<'a> {
    /// Reads an entry.
    ///
    /// # Errors
    /// `bytes` are none.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut entry = Self::default();
        entry.merge(bytes)?;
        Ok(entry)
    }
}

impl<'a> Message<'a> for HttpEntry<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            1 => merge(&mut self.common, field)?,
            2 => self.protocol_version = field.int32()?,
            3 => merge(&mut self.request, field)?,
            4 => merge(&mut self.response, field)?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for TcpEntry<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            1 => merge(&mut self.common, field)?,
            2 => merge(&mut self.connection, field)?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Connection {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            1 => self.received_bytes = field.uint64()?,
            2 => self.sent_bytes = field.uint64()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Common<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            2 => merge(&mut self.downstream_remote_address, field)?,
            3 => merge(&mut self.downstream_local_address, field)?,
            4 => merge(&mut self.tls, field)?,
            5 => merge(&mut self.start_time, field)?,
            6 => merge(&mut self.time_to_last_rx_byte, field)?,
            7 => merge(&mut self.time_to_first_upstream_tx_byte, field)?,
            8 => merge(&mut self.time_to_last_upstream_tx_byte, field)?,
            9 => merge(&mut self.time_to_first_upstream_rx_byte, field)?,
            10 => merge(&mut self.time_to_last_upstream_rx_byte, field)?,
            11 => merge(&mut self.time_to_first_downstream_tx_byte, field)?,
            12 => merge(&mut self.time_to_last_downstream_tx_byte, field)?,
            13 => merge(&mut self.upstream_remote_address, field)?,
            14 => merge(&mut self.upstream_local_address, field)?,
            15 => self.upstream_cluster = field.bytes()?,
            16 => self.response_flags = field.bytes()?,
            17 => self.metadata = field.bytes()?,
            18 => self.upstream_transport_failure_reason = field.bytes()?,
            19 => self.route_name = field.bytes()?,
            20 => merge(&mut self.downstream_direct_remote_address, field)?,
            21 => push(&mut self.filter_state_objects, field)?,
            22 => push(&mut self.custom_tags, field)?,
            23 => merge(&mut self.duration, field)?,
            24 => self.upstream_request_attempt_count = field.uint32()?,
            25 => self.connection_termination_details = field.bytes()?,
            26 => self.stream_id = field.bytes()?,
            27 => self.intermediate_log_entry = field.uint64()? != 0,
            28 => self.downstream_transport_failure_reason = field.bytes()?,
            29 => self.downstream_wire_bytes_sent = field.uint64()?,
            30 => self.downstream_wire_bytes_received = field.uint64()?,
            31 => self.upstream_wire_bytes_sent = field.uint64()?,
            32 => self.upstream_wire_bytes_received = field.uint64()?,
            33 => self.access_log_type = field.int32()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for HttpRequest<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            1 => self.method = field.int32()?,
            2 => self.scheme = field.bytes()?,
            3 => self.authority = field.bytes()?,
            5 => self.path = field.bytes()?,
            6 => self.user_agent = field.bytes()?,
            7 => self.referer = field.bytes()?,
            8 => self.forwarded_for = field.bytes()?,
            9 => self.request_id = field.bytes()?,
            10 => self.original_path = field.bytes()?,
            11 => self.headers_bytes = field.uint64()?,
            12 => self.body_bytes = field.uint64()?,
            13 => push(&mut self.headers, field)?,
            14 => self.upstream_header_bytes_sent = field.uint64()?,
            15 => self.downstream_header_bytes_received = field.uint64()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for HttpResponse<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            1 => self::number(&mut self.code, field)?,
            2 => self.headers_bytes = field.uint64()?,
            3 => self.body_bytes = field.uint64()?,
            4 => push(&mut self.headers, field)?,
            5 => push(&mut self.trailers, field)?,
            6 => self.code_details = field.bytes()?,
            7 => self.upstream_header_bytes_received = field.uint64()?,
            8 => self.downstream_header_bytes_sent = field.uint64()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Tls<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            1 => self.version = field.int32()?,
            2 => self::number(&mut self.cipher_suite, field)?,
            3 => self.sni_hostname = field.bytes()?,
            4 => merge(&mut self.local_certificate, field)?,
            5 => merge(&mut self.peer_certificate, field)?,
            6 => self.session_id = field.bytes()?,
            7 => self.ja3_fingerprint = field.bytes()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Certificate<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            1 => self.uri_sans.push(Text::of(field)?.0),
            2 => self.subject = field.bytes()?,
            3 => self.issuer = field.bytes()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Address<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            1 => {
                let mut socket = self.socket().unwrap_or_default();
                socket.merge(field.bytes()?)?;
                *self = Self::Socket(socket);
            }
            2 => {
                let mut path = Text(if let Self::Pipe(path) = self { path } else { b"" });
                path.merge(field.bytes()?)?;
                *self = Self::Pipe(path.0);
            }
            3 => {
                let mut listener = Text(if let Self::Internal(listener) = self { listener } else { b"" });
                listener.merge(field.bytes()?)?;
                *self = Self::Internal(listener.0);
            }
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for SocketAddress<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            2 => self.address = field.bytes()?,
            3 => self.port = field.uint32()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for TextMember<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            1 => self.key = field.bytes()?,
            2 => self.value = field.bytes()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for AnyMember<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            1 => self.key = field.bytes()?,
            2 => merge(&mut self.value, field)?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Any<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            1 => self.type_url = field.bytes()?,
            2 => self.value = field.bytes()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Time {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        match number {
            1 => self.seconds = field.int64()?,
            2 => self.nanos = field.int32()?,
            _ => {}
        }
        Ok(())
    }
}

/// A message with one text, its field 1.
#[derive(Default)]
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

impl<'a> Text<'a> {
    /// The text of such a message.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<&'a [u8], WireError> {
        let mut text = Self::default();
        text.merge(bytes)?;
        Ok(text.0)
    }
}

impl<'a> Message<'a> for Text<'a> {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        if number == 1 {
            self.0 = field.bytes()?;
        }
        Ok(())
    }
}

/// `google.protobuf.UInt32Value`.
#[derive(Default)]
struct Number(u32);

impl<'a> Message<'a> for Number {
    fn take(&mut self, number: u32, field: Field<'a>) -> Result<(), WireError> {
        if number == 1 {
            self.0 = field.uint32()?;
        }
        Ok(())
    }
}
