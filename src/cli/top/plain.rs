//! The status as plain text.

use logphase_io::count::{counted, times};
use std::fmt::Write;

use super::rows::{Row, Sort, age, bytes, rows, sanitize};
use super::status::Queue;
use super::view::Snapshot;
use crate::phase::Unlogged;

const COLUMNS: [&str; 9] =
    ["PLUGIN", "WAITING", "OLDEST", "STATE", "BYTES", "ENQUEUED", "DELIVERED", "DROPPED", "DEAD"];

/// A table of the counts since the start, and below it the problems.
pub(super) fn table(snapshot: &Snapshot) -> String {
    let status = &snapshot.status;
    let up = age(snapshot.at.saturating_sub(status.started_at) as f64 / 1e3);
    let mut text = format!("Logphase {}  {} for {up}\n", sanitize(&status.version), sanitize(&status.stage));
    for (name, input) in &status.inputs {
        let (name, received, rejected, lost) = (sanitize(name), input.received, input.rejected(), input.lost);
        let _ = write!(text, "input {name}: {received} received, {rejected} rejected, {lost} lost, ");
        let _ = match &input.consumer {
            Some(consumer) => writeln!(text, "{}", consumer.text(|count| count.to_string())),
            None => writeln!(text, "{}", counted(input.connections, "connection")),
        };
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
    text.push_str(&problems(snapshot, &rows));
    text
}

fn cells(row: &Row) -> Vec<String> {
    let of = |show: fn(&Queue) -> String| row.queue.as_ref().map_or_else(|| "-".to_owned(), show);
    vec![
        sanitize(&row.label),
        of(|queue| queue.pending().to_string()),
        of(|queue| queue.oldest_seconds.filter(|_| queue.pending() > 0).map_or_else(|| "-".to_owned(), age)),
        row.state.name().to_owned(),
        of(|queue| bytes(queue.bytes)),
        of(|queue| (queue.enqueued + queue.recovered).to_string()),
        of(|queue| queue.delivered.to_string()),
        of(|queue| queue.dropped().to_string()),
        of(|queue| queue.dead_lettered.to_string()),
    ]
}

fn problems(snapshot: &Snapshot, rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        if let Some(error) =
            row.queue.as_ref().filter(|queue| queue.failing).and_then(|queue| queue.last_error.as_ref())
        {
            let ago = age(snapshot.at.saturating_sub(error.at) as f64 / 1e3);
            let _ = writeln!(text, "{}, {ago} ago: {}", sanitize(&row.label), sanitize(&error.message));
        }
        let snippets = row.plugin.map(|at| snapshot.status.plugins[at].snippets.as_slice()).unwrap_or_default();
        for snippet in snippets.iter().filter(|snippet| snippet.errors > 0) {
            let (label, field) = (sanitize(&row.label), sanitize(&snippet.field));
            let _ = writeln!(text, "{label}: Lua of {field} failed {}", times(snippet.errors));
        }
    }
    for (reason, count) in snapshot.status.unlogged.iter().filter(|(_, count)| **count > 0) {
        let known = Unlogged::ALL.iter().find(|known| known.name() == reason);
        let reason = known.map_or(reason.as_str(), |known| known.text());
        let _ = writeln!(text, "transactions that no plugin logs: {count}: {}", sanitize(reason));
    }
    for (name, mapping) in &snapshot.status.mappings {
        for problem in mapping.problems(name) {
            let _ = writeln!(text, "{}", sanitize(&problem));
        }
    }
    let consumers = snapshot.status.inputs.iter().filter_map(|(name, input)| Some((name, input.consumer.as_ref()?)));
    for (name, error) in consumers.filter_map(|(name, consumer)| Some((name, consumer.last_error.as_ref()?))) {
        let ago = age(snapshot.at.saturating_sub(error.at) as f64 / 1e3);
        let _ = writeln!(text, "input {}, {ago} ago: {}", sanitize(name), sanitize(&error.message));
    }
    if let Some(error) = &snapshot.status.reloads.last_error {
        let _ = writeln!(text, "the last reload was refused: {}", sanitize(error));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}
