//! The one pass over a transaction's bytes: validates them as JSON (RFC 8259) and notes where the members are
//! that the log phase looks at.

use super::{Limits, Rejection};

/// Half-open range of byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

/// The object that an indexed member belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Root,
    Request,
    Response,
    RequestHeaders,
    ResponseHeaders,
    /// Anything else: validated, not indexed.
    Deeper,
}

/// One indexed member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub level: Level,
    /// The name between its quotes, escapes as they came.
    pub key: Span,
    pub value: Span,
}

/// What the pass found.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub members: Vec<Member>,
    /// One past the last byte of the object, from the start of the input.
    pub end: usize,
    /// Bytes of the object.
    pub length: usize,
    /// White space that would break a line stands between tokens.
    pub multiline: bool,
    /// The request has `headers` more than once.
    pub repeats_headers: bool,
}

/// Past this many levels the recursion would endanger the stack, whatever the setting says.
const DEEPEST: usize = 512;

/// Scans one object that begins at or after `at`; offsets in the index count from the object's first byte, those
/// of a rejection from `at`. `input` is valid UTF-8.
pub(crate) fn scan(input: &[u8], at: usize, limits: &Limits) -> Result<Scanned, Rejection> {
    let mut scanner = Scanner {
        input,
        pos: at,
        base: at,
        depth_left: limits.max_depth.min(DEEPEST),
        members_left: limits.max_members,
        limits,
        index: Vec::with_capacity(64),
        seen: 0,
        multiline: false,
        repeats_headers: false,
    };
    let result = scanner.transaction();
    match result {
        Ok(()) => {
            let length = scanner.pos - scanner.base;
            let Scanner { index: members, pos: end, multiline, repeats_headers, .. } = scanner;
            Ok(Scanned { members, end, length, multiline, repeats_headers })
        }
        Err(fault) => Err(scanner.rejection(fault, at)),
    }
}

/// Splits the object `raw`, which was validated before, into its members; of a name given twice the last counts,
/// at the place of the first.
pub(crate) fn split_object(raw: &[u8]) -> Vec<(Span, Span)> {
    let mut members: Vec<(Span, Span)> = Vec::with_capacity(16);
    let Some(mut scanner) = resume(raw, b'{') else { return members };
    while let Some(key) = scanner.next_member() {
        let start = scanner.pos;
        if scanner.value(Level::Deeper).is_err() {
            break;
        }
        let value = scanner.span(start);
        let again = scanner.maybe_again(Level::Deeper, key.of(raw));
        match members.iter_mut().find(|(known, _)| again && same_name(known.of(raw), key.of(raw))) {
            Some(member) => member.1 = value,
            None => members.push((key, value)),
        }
    }
    members
}

/// Splits the array `raw`, which was validated before, into its elements.
pub(crate) fn split_array(raw: &[u8]) -> Vec<Span> {
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
        seen: 0,
        multiline: false,
        repeats_headers: false,
    };
    scanner.space();
    (scanner.peek() == Some(open)).then(|| {
        scanner.pos += 1;
        scanner
    })
}

/// Whether two names, given between their quotes with escapes as they came, are the same name.
pub(crate) fn same_name(a: &[u8], b: &[u8]) -> bool {
    if memchr::memchr(b'\\', a).is_none() && memchr::memchr(b'\\', b).is_none() {
        return a == b;
    }
    super::text::unescape(a) == super::text::unescape(b)
}

enum Fault {
    Expected(&'static str),
    Depth,
    Members,
    Bytes,
    Wrong(&'static str),
}

type Step = Result<(), Fault>;

struct Scanner<'a> {
    input: &'a [u8],
    pos: usize,
    base: usize,
    depth_left: usize,
    members_left: usize,
    limits: &'a Limits,
    index: Vec<Member>,
    /// One bit for each hash of a name that was looked at, see `maybe_again`.
    seen: u64,
    multiline: bool,
    repeats_headers: bool,
}

impl Scanner<'_> {
    fn transaction(&mut self) -> Step {
        self.space();
        self.base = self.pos;
        // White space before the object is not part of it.
        self.multiline = false;
        if self.peek() != Some(b'{') {
            return Err(Fault::Expected("an object"));
        }
        self.value(Level::Root)?;
        if self.pos - self.base > self.limits.max_bytes.min(u32::MAX as usize) {
            self.pos = self.base;
            return Err(Fault::Bytes);
        }
        Ok(())
    }

    fn rejection(&self, fault: Fault, from: usize) -> Rejection {
        let found = || match self.peek() {
            None => "the end of the text".to_owned(),
            Some(byte @ 0x21..=0x7e) => format!("`{}`", byte as char),
            Some(byte) if byte < 0x80 => format!("the control character 0x{byte:02x}"),
            Some(_) => "a character outside a string".to_owned(),
        };
        let (reason, too_large) = match fault {
            Fault::Expected(what) => (format!("expected {what}, found {}", found()), false),
            Fault::Wrong(what) => (what.to_owned(), false),
            Fault::Depth => (format!("nested deeper than {} levels", self.limits.max_depth.min(DEEPEST)), true),
            Fault::Members => (format!("more than {} members", self.limits.max_members), true),
            Fault::Bytes => (format!("larger than {} bytes", self.limits.max_bytes), true),
        };
        Rejection { offset: self.pos - from, reason, too_large }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.pos).copied()
    }

    fn span(&self, start: usize) -> Span {
        Span { start: (start - self.base) as u32, end: (self.pos - self.base) as u32 }
    }

    fn space(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' => {}
                b'\n' | b'\r' | b'\t' => self.multiline = true,
                _ => return,
            }
            self.pos += 1;
        }
    }

    fn value(&mut self, level: Level) -> Step {
        match self.peek() {
            Some(b'"') => {
                self.pos += 1;
                self.string()
            }
            Some(b'{') => self.nested(|scanner| scanner.object(level)),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => Err(Fault::Expected("a value")),
        }
    }

    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Step) -> Step {
        if self.depth_left == 0 {
            return Err(Fault::Depth);
        }
        self.depth_left -= 1;
        self.pos += 1;
        inner(self)?;
        self.depth_left += 1;
        Ok(())
    }

    fn count(&mut self) -> Step {
        if self.members_left == 0 {
            return Err(Fault::Members);
        }
        self.members_left -= 1;
        Ok(())
    }

    /// The rest of an object whose brace was read.
    fn object(&mut self, level: Level) -> Step {
        self.space();
        if self.peek() == Some(b'}') {
            self.pos += 1;
            return Ok(());
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
                Some(b'}') => {
                    self.pos += 1;
                    return Ok(());
                }
                _ => return Err(Fault::Expected("`,` or `}`")),
            }
        }
    }

    fn indexed(&mut self, level: Level, key: Span, start: usize) -> Step {
        let name = &self.input[self.base + key.start as usize..self.base + key.end as usize];
        let inside = match (level, super::text::unescape(name).as_ref()) {
            (Level::Root, b"request") => Level::Request,
            (Level::Root, b"response") => Level::Response,
            (Level::Request, b"headers") => Level::RequestHeaders,
            (Level::Response, b"headers") => Level::ResponseHeaders,
            _ => Level::Deeper,
        };
        if (inside != Level::Deeper || level == Level::Root) && self.maybe_again(level, name) {
            self.forget(level, key, inside);
        }
        self.value(inside)?;
        let value = self.span(start);
        self.index.push(Member { level, key, value });
        Ok(())
    }

    /// Whether a name may have been seen at this level: a filter that spares most names the real look.
    fn maybe_again(&mut self, level: Level, name: &[u8]) -> bool {
        if name.contains(&b'\\') {
            self.seen = u64::MAX;
            return true;
        }
        let ends = name.first().map_or(0, |first| usize::from(*first) * 7 + usize::from(name[name.len() - 1]));
        let bit = 1 << ((ends + name.len() * 13 + level as usize) % 64);
        let seen = self.seen & bit != 0;
        self.seen |= bit;
        seen
    }

    /// Of a name that comes again the last counts (as with Kong's cjson): what was indexed under it goes.
    fn forget(&mut self, level: Level, name: Span, inside: Level) {
        let text = &self.input[self.base..];
        let again = |member: &Member| member.level == level && same_name(member.key.of(text), name.of(text));
        if !self.index.iter().any(again) {
            return;
        }
        self.repeats_headers |= inside == Level::RequestHeaders;
        let below = match inside {
            Level::Request => Level::RequestHeaders,
            Level::Response => Level::ResponseHeaders,
            other => other,
        };
        let gone = |at: Level| inside != Level::Deeper && (at == inside || at == below);
        self.index.retain(|member| !again(member) && !gone(member.level));
    }

    /// The next member's name in an object that was validated before, or `None` at its end.
    fn next_member(&mut self) -> Option<Span> {
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

    /// A member's name with its colon and the space around.
    fn name(&mut self) -> Result<Span, Fault> {
        if self.peek() != Some(b'"') {
            return Err(Fault::Expected("a member's name in double quotes"));
        }
        self.pos += 1;
        let start = self.pos;
        self.string()?;
        let mut key = self.span(start);
        key.end -= 1;
        self.space();
        if self.peek() != Some(b':') {
            return Err(Fault::Expected("`:`"));
        }
        self.pos += 1;
        self.space();
        Ok(key)
    }

    /// The rest of an array whose bracket was read.
    fn array(&mut self) -> Step {
        self.space();
        if self.peek() == Some(b']') {
            self.pos += 1;
            return Ok(());
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
                Some(b']') => {
                    self.pos += 1;
                    return Ok(());
                }
                _ => return Err(Fault::Expected("`,` or `]`")),
            }
        }
    }

    /// The rest of a string whose opening quote was read, with the closing one.
    fn string(&mut self) -> Step {
        loop {
            self.pos += plain_run(&self.input[self.pos..]);
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(Fault::Wrong("control character in a string: it must be escaped")),
                None => return Err(Fault::Wrong("the text ends inside a string")),
            }
        }
    }

    fn escape(&mut self) -> Step {
        let rest = &self.input[self.pos + 1..];
        let length = match rest.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if rest.len() >= 5 && rest[1..5].iter().all(u8::is_ascii_hexdigit) => 6,
            None => return Err(Fault::Wrong("the text ends inside a string")),
            Some(_) => return Err(Fault::Wrong("unknown escape in a string")),
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
            _ => return Err(Fault::Expected("a digit")),
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
        while let Some(b'0'..=b'9') = self.peek() {
            self.pos += 1;
        }
    }

    fn some_digits(&mut self) -> Step {
        let start = self.pos;
        self.digits();
        if self.pos == start { Err(Fault::Expected("a digit")) } else { Ok(()) }
    }

    fn literal(&mut self, word: &'static str) -> Step {
        if self.input[self.pos..].starts_with(word.as_bytes()) {
            self.pos += word.len();
            return Ok(());
        }
        Err(Fault::Expected("a value"))
    }
}

/// How many bytes from the front are neither a quote, a backslash nor a control character; eight at a time.
fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The high bit of each byte that is zero in `word`; bits above the lowest hit may be wrong, which is enough.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut run = 0;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks_exact(8) gives 8 bytes"));
        let quote = zeros(word ^ (ONES * u64::from(b'"')));
        let slash = zeros(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let hit = quote | slash | control;
        if hit != 0 {
            return run + (hit.trailing_zeros() / 8) as usize;
        }
        run += 8;
    }
    let tail = chunks.remainder();
    run + tail.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(tail.len())
}
