//! The option letters of `ngx.re`.

/// The options that the letters select.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Options {
    /// `a`: match only at the start of the search.
    pub anchored: bool,
    /// `i`
    pub caseless: bool,
    /// `m`
    pub multiline: bool,
    /// `s`
    pub dot_all: bool,
    /// `x`
    pub extended: bool,
    /// `u` and `U`: characters are code points.
    pub utf: bool,
    /// `u`: the text must be UTF-8.
    pub check_utf: bool,
    /// `D`: allow duplicate names.
    pub duplicates: bool,
    /// `J`: a reference to an unset group matches the empty string.
    pub javascript: bool,
}

impl Options {
    /// Parses the letters.
    ///
    /// # Errors
    /// A letter is unknown, in ngx_lua's words.
    pub fn parse(letters: &[u8]) -> Result<Self, String> {
        let mut options = Self::default();
        for letter in letters {
            match letter {
                b'a' => options.anchored = true,
                // Patterns are always compiled once, and `d` (longest match) has no effect.
                b'd' | b'j' | b'o' => {}
                b'D' => options.duplicates = true,
                b'i' => options.caseless = true,
                b'J' => options.javascript = true,
                b'm' => options.multiline = true,
                b's' => options.dot_all = true,
                b'u' => (options.utf, options.check_utf) = (true, true),
                b'U' => options.utf = true,
                b'x' => options.extended = true,
                other => {
                    let letters = String::from_utf8_lossy(letters);
                    return Err(format!("unknown flag \"{}\" (flags \"{letters}\")", char::from(*other)));
                }
            }
        }
        Ok(options)
    }
}
