//! Releases of Kong.

use std::str::FromStr;

/// A release of Kong Gateway, such as 3.10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KongVersion {
    major: u32,
    minor: u32,
}

impl KongVersion {
    /// The first release whose plugins have `custom_fields_by_lua` in all forms that Logphase knows.
    pub const FIRST: Self = Self::new(3, 4);

    /// A release by its numbers.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }
}

impl FromStr for KongVersion {
    type Err = String;

    /// Reads `3.10` or `3.10.0.2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = text.split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if numbers.all(|number| number.is_ok()) => {
                let version = Self { major, minor };
                if version < Self::FIRST || major > 3 {
                    return Err("expected a release of Kong from 3.4 on".to_owned());
                }
                Ok(version)
            }
            _ => Err("expected a release of Kong, like 3.10".to_owned()),
        }
    }
}
