//! The style in which messages are written.

use crate::transaction::{Escaping, Numbers};

/// How messages are written. The default follows Kong's documentation; with `kong_quirks`, messages are exactly those of
/// Kong 3.10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// How strings are escaped.
    pub(crate) escaping: Escaping,
    /// How numbers are written.
    pub(crate) numbers: Numbers,
    /// Setting nil below missing parents creates the parents.
    pub(crate) empty_parents: bool,
    /// Empty arrays that carry no array mark in Kong are written as `{}`.
    pub(crate) empty_arrays_as_objects: bool,
}

impl Style {
    /// Kong's own output (`kong_quirks: true`).
    pub(crate) const KONG: Self =
        Self { escaping: Escaping::Kong, numbers: Numbers::Kong, empty_parents: true, empty_arrays_as_objects: true };

    /// The style that the setting `kong_quirks` asks for.
    pub fn of(kong_quirks: bool) -> Self {
        if kong_quirks { Self::KONG } else { Self::default() }
    }

    /// Whether unedited text has to be rewritten.
    pub(super) fn rewrites(self) -> bool {
        self.escaping == Escaping::Kong
    }
}
