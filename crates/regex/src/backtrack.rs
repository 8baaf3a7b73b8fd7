//! The backtracking matcher. It supports every construct, keeps its own stack, and checks regularly whether to stop.

use super::ast::{Assertion, Greediness};
use super::program::{Inst, Program};
use super::set::INVALID;

/// The value of a slot that is not set.
pub const UNSET: usize = usize::MAX;

/// Stack frames of a search; PCRE has a similar limit.
const MAX_STACK: usize = 200_000;

/// Steps between two checks whether to stop.
const CHECK_INTERVAL: u32 = 1024;

/// Why a search was abandoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchError {
    /// The caller's check asked to stop.
    Stopped,
    /// The stack is full.
    StackLimit,
}

#[derive(Debug, Clone, Copy)]
enum Frame {
    /// Continue there.
    Branch { pc: u32, at: usize },
    /// Restore a slot.
    Slot { slot: u32, old: usize },
    /// A greedy repetition gives back one character, down to `low`.
    Less { pc: u32, low: usize, at: usize },
    /// A lazy repetition takes one more character.
    More { pc: u32, at: usize, left: u32 },
}

/// Memory that searches reuse.
#[derive(Debug, Default)]
pub struct Scratch {
    stack: Vec<Frame>,
    /// Start and end of each group, followed by the program's other slots.
    pub slots: Vec<usize>,
}

struct Search<'a> {
    program: &'a Program,
    text: &'a [u8],
    /// Where the search began.
    from: usize,
    scratch: &'a mut Scratch,
    check: &'a dyn Fn() -> bool,
    steps: u32,
}

/// Finds the first match that begins at or after `from`, or exactly there if `anchored`, and stores its groups in the
/// slots.
pub(super) fn search(
    program: &Program,
    text: &[u8],
    from: usize,
    anchored: bool,
    scratch: &mut Scratch,
    check: &dyn Fn() -> bool,
) -> Result<bool, SearchError> {
    let mut search = Search { program, text, from, scratch, check, steps: 0 };
    let hints = &program.hints;
    let mut start = from;
    loop {
        if hints.text_start && start > 0 {
            return Ok(false);
        }
        if !anchored && !hints.search_start {
            match search.candidate(start)? {
                Some(next) => start = next,
                None => return Ok(false),
            }
        }
        if search.at(start)? {
            return Ok(true);
        }
        if anchored || hints.search_start || start >= text.len() {
            return Ok(false);
        }
        start += search.decode(start).1;
    }
}

impl Search<'_> {
    /// The next position where a match can begin.
    fn candidate(&mut self, start: usize) -> Result<Option<usize>, SearchError> {
        let hints = &self.program.hints;
        let rest = &self.text[start..];
        let mut next = match (hints.only, &hints.first) {
            (Some(byte), _) => memchr::memchr(byte, rest),
            (None, Some(first)) => rest.iter().position(|byte| first[usize::from(*byte)]),
            (None, None) => Some(0),
        };
        if hints.line_start && start != self.from && self.text[start - 1] != b'\n' {
            next = memchr::memchr(b'\n', rest).map(|at| at + 1);
        }
        self.count(next.unwrap_or(rest.len()) as u32 / 8)?;
        Ok(next.map(|at| start + at))
    }

    fn count(&mut self, steps: u32) -> Result<(), SearchError> {
        self.steps = self.steps.saturating_add(steps.saturating_add(1));
        if self.steps >= CHECK_INTERVAL {
            self.steps = 0;
            if (self.check)() {
                return Err(SearchError::Stopped);
            }
        }
        Ok(())
    }

    /// The character at `at` and its length; [`INVALID`] and 0 past the end.
    fn decode(&self, at: usize) -> (u32, usize) {
        let Some(&byte) = self.text.get(at) else { return (INVALID, 0) };
        if byte < 0x80 || !self.program.utf {
            return (byte.into(), 1);
        }
        let length = match byte {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        let character = self.text.get(at..at + length).and_then(|bytes| std::str::from_utf8(bytes).ok());
        match character.and_then(|text| text.chars().next()) {
            Some(character) if length > 1 => (character.into(), length),
            _ => (INVALID, 1),
        }
    }

    /// Where the character before `at` begins.
    fn before(&self, at: usize) -> Option<usize> {
        if at == 0 {
            return None;
        }
        if self.program.utf && self.text[at - 1] >= 0x80 {
            for length in 2..=4.min(at) {
                if self.decode(at - length).1 == length {
                    return Some(at - length);
                }
            }
        }
        Some(at - 1)
    }

    fn set(&mut self, slot: u32, value: usize) -> Result<(), SearchError> {
        let place = &mut self.scratch.slots[slot as usize];
        let old = std::mem::replace(place, value);
        self.push(Frame::Slot { slot, old })
    }

    fn push(&mut self, frame: Frame) -> Result<(), SearchError> {
        if self.scratch.stack.len() >= MAX_STACK {
            return Err(SearchError::StackLimit);
        }
        self.scratch.stack.push(frame);
        Ok(())
    }

    /// Whether there is a match that begins at `start`.
    fn at(&mut self, start: usize) -> Result<bool, SearchError> {
        self.scratch.stack.clear();
        self.scratch.slots.clear();
        self.scratch.slots.resize(self.program.slots, UNSET);
        let (mut pc, mut at) = (0, start);
        loop {
            self.count(0)?;
            if matches!(self.program.insts[pc as usize], Inst::Match) {
                return Ok(true);
            }
            let next = match self.step(pc, at)? {
                Some(next) => Some(next),
                None => self.back()?,
            };
            match next {
                Some(next) => (pc, at) = next,
                None => return Ok(false),
            }
        }
    }

    /// Executes one instruction. Returns where to continue, or `None` if it does not match.
    fn step(&mut self, pc: u32, at: usize) -> Result<Option<(u32, usize)>, SearchError> {
        let program = self.program;
        let on = |at: usize| Ok(Some((pc + 1, at)));
        match program.insts[pc as usize] {
            Inst::Match => on(at),
            Inst::Byte(byte) => {
                if self.text.get(at) == Some(&byte) {
                    on(at + 1)
                } else {
                    Ok(None)
                }
            }
            Inst::Bytes { from, length } => {
                let bytes = &program.pool[from as usize..(from + length) as usize];
                if self.text[at..].starts_with(bytes) { on(at + bytes.len()) } else { Ok(None) }
            }
            Inst::Set(set) => match self.decode(at) {
                (_, 0) => Ok(None),
                (value, length) if program.sets[set as usize].has(value) => on(at + length),
                _ => Ok(None),
            },
            Inst::Assertion(assertion) => {
                if self.holds(assertion, at) {
                    on(at)
                } else {
                    Ok(None)
                }
            }
            Inst::Save(slot) => self.set(slot, at).and_then(|()| on(at)),
            Inst::Close { group, begun } => {
                self.set(group * 2, self.scratch.slots[begun as usize])?;
                self.set(group * 2 + 1, at)?;
                on(at)
            }
            Inst::Split { first, second } => {
                self.push(Frame::Branch { pc: second, at })?;
                Ok(Some((first, at)))
            }
            Inst::Jump(to) => Ok(Some((to, at))),
            Inst::Run { set, min, max, greediness } => self.run(pc, at, set, (min, max), greediness),
            Inst::Turn { begun, out } => {
                Ok(Some((if self.scratch.slots[begun as usize] == at { out } else { pc + 1 }, at)))
            }
            Inst::Mark(slot) => {
                self.set(slot, 0)?;
                self.scratch.slots[slot as usize] = self.scratch.stack.len();
                on(at)
            }
            Inst::Cut(slot) => self.cut(slot).and_then(|()| on(at)),
            Inst::Return(slot) => on(self.scratch.slots[slot as usize]),
            Inst::Not { mark, after } => {
                self.set(mark, 0)?;
                self.scratch.slots[mark as usize] = self.scratch.stack.len();
                self.push(Frame::Branch { pc: after, at })?;
                on(at)
            }
            Inst::Refuse(mark) => self.refuse(mark).map(|()| None),
            Inst::BackBy(characters) => {
                let mut at = Some(at);
                for _ in 0..characters {
                    at = at.and_then(|at| self.before(at));
                }
                self.count(characters)?;
                at.map_or(Ok(None), on)
            }
            Inst::Back { list, caseless } => self.again(at, list, caseless).map(|found| found.map(|at| (pc + 1, at))),
        }
    }

    /// Resumes the newest alternative.
    fn back(&mut self) -> Result<Option<(u32, usize)>, SearchError> {
        while let Some(frame) = self.scratch.stack.pop() {
            match frame {
                Frame::Branch { pc, at } => return Ok(Some((pc, at))),
                Frame::Slot { slot, old } => self.scratch.slots[slot as usize] = old,
                Frame::Less { pc, low, at } => {
                    let at = self.before(at).unwrap_or(low).max(low);
                    if at > low {
                        self.push(Frame::Less { pc, low, at })?;
                    }
                    return Ok(Some((pc, at)));
                }
                Frame::More { pc, at, left } => {
                    let Inst::Run { set, .. } = self.program.insts[pc as usize] else { continue };
                    let (value, length) = self.decode(at);
                    if length > 0 && self.program.sets[set as usize].has(value) {
                        if left > 1 {
                            self.push(Frame::More { pc, at: at + length, left: left - 1 })?;
                        }
                        return Ok(Some((pc + 1, at + length)));
                    }
                }
            }
            self.count(0)?;
        }
        Ok(None)
    }

    fn run(
        &mut self,
        pc: u32,
        begin: usize,
        set: u32,
        (min, max): (u32, u32),
        greediness: Greediness,
    ) -> Result<Option<(u32, usize)>, SearchError> {
        let set = self.program.sets[set as usize].clone();
        let wanted = if greediness == Greediness::Lazy { min } else { max };
        let (mut at, mut count, mut low) = (begin, 0, begin);
        while count < wanted {
            let (value, length) = self.decode(at);
            if length == 0 || !set.has(value) {
                break;
            }
            at += length;
            count += 1;
            if count == min {
                low = at;
            }
            if count.is_multiple_of(CHECK_INTERVAL) {
                self.count(CHECK_INTERVAL)?;
            }
        }
        self.count(count % CHECK_INTERVAL / 4)?;
        if count < min {
            return Ok(None);
        }
        match greediness {
            Greediness::Greedy if at > low => self.push(Frame::Less { pc: pc + 1, low, at })?,
            Greediness::Lazy if max > min => self.push(Frame::More { pc, at, left: max - min })?,
            _ => {}
        }
        Ok(Some((pc + 1, at)))
    }

    /// Drops the alternatives above the mark, but keeps the slots to restore.
    fn cut(&mut self, slot: u32) -> Result<(), SearchError> {
        let mark = self.scratch.slots[slot as usize].min(self.scratch.stack.len());
        let above = self.scratch.stack.len() - mark;
        let mut kept = mark;
        for at in mark..self.scratch.stack.len() {
            if matches!(self.scratch.stack[at], Frame::Slot { .. }) {
                self.scratch.stack[kept] = self.scratch.stack[at];
                kept += 1;
            }
        }
        self.scratch.stack.truncate(kept);
        self.count(above as u32)
    }

    /// Restores everything down to the mark, including the alternative of the failed assertion.
    fn refuse(&mut self, mark: u32) -> Result<(), SearchError> {
        let height = self.scratch.slots[mark as usize];
        let above = self.scratch.stack.len().saturating_sub(height);
        while self.scratch.stack.len() > height {
            if let Some(Frame::Slot { slot, old }) = self.scratch.stack.pop() {
                self.scratch.slots[slot as usize] = old;
            }
        }
        self.count(above as u32)
    }

    fn holds(&self, assertion: Assertion, at: usize) -> bool {
        let text = self.text;
        let word = |at: Option<usize>| {
            at.and_then(|at| text.get(at)).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        };
        match assertion {
            Assertion::TextStart => at == 0,
            Assertion::TextEnd => at == text.len(),
            Assertion::LastLineEnd => at == text.len() || (at + 1 == text.len() && text[at] == b'\n'),
            // Not after a newline that ends the text (pcre2pattern(3)).
            Assertion::LineStart => at == 0 || (at < text.len() && text[at - 1] == b'\n'),
            Assertion::LineEnd => at == text.len() || text[at] == b'\n',
            Assertion::WordBoundary => word(at.checked_sub(1)) != word(Some(at)),
            Assertion::NotWordBoundary => word(at.checked_sub(1)) == word(Some(at)),
            Assertion::SearchStart => at == self.from,
            Assertion::Keep => true,
        }
    }

    /// The end of a repetition of the group's text at `at`.
    fn again(&mut self, at: usize, list: u32, caseless: bool) -> Result<Option<usize>, SearchError> {
        let slots = &self.scratch.slots;
        let set = self.program.lists[list as usize].iter().find_map(|group| {
            let (from, to) = (slots[*group as usize * 2], slots[*group as usize * 2 + 1]);
            (from != UNSET && to != UNSET && from <= to).then_some((from, to))
        });
        let Some((from, to)) = set else {
            return Ok(self.program.javascript.then_some(at));
        };
        self.count((to - from) as u32 / 8)?;
        if !caseless {
            return Ok(self.text[at..].starts_with(&self.text[from..to]).then(|| at + to - from));
        }
        let (mut ours, mut theirs) = (at, from);
        while theirs < to {
            self.count(0)?;
            let (wanted, long) = self.decode(theirs);
            let (found, length) = self.decode(ours);
            if length == 0 || !same_in_any_case(wanted, found, self.program.utf) {
                return Ok(None);
            }
            (ours, theirs) = (ours + length, theirs + long);
        }
        Ok(Some(ours))
    }
}

fn same_in_any_case(one: u32, other: u32, utf: bool) -> bool {
    if one == other {
        return true;
    }
    match (char::from_u32(one), char::from_u32(other)) {
        (Some(one), Some(other)) if utf => one.to_lowercase().eq(other.to_lowercase()),
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(&other),
        _ => false,
    }
}
