//! The letters that follow a pattern.

/// What the option letters ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Options {
    /// `a`: only at the place where the search begins.
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
    /// `D`: names may be given twice.
    pub duplicates: bool,
    /// `J`: a group that took no part matches nothing, not never.
    pub javascript: bool,
}

impl Options {
    /// Reads the letters.
    ///
    /// # Errors
    /// ngx_lua's words for a letter that it does not know.
    pub fn parse(letters: &[u8]) -> Result<Self, String> {
        let mut options = Self::default();
        for letter in letters {
            match letter {
                b'a' => options.anchored = true,
                // Compiled once whatever they say; the longest match is not looked for.
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
