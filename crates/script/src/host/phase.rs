//! The phases of Kong that functions run in, and in which of them a function of `kong` or `ngx` may be called.

use std::fmt;

/// A phase of Kong in which functions run here: the log phase, and those that are replayed before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of Kong's phases")]
pub enum Phase {
    Rewrite,
    Access,
    HeaderFilter,
    BodyFilter,
    #[default]
    Log,
}

impl Phase {
    /// The phases that can be replayed, in Kong's order.
    pub const REPLAYED: [Self; 4] = [Self::Rewrite, Self::Access, Self::HeaderFilter, Self::BodyFilter];

    /// Its name in Kong's configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Access => "access",
            Self::HeaderFilter => "header_filter",
            Self::BodyFilter => "body_filter",
            Self::Log => "log",
        }
    }

    /// The phase with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::REPLAYED.into_iter().chain([Self::Log]).find(|phase| phase.name() == name)
    }

    /// Whether the response has begun: before that, nginx has neither a status nor response headers.
    pub(crate) fn has_response(self) -> bool {
        self >= Self::HeaderFilter
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The phases in which Kong allows a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phases {
    /// All of them, as Kong's errors name them; also those that have no counterpart here.
    text: &'static str,
    mask: u8,
}

impl Phases {
    /// Those that `text` names, with commas between them.
    pub(crate) fn of(text: &'static str) -> Self {
        let known = text.split(", ").filter_map(Phase::named);
        Self { text, mask: known.fold(0, |mask, phase| mask | 1 << phase as u8) }
    }

    pub(crate) fn has(self, phase: Phase) -> bool {
        self.mask & (1 << phase as u8) != 0
    }

    pub(crate) fn text(self) -> &'static str {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase, Phases};

    /// Scenario: lists of phases as Kong's errors name them, with phases that have no counterpart here.
    /// Guarantees: exactly the named ones are in them, and `log` is not found in another name.
    #[test]
    fn lists_of_phases_are_read() {
        for (text, expected) in [
            ("rewrite, access, balancer", vec![Phase::Rewrite, Phase::Access]),
            (
                "response, header_filter, body_filter, log, error, admin_api",
                vec![Phase::HeaderFilter, Phase::BodyFilter, Phase::Log],
            ),
            ("certificate", vec![]),
            ("log", vec![Phase::Log]),
        ] {
            let phases = Phases::of(text);
            let all = Phase::REPLAYED.into_iter().chain([Phase::Log]);
            assert_eq!(all.filter(|phase| phases.has(*phase)).collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
