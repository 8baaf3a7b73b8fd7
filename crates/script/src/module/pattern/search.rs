//! Searches for a pattern in time that is linear in the text.
//!
//! A search begins with backtracking, as Luau's own does, which is fast on most texts. When it has taken more steps than a
//! linear search would, a table is computed of where each item and those after it match; with it no step goes back.

use super::parse::{Item, Pattern, Set};
use crate::runtime::{check, work};

/// Steps of backtracking for each byte of the text, and for a text of any length.
const STEPS: (usize, usize) = (8, 4096);
/// Bytes of a table. A text that needs a larger one is searched by backtracking, which the deadline bounds.
const MAX_TABLE: usize = 8 << 20;
/// Steps between two looks at the deadline.
const STEPS_PER_CHECK: usize = 1 << 14;

/// Where a match begins and ends, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// One or more searches in the same text.
#[derive(Debug)]
pub(super) struct Search {
    /// The captures of the last match; the end of a captured position is [`POSITION`].
    pub(super) captures: Vec<Span>,
    steps: usize,
    table: Option<Table>,
}

/// Marks a capture of a position.
pub(super) const POSITION: usize = usize::MAX;

/// Why backtracking ends early.
enum Halt {
    /// It has taken more steps than a table would.
    Slow,
    /// The script has to stop.
    Stopped(mlua::Error),
}

impl Search {
    pub(super) fn new(pattern: &Pattern) -> Self {
        Self { captures: vec![Span { start: 0, end: 0 }; pattern.captures], steps: 0, table: None }
    }

    /// A search that computes the table at once.
    #[cfg(test)]
    pub(super) fn without_backtracking(pattern: &Pattern) -> Self {
        Self { steps: usize::MAX / 2, ..Self::new(pattern) }
    }

    /// The first match that begins at `from` or, unless the pattern is anchored, after it.
    ///
    /// # Errors
    /// The script has to stop.
    pub(super) fn find(&mut self, pattern: &Pattern, text: &[u8], from: usize) -> mlua::Result<Option<Span>> {
        if self.table.is_none() {
            match self.backtrack(pattern, text, from) {
                Ok(found) => return Ok(found),
                Err(Halt::Stopped(error)) => return Err(error),
                Err(Halt::Slow) => self.table = Some(Table::compute(pattern, text, from)?),
            }
        }
        let Some(table) = &self.table else { return Ok(None) };
        let last = if pattern.anchored { from } else { text.len() };
        let Some(start) = (from..=last).find(|start| table.matches(0, *start)) else { return Ok(None) };
        let end = table.walk(pattern, text, start, &mut self.captures);
        Ok(Some(Span { start, end }))
    }

    fn backtrack(&mut self, pattern: &Pattern, text: &[u8], from: usize) -> Result<Option<Span>, Halt> {
        let last = if pattern.anchored { from } else { text.len() };
        let fits = Table::bytes(pattern, text.len()) <= MAX_TABLE;
        let limit = if fits { STEPS.0 * text.len() + STEPS.1 } else { usize::MAX };
        for start in from..=last {
            let mut attempt = Attempt { pattern, text, limit, steps: &mut self.steps, captures: &mut self.captures };
            if let Some(end) = attempt.run(0, start)? {
                return Ok(Some(Span { start, end }));
            }
        }
        Ok(None)
    }
}

/// A match by backtracking that begins at one place.
struct Attempt<'a> {
    pattern: &'a Pattern,
    text: &'a [u8],
    limit: usize,
    steps: &'a mut usize,
    captures: &'a mut [Span],
}

impl Attempt<'_> {
    fn count(&mut self, steps: usize) -> Result<(), Halt> {
        let before = *self.steps;
        *self.steps += steps;
        if *self.steps > self.limit {
            return Err(Halt::Slow);
        }
        if before / STEPS_PER_CHECK != *self.steps / STEPS_PER_CHECK {
            work(STEPS_PER_CHECK);
            check().map_err(Halt::Stopped)?;
        }
        Ok(())
    }

    /// The number of bytes of the set from `at` on.
    fn run_length(&mut self, set: &Set, at: usize) -> Result<usize, Halt> {
        let mut length = 0;
        for chunk in self.text[at..].chunks(STEPS_PER_CHECK) {
            let members = chunk.iter().take_while(|byte| set.has(**byte)).count();
            self.count(members)?;
            length += members;
            if members < chunk.len() {
                break;
            }
        }
        Ok(length)
    }

    /// Matches the items from `item` on at `at`. Returns where the match ends. The depth is at most the number of items.
    fn run(&mut self, mut item: usize, mut at: usize) -> Result<Option<usize>, Halt> {
        loop {
            self.count(1)?;
            let Some(step) = self.pattern.items.get(item) else { return Ok(Some(at)) };
            item += 1;
            match step {
                Item::Greedy(set, least) => {
                    let length = self.run_length(set, at)?;
                    for end in (at + least..=at + length).rev() {
                        if let Some(end) = self.run(item, end)? {
                            return Ok(Some(end));
                        }
                    }
                    return Ok(None);
                }
                Item::Lazy(set) => loop {
                    if let Some(end) = self.run(item, at)? {
                        return Ok(Some(end));
                    }
                    if !self.text.get(at).is_some_and(|byte| set.has(*byte)) {
                        return Ok(None);
                    }
                    at += 1;
                },
                Item::Optional(set) => {
                    if self.text.get(at).is_some_and(|byte| set.has(*byte))
                        && let Some(end) = self.run(item, at + 1)?
                    {
                        return Ok(Some(end));
                    }
                }
                single => match pass(single, self.text, at, self.captures) {
                    Some(after) => at = after,
                    None => return Ok(None),
                },
            }
        }
    }
}

/// Passes an item that matches in one way at most. Returns where it ends.
fn pass(item: &Item, text: &[u8], at: usize, captures: &mut [Span]) -> Option<usize> {
    match item {
        Item::Open(capture) => captures[*capture].start = at,
        Item::Close(capture) => captures[*capture].end = at,
        Item::Position(capture) => captures[*capture] = Span { start: at, end: POSITION },
        other => return holds(other, text, at),
    }
    Some(at)
}

/// Where an item that matches in one way at most ends, if it matches at `at`.
fn holds(item: &Item, text: &[u8], at: usize) -> Option<usize> {
    let byte = text.get(at).copied();
    let matches = match item {
        Item::One(set) => return byte.is_some_and(|byte| set.has(byte)).then_some(at + 1),
        Item::Frontier(set) => {
            let before = at.checked_sub(1).map_or(0, |before| text[before]);
            !set.has(before) && set.has(byte.unwrap_or(0))
        }
        Item::End => at == text.len(),
        _ => true,
    };
    matches.then_some(at)
}

/// For each item and each place from `base` on: whether the item and those after it match there.
#[derive(Debug)]
struct Table {
    base: usize,
    rows: Vec<Vec<u64>>,
}

impl Table {
    /// The size of a table.
    fn bytes(pattern: &Pattern, text: usize) -> usize {
        (text / 64 + 1) * 8 * pattern.items.len()
    }

    fn compute(pattern: &Pattern, text: &[u8], base: usize) -> mlua::Result<Self> {
        let places = text.len() - base + 1;
        // The end of the pattern matches everywhere.
        let mut rows = vec![vec![u64::MAX; places.div_ceil(64)]];
        for item in pattern.items.iter().rev() {
            let Some(after) = rows.last() else { break };
            let row = row(item, text, base, after)?;
            rows.push(row);
        }
        rows.reverse();
        Ok(Self { base, rows })
    }

    fn matches(&self, item: usize, at: usize) -> bool {
        bit(&self.rows[item], at - self.base)
    }

    /// Follows the match that begins at `start`, which [`Self::matches`]. Returns its end.
    fn walk(&self, pattern: &Pattern, text: &[u8], start: usize, captures: &mut [Span]) -> usize {
        let mut at = start;
        for (index, item) in pattern.items.iter().enumerate() {
            let goes_on = |at: usize| self.matches(index + 1, at);
            at = match item {
                Item::Greedy(set, least) => {
                    let length = text[at..].iter().take_while(|byte| set.has(**byte)).count();
                    (at + least..=at + length).rev().find(|end| goes_on(*end)).unwrap_or(at)
                }
                Item::Lazy(_) => (at..=text.len()).find(|end| goes_on(*end)).unwrap_or(at),
                Item::Optional(set) => {
                    let takes = text.get(at).is_some_and(|byte| set.has(*byte)) && goes_on(at + 1);
                    at + usize::from(takes)
                }
                single => pass(single, text, at, captures).unwrap_or(at),
            };
        }
        at
    }
}

fn bit(row: &[u64], at: usize) -> bool {
    row[at / 64] >> (at % 64) & 1 == 1
}

/// The row of `item` from the row of the items after it.
fn row(item: &Item, text: &[u8], base: usize, after: &[u64]) -> mlua::Result<Vec<u64>> {
    let mut row = vec![0_u64; after.len()];
    // Whether the item matches one place further.
    let mut here = false;
    for at in (base..=text.len()).rev() {
        let place = at - base;
        if place.is_multiple_of(STEPS_PER_CHECK) {
            work(STEPS_PER_CHECK);
            check()?;
        }
        let takes = |set: &Set| text.get(at).is_some_and(|byte| set.has(*byte));
        here = match item {
            Item::Greedy(set, 0) | Item::Lazy(set) => bit(after, place) || takes(set) && here,
            Item::Greedy(set, _) => takes(set) && (here || bit(after, place + 1)),
            Item::Optional(set) => bit(after, place) || takes(set) && bit(after, place + 1),
            single => holds(single, text, at).is_some_and(|end| bit(after, end - base)),
        };
        row[place / 64] |= u64::from(here) << (place % 64);
    }
    Ok(row)
}
