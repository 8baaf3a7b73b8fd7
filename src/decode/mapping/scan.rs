//! Reads the incoming object in a single pass, as far as proxies' hand-made JSON allows.
//!
//! What is no JSON and has one meaning is taken: `\xHH` and other escapes that JSON lacks, control characters and bytes that
//! are not UTF-8 in strings, a missing number, `-` and `007`. Everything else is refused, with the member that it is about.

use std::borrow::Cow;

use logphase_script::transaction::Limits;

use super::Rejected;
use super::sources::{Entry, Sources};
use super::text::{self, decode};

/// The maximum depth of recursion, whatever the limit is, which protects the stack.
const MAX_DEPTH: usize = 512;

/// Members that a prefix collects of one object. Kong logs as many headers (`lua_max_req_headers`).
pub(super) const MAX_PREFIXED: usize = 100;

/// The kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// There is none: the member is missing, `null`, or has nothing after its colon.
    #[default]
    None,
    /// A string whose content is JSON as it stands.
    Plain,
    /// A string whose content has escapes or needs repair.
    Escaped,
    /// A number as JSON has it.
    Number,
    /// A number as proxies write it, such as `007`.
    LooseNumber,
    /// `true` or `false`.
    Boolean,
    /// An object or an array that is JSON as it stands.
    Container,
    /// An object or an array with something that needs repair in it.
    LooseContainer,
}

/// A value of the incoming object.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Raw {
    pub(super) kind: Kind,
    /// Of a string the content between the quotes.
    start: u32,
    end: u32,
}

impl Raw {
    /// Its text as it stands.
    pub(super) fn of(self, input: &[u8]) -> &[u8] {
        &input[self.start as usize..self.end as usize]
    }

    /// The text of a string, a number or a boolean; repaired.
    pub(super) fn text(self, input: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self.kind {
            Kind::None | Kind::Container | Kind::LooseContainer => None,
            Kind::Escaped => Some(Cow::Owned(decode(self.of(input)))),
            Kind::Plain | Kind::Number | Kind::LooseNumber | Kind::Boolean => Some(Cow::Borrowed(self.of(input))),
        }
    }
}

/// What was read of one object.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// The bytes that the values are slices of.
    pub(super) input: &'a [u8],
    /// The value of each slot.
    pub(super) slots: Vec<Raw>,
    /// Members of prefixes: the prefix, the rest of the name, the value.
    pub(super) prefixed: Vec<(usize, Cow<'a, [u8]>, Raw)>,
    /// The members that nothing reads, as the content of an object; empty unless they are kept.
    pub(super) rest: Vec<u8>,
    /// Bits of what was there, by number.
    pub(super) present: Vec<u64>,
    /// Names of members that nothing reads; empty unless they are to be told.
    pub(super) unmapped: Vec<String>,
}

/// What is done with members that nothing reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unread<'a> {
    /// They are kept, unless their text is one of `absent`.
    pub(super) keep: bool,
    /// Texts that stand for no value.
    pub(super) absent: &'a [Box<[u8]>],
    /// Their names are told.
    pub(super) tell: bool,
}

/// Reads the object that begins at or after `at`. Returns also the offset after it.
pub(super) fn scan<'a>(
    input: &'a [u8],
    at: usize,
    sources: &'a Sources,
    limits: &Limits,
    unread: Unread<'a>,
) -> Result<(Line<'a>, usize), Rejected> {
    let line = Line {
        input,
        slots: vec![Raw::default(); sources.slots()],
        prefixed: Vec::new(),
        rest: Vec::new(),
        present: vec![0; sources.len().div_ceil(64)],
        unmapped: Vec::new(),
    };
    let mut scanner = Scanner {
        input,
        at,
        sources,
        unread,
        line,
        loose: false,
        member: None,
        depth_left: limits.max_depth.min(MAX_DEPTH),
        members_left: limits.max_members,
    };
    scanner.space();
    let start = scanner.at;
    if scanner.peek() != Some(b'{') {
        return Err(scanner.wrong(start, "expected an object"));
    }
    scanner.object(Some(0))?;
    let Scanner { line, at: end, .. } = scanner;
    if end - start > limits.max_bytes.min(u32::MAX as usize) {
        let reason = format!("longer than the limit of {} bytes for a transaction", limits.max_bytes);
        return Err(Rejected { offset: start, reason, too_large: true });
    }
    Ok((line, end))
}

/// The elements of an array, or the members of an object with their names, of a value that was read before.
pub(super) fn children(input: &[u8], raw: Raw) -> Vec<(Option<Cow<'_, [u8]>>, Raw)> {
    let mut scanner = Scanner::over(input, raw.start as usize);
    let mut found = Vec::new();
    let object = scanner.peek() == Some(b'{');
    scanner.at += 1;
    // What was read once is read again without an error.
    while let Ok(Some(name)) = scanner.next_name(object, found.is_empty()) {
        let Ok(value) = scanner.value(None) else { break };
        found.push((name.map(|name| scanner.name_text(name)), value));
    }
    found
}

/// A name between its quotes, and whether it is more than plain text.
#[derive(Clone, Copy)]
struct Name {
    start: usize,
    end: usize,
    escaped: bool,
}

struct Scanner<'a> {
    input: &'a [u8],
    at: usize,
    sources: &'a Sources,
    unread: Unread<'a>,
    line: Line<'a>,
    /// Something in the value that is being read is no JSON.
    loose: bool,
    /// The last name, for errors.
    member: Option<Name>,
    depth_left: usize,
    members_left: usize,
}

static NOTHING: std::sync::LazyLock<Sources> = std::sync::LazyLock::new(Sources::default);

impl<'a> Scanner<'a> {
    /// A scanner from `at` on that collects nothing.
    fn over(input: &'a [u8], at: usize) -> Self {
        let line = Line {
            input,
            slots: Vec::new(),
            prefixed: Vec::new(),
            rest: Vec::new(),
            present: Vec::new(),
            unmapped: Vec::new(),
        };
        let unread = Unread { keep: false, absent: &[], tell: false };
        let (depth_left, members_left) = (MAX_DEPTH + 1, usize::MAX);
        let member = None;
        Self { input, at, sources: &NOTHING, unread, line, loose: false, member, depth_left, members_left }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.input.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Reads an object, of which the members of `level` are collected.
    fn object(&mut self, level: Option<usize>) -> Result<(), Rejected> {
        self.enter()?;
        self.at += 1;
        let mut first = true;
        while let Some(Some(name)) = self.next_name(true, first)? {
            first = false;
            match level {
                Some(level) => self.member_of(level, name)?,
                None => drop(self.value(None)?),
            }
        }
        self.depth_left += 1;
        Ok(())
    }

    fn array(&mut self) -> Result<(), Rejected> {
        self.enter()?;
        self.at += 1;
        let mut first = true;
        while self.next_name(false, first)?.is_some() {
            first = false;
            self.value(None)?;
        }
        self.depth_left += 1;
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Rejected> {
        match self.depth_left.checked_sub(1) {
            Some(left) => self.depth_left = left,
            None => return Err(self.too_large("nested deeper than the limit `limits.max_depth`")),
        }
        Ok(())
    }

    /// Goes to the next element, the `first` one perhaps, behind the name of a member of an `object`; `None` behind the end.
    fn next_name(&mut self, object: bool, first: bool) -> Result<Option<Option<Name>>, Rejected> {
        let close = if object { b'}' } else { b']' };
        self.space();
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.space();
            }
            None => return Err(self.cut_off()),
            Some(_) if !first => return Err(self.after_value()),
            Some(_) => {}
        }
        match self.members_left.checked_sub(1) {
            Some(left) => self.members_left = left,
            None => return Err(self.too_large("more members than the limit `limits.max_members`")),
        }
        if !object {
            return Ok(Some(None));
        }
        if self.peek() != Some(b'"') {
            return Err(self.no_name());
        }
        let (start, end, plain) = self.string()?;
        self.loose |= !plain;
        let name = Name { start, end, escaped: !plain };
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.no_name());
        }
        self.member = Some(name);
        self.at += 1;
        self.space();
        Ok(Some(Some(name)))
    }

    /// Reads the value of the member `name` of `level`.
    fn member_of(&mut self, level: usize, name: Name) -> Result<(), Rejected> {
        let (sources, input) = (self.sources, self.input);
        let level = sources.level(level);
        let text = self.name_text(name);
        if let Some(Entry { slot, level: inner, .. }) = level.find(&text) {
            let value =
                if self.unread.keep && inner.is_some() { self.keeping(&text, *inner) } else { self.value(*inner) };
            if let Some(slot) = *slot {
                self.line.slots[slot] = value?;
                self.line.present[slot / 64] |= 1 << (slot % 64);
                return Ok(());
            }
            return value.map(drop);
        }
        let value = self.value(None)?;
        if let Some((prefix, rest)) = level.prefix_of(&text) {
            let id = sources.id_of_prefix(prefix);
            self.line.present[id / 64] |= 1 << (id % 64);
            if self.line.prefixed.len() < MAX_PREFIXED {
                let rest = match &text {
                    Cow::Borrowed(text) => Cow::Borrowed(&text[text.len() - rest.len()..]),
                    Cow::Owned(_) => Cow::Owned(rest.to_vec()),
                };
                self.line.prefixed.push((prefix, rest, value));
            }
            return Ok(());
        }
        if self.unread.tell {
            self.line.unmapped.push(String::from_utf8_lossy(&text).into_owned());
        }
        let is_absent = value.kind == Kind::Plain && self.unread.absent.iter().any(|text| **text == *value.of(input));
        if self.unread.keep && value.kind != Kind::None && !is_absent {
            text::push_name(&mut self.line.rest, &text);
            push(&mut self.line.rest, input, value);
        }
        Ok(())
    }

    /// Reads the object `name`, whose unread members are kept in an object of that name.
    fn keeping(&mut self, name: &[u8], level: Option<usize>) -> Result<Raw, Rejected> {
        let before = self.line.rest.len();
        text::push_name(&mut self.line.rest, name);
        self.line.rest.push(b'{');
        let inside = self.line.rest.len();
        let value = self.value(level);
        if self.line.rest.len() == inside {
            self.line.rest.truncate(before);
        } else {
            self.line.rest.push(b'}');
        }
        value
    }

    fn name_text(&self, name: Name) -> Cow<'a, [u8]> {
        let text = &self.input[name.start..name.end];
        if name.escaped { Cow::Owned(decode(text)) } else { Cow::Borrowed(text) }
    }

    /// Reads a value; if it is an object, the members of `level` are collected.
    fn value(&mut self, level: Option<usize>) -> Result<Raw, Rejected> {
        let raw = |kind, start: usize, end: usize| {
            // Longer inputs are refused before anything is read of them.
            Raw { kind, start: start as u32, end: end as u32 }
        };
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                let (start, end, plain) = self.string()?;
                self.loose |= !plain;
                Ok(raw(if plain { Kind::Plain } else { Kind::Escaped }, start, end))
            }
            Some(open @ (b'{' | b'[')) => {
                let before = std::mem::take(&mut self.loose);
                if open == b'{' {
                    self.object(level)?
                } else {
                    self.array()?
                }
                let kind = if self.loose { Kind::LooseContainer } else { Kind::Container };
                self.loose |= before;
                Ok(raw(kind, start, self.at))
            }
            // A variable without a value, of a format without quotes.
            Some(b',' | b'}' | b']') => {
                self.loose = true;
                Ok(Raw::default())
            }
            Some(_) => {
                let length = self.input[start..].iter().take_while(|byte| is_bare(**byte)).count();
                self.at += length;
                let kind = match &self.input[start..self.at] {
                    b"true" | b"false" => Kind::Boolean,
                    b"null" => Kind::None,
                    b"-" => {
                        self.loose = true;
                        Kind::None
                    }
                    token if text::is_json_number(token) => Kind::Number,
                    token if text::is_number(token) => {
                        self.loose = true;
                        Kind::LooseNumber
                    }
                    _ => return Err(self.not_quoted(start)),
                };
                Ok(raw(kind, start, self.at))
            }
            None => Err(self.cut_off()),
        }
    }

    /// Reads a string. Returns where its content is, and whether that is JSON without escapes.
    fn string(&mut self) -> Result<(usize, usize, bool), Rejected> {
        let start = self.at + 1;
        let mut at = start;
        let mut plain = true;
        let end = loop {
            match memchr::memchr2(b'"', b'\\', &self.input[at..]) {
                Some(step) if self.input[at + step] == b'"' => break at + step,
                Some(step) => {
                    plain = false;
                    at = (at + step + 2).min(self.input.len());
                }
                None => return Err(self.cut_off()),
            }
        };
        self.at = end + 1;
        let content = &self.input[start..end];
        plain = plain && !content.iter().fold(false, |found, byte| found | (*byte < 0x20));
        plain = plain && (content.is_ascii() || std::str::from_utf8(content).is_ok());
        Ok((start, end, plain))
    }

    #[cold]
    fn wrong(&self, offset: usize, reason: impl Into<String>) -> Rejected {
        Rejected { offset, reason: reason.into(), too_large: false }
    }

    #[cold]
    fn too_large(&self, reason: &str) -> Rejected {
        Rejected { offset: self.at, reason: reason.to_owned(), too_large: true }
    }

    /// The last name, as errors show it.
    fn member(&self) -> Option<String> {
        let name = self.name_text(self.member?);
        Some(String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned())
    }

    #[cold]
    fn cut_off(&self) -> Rejected {
        let of = self.member().map_or(String::new(), |member| format!(" within or after the member `{member}`"));
        self.wrong(self.input.len(), format!("the object ends{of}: the sender or its transport cut it off"))
    }

    #[cold]
    fn not_quoted(&self, at: usize) -> Rejected {
        let member = self.member().unwrap_or_default();
        self.wrong(
            at,
            format!("the value of `{member}` is neither a number nor in quotes: log it as \"{member}\":\"...\""),
        )
    }

    /// Something else than `,` follows a value.
    #[cold]
    fn after_value(&self) -> Rejected {
        let member = self.member().unwrap_or_default();
        let after_string = self.input[..self.at].trim_ascii_end().last() == Some(&b'"');
        let help = if after_string {
            "a quote in it is not escaped: turn on the proxy's escaping of JSON"
        } else {
            "log it in quotes"
        };
        self.wrong(self.at, format!("expected `,` or the end after the value of `{member}`; {help}"))
    }

    /// A name was expected.
    #[cold]
    fn no_name(&self) -> Rejected {
        match self.member() {
            Some(member) => self.wrong(
                self.at,
                format!(
                    "expected the name of a member, in quotes and with a colon, after the value of `{member}`; if that \
                     value is a list or has quotes in it, log it in quotes and escaped"
                ),
            ),
            None => self.wrong(self.at, "expected the name of a member, in quotes and with a colon"),
        }
    }
}

/// Whether a number or a word without quotes goes on.
fn is_bare(byte: u8) -> bool {
    !matches!(byte, b',' | b'}' | b']' | b'{' | b'[' | b'"' | b':' | 0..=b' ')
}

/// Appends a value as JSON.
pub(super) fn push(out: &mut Vec<u8>, input: &[u8], raw: Raw) {
    match raw.kind {
        Kind::None => out.extend_from_slice(b"null"),
        Kind::Number | Kind::Boolean | Kind::Container => out.extend_from_slice(raw.of(input)),
        Kind::Plain => text::push_plain(out, raw.of(input)),
        Kind::Escaped => text::push_string(out, &decode(raw.of(input))),
        Kind::LooseNumber => {
            text::push_number(out, raw.of(input));
        }
        Kind::LooseContainer => push_repaired(out, raw.of(input)),
    }
}

/// Appends an object or array that was read before, with what is no JSON in it repaired.
fn push_repaired(out: &mut Vec<u8>, text: &[u8]) {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let before = out.last().copied();
        at += match byte {
            b'"' => {
                let length = text::string_length(&text[at..]);
                text::push_string(out, &decode(&text[at + 1..at + length - 1]));
                length
            }
            b'{' | b'[' | b':' => {
                out.push(byte);
                1
            }
            b',' | b'}' | b']' => {
                // Nothing where a value belongs.
                if matches!((before, byte), (Some(b':'), _) | (Some(b'['), b',') | (Some(b','), b',' | b']')) {
                    out.extend_from_slice(b"null");
                }
                out.push(byte);
                1
            }
            byte if byte.is_ascii_whitespace() => 1,
            _ => {
                let length = text[at..].iter().take_while(|byte| is_bare(**byte)).count().max(1);
                match &text[at..at + length] {
                    b"-" => out.extend_from_slice(b"null"),
                    word @ (b"true" | b"false" | b"null") => out.extend_from_slice(word),
                    number => {
                        text::push_number(out, number);
                    }
                }
                length
            }
        };
    }
}
