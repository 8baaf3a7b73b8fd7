//! The output: a table, or JSON lines.

use logphase_io::count::counted;
use logphase_io::printable;
use serde_json::json;

use super::script::Script;
use super::verdict::Verdict;

/// The width of the column of names.
pub(super) fn width(scripts: &[Script]) -> usize {
    scripts.iter().map(|script| script.name.chars().count()).max().unwrap_or(0).max("attack".len())
}

/// The header line.
pub(super) fn head(width: usize) -> String {
    format!("{:width$}  {:9}  {:7}  {:>8}  {:>9}\n", "attack", "result", "how", "time", "memory")
}

/// The line of one script.
pub(super) fn line(script: &Script, verdict: &Verdict, width: usize) -> String {
    let result = if verdict.escapes.is_empty() { "contained" } else { "ESCAPED" };
    let how = verdict.containment.map_or("", |containment| containment.name());
    let time = format!("{:.1} ms", verdict.cpu_ms);
    let memory = verdict.memory.map_or(String::new(), |bytes| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)));
    let detail = match (&verdict.escapes[..], script.expect.is_empty()) {
        ([], false) => String::new(),
        ([], true) => format!("  {}", verdict.seen),
        (escapes, _) => format!("  {}", escapes.join("; ")),
    };
    let line = format!("{:width$}  {result:9}  {how:7}  {time:>8}  {memory:>9}{detail}", script.name);
    format!("{}\n", printable::line(line.trim_end()))
}

/// One script as a JSON line.
pub(super) fn json(script: &Script, verdict: &Verdict) -> String {
    let object = json!({
        "attack": script.name,
        "about": script.attack,
        "class": script.class,
        "cve": script.cve,
        "contained": verdict.escapes.is_empty(),
        "how": verdict.containment.map(|containment| containment.name()),
        "cpu_ms": verdict.cpu_ms,
        "memory": verdict.memory,
        "seen": verdict.seen,
        "escapes": verdict.escapes,
    });
    format!("{object}\n")
}

/// The totals.
pub(super) fn summary(contained: usize, escaped: usize) -> String {
    let all = contained + escaped;
    format!("{}: {contained} contained, {escaped} escaped\n", counted(all, "attack"))
}
