//! Compiled patterns, and the cache of a VM.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::rc::Rc;

use super::backtrack::{self, Scratch, SearchError};
use super::linear::Linear;
use super::options::Options;
use super::parse::parse;
use super::program::{Program, compile};

/// Patterns in one cache.
const MAX_PATTERNS: usize = 256;
/// Bytes of all patterns in one cache.
const MAX_BYTES: usize = 8 << 20;

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    text: Box<[u8]>,
    letters: Box<[u8]>,
    /// The options of its letters.
    pub options: Options,
    program: Program,
    linear: Option<RefCell<Linear>>,
    /// Names and their groups, in the order of the pattern.
    pub names: Vec<(Box<[u8]>, u32)>,
    /// The number of groups.
    pub groups: usize,
    size: usize,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// The pattern or an option is invalid, in the words of OpenResty and PCRE.
    pub fn new(text: &[u8], letters: &[u8]) -> Result<Self, String> {
        let options = Options::parse(letters)?;
        let ast = parse(text, options).map_err(|error| error_text(text, &error.what, error.at))?;
        let program = compile(&ast, options.utf, options.javascript)
            .map_err(|_| error_text(text, "regular expression is too large", text.len()))?;
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

    /// Finds the first match at or after `from` and stores its groups in `scratch`. The search stops once `check` returns
    /// true.
    ///
    /// # Errors
    /// The search was stopped or exceeded its memory.
    pub fn search(
        &self,
        text: &[u8],
        from: usize,
        scratch: &mut Scratch,
        check: &dyn Fn() -> bool,
    ) -> Result<bool, SearchError> {
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

    /// Like [`Self::search`], always with the backtracking matcher.
    ///
    /// # Errors
    /// See [`Self::search`].
    pub fn search_bounded(
        &self,
        text: &[u8],
        from: usize,
        scratch: &mut Scratch,
        check: &dyn Fn() -> bool,
    ) -> Result<bool, SearchError> {
        backtrack::search(&self.program, text, from, self.options.anchored, scratch, check)
    }

    /// Whether the linear engine supports the pattern.
    #[cfg(test)]
    pub fn is_linear(&self) -> bool {
        self.linear.is_some()
    }
}

/// PCRE's message as ngx_lua returns it.
fn error_text(pattern: &[u8], what: &str, at: usize) -> String {
    let shown = String::from_utf8_lossy(pattern);
    match pattern.get(at..) {
        Some(rest) if !rest.is_empty() => {
            format!("pcre_compile() failed: {what} in \"{shown}\" at \"{}\"", String::from_utf8_lossy(rest))
        }
        _ => format!("pcre_compile() failed: {what} in \"{shown}\""),
    }
}

/// The cache of one VM. It keeps all patterns whatever their options, and is cleared when it is full.
#[derive(Debug, Default)]
pub struct Patterns {
    hasher: foldhash::fast::RandomState,
    kept: HashMap<u64, Rc<Pattern>>,
    size: usize,
}

impl Patterns {
    /// Returns the cached pattern, or compiles it.
    ///
    /// # Errors
    /// See [`Pattern::new`].
    pub fn get(&mut self, text: &[u8], letters: &[u8]) -> Result<Rc<Pattern>, String> {
        let key = self.hasher.hash_one((text, letters));
        if let Some(cached) = self.kept.get(&key).filter(|cached| *cached.text == *text && *cached.letters == *letters)
        {
            return Ok(cached.clone());
        }
        let pattern = Rc::new(Pattern::new(text, letters)?);
        if self.kept.len() >= MAX_PATTERNS || self.size + pattern.size > MAX_BYTES {
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
