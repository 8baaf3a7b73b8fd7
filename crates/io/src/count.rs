//! Counts in messages, in plain English.

use std::fmt::Display;

/// `count` of the things that `noun` names in the singular: `1 message`, `2 messages`, `1.2M messages`.
pub fn counted(count: impl Display, noun: &str) -> String {
    let count = count.to_string();
    let end = match count.as_str() {
        "1" => "",
        _ if noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{count} {noun}{end}")
}

/// How often something happened: `once`, `5 times`.
pub fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// The `was` or `were` of `count` things.
pub fn were(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: none, one and several.
    /// Guarantees: only one is in the singular.
    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "message")), ["0 messages", "1 message", "2 messages"]);
        assert_eq!([counted("1", "batch"), counted("1.2M", "batch")], ["1 batch", "1.2M batches"]);
        assert_eq!([times(0), times(1), times(2)], ["0 times", "once", "2 times"]);
        assert_eq!([were(0), were(1), were(2)], ["were", "was", "were"]);
    }
}
