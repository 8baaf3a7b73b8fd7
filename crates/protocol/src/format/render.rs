//! From operators and an entry to bytes. Operators write where the line is built; what must be escaped, cut or searched is
//! so in place, so that no operator allocates.

use super::number::{push, push_signed};
use super::operator::{GRPC_CODES, GrpcForm, GrpcHeaders, Limited, NameFrom, Operator, PathFrom};
use super::view::{Entry, Header, Point, Text, Written};
use super::{escape, query};

impl Limited {
    /// Appends the value as text, at most as many bytes as its length allows. False if there is none.
    pub(super) fn write_text(&self, entry: &(impl Entry + ?Sized), out: &mut Vec<u8>) -> bool {
        let mark = out.len();
        if self.operator.write(entry, out) == Written::Absent {
            return false;
        }
        if let Operator::FilterState { plain: false, .. } = self.operator {
            escape::escape(out, mark, true);
        }
        self.cut(out, mark);
        true
    }

    /// Appends the value as JSON. False if there is none.
    pub(super) fn write_json(&self, entry: &(impl Entry + ?Sized), out: &mut Vec<u8>) -> bool {
        let mark = out.len();
        match self.operator.write(entry, out) {
            Written::Absent => return false,
            Written::Text => {
                // Envoy does not cut an object of the filter state that keeps its type.
                if !matches!(self.operator, Operator::FilterState { plain: false, .. }) {
                    self.cut(out, mark);
                }
                escape::escape(out, mark, true);
            }
            Written::Json => {}
        }
        true
    }

    fn cut(&self, out: &mut Vec<u8>, mark: usize) {
        if let Some(length) = self.length {
            out.truncate(mark.saturating_add(length));
        }
    }
}

impl Operator {
    /// Appends the value, not escaped.
    fn write<E: Entry + ?Sized>(&self, entry: &E, out: &mut Vec<u8>) -> Written {
        match self {
            Self::Start(format) => Written::text(entry.start().is_some_and(|start| format.write(start, out))),
            Self::Count(count) => {
                let Some(number) = entry.count(*count) else { return Written::Absent };
                push(out, number);
                Written::Json
            }
            Self::Text { text, underscores } => {
                let mark = out.len();
                let present = entry.text(*text, out);
                if *underscores {
                    out[mark..].iter_mut().filter(|byte| byte.is_ascii_whitespace()).for_each(|byte| *byte = b'_');
                }
                Written::text(present)
            }
            Self::Duration { from, to, unit } => {
                let Some(nanoseconds) = between(entry, *from, *to) else { return Written::Absent };
                push_signed(out, nanoseconds / unit.nanoseconds());
                Written::Json
            }
            Self::Between { from, to, unit } => {
                let Some(nanoseconds) = between(entry, *from, *to).filter(|time| *time >= 0) else {
                    return Written::Absent;
                };
                push_signed(out, nanoseconds / unit.nanoseconds());
                Written::Json
            }
            Self::Flags { long } => {
                // Never absent: without flags, a dash.
                if !entry.flags(*long, out) {
                    out.push(b'-');
                }
                Written::Text
            }
            Self::Address(peer, part) => {
                let present = entry.address(*peer).is_some_and(|address| address.write(*part, out));
                if *part == super::address::Part::Port { Written::json(present) } else { Written::text(present) }
            }
            Self::Header(header, alternative) => {
                let other = |out: &mut Vec<u8>| alternative.as_ref().is_some_and(|header| entry.header(header, out));
                Written::text(entry.header(header, out) || other(out))
            }
            Self::GrpcStatus { form, headers } => grpc_status(entry, *form, headers, out),
            Self::Path { query, from } => Written::text(path(entry, *query, *from, out)),
            Self::QueryParameter(name) => {
                let mark = out.len();
                Written::text(entry.text(Text::Path, out) && query::keep_parameter(out, mark, name.as_bytes()))
            }
            Self::Query { decoded } => {
                let mark = out.len();
                Written::text(entry.text(Text::Path, out) && query::keep_query(out, mark, *decoded))
            }
            Self::Metadata(path) => entry.metadata(path, out),
            Self::FilterState { key, .. } => Written::text(entry.filter_state(key, out)),
            Self::ServerName { from, hosts } => Written::text(server_name(entry, *from, hosts, out)),
            Self::Placeholder(placeholder) => {
                entry.placeholder(*placeholder, out);
                Written::Text
            }
            Self::Cel(expression) => expression.write(entry, out),
            Self::Coalesce(operators) => coalesce(entry, operators, out),
        }
    }
}

fn between(entry: &(impl Entry + ?Sized), from: Point, to: Point) -> Option<i64> {
    let from = if from == Point::Start { 0 } else { entry.point(from)? };
    let to = if to == Point::Start { 0 } else { entry.point(to)? };
    to.checked_sub(from)
}

fn coalesce(entry: &(impl Entry + ?Sized), operators: &[Limited], out: &mut Vec<u8>) -> Written {
    for limited in operators {
        let mark = out.len();
        let written = limited.operator.write(entry, out);
        if written != Written::Absent {
            if written == Written::Text {
                limited.cut(out, mark);
            }
            return written;
        }
    }
    Written::Absent
}

fn path(entry: &(impl Entry + ?Sized), query: bool, from: PathFrom, out: &mut Vec<u8>) -> bool {
    let mark = out.len();
    let present = match from {
        PathFrom::Original => entry.text(Text::OriginalPath, out),
        PathFrom::Path => entry.text(Text::Path, out),
        PathFrom::OriginalOrPath => entry.text(Text::OriginalPath, out) || entry.text(Text::Path, out),
    };
    if present && !query {
        let length = out[mark..].iter().position(|byte| *byte == b'?').unwrap_or(out.len() - mark);
        out.truncate(mark + length);
    }
    present
}

fn server_name(entry: &(impl Entry + ?Sized), from: NameFrom, hosts: &[Header], out: &mut Vec<u8>) -> bool {
    let host = |out: &mut Vec<u8>| hosts.iter().any(|header| entry.header(header, out));
    match from {
        NameFrom::Sni => entry.text(Text::ServerName, out),
        NameFrom::SniThenHost => entry.text(Text::ServerName, out) || host(out),
        NameFrom::HostThenSni => host(out) || entry.text(Text::ServerName, out),
    }
}

/// The status of gRPC: of a request whose content type is gRPC's, as the trailer or the header tells.
fn grpc_status(entry: &(impl Entry + ?Sized), form: GrpcForm, headers: &GrpcHeaders, out: &mut Vec<u8>) -> Written {
    let mark = out.len();
    let is_grpc = entry.header(&headers.content_type, out)
        && out[mark..].strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest, [] | [b'+', ..]));
    out.truncate(mark);
    if !is_grpc || !(entry.header(&headers.trailer, out) || entry.header(&headers.header, out)) {
        out.truncate(mark);
        return Written::Absent;
    }
    let code = std::str::from_utf8(&out[mark..]).ok().and_then(|text| text.parse::<u32>().ok());
    out.truncate(mark);
    let Some(code) = code else { return Written::Absent };
    let names = usize::try_from(code).ok().and_then(|code| GRPC_CODES.get(code));
    match (form, names) {
        (GrpcForm::Camel, Some((name, _))) | (GrpcForm::Snake, Some((_, name))) => {
            out.extend_from_slice(name.as_bytes());
            Written::Text
        }
        (GrpcForm::Number, _) => {
            push(out, code.into());
            Written::Json
        }
        (GrpcForm::Camel | GrpcForm::Snake, None) => {
            push(out, code.into());
            Written::Text
        }
    }
}
