//! Writes the transaction of what was read.

use std::borrow::Cow;
use std::io::Write;

use super::rule::{Item, Kind, Object, Part, Rule, Source, Target, Term};
use super::scan::{self, Line, MAX_PREFIXED, Raw, children};
use super::text::{push_name, push_number, push_plain, push_string, separate};
use super::unit::{MILLISECOND, Unit};

/// Items of a list that are read.
const MAX_ITEMS: usize = 100;

/// Applies rules to a line.
pub(super) struct Writer<'a> {
    pub(super) line: &'a Line<'a>,
    /// Texts that stand for no value.
    pub(super) absent: &'a [Box<[u8]>],
    pub(super) out: &'a mut Vec<u8>,
    /// Nothing more is written beyond so many bytes.
    pub(super) max_bytes: usize,
    /// Bits of what has a value that its rule cannot read, by number.
    pub(super) unreadable: Vec<u64>,
}

/// An item of a list; `None` if it has no value.
type Listed<'a> = Option<Cow<'a, [u8]>>;

impl<'a> Writer<'a> {
    /// Writes the members of an object that has been opened, and adds the names of the written ones to `names`.
    pub(super) fn members(&mut self, object: &'a Object, mut names: Option<&mut Vec<Cow<'a, [u8]>>>) {
        for target in &object.members {
            if self.out.len() > self.max_bytes {
                return;
            }
            if self.member(target)
                && let Some(names) = &mut names
            {
                names.push(Cow::Borrowed(target.name.as_bytes()));
            }
        }
    }

    /// Writes a member, unless it has no value.
    fn member(&mut self, target: &'a Target) -> bool {
        let before = self.out.len();
        separate(self.out);
        self.out.extend_from_slice(&target.json);
        let written = match &target.object {
            None => target.rules.iter().any(|rule| self.value(rule)),
            Some(object) => self.object(object, &target.rules),
        };
        if !written {
            self.out.truncate(before);
        }
        written
    }

    /// Writes an object with fixed members, and with those that the first of `rules` with any gives.
    fn object(&mut self, object: &'a Object, rules: &'a [Rule]) -> bool {
        self.out.push(b'{');
        let inside = self.out.len();
        if rules.is_empty() {
            self.members(object, None);
        } else {
            let mut names = Vec::new();
            self.members(object, Some(&mut names));
            let _ = rules.iter().any(|rule| self.applies(rule) && self.entries(rule, &mut names));
        }
        let written = self.out.len() > inside;
        self.out.push(b'}');
        written
    }

    fn applies(&self, rule: &Rule) -> bool {
        let Some((slot, present)) = rule.guard else { return true };
        let raw = self.line.slots[slot];
        let is_list = raw.kind == scan::Kind::Plain && memchr::memchr2(b',', b' ', raw.of(self.line.input)).is_some();
        let has_value = self.has_value(raw) && (!is_list || self.items(raw).pop().flatten().is_some());
        has_value == present
    }

    /// Writes the value that `rule` gives; nothing if there is none.
    fn value(&mut self, rule: &'a Rule) -> bool {
        if !self.applies(rule) {
            return false;
        }
        match &rule.source {
            Source::Constant(json) => {
                self.out.extend_from_slice(json);
                true
            }
            Source::Slots(slots) if rule.kind == Kind::Headers => {
                slots.iter().any(|slot| self.entries_object(|this| this.headers(*slot, &mut Vec::new())))
            }
            Source::Slots(slots) => slots.iter().any(|slot| self.slot(*slot, rule)),
            Source::Sum(terms) => self.sum(terms, rule.item.unwrap_or(Item::All)),
            Source::Template(parts) => self.template(parts),
            Source::Each(targets) => self.each(targets),
            Source::Prefix(_) | Source::Rest => self.entries_object(|this| this.entries(rule, &mut Vec::new())),
        }
    }

    /// Writes an object of the entries that `write` writes, unless there are none.
    fn entries_object(&mut self, write: impl FnOnce(&mut Self) -> bool) -> bool {
        let before = self.out.len();
        self.out.push(b'{');
        let written = write(self);
        self.out.push(b'}');
        if !written {
            self.out.truncate(before);
        }
        written
    }

    /// Writes the members that `rule` gives into an open object with members called `names`.
    fn entries(&mut self, rule: &'a Rule, names: &mut Vec<Cow<'a, [u8]>>) -> bool {
        match &rule.source {
            Source::Prefix(prefix) => {
                let before = self.out.len();
                let line = self.line;
                for (_, name, value) in line.prefixed.iter().filter(|(of, ..)| of == prefix) {
                    let name = if rule.kind == Kind::Headers {
                        Cow::Owned(name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect())
                    } else {
                        Cow::Borrowed(&**name)
                    };
                    self.entry(name, *value, rule.kind == Kind::Headers, names);
                }
                self.out.len() > before
            }
            Source::Slots(slots) => slots.iter().any(|slot| self.headers(*slot, names)),
            Source::Rest => {
                if self.line.rest.is_empty() {
                    return false;
                }
                separate(self.out);
                self.out.extend_from_slice(&self.line.rest);
                true
            }
            _ => false,
        }
    }

    /// Writes the members of the object in `slot` as headers.
    fn headers(&mut self, slot: usize, names: &mut Vec<Cow<'a, [u8]>>) -> bool {
        let raw = self.line.slots[slot];
        if !matches!(raw.kind, scan::Kind::Container | scan::Kind::LooseContainer) || raw.of(self.line.input)[0] != b'{'
        {
            if self.has_value(raw) {
                self.mark(slot);
            }
            return false;
        }
        let before = self.out.len();
        for (name, value) in children(self.line.input, raw).into_iter().take(MAX_PREFIXED) {
            self.entry(name.unwrap_or_default(), value, true, names);
        }
        self.out.len() > before
    }

    /// Writes one member of an open object, unless it has one of that name.
    fn entry(&mut self, name: Cow<'a, [u8]>, value: Raw, header: bool, names: &mut Vec<Cow<'a, [u8]>>) {
        let name = if header && name.iter().any(u8::is_ascii_uppercase) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            name
        };
        if !self.has_value(value) || names.contains(&name) {
            return;
        }
        let input = self.line.input;
        let is_array = header && value.of(input).first() == Some(&b'[') && !matches!(value.kind, scan::Kind::Plain);
        let value = if is_array {
            let mut elements = children(input, value);
            match elements.len() {
                0 => return,
                1 => elements.swap_remove(0).1,
                _ => value,
            }
        } else {
            value
        };
        push_name(self.out, &name);
        scan::push(self.out, input, value);
        names.push(name);
    }

    /// Whether a value is there and does not stand for none.
    fn has_value(&self, raw: Raw) -> bool {
        match raw.kind {
            scan::Kind::None => false,
            scan::Kind::Plain => !self.is_absent(raw.of(self.line.input)),
            _ => true,
        }
    }

    fn is_absent(&self, text: &[u8]) -> bool {
        self.absent.iter().any(|absent| **absent == *text)
    }

    /// Notes that the value in `slot` cannot be read.
    #[cold]
    fn mark(&mut self, slot: usize) {
        self.unreadable[slot / 64] |= 1 << (slot % 64);
    }

    /// Writes the value in `slot`.
    fn slot(&mut self, slot: usize, rule: &'a Rule) -> bool {
        let raw = self.line.slots[slot];
        if !self.has_value(raw) {
            return false;
        }
        if rule.kind == Kind::Unchanged && rule.item.is_none() && rule.values.is_empty() {
            scan::push(self.out, self.line.input, raw);
            return true;
        }
        let found = match rule.item {
            None => raw.text(self.line.input),
            Some(Item::First) => self.items(raw).into_iter().next().flatten(),
            Some(Item::Last) => self.items(raw).pop().flatten(),
            Some(Item::All) => return self.all(raw, slot, rule),
        };
        match found {
            Some(text) => self.convert(&text, slot, rule),
            None => {
                if rule.item.is_none() {
                    self.mark(slot);
                }
                false
            }
        }
    }

    /// Writes all items of a list as an array.
    fn all(&mut self, raw: Raw, slot: usize, rule: &'a Rule) -> bool {
        let before = self.out.len();
        self.out.push(b'[');
        for item in self.items(raw).into_iter().flatten() {
            let here = self.out.len();
            separate(self.out);
            if !self.convert(&item, slot, rule) {
                self.out.truncate(here);
            }
        }
        let written = self.out.len() > before + 1;
        self.out.push(b']');
        if !written {
            self.out.truncate(before);
        }
        written
    }

    /// Writes `text`, which is in `slot`, as `rule` says.
    fn convert(&mut self, text: &[u8], slot: usize, rule: &Rule) -> bool {
        if let Some((_, json)) = rule.values.iter().find(|(known, _)| known == text) {
            self.out.extend_from_slice(json);
            return true;
        }
        let written = match rule.kind {
            Kind::Unchanged | Kind::String | Kind::Headers => {
                push_string(self.out, text);
                true
            }
            Kind::Number => push_number(self.out, text.trim_ascii()),
            Kind::Milliseconds(unit) => match unit.read(text) {
                Some(time) => return self.milliseconds(time),
                // A negative one stands for no value.
                None if text.first() == Some(&b'-') => return false,
                None => false,
            },
            Kind::Query => {
                logphase_protocol::envoy::push_query(self.out, text);
                true
            }
            Kind::UriQuery => {
                logphase_protocol::envoy::push_query(self.out, query_of(text));
                true
            }
            Kind::RequestTarget => match target_of(text) {
                Some(target) => {
                    push_string(self.out, target);
                    true
                }
                None => false,
            },
            Kind::Ip => {
                push_string(self.out, split_address(text).0);
                true
            }
            Kind::Port => return split_address(text).1.is_some_and(|port| push_number(self.out, port)),
        };
        if !written {
            self.mark(slot);
        }
        written
    }

    /// Writes a time in nanoseconds as whole milliseconds.
    fn milliseconds(&mut self, time: i128) -> bool {
        match u64::try_from(time / MILLISECOND) {
            // Writing to memory does not fail.
            Ok(time) => write!(self.out, "{time}").is_ok(),
            Err(_) => false,
        }
    }

    /// Writes a sum: none without a value of the first term; other terms without one count nothing.
    fn sum(&mut self, terms: &[Term], item: Item) -> bool {
        let mut total = 0_i128;
        for (at, term) in terms.iter().enumerate() {
            match self.term(*term, item) {
                Some(time) if term.negative => total -= time,
                Some(time) => total += time,
                None if at == 0 => return false,
                None => {}
            }
        }
        self.milliseconds(total.max(0))
    }

    fn term(&mut self, term: Term, item: Item) -> Option<i128> {
        let raw = self.line.slots[term.slot];
        if !self.has_value(raw) {
            return None;
        }
        let is_list = raw.text(self.line.input).is_none_or(|text| memchr::memchr2(b',', b' ', &text).is_some());
        if !is_list || term.unit == Unit::Rfc3339 {
            let text = raw.text(self.line.input)?;
            return self.time(&text, term);
        }
        let mut items = self.items(raw);
        match item {
            Item::First => self.time(&items.into_iter().next()??, term),
            Item::Last => self.time(&items.pop()??, term),
            Item::All => {
                let times: Vec<_> = items.iter().flatten().filter_map(|item| self.time(item, term)).collect();
                (!times.is_empty()).then(|| times.iter().sum())
            }
        }
    }

    fn time(&mut self, text: &[u8], term: Term) -> Option<i128> {
        let time = term.unit.read(text);
        if time.is_none() && text.first() != Some(&b'-') {
            self.mark(term.slot);
        }
        time
    }

    /// Writes a text with values in it, if all of them are there.
    fn template(&mut self, parts: &[Part]) -> bool {
        let before = self.out.len();
        self.out.push(b'"');
        for part in parts {
            match part {
                Part::Text(text) => self.out.extend_from_slice(text),
                Part::Slot(slot, is_line) => {
                    let raw = self.line.slots[*slot];
                    let text = if self.has_value(raw) { raw.text(self.line.input) } else { None };
                    let text = match (text, is_line) {
                        (Some(line), true) => target_of(&line).map(|target| Cow::Owned(target.to_vec())),
                        (text, _) => text,
                    };
                    let Some(text) = text else {
                        self.out.truncate(before);
                        return false;
                    };
                    // The content without its quotes.
                    let quote = self.out.len() - 1;
                    let last = self.out[quote];
                    self.out.truncate(quote);
                    if matches!(raw.kind, scan::Kind::Escaped) {
                        push_string(self.out, &text);
                    } else {
                        push_plain(self.out, &text);
                    }
                    self.out[quote] = last;
                    self.out.pop();
                }
            }
        }
        self.out.push(b'"');
        true
    }

    /// Writes an array of an object for each item of lists.
    fn each(&mut self, targets: &'a [(Target, usize)]) -> bool {
        let lists: Vec<Vec<Listed<'_>>> = targets
            .iter()
            .map(|(_, slot)| self.line.slots[*slot])
            .map(|raw| if self.has_value(raw) { self.items(raw) } else { Vec::new() })
            .collect();
        let length = lists.iter().map(Vec::len).max().unwrap_or(0);
        let before = self.out.len();
        self.out.push(b'[');
        for at in 0..length {
            let start = self.out.len();
            separate(self.out);
            self.out.push(b'{');
            let inside = self.out.len();
            for ((target, slot), list) in targets.iter().zip(&lists) {
                let Some(Some(item)) = list.get(at) else { continue };
                let here = self.out.len();
                separate(self.out);
                self.out.extend_from_slice(&target.json);
                if !target.rules.iter().any(|rule| self.convert(item, *slot, rule)) {
                    self.out.truncate(here);
                }
            }
            if self.out.len() == inside {
                self.out.truncate(start);
            } else {
                self.out.push(b'}');
            }
        }
        let written = self.out.len() > before + 1;
        self.out.push(b']');
        if !written {
            self.out.truncate(before);
        }
        written
    }

    /// The items of a list: the elements of an array, or the parts of a text between `,` and between ` : `, as nginx writes
    /// the upstreams of a request.
    fn items(&self, raw: Raw) -> Vec<Listed<'a>> {
        let input = self.line.input;
        let found: Vec<Cow<'a, [u8]>> = match raw.text(input) {
            Some(Cow::Borrowed(text)) => split(text).map(Cow::Borrowed).take(MAX_ITEMS).collect(),
            Some(Cow::Owned(text)) => split(&text).map(|item| Cow::Owned(item.to_vec())).take(MAX_ITEMS).collect(),
            None => {
                let elements = children(input, raw).into_iter().take(MAX_ITEMS);
                elements.map(|(_, element)| element.text(input).unwrap_or_default()).collect()
            }
        };
        found.into_iter().map(|item| Some(item).filter(|item| !self.is_absent(item))).collect()
    }
}

fn split(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr::memchr2_iter(b',', b':', text).find(|at| {
            text[*at] == b',' || (*at > 0 && text[at - 1] == b' ' && text.get(at + 1).is_none_or(|byte| *byte == b' '))
        });
        rest = end.map(|end| &text[end + 1..]);
        Some(end.map_or(text, |end| &text[..end]).trim_ascii())
    })
}

/// The target in a request line, `GET /path?query HTTP/1.1`.
fn target_of(line: &[u8]) -> Option<&[u8]> {
    let (_, rest) = line.split_at_checked(memchr::memchr(b' ', line)? + 1)?;
    let target = memchr::memrchr(b' ', rest).map_or(rest, |end| &rest[..end]);
    (!target.is_empty()).then_some(target)
}

/// What follows the question mark of a URI.
fn query_of(uri: &[u8]) -> &[u8] {
    let query = memchr::memchr(b'?', uri).map_or(&b""[..], |at| &uri[at + 1..]);
    memchr::memchr(b'#', query).map_or(query, |end| &query[..end])
}

/// `ADDRESS:PORT`, `[ADDRESS]:PORT`, an address alone, or the path of a Unix socket.
fn split_address(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    if let Some(inner) = text.strip_prefix(b"[")
        && let Some(end) = memchr::memchr(b']', inner)
    {
        return (&inner[..end], inner[end + 1..].strip_prefix(b":"));
    }
    match memchr::memrchr(b':', text) {
        Some(at)
            if text[at + 1..].iter().all(u8::is_ascii_digit) && !text[..at].contains(&b':') && at + 1 < text.len() =>
        {
            (&text[..at], Some(&text[at + 1..]))
        }
        _ => (text, None),
    }
}
