//! The operator that was meant.

/// The name that is closest to `word`, if one is close: at most a third of its characters differ.
pub(super) fn closest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.len() / 3).clamp(1, 4);
    let near = names.filter(|name| name.len().abs_diff(word.len()) <= limit);
    let distances = near.map(|name| (strsim::osa_distance(word, name), name));
    distances.filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}
