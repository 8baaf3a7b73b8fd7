//! Output of queues and messages: tables, or JSON lines.

use logphase_io::count::counted;
use std::fmt::Write;

use jiff::Timestamp;

use logphase_io::printable;

use crate::delivery::inventory::{QueueInfo, QueueName, Salvage, Shown};

/// One line per queue.
pub(super) fn list(queues: &[QueueInfo], json: bool) -> String {
    let mut text = String::new();
    if json {
        for queue in queues {
            let _ = writeln!(text, "{}", serde_json::json!(queue));
        }
        return text;
    }
    if queues.is_empty() {
        return "no messages wait\n".to_owned();
    }
    let head = ["queue", "messages", "bytes", "oldest", "state"].map(str::to_owned);
    let row = |queue: &QueueInfo| {
        let instance = queue.instance_name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
        let error = queue.last_error.as_ref().filter(|_| queue.state.name() == "failing");
        let state =
            error.map_or_else(|| queue.state.name().to_owned(), |error| format!("{}: {error}", queue.state.name()));
        let unconfirmed = match queue.unconfirmed {
            0 => String::new(),
            unconfirmed => format!(", {unconfirmed} sent and not confirmed"),
        };
        let place = if queue.on_disk { "" } else { ", in memory" };
        let aside = match queue.set_aside.files {
            0 => String::new(),
            files => format!(", {} set aside", counted(files, "damaged file")),
        };
        [
            printable::line(&format!("{}{instance}", queue.name)).into_owned(),
            queue.messages.to_string(),
            size(queue.bytes),
            queue.oldest_seconds.map_or_else(|| "-".to_owned(), age),
            printable::line(&format!("{state}{place}{unconfirmed}{aside}")).into_owned(),
        ]
    };
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(queues.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name, messages, bytes, oldest) = (width(0), width(1), width(2), width(3));
    for [queue, count, size, age, state] in &rows {
        let _ = writeln!(text, "{queue:name$}  {count:>messages$}  {size:>bytes$}  {age:>oldest$}  {state}");
    }
    text
}

/// The messages, each with its id, time and reason on a line before it.
pub(super) fn messages(messages: &[Shown], json: bool) -> String {
    let mut text = String::new();
    for shown in messages {
        if json {
            let _ = writeln!(text, "{}", serde_json::to_string(shown).unwrap_or_default());
            continue;
        }
        let time = shown.time.and_then(|time| Timestamp::from_millisecond(i64::try_from(time).ok()?).ok());
        let time = time.map_or_else(String::new, |time| format!("  {time:.3}"));
        let reason = shown.reason.as_ref().map_or_else(String::new, |reason| format!("  {reason}"));
        let _ = writeln!(text, "# {}{time}{}", shown.id, printable::line(&reason));
        match (&shown.message, &shown.text, &shown.base64) {
            (Some(json), ..) => text.push_str(&printable::json(json.get())),
            (_, Some(plain), _) => text.push_str(&printable::lines(plain)),
            (_, _, Some(base64)) => {
                let _ = write!(text, "base64:{base64}");
            }
            _ => {}
        }
        text.push('\n');
    }
    text
}

/// One line per file that was read.
pub(super) fn salvaged(files: &[Salvage]) -> String {
    if files.is_empty() {
        return "no file was set aside\n".to_owned();
    }
    let line = |Salvage { file, messages, damaged_bytes, removed }: &Salvage| {
        let messages = counted(messages, "message");
        let rest = if *removed { "the file is removed" } else { "the file is kept" };
        format!("{file}: {messages} put back, {} damaged; {rest}\n", size(*damaged_bytes))
    };
    files.iter().map(line).collect()
}

/// A note on how many messages were not printed.
pub(super) fn rest(known: &[QueueInfo], name: &QueueName, offset: u64, shown: usize) -> String {
    let all = known.iter().find(|info| info.name == name.to_string()).map_or(0, |info| info.messages);
    match all.saturating_sub(offset + shown as u64) {
        0 if shown == 0 => "no messages\n".to_owned(),
        0 => String::new(),
        more => format!("{more} more: --limit and --offset show them\n"),
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

fn age(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m {}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h {}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d {}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::inventory::{QueueState, SetAsideLevel};

    /// Scenario: a failing queue, dead letters, and no queues.
    /// Guarantees: columns are aligned; the state of a failing queue includes its last error; damaged files are named.
    #[test]
    fn a_table() {
        let queue = QueueInfo {
            name: "http-log-1".to_owned(),
            plugin: "http-log".to_owned(),
            id: Some("1".to_owned()),
            instance_name: Some("audit".to_owned()),
            state: QueueState::Failing,
            unconfirmed: 0,
            on_disk: true,
            messages: 12_345,
            bytes: 25 << 20,
            oldest_seconds: Some(3725.0),
            last_error: Some("refused".to_owned()),
            set_aside: SetAsideLevel::default(),
        };
        let name = "dead-letters/http-log-1".to_owned();
        let (state, oldest_seconds, instance_name) = (QueueState::DeadLetters, None, None);
        let set_aside = SetAsideLevel { files: 2, bytes: 100 };
        let dead = QueueInfo {
            name,
            state,
            oldest_seconds,
            messages: 1,
            bytes: 900,
            instance_name,
            set_aside,
            ..queue.clone()
        };
        let text = list(&[queue, dead], false);
        let expected = "\
queue                    messages     bytes  oldest  state
http-log-1 (audit)          12345  25.0 MiB   1h 2m  failing: refused
dead-letters/http-log-1         1     900 B       -  dead letters, 2 damaged files set aside
";
        assert_eq!(text, expected);
        assert_eq!(list(&[], false), "no messages wait\n");
    }
}
