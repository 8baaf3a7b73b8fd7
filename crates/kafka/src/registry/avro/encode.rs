//! Encodes values.

use serde_json::Value;
use serde_json::value::RawValue;

use super::json::{Json, Members};
use super::number;
use super::{Avro, Field, Mismatch, Node};

/// How deep values may be nested: well within the stack of a thread, also without optimization.
const MAX_DEPTH: usize = 64;
/// How many bytes of JSON may be read for branches of unions that turn out not to fit. Nested unions would otherwise
/// multiply the work at each level.
const MAX_WASTE: usize = 16 << 20;
/// How many values a default may consist of.
const MAX_DEFAULT_VALUES: usize = 10_000;

/// Appends a message to `out`.
pub(super) fn message(avro: &Avro, raw: &RawValue, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let mut encoder = Encoder { avro, out, default: false, depth: 0, values: 0, read: 0, wasted: 0, left_out: 0 };
    encoder.value(avro.root, raw)
}

/// The bytes of a field's default.
pub(super) fn default(avro: &Avro, node: usize, json: &Value) -> Result<Vec<u8>, Mismatch> {
    let mut out = Vec::new();
    let mut encoder =
        Encoder { avro, out: &mut out, default: true, depth: 0, values: 0, read: 0, wasted: 0, left_out: 0 };
    encoder.default(node, json)?;
    Ok(out)
}

struct Encoder<'a> {
    avro: &'a Avro,
    out: &'a mut Vec<u8>,
    /// Encodes a default: other defaults may not be encoded yet.
    default: bool,
    depth: usize,
    values: usize,
    /// Bytes of JSON that were read, those of inner values once for each level.
    read: usize,
    /// Those of them that were read for branches that do not fit.
    wasted: usize,
    /// Members that have no field.
    left_out: usize,
}

impl Encoder<'_> {
    fn value(&mut self, node: usize, raw: &RawValue) -> Result<(), Mismatch> {
        self.values += 1;
        self.read = self.read.saturating_add(raw.get().len());
        if self.depth >= MAX_DEPTH {
            return Err(Mismatch::new(format!("nested more than {MAX_DEPTH} deep")));
        }
        if self.wasted > MAX_WASTE {
            return Err(Mismatch::new("the schema's unions leave too many ways to encode this message"));
        }
        if self.default && self.values > MAX_DEFAULT_VALUES {
            return Err(Mismatch::new(format!("the default has more than {MAX_DEFAULT_VALUES} values")));
        }
        self.depth += 1;
        let json = Json::read(raw).map_err(|error| Mismatch::new(format!("not JSON: {error}")));
        let done = json.and_then(|json| self.typed(node, raw, &json));
        self.depth -= 1;
        done
    }

    /// Encodes what contains other values. All else is in [`Self::scalar`], which keeps the stack frames of the
    /// recursion small.
    fn typed(&mut self, node: usize, raw: &RawValue, json: &Json<'_>) -> Result<(), Mismatch> {
        let avro = self.avro;
        match (&avro.nodes[node], json) {
            (Node::Union(branches), _) => self.union(branches, raw, json),
            (Node::Array(items), Json::Array(values)) => self.array(*items, values),
            (Node::Map(types), Json::Object(members)) => self.map(*types, members),
            (Node::Record { fields, .. }, Json::Object(members)) => self.record(fields, members),
            (node, json) => self.scalar(node, json),
        }
    }

    fn scalar(&mut self, node: &Node, json: &Json<'_>) -> Result<(), Mismatch> {
        match (node, json) {
            (Node::Null, Json::Null) => {}
            (Node::Boolean, Json::Boolean(value)) => self.out.push(u8::from(*value)),
            (_, Json::Number(text)) => self.number(node, text)?,
            (_, Json::String(text)) => self.text(node, text)?,
            _ => return Err(misfit(node, json.describe())),
        }
        Ok(())
    }

    fn number(&mut self, node: &Node, text: &str) -> Result<(), Mismatch> {
        let refused = |error| Mismatch::new(format!("{} {error}", cut(text)));
        match node {
            Node::Int => self.long(i64::from(integer::<i32>(text, "int")?)),
            Node::Long => self.long(integer::<i64>(text, "long")?),
            Node::Float => self.out.extend_from_slice(&number::float(text).map_err(refused)?.to_le_bytes()),
            Node::Double => self.out.extend_from_slice(&number::double(text).map_err(refused)?.to_le_bytes()),
            Node::Decimal { .. } => self.decimal(node, text)?,
            _ => return Err(misfit(node, "a number")),
        }
        Ok(())
    }

    fn text(&mut self, node: &Node, text: &str) -> Result<(), Mismatch> {
        match node {
            Node::String => self.bytes(text.as_bytes()),
            Node::UuidText => {
                uuid(text)?;
                self.bytes(text.as_bytes());
            }
            Node::UuidFixed if !self.default => self.out.extend_from_slice(uuid(text)?.as_bytes()),
            Node::UuidFixed => self.fixed(16, text)?,
            Node::Bytes => self.latin_1(text)?,
            // In a default, a decimal is a string of its bytes.
            Node::Decimal { size: None, .. } if self.default => self.latin_1(text)?,
            Node::Decimal { size: Some(size), .. } if self.default => self.fixed(*size, text)?,
            Node::Fixed { size, .. } => self.fixed(*size, text)?,
            Node::Enum { symbols, .. } => {
                let symbol = symbols.iter().position(|symbol| symbol == text);
                let symbol = symbol.ok_or_else(|| Mismatch::new(format!("not one of {}", listed(symbols))))?;
                self.long(symbol as i64);
            }
            _ => return Err(misfit(node, "a string")),
        }
        Ok(())
    }

    /// Zig-zag encoding, then a variable-length integer.
    fn long(&mut self, value: i64) {
        let mut rest = (value << 1 ^ value >> 63) as u64;
        while rest >= 0x80 {
            self.out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.long(bytes.len() as i64);
        self.out.extend_from_slice(bytes);
    }

    fn latin_1(&mut self, text: &str) -> Result<(), Mismatch> {
        let bytes = latin_1(text)?;
        self.bytes(&bytes);
        Ok(())
    }

    fn fixed(&mut self, size: usize, text: &str) -> Result<(), Mismatch> {
        let bytes = latin_1(text)?;
        if bytes.len() != size {
            return Err(Mismatch::new(format!("expected {size} bytes, found {}", bytes.len())));
        }
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    fn decimal(&mut self, node: &Node, text: &str) -> Result<(), Mismatch> {
        let Node::Decimal { precision, scale, size } = *node else { return Ok(()) };
        let refused = || Mismatch::new(format!("{} does not fit {} exactly", cut(text), node.describe()));
        let unscaled = number::scaled(text, scale).filter(|value| value.unsigned_abs() < 10_u128.pow(precision));
        let bytes = number::big_endian(unscaled.ok_or_else(refused)?, size).ok_or_else(refused)?;
        match size {
            Some(_) => self.out.extend_from_slice(&bytes),
            None => self.bytes(&bytes),
        }
        Ok(())
    }

    fn array(&mut self, items: usize, values: &[&RawValue]) -> Result<(), Mismatch> {
        if !values.is_empty() {
            self.long(values.len() as i64);
        }
        for (index, value) in values.iter().enumerate() {
            self.value(items, value).map_err(|mismatch| mismatch.within(index.to_string()))?;
        }
        self.long(0);
        Ok(())
    }

    fn map(&mut self, types: usize, members: &Members<'_>) -> Result<(), Mismatch> {
        if !members.list.is_empty() {
            self.long(members.list.len() as i64);
        }
        for (name, value) in &members.list {
            self.bytes(name.as_bytes());
            self.value(types, value).map_err(|mismatch| mismatch.within(name.as_ref()))?;
        }
        self.long(0);
        Ok(())
    }

    fn record(&mut self, fields: &[Field], members: &Members<'_>) -> Result<(), Mismatch> {
        let mut found = 0;
        for field in fields {
            let done = match members.get(&field.name) {
                Some(value) => {
                    found += 1;
                    self.value(field.node, value)
                }
                None => self.missing(field),
            };
            done.map_err(|mismatch| mismatch.within(&*field.name))?;
        }
        self.left_out += members.list.len() - found;
        Ok(())
    }

    fn missing(&mut self, field: &Field) -> Result<(), Mismatch> {
        let Some(default) = &field.default else {
            let expected = self.avro.nodes[field.node].describe();
            return Err(Mismatch::new(format!("missing; expected {expected}, and the schema has no default")));
        };
        if self.default {
            return self.default(field.node, &default.json);
        }
        match &default.encoded {
            Ok(bytes) => self.out.extend_from_slice(bytes),
            Err(reason) => {
                return Err(Mismatch::new(format!("missing, and the schema's default does not fit: {reason}")));
            }
        }
        Ok(())
    }

    fn default(&mut self, node: usize, json: &Value) -> Result<(), Mismatch> {
        let raw = serde_json::value::to_raw_value(json).map_err(|error| Mismatch::new(error.to_string()))?;
        self.value(node, &raw)
    }

    fn union(&mut self, branches: &[usize], raw: &RawValue, json: &Json<'_>) -> Result<(), Mismatch> {
        let mut candidates: Vec<(u8, usize, usize)> = Vec::with_capacity(branches.len());
        for (place, &branch) in branches.iter().enumerate() {
            candidates.extend(rank(&self.avro.nodes[branch], json).map(|rank| (rank, place, branch)));
        }
        candidates.sort_unstable();
        let (start, before) = (self.out.len(), self.left_out);
        let mut best: Option<(usize, Vec<u8>)> = None;
        let mut nearest: Option<Mismatch> = None;
        for (_, place, branch) in candidates {
            let read = self.read;
            self.long(place as i64);
            let failure = self.typed(branch, raw, json).err();
            let left_out = std::mem::replace(&mut self.left_out, before) - before;
            if failure.is_none() && left_out == 0 {
                return Ok(());
            }
            self.wasted = self.wasted.saturating_add(self.read - read + raw.get().len());
            match failure {
                None if best.as_ref().is_none_or(|(least, _)| left_out < *least) => {
                    best = Some((left_out, self.out[start..].to_vec()));
                }
                Some(failure) if nearest.as_ref().is_none_or(|nearest| failure.depth() > nearest.depth()) => {
                    nearest = Some(failure);
                }
                _ => {}
            }
            self.out.truncate(start);
        }
        if let Some((left_out, bytes)) = best {
            self.left_out = before + left_out;
            self.out.extend_from_slice(&bytes);
            return Ok(());
        }
        Err(nearest.unwrap_or_else(|| {
            let expected: Vec<String> = branches.iter().map(|&branch| self.avro.nodes[branch].describe()).collect();
            Mismatch::new(format!("expected one of {}, found {}", listed(&expected), json.describe()))
        }))
    }
}

/// The rank of a branch among those that a value may fit: lower is tried first. None if it cannot fit.
fn rank(node: &Node, json: &Json<'_>) -> Option<u8> {
    match (node, json) {
        (Node::Int | Node::Long | Node::Decimal { .. }, Json::Number(_)) => Some(0),
        (Node::Double, Json::Number(_)) => Some(1),
        (Node::Float, Json::Number(_)) => Some(2),
        (Node::Null, Json::Null)
        | (Node::Boolean, Json::Boolean(_))
        | (Node::Array(_), Json::Array(_))
        | (Node::Map(_) | Node::Record { .. }, Json::Object(_)) => Some(0),
        (Node::String | Node::UuidText | Node::UuidFixed | Node::Bytes, Json::String(_)) => Some(0),
        (Node::Fixed { .. } | Node::Enum { .. }, Json::String(_)) => Some(0),
        // The bytes of a default. In a message, the branch itself refuses a string.
        (Node::Decimal { .. }, Json::String(_)) => Some(0),
        _ => None,
    }
}

fn misfit(node: &Node, found: &str) -> Mismatch {
    Mismatch::new(format!("expected {}, found {found}", node.describe()))
}

fn integer<T: TryFrom<i128>>(text: &str, name: &str) -> Result<T, Mismatch> {
    let exact = number::scaled(text, 0).and_then(|value| T::try_from(value).ok());
    exact.ok_or_else(|| Mismatch::new(format!("{} does not fit {name}", cut(text))))
}

fn uuid(text: &str) -> Result<uuid::Uuid, Mismatch> {
    uuid::Uuid::try_parse(text).map_err(|_| Mismatch::new("expected a UUID"))
}

fn latin_1(text: &str) -> Result<Vec<u8>, Mismatch> {
    let byte = |character: char| {
        let reason = "contains a character past U+00FF; each byte is one character";
        u8::try_from(u32::from(character)).map_err(|_| Mismatch::new(reason))
    };
    text.chars().map(byte).collect()
}

/// The beginning of a number, for an error: a number can be very long.
fn cut(text: &str) -> &str {
    // A number is ASCII.
    text.get(..40).unwrap_or(text)
}

fn listed(names: &[String]) -> String {
    let shown = &names[..names.len().min(12)];
    format!("{}{}", shown.join(", "), if shown.len() < names.len() { ", ..." } else { "" })
}
