//! Excerpts of peers' text for messages.

/// The first `max_bytes` bytes of `text`, or fewer so that no character is cut.
pub fn truncate(text: &str, max_bytes: usize) -> &str {
    let mut end = max_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: limits at, inside and past characters.
    /// Guarantees: no character is cut, and the result is never longer than the limit.
    #[test]
    fn cuts_between_characters() {
        for (max_bytes, expected) in [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (9, "aéb")] {
            assert_eq!(truncate("aéb", max_bytes), expected);
        }
    }
}
