//! Compiled patterns, and those that a VM has at hand.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::rc::Rc;

use super::backtrack::{self, Cut, Scratch};
use super::linear::Linear;
use super::options::Options;
use super::parse::parse;
use super::program::{Program, compile};

/// Patterns that one VM keeps.
const MOST_PATTERNS: usize = 256;
/// Bytes that they may take together.
const MOST_BYTES: usize = 8 << 20;

/// A pattern, ready to search.
#[derive(Debug)]
pub struct Pattern {
    text: Box<[u8]>,
    letters: Box<[u8]>,
    /// What its letters ask for.
    pub options: Options,
    program: Program,
    linear: Option<RefCell<Linear>>,
    /// Names and their groups, in the order of the pattern.
    pub names: Vec<(Box<[u8]>, u32)>,
    /// How many groups it has.
    pub groups: usize,
    size: usize,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it or its options, in the words of OpenResty and PCRE.
    pub fn new(text: &[u8], letters: &[u8]) -> Result<Self, String> {
        let options = Options::parse(letters)?;
        let ast = parse(text, options).map_err(|mistake| mistake_text(text, &mistake.what, mistake.at))?;
        let program = compile(&ast, options.utf, options.javascript)
            .map_err(|_| mistake_text(text, "regular expression is too large", text.len()))?;
        let linear = Linear::new(&ast, options.utf);
        let size = text.len() + program.size() + linear.as_ref().map_or(0, Linear::size);
        Ok(Self {
            text: text.into(),
            letters: letters.into(),
            options,
            program,
            linear: linear.map(RefCell::new),
            groups: ast.groups as usize,
            names: ast.names,
            size,
        })
    }

    /// Finds the first match at or after `from`; the groups are in `scratch` then. `check` says when to stop.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn search(
        &self,
        text: &[u8],
        from: usize,
        scratch: &mut Scratch,
        check: &dyn Fn() -> bool,
    ) -> Result<bool, Cut> {
        if from > text.len() {
            return Ok(false);
        }
        let anchored = self.options.anchored;
        if let Some(linear) = &self.linear
            && let Ok(mut linear) = linear.try_borrow_mut()
            && linear.is_for(text, from)
        {
            return Ok(linear.search(text, from, anchored, &mut scratch.slots));
        }
        self.search_bounded(text, from, scratch, check)
    }

    /// As [`Self::search`], by the bounded matcher.
    pub fn search_bounded(
        &self,
        text: &[u8],
        from: usize,
        scratch: &mut Scratch,
        check: &dyn Fn() -> bool,
    ) -> Result<bool, Cut> {
        backtrack::search(&self.program, text, from, self.options.anchored, scratch, check)
    }

    /// Whether the linear engine knows the pattern.
    #[cfg(test)]
    pub fn is_linear(&self) -> bool {
        self.linear.is_some()
    }
}

/// PCRE's words as ngx_lua hands them on.
fn mistake_text(pattern: &[u8], what: &str, at: usize) -> String {
    let shown = String::from_utf8_lossy(pattern);
    match pattern.get(at..) {
        Some(rest) if !rest.is_empty() => {
            format!("pcre_compile() failed: {what} in \"{shown}\" at \"{}\"", String::from_utf8_lossy(rest))
        }
        _ => format!("pcre_compile() failed: {what} in \"{shown}\""),
    }
}

/// The patterns of one VM. All are kept, whatever their options say, until there are too many.
#[derive(Debug, Default)]
pub struct Patterns {
    hasher: foldhash::fast::RandomState,
    kept: HashMap<u64, Rc<Pattern>>,
    size: usize,
}

impl Patterns {
    /// The pattern, compiled now or before.
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub fn get(&mut self, text: &[u8], letters: &[u8]) -> Result<Rc<Pattern>, String> {
        let key = self.hasher.hash_one((text, letters));
        if let Some(known) = self.kept.get(&key).filter(|known| *known.text == *text && *known.letters == *letters) {
            return Ok(known.clone());
        }
        let pattern = Rc::new(Pattern::new(text, letters)?);
        if self.kept.len() >= MOST_PATTERNS || self.size + pattern.size > MOST_BYTES {
            self.kept.clear();
            self.size = 0;
        }
        self.size += pattern.size;
        if let Some(replaced) = self.kept.insert(key, pattern.clone()) {
            self.size -= replaced.size;
        }
        Ok(pattern)
    }
}
