//! Invariants of searches, for fuzzing and property tests.

use std::cell::Cell;

use super::backtrack::{Scratch, SearchError, UNSET};
use super::pattern::Pattern;

/// Checks that allow a search to continue before one stops it.
const MAX_CHECKS: u32 = 200;

/// Compiles a pattern and searches `text` from `from` with each engine that supports it. Returns whether it compiled.
///
/// # Panics
/// On spans outside of the text, on engines that disagree, and on a search that continues after it was stopped.
pub fn search(regex: &[u8], letters: &[u8], text: &[u8], from: usize) -> bool {
    let Ok(pattern) = Pattern::new(regex, letters) else { return false };
    assert!(pattern.names.iter().all(|(_, group)| *group as usize <= pattern.groups), "a name of no group");
    // Callers check this before they search.
    if pattern.options.check_utf && std::str::from_utf8(text).is_err() {
        return true;
    }
    let chosen = found(&pattern, text, |scratch, check| pattern.search(text, from, scratch, check));
    if from > text.len() {
        assert_eq!(chosen, Ok(None), "a match past the text");
        return true;
    }
    let bounded = found(&pattern, text, |scratch, check| pattern.search_bounded(text, from, scratch, check));
    // A stopped search has no result to compare.
    if let (Ok(bounded), Ok(chosen)) = (&bounded, &chosen) {
        assert_eq!(bounded, chosen, "the bounded matcher found the first, the chosen engine the second");
    }
    true
}

/// The spans of the groups, in order; `None` without a match.
type Spans = Option<Vec<Option<(usize, usize)>>>;

/// Runs one search and checks its result.
fn found(
    pattern: &Pattern,
    text: &[u8],
    search: impl FnOnce(&mut Scratch, &dyn Fn() -> bool) -> Result<bool, SearchError>,
) -> Result<Spans, SearchError> {
    let (mut scratch, asked) = (Scratch::default(), Cell::new(0));
    let check = || {
        asked.set(asked.get() + 1);
        asked.get() > MAX_CHECKS
    };
    let found = search(&mut scratch, &check);
    assert!(asked.get() <= MAX_CHECKS + 1, "the search went on after it was told to stop");
    assert_eq!(asked.get() > MAX_CHECKS, found == Err(SearchError::Stopped), "the search and its stop disagree");
    if !found? {
        return Ok(None);
    }
    let span = |group: usize| match scratch.slots.get(group * 2..group * 2 + 2) {
        Some(&[start, end]) if start != UNSET && end != UNSET => {
            assert!(start <= text.len() && end <= text.len(), "group {group} is {start}-{end} of {}", text.len());
            Some((start, end))
        }
        _ => None,
    };
    let spans: Vec<_> = (0..=pattern.groups).map(span).collect();
    assert!(spans[0].is_some(), "a match without a span");
    Ok(Some(spans))
}
