//! The table as plain text.

use std::fmt::Write;

use super::rows::{Row, Sort, age, bytes, harmless, rows};
use super::status::Queue;
use super::view::Seen;

const COLUMNS: [&str; 9] = ["PLUGIN", "WAITING", "OLDEST", "STATE", "BYTES", "TAKEN", "DELIVERED", "DROPPED", "DEAD"];

/// A table of everything since the start, and below it what is wrong.
pub(super) fn table(seen: &Seen) -> String {
    let status = &seen.status;
    let up = age(seen.at.saturating_sub(status.started_at) as f64 / 1e3);
    let mut text = format!("Logphase {}  {} for {up}\n", status.version, status.stage);
    for (name, input) in &status.inputs {
        let _ = writeln!(
            text,
            "input {name}: {} received, {} rejected, {} lost, {} connections",
            input.received,
            input.rejected(),
            input.lost,
            input.connections
        );
    }
    text.push('\n');
    let rows = rows(status, None, Sort::Order);
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| {
            let longest = cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
            longest.max(COLUMNS[column].len())
        })
        .collect();
    let line = |row: &[&str]| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    text.push_str(&line(&COLUMNS));
    for row in &cells {
        text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    text.push_str(&complaints(seen, &rows));
    text
}

fn cells(row: &Row) -> Vec<String> {
    let of = |show: fn(&Queue) -> String| row.queue.as_ref().map_or_else(|| "-".to_owned(), show);
    vec![
        harmless(&row.label),
        of(|queue| queue.waiting.to_string()),
        of(|queue| queue.oldest_seconds.filter(|_| queue.waiting > 0).map_or_else(|| "-".to_owned(), age)),
        row.state.name().to_owned(),
        of(|queue| bytes(queue.bytes)),
        of(|queue| (queue.asked + queue.recovered).to_string()),
        of(|queue| queue.delivered.to_string()),
        of(|queue| queue.dropped().to_string()),
        of(|queue| queue.dead_lettered.to_string()),
    ]
}

fn complaints(seen: &Seen, rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        if let Some(error) =
            row.queue.as_ref().filter(|queue| queue.failing).and_then(|queue| queue.last_error.as_ref())
        {
            let ago = age(seen.at.saturating_sub(error.at) as f64 / 1e3);
            let _ = writeln!(text, "{}, {ago} ago: {}", harmless(&row.label), harmless(&error.message));
        }
        let snippets = row.plugin.map(|at| seen.status.plugins[at].snippets.as_slice()).unwrap_or_default();
        for snippet in snippets.iter().filter(|snippet| snippet.errors > 0) {
            let (label, field) = (harmless(&row.label), harmless(&snippet.field));
            let _ = writeln!(text, "{label}: Lua of {field} failed {} times", snippet.errors);
        }
    }
    if let Some(error) = &seen.status.reloads.last_error {
        let _ = writeln!(text, "the newest configuration was refused: {}", harmless(error));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}
