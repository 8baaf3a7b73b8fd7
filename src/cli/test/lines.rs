//! A line-based diff.

/// The number of context lines around a change.
const CONTEXT: usize = 3;
/// The maximum number of line pairs to compare: more take too long.
const MAX_PAIRS: usize = 4_000_000;

/// A line of the diff: ` `, `-` or `+`, and its text. `@` begins a hunk.
pub(super) type DiffLine<'a> = (char, &'a str);

/// The hunks of the diff from `old` to `new`; empty if there are too many lines.
pub(super) fn diff<'a>(old: &'a str, new: &'a str) -> Vec<DiffLine<'a>> {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    if a.len().saturating_mul(b.len()) > MAX_PAIRS {
        return Vec::new();
    }
    let mut all: Vec<DiffLine<'a>> = old[..head].iter().map(|line| (' ', *line)).collect();
    all.extend(middle(a, b));
    all.extend(old[old.len() - tail..].iter().map(|line| (' ', *line)));
    hunks(&all)
}

/// The shortest diff from `a` to `b`, from their longest common subsequence.
fn middle<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<DiffLine<'a>> {
    let width = b.len() + 1;
    let mut common = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * width + j] = if a[i] == b[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push((' ', a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            lines.push(('-', a[i]));
            i += 1;
        } else {
            lines.push(('+', b[j]));
            j += 1;
        }
    }
    lines
}

/// Keeps the changes and their context.
fn hunks<'a>(all: &[DiffLine<'a>]) -> Vec<DiffLine<'a>> {
    let mut near = vec![false; all.len()];
    for (at, _) in all.iter().enumerate().filter(|(_, (mark, _))| *mark != ' ') {
        near[at.saturating_sub(CONTEXT)..all.len().min(at + CONTEXT + 1)].fill(true);
    }
    let mut shown = Vec::new();
    for (at, line) in all.iter().enumerate().filter(|(at, _)| near[*at]) {
        if at == 0 || !near[at - 1] {
            shown.push(('@', ""));
        }
        shown.push(*line);
    }
    shown
}
