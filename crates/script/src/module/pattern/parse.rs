//! Lua's patterns as lists of items (Lua 5.1 manual, 5.4.1).

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Set([u64; 4]);

impl Set {
    fn of(accepts: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::default();
        for byte in (0..=u8::MAX).filter(|byte| accepts(*byte)) {
            set.insert(byte);
        }
        set
    }

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn join(&mut self, other: Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    fn inverted(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }
}

/// One step of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// One byte of the set.
    One(Set),
    /// One byte of the set or none, rather one.
    Optional(Set),
    /// At least so many bytes of the set, 0 or 1, as many as possible.
    Greedy(Set, usize),
    /// Any number of bytes of the set, as few as possible.
    Lazy(Set),
    /// The start of a capture.
    Open(usize),
    /// The end of a capture.
    Close(usize),
    /// A capture of the position.
    Position(usize),
    /// A byte of the set after one that is not; the ends of the text count as a zero byte.
    Frontier(Set),
    /// The end of the text.
    End,
}

/// A pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) items: Vec<Item>,
    /// It begins with `^`.
    pub(super) anchored: bool,
    /// The number of captures.
    pub(super) captures: usize,
}

/// Patterns with more items are left to Luau.
const MAX_ITEMS: usize = 64;

impl Pattern {
    /// Reads a pattern. Nothing for one that has an error, a reference to a capture or `%b`, which cannot be matched in
    /// linear time.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let anchored = text.first() == Some(&b'^');
        let mut reader = Reader { text, at: usize::from(anchored) };
        let (mut items, mut open, mut captures) = (Vec::new(), Vec::new(), 0);
        while let Some(byte) = reader.peek() {
            let item = match byte {
                b'(' => {
                    reader.at += 1;
                    captures += 1;
                    if reader.peek() == Some(b')') {
                        reader.at += 1;
                        Item::Position(captures - 1)
                    } else {
                        open.push(captures - 1);
                        Item::Open(captures - 1)
                    }
                }
                b')' => {
                    reader.at += 1;
                    Item::Close(open.pop()?)
                }
                b'$' if reader.at + 1 == text.len() => {
                    reader.at += 1;
                    Item::End
                }
                b'%' if reader.text.get(reader.at + 1) == Some(&b'f') => {
                    reader.at += 2;
                    if reader.peek() != Some(b'[') {
                        return None;
                    }
                    Item::Frontier(reader.set()?)
                }
                _ => reader.repeated()?,
            };
            items.push(item);
            if items.len() > MAX_ITEMS {
                return None;
            }
        }
        open.is_empty().then_some(Self { items, anchored, captures })
    }

    /// Whether a failing match can take time that is quadratic in the text: a repetition is followed by something that can
    /// fail.
    pub(super) fn can_be_slow(&self) -> bool {
        let repeats = |item: &Item| matches!(item, Item::Greedy(..) | Item::Lazy(_));
        let captures = |item: &Item| matches!(item, Item::Open(_) | Item::Close(_) | Item::Position(_));
        self.items.iter().position(repeats).is_some_and(|at| !self.items[at + 1..].iter().all(captures))
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// A set of bytes with what follows it.
    fn repeated(&mut self) -> Option<Item> {
        let set = self.set()?;
        let item = match self.peek() {
            Some(b'?') => Item::Optional(set),
            Some(b'*') => Item::Greedy(set, 0),
            Some(b'+') => Item::Greedy(set, 1),
            Some(b'-') => Item::Lazy(set),
            _ => return Some(Item::One(set)),
        };
        self.at += 1;
        Some(item)
    }

    fn set(&mut self) -> Option<Set> {
        match self.next()? {
            b'%' => match self.next()? {
                b'b' | b'0'..=b'9' => None,
                byte => Some(class(byte)),
            },
            b'[' => self.brackets(),
            b'.' => Some(Set::of(|_| true)),
            byte => Some(Set::of(|other| other == byte)),
        }
    }

    /// What follows `[`. The first byte belongs to the set, even `]`.
    fn brackets(&mut self) -> Option<Set> {
        let inverted = self.peek() == Some(b'^');
        self.at += usize::from(inverted);
        let mut set = Set::default();
        let end = self.closing()?;
        while self.at < end {
            match self.next()? {
                b'%' => set.join(class(self.next()?)),
                from if self.peek() == Some(b'-') && self.at + 1 < end => {
                    self.at += 1;
                    let to = self.next()?;
                    set.join(Set::of(|byte| (from..=to).contains(&byte)));
                }
                byte => set.insert(byte),
            }
        }
        self.at = end + 1;
        Some(if inverted { set.inverted() } else { set })
    }

    /// Where the bracket closes.
    fn closing(&self) -> Option<usize> {
        let mut at = self.at;
        loop {
            let escaped = *self.text.get(at)? == b'%';
            at += if escaped { 2 } else { 1 };
            if *self.text.get(at)? == b']' {
                return Some(at);
            }
        }
    }
}

/// The class `%` and this byte, or the byte itself. An upper-case letter is the complement.
fn class(byte: u8) -> Set {
    let accepts: fn(u8) -> bool = match byte.to_ascii_lowercase() {
        b'a' => |byte| byte.is_ascii_alphabetic(),
        b'c' => |byte| byte.is_ascii_control(),
        b'd' => |byte| byte.is_ascii_digit(),
        b'g' => |byte| byte.is_ascii_graphic(),
        b'l' => |byte| byte.is_ascii_lowercase(),
        b'p' => |byte| byte.is_ascii_punctuation(),
        b's' => |byte| matches!(byte, b'\t'..=b'\r' | b' '),
        b'u' => |byte| byte.is_ascii_uppercase(),
        b'w' => |byte| byte.is_ascii_alphanumeric(),
        b'x' => |byte| byte.is_ascii_hexdigit(),
        b'z' => |byte| byte == 0,
        _ => return Set::of(|other| other == byte),
    };
    let set = Set::of(accepts);
    if byte.is_ascii_uppercase() { set.inverted() } else { set }
}
