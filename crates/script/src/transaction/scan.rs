//! A single pass over a transaction's bytes, which validates them as JSON (RFC 8259) and indexes the members that the log
//! phase reads.

use super::names::Names;
use super::plain::plain_run;
use super::{Limits, Rejection};

/// Half-open range of byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes of the range in `bytes`.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

/// The object that an indexed member belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants name members of the log object")]
pub enum Level {
    Root,
    Request,
    Response,
    RequestHeaders,
    ResponseHeaders,
    /// Any other object, which is validated and not indexed.
    Deeper,
}

/// One indexed member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub level: Level,
    /// The name between its quotes, with escapes.
    pub key: Span,
    pub value: Span,
}

/// The result of a scan.
#[derive(Debug)]
pub(super) struct Scanned {
    pub members: Vec<Member>,
    /// The end of the object, from the start of the input.
    pub end: usize,
    /// Bytes of the object.
    pub length: usize,
    /// There is a line break or a tab between tokens.
    pub multiline: bool,
    pub traits: Traits,
}

/// Rare properties of a transaction. Most work that they require can be skipped without them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// A member's name, at any level, is written with escapes.
    pub escaped_names: bool,
    /// The request has more than one `headers`, of which only the last is indexed.
    pub repeated_headers: bool,
    /// A request header may be a credential.
    pub credentials: bool,
    /// There is `{}` somewhere outside of request and response.
    pub empty_objects: bool,
}

/// The maximum depth of recursion, whatever the setting is, which protects the stack.
const MAX_DEPTH: usize = 512;

/// Scans one object that begins at or after `at`. Offsets in the index count from the object's first byte, those of a
/// rejection from `at`. `input` is valid UTF-8.
pub(super) fn scan(input: &[u8], at: usize, limits: &Limits) -> Result<Scanned, Rejection> {
    let mut scanner = Scanner {
        input,
        pos: at,
        base: at,
        depth_left: limits.max_depth.min(MAX_DEPTH),
        members_left: limits.max_members,
        limits,
        index: Vec::with_capacity(64),
        root_names: Names::default(),
        known: [None; 4],
        multiline: false,
        empty_objects: 0,
        traits: Traits::default(),
        error: None,
    };
    match scanner.transaction() {
        Ok(()) => {
            let length = scanner.pos - scanner.base;
            let Scanner { index: members, pos: end, multiline, traits, .. } = scanner;
            Ok(Scanned { members, end, length, multiline, traits })
        }
        Err(ScanError) => Err(scanner.rejection(at)),
    }
}

/// Splits the validated object `raw` into its members. Of a repeated name the last value counts, at the position of the
/// first.
pub fn split_object(raw: &[u8]) -> Vec<(Span, Span)> {
    let mut members: Vec<(Span, Span)> = Vec::with_capacity(16);
    let Some(mut scanner) = resume(raw, b'{') else { return members };
    let mut names = Names::default();
    while let Some(key) = scanner.next_member() {
        let start = scanner.pos;
        if scanner.value(Level::Deeper).is_err() {
            break;
        }
        let value = scanner.span(start);
        let earlier =
            names.find(key.span.of(raw), key.escaped, || members.iter().map(|(known, _)| known.of(raw)).enumerate());
        match earlier {
            Some(at) => members[at].1 = value,
            None => {
                names.add(key.span.of(raw), members.len());
                members.push((key.span, value));
            }
        }
    }
    members
}

/// Splits the validated array `raw` into its elements.
pub fn split_array(raw: &[u8]) -> Vec<Span> {
    let mut elements = Vec::new();
    let Some(mut scanner) = resume(raw, b'[') else { return elements };
    loop {
        scanner.space();
        if scanner.peek() == Some(b',') {
            scanner.pos += 1;
            scanner.space();
        }
        let start = scanner.pos;
        if scanner.peek() == Some(b']') || scanner.value(Level::Deeper).is_err() {
            return elements;
        }
        elements.push(scanner.span(start));
    }
}

const UNLIMITED: Limits = Limits { max_bytes: usize::MAX, max_depth: usize::MAX, max_members: usize::MAX };

fn resume(raw: &[u8], open: u8) -> Option<Scanner<'_>> {
    let mut scanner = Scanner {
        input: raw,
        pos: 0,
        base: 0,
        depth_left: usize::MAX,
        members_left: usize::MAX,
        limits: &UNLIMITED,
        index: Vec::new(),
        root_names: Names::default(),
        known: [None; 4],
        multiline: false,
        empty_objects: 0,
        traits: Traits::default(),
        error: None,
    };
    scanner.space();
    (scanner.peek() == Some(open)).then(|| {
        scanner.pos += 1;
        scanner
    })
}

/// Why the scan failed.
#[derive(Debug, Clone, Copy)]
enum ErrorKind {
    Expected(&'static str),
    Depth,
    Members,
    Bytes,
    Other(&'static str),
}

/// The scan failed; the reason is in [`Scanner::error`]. Being empty, it is returned in a register.
struct ScanError;

type Step = Result<(), ScanError>;

/// A member's name.
#[derive(Clone, Copy)]
struct Name {
    span: Span,
    /// It has escapes.
    escaped: bool,
}

struct Scanner<'a> {
    input: &'a [u8],
    pos: usize,
    base: usize,
    depth_left: usize,
    members_left: usize,
    limits: &'a Limits,
    index: Vec<Member>,
    /// The names of the members of the outermost object.
    root_names: Names<'a>,
    /// Where in the index the members of request, response and their headers begin, and where the object itself is.
    known: [Option<(usize, usize)>; 4],
    multiline: bool,
    empty_objects: usize,
    traits: Traits,
    error: Option<ErrorKind>,
}

impl<'a> Scanner<'a> {
    /// Fails the scan.
    #[cold]
    fn wrong<T>(&mut self, kind: ErrorKind) -> Result<T, ScanError> {
        self.error = Some(kind);
        Err(ScanError)
    }

    #[cold]
    fn expected<T>(&mut self, what: &'static str) -> Result<T, ScanError> {
        self.wrong(ErrorKind::Expected(what))
    }

    fn transaction(&mut self) -> Step {
        self.space();
        self.base = self.pos;
        // White space before the object is not part of it.
        self.multiline = false;
        if self.peek() != Some(b'{') {
            return self.expected("an object");
        }
        self.value(Level::Root)?;
        if self.pos - self.base > self.limits.max_bytes.min(u32::MAX as usize) {
            self.pos = self.base;
            return self.wrong(ErrorKind::Bytes);
        }
        Ok(())
    }

    #[cold]
    fn rejection(&self, from: usize) -> Rejection {
        let found = || match self.peek() {
            None => "the end of the text".to_owned(),
            Some(byte @ 0x21..=0x7e) => format!("`{}`", byte as char),
            Some(byte) if byte < 0x80 => format!("the control character 0x{byte:02x}"),
            Some(_) => "a character outside a string".to_owned(),
        };
        let (reason, too_large) = match self.error.expect("whoever ends the scan says why") {
            ErrorKind::Expected(what) => (format!("expected {what}, found {}", found()), false),
            ErrorKind::Other(what) => (what.to_owned(), false),
            ErrorKind::Depth => (format!("nested deeper than {} levels", self.limits.max_depth.min(MAX_DEPTH)), true),
            ErrorKind::Members => (format!("more than {} members", self.limits.max_members), true),
            ErrorKind::Bytes => (format!("larger than {} bytes", self.limits.max_bytes), true),
        };
        Rejection { offset: self.pos - from, reason, too_large }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.pos).copied()
    }

    fn span(&self, start: usize) -> Span {
        Span { start: (start - self.base) as u32, end: (self.pos - self.base) as u32 }
    }

    #[inline]
    fn space(&mut self) {
        // There is none between most tokens.
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.some_space();
        }
    }

    fn some_space(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' => {}
                b'\n' | b'\r' | b'\t' => self.multiline = true,
                _ => return,
            }
            self.pos += 1;
        }
    }

    #[inline(always)]
    fn value(&mut self, level: Level) -> Step {
        match self.peek() {
            Some(b'"') => {
                self.pos += 1;
                self.string().map(drop)
            }
            Some(b'{') => self.object(level),
            Some(b'[') => self.array(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => self.expected("a value"),
        }
    }

    /// Enters a container, after its opening bracket.
    fn enter(&mut self) -> Step {
        if self.depth_left == 0 {
            return self.wrong(ErrorKind::Depth);
        }
        self.depth_left -= 1;
        self.pos += 1;
        Ok(())
    }

    /// Leaves a container, after its closing bracket.
    fn leave(&mut self) -> Step {
        self.depth_left += 1;
        self.pos += 1;
        Ok(())
    }

    fn count(&mut self) -> Step {
        if self.members_left == 0 {
            return self.wrong(ErrorKind::Members);
        }
        self.members_left -= 1;
        Ok(())
    }

    /// Scans an object from its brace on. This is the whole recursion, to keep its stack frame small.
    #[inline(never)]
    fn object(&mut self, level: Level) -> Step {
        self.enter()?;
        self.space();
        if self.peek() == Some(b'}') {
            self.empty_objects += 1;
            return self.leave();
        }
        loop {
            self.count()?;
            let key = self.name()?;
            let start = self.pos;
            if level == Level::Deeper {
                self.value(Level::Deeper)?;
            } else {
                self.indexed(level, key, start)?;
            }
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.pos += 1;
                    self.space();
                }
                Some(b'}') => return self.leave(),
                _ => return self.expected("`,` or `}`"),
            }
        }
    }

    fn indexed(&mut self, level: Level, key: Name, start: usize) -> Step {
        let inside = match level {
            Level::Root | Level::Request | Level::Response => self.level_of(level, key),
            _ => Level::Deeper,
        };
        if inside != Level::Deeper {
            self.forget_object(inside);
        } else if level == Level::Root {
            self.forget_member(key);
        }
        let begin = self.index.len();
        if level == Level::RequestHeaders && !self.traits.credentials {
            self.traits.credentials = key.escaped || is_credential(self.text(key.span));
        }
        let empty_before = self.empty_objects;
        self.value(inside)?;
        let value = self.span(start);
        self.traits.empty_objects |=
            level == Level::Root && inside == Level::Deeper && self.empty_objects > empty_before;
        if inside != Level::Deeper {
            self.known[inside as usize - 1] = Some((begin, self.index.len()));
        } else if level == Level::Root {
            self.root_names.add(self.text(key.span), self.index.len());
        }
        self.index.push(Member { level, key: key.span, value });
        Ok(())
    }

    /// The level of the value of the member `key` of an object at `level`.
    fn level_of(&self, level: Level, key: Name) -> Level {
        let name = self.text(key.span);
        let unescaped;
        let name = if key.escaped {
            unescaped = super::text::unescape(name);
            &unescaped
        } else {
            name
        };
        match (level, name) {
            (Level::Root, b"request") => Level::Request,
            (Level::Root, b"response") => Level::Response,
            (Level::Request, b"headers") => Level::RequestHeaders,
            (Level::Response, b"headers") => Level::ResponseHeaders,
            _ => Level::Deeper,
        }
    }

    fn text(&self, span: Span) -> &'a [u8] {
        let input: &'a [u8] = self.input;
        span.of(&input[self.base..])
    }

    /// Removes an earlier member of the outermost object with the same name from the index: the last one counts, as with
    /// Kong's cjson.
    fn forget_member(&mut self, key: Name) {
        let (index, text) = (&self.index, &self.input[self.base..]);
        let at_root = || index.iter().enumerate().filter(|(_, member)| member.level == Level::Root);
        let known = || at_root().map(|(at, member)| (at, member.key.of(text)));
        if let Some(at) = self.root_names.find(key.span.of(text), key.escaped, known) {
            self.index[at].level = Level::Deeper;
        }
    }

    /// Removes an earlier object at `level`, one of request, response and their headers, from the index, with its members.
    fn forget_object(&mut self, level: Level) {
        let Some((begin, own)) = self.known[level as usize - 1].take() else { return };
        self.traits.repeated_headers |= level == Level::RequestHeaders;
        for member in &mut self.index[begin..=own] {
            member.level = Level::Deeper;
        }
        match level {
            Level::Request => self.known[Level::RequestHeaders as usize - 1] = None,
            Level::Response => self.known[Level::ResponseHeaders as usize - 1] = None,
            _ => {}
        }
    }

    /// The next member's name in a validated object, or `None` at its end.
    fn next_member(&mut self) -> Option<Name> {
        self.space();
        if self.peek() == Some(b',') {
            self.pos += 1;
            self.space();
        }
        if self.peek() == Some(b'}') {
            return None;
        }
        self.name().ok()
    }

    /// Scans a member's name, its colon and the space around it.
    #[inline(always)]
    fn name(&mut self) -> Result<Name, ScanError> {
        if self.peek() != Some(b'"') {
            return self.expected("a member's name in double quotes");
        }
        self.pos += 1;
        let start = self.pos;
        let escaped = self.string()?;
        let mut span = self.span(start);
        span.end -= 1;
        self.traits.escaped_names |= escaped;
        self.space();
        if self.peek() != Some(b':') {
            return self.expected("`:`");
        }
        self.pos += 1;
        self.space();
        Ok(Name { span, escaped })
    }

    /// Scans an array from its bracket on.
    #[inline(never)]
    fn array(&mut self) -> Step {
        self.enter()?;
        self.space();
        if self.peek() == Some(b']') {
            return self.leave();
        }
        loop {
            self.count()?;
            self.value(Level::Deeper)?;
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.pos += 1;
                    self.space();
                }
                Some(b']') => return self.leave(),
                _ => return self.expected("`,` or `]`"),
            }
        }
    }

    /// Scans the rest of a string after its opening quote. Returns whether it has escapes.
    #[inline(always)]
    fn string(&mut self) -> Result<bool, ScanError> {
        let rest = &self.input[self.pos..];
        let run = plain_run(rest);
        self.pos += run;
        // This is the case for nearly all strings.
        if rest.get(run) == Some(&b'"') {
            self.pos += 1;
            return Ok(false);
        }
        self.string_with_escapes().map(|()| true)
    }

    /// Scans the rest of a string from an escape on.
    #[cold]
    fn string_with_escapes(&mut self) -> Step {
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.wrong(ErrorKind::Other("control character in a string: it must be escaped")),
                None => return self.wrong(ErrorKind::Other("the text ends inside a string")),
            }
            self.pos += plain_run(&self.input[self.pos..]);
        }
    }

    fn escape(&mut self) -> Step {
        let rest = &self.input[self.pos + 1..];
        let length = match rest.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if rest.len() >= 5 && rest[1..5].iter().all(u8::is_ascii_hexdigit) => 6,
            None => return self.wrong(ErrorKind::Other("the text ends inside a string")),
            Some(_) => return self.wrong(ErrorKind::Other("unknown escape in a string")),
        };
        self.pos += length;
        Ok(())
    }

    fn number(&mut self) -> Step {
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        match self.peek() {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.expected("a digit"),
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.pos += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.pos += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) {
        self.pos += self.input[self.pos..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    }

    fn some_digits(&mut self) -> Step {
        let start = self.pos;
        self.digits();
        if self.pos == start { self.expected("a digit") } else { Ok(()) }
    }

    fn literal(&mut self, word: &'static str) -> Step {
        if self.input[self.pos..].starts_with(word.as_bytes()) {
            self.pos += word.len();
            return Ok(());
        }
        self.expected("a value")
    }
}

/// Whether a header with this unescaped name is never logged (kong/pdk/log.lua). Case, and `_` for `-`, are ignored, because
/// not every proxy writes names in lower case, and some write variables.
pub(crate) fn is_credential(name: &[u8]) -> bool {
    let is = |known: &[u8]| {
        let same = |(byte, known): (&u8, &u8)| byte.eq_ignore_ascii_case(known) || (*byte, *known) == (b'_', b'-');
        name.len() == known.len() && name.iter().zip(known).all(same)
    };
    is(b"authorization") || is(b"proxy-authorization")
}
