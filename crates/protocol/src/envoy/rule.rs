//! Which of Envoy's values names a consumer, route or service.

use std::borrow::Cow;
use std::str::FromStr;

use crate::envoy::source::{Source, SourceError, Sources};

/// The members that a rule can set, in the order of the log object.
pub(crate) const TARGETS: [&str; 11] = [
    "route.id",
    "route.name",
    "service.id",
    "service.name",
    "consumer.id",
    "consumer.username",
    "consumer.custom_id",
    "authenticated_entity.id",
    "authenticated_entity.consumer_id",
    "workspace",
    "workspace_name",
];

/// `TARGET=SOURCE`: the member TARGET of the log object is the value of the [`Source`], if that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(crate) target: &'static str,
    source: Source,
}

/// Why a text is not a [`Rule`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError(String);

impl std::fmt::Display for RuleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RuleError {}

impl From<SourceError> for RuleError {
    fn from(error: SourceError) -> Self {
        Self(error.to_string())
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let Some((target, source)) = text.split_once('=') else {
            return Err(RuleError("expected TARGET=SOURCE, like consumer.username=metadata:jwt:sub".to_owned()));
        };
        let target = target.trim();
        let Some(target) = TARGETS.into_iter().find(|known| *known == target) else {
            return Err(RuleError(format!("no target `{target}`; it is one of {}", TARGETS.join(", "))));
        };
        Ok(Self { target, source: source.parse()? })
    }
}

impl<'a> Sources<'a> {
    /// The value of the first of `rules` for `target` that has one.
    pub(crate) fn find(self, rules: &[Rule], target: &str) -> Option<Cow<'a, [u8]>> {
        let rules = rules.iter().filter(|rule| rule.target == target);
        rules.filter_map(|rule| self.value(&rule.source)).find(|value| !value.is_empty())
    }
}
