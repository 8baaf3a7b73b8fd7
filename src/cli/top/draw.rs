//! Draws the screen.

use logphase_io::count::{counted, times};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row as Cells, Table, TableState, Wrap};

use super::rows::{Row, age, bytes, number, rate, sanitize, short_time};
use super::status::{Plugin, Queue, Snippet};
use super::view::{Snapshot, View};

const BAD: Style = Style::new().fg(Color::Red);
const DIM: Style = Style::new().fg(Color::DarkGray);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let rows = view.rows();
    let selected = view.selected(&rows);
    let details = if view.details { Constraint::Percentage(55) } else { Constraint::Length(0) };
    let parts = Layout::vertical([Constraint::Length(4), Constraint::Min(4), details, Constraint::Length(1)]);
    let [head, table, below, foot] = parts.areas(frame.area());
    frame.render_widget(Paragraph::new(header(view)), head);
    draw_table(frame, table, view, &rows, selected);
    if let (true, Some(row), Some(last)) = (view.details, rows.get(selected), &view.last) {
        let plugin = row.plugin.map(|at| &last.status.plugins[at]);
        let text = Paragraph::new(details_of(row, plugin, last.at)).wrap(Wrap { trim: false });
        frame.render_widget(text.block(Block::bordered().title(format!(" {} ", sanitize(&row.label)))), below);
    }
    let keys = " q quit   ↑↓ jk select   Enter details   s sort   p pause   ? help";
    let sorted = format!("   sorted by {}", view.sort.name());
    frame.render_widget(Line::from(vec![Span::styled(keys, DIM), Span::styled(sorted, DIM)]), foot);
    if view.help {
        draw_help(frame);
    }
}

fn header(view: &View) -> Vec<Line<'static>> {
    let Some(last) = &view.last else {
        return vec![Line::from(format!("Logphase: connecting to {} …", sanitize(&view.source))), problem(view)];
    };
    let Snapshot { status, at } = last;
    let stage_style = if status.stage == "ready" { BOLD } else { BAD };
    let up = at.saturating_sub(status.started_at) as f64 / 1e3;
    let mut first = vec![
        Span::styled(format!("Logphase {}", sanitize(&status.version)), BOLD),
        Span::raw("  "),
        Span::styled(sanitize(&status.stage), stage_style),
        Span::raw(format!(" for {}, {}", age(up), sanitize(&view.source))),
    ];
    if view.paused {
        first.push(Span::styled("  PAUSED", BAD));
    }
    let (mut waiting, mut waiting_bytes, mut oldest) = (0, 0, 0.0f64);
    let other = status.other_queues.iter().map(|other| &other.queue);
    for queue in status.plugins.iter().filter_map(|plugin| plugin.queue.as_ref()).chain(other) {
        waiting += queue.pending();
        waiting_bytes += queue.bytes;
        oldest = oldest.max(queue.oldest_seconds.unwrap_or_default());
    }
    let mut second = format!("Waiting: {}, {}", counted(number(waiting as f64), "message"), bytes(waiting_bytes));
    if waiting > 0 {
        second.push_str(&format!(", the oldest for {}", age(oldest)));
    }
    if last.status.unlogged() > 0 {
        let count = counted(number(last.status.unlogged() as f64), "transaction");
        second.push_str(&format!("; {count} logged by no plugin"));
    }
    vec![Line::from(first), Line::from(second), Line::from(inputs(view, last)), problem(view)]
}

fn inputs(view: &View, last: &Snapshot) -> String {
    let shown = last
        .status
        .inputs
        .iter()
        .filter(|(_, input)| input.received + input.rejected() + input.connections > 0 || input.consumer.is_some());
    let texts: Vec<String> = shown
        .map(|(name, input)| {
            let before =
                view.earlier().and_then(|(before, time)| Some((before.status.inputs.get(name)?.received, time)));
            let mut text = match before {
                Some((before, time)) => format!("{} {}/s", sanitize(name), number(rate(input.received, before, time))),
                None => format!("{} {} received", sanitize(name), number(input.received as f64)),
            };
            if let Some(consumer) = &input.consumer {
                text.push_str(&format!(", {}", consumer.text(|count| number(count as f64))));
            }
            for (what, count) in [("rejected", input.rejected()), ("lost", input.lost)] {
                if count > 0 {
                    text.push_str(&format!(", {} {what}", number(count as f64)));
                }
            }
            text
        })
        .collect();
    if texts.is_empty() { "Inputs: nothing received yet".to_owned() } else { format!("Inputs: {}", texts.join("; ")) }
}

/// A problem of the whole service: it does not answer, it refused the last reload, or a mapping does not fit what arrives.
fn problem(view: &View) -> Line<'static> {
    if let Some(error) = &view.error {
        return Line::styled(format!("No answer: {}; retrying", sanitize(error)), BAD);
    }
    let status = view.last.as_ref().map(|last| &last.status);
    let consumers =
        status.into_iter().flat_map(|status| status.inputs.values()).filter_map(|input| input.consumer.as_ref());
    if let Some(error) = consumers.filter_map(|consumer| consumer.last_error.as_ref()).next() {
        return Line::styled(format!("Kafka: {}", sanitize(&error.message)), BAD);
    }
    match status.and_then(|status| status.reloads.last_error.as_ref()) {
        Some(error) => {
            let first = sanitize(error.lines().next().unwrap_or_default());
            Line::styled(format!("The last reload was refused: {first}"), BAD)
        }
        None => {
            let mappings = view.last.iter().flat_map(|last| &last.status.mappings);
            let first = mappings.flat_map(|(name, mapping)| mapping.problems(name)).next();
            first.map_or_else(Line::default, |problem| Line::styled(sanitize(&problem), BAD))
        }
    }
}

const COLUMNS: [&str; 10] = ["PLUGIN", "WAITING", "OLDEST", "STATE", "FULL", "IN/S", "OUT/S", "DROPPED", "DEAD", "LUA"];

fn draw_table(frame: &mut Frame<'_>, area: Rect, view: &View, rows: &[Row], selected: usize) {
    let cells = rows.iter().map(|row| {
        let [waiting, oldest, full, taken, delivered, dropped, dead] = numbers(row);
        let lua = if row.lua_errors > 0 { number(row.lua_errors as f64) } else { String::new() };
        let warn = |text: String, bad: bool| Cell::from(text).style(if bad { BAD } else { Style::new() });
        let lost = row.queue.as_ref().map_or(0, Queue::dropped);
        let nearly_full = row.queue.as_ref().and_then(Queue::full).is_some_and(|full| full > 0.8);
        Cells::new([
            Cell::from(sanitize(&row.label)),
            Cell::from(waiting),
            Cell::from(oldest),
            warn(row.state.name().to_owned(), row.state.is_bad()),
            warn(full, nearly_full),
            Cell::from(taken),
            Cell::from(delivered),
            warn(dropped, lost > 0),
            Cell::from(dead),
            warn(lua, row.lua_errors > 0),
        ])
    });
    let widths = [
        Constraint::Min(16),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Length(9),
        Constraint::Length(4),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(7),
        Constraint::Length(5),
        Constraint::Length(4),
    ];
    let table = Table::new(cells, widths)
        .header(Cells::new(COLUMNS).style(BOLD))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .highlight_symbol(">");
    let mut state = TableState::new().with_selected(Some(selected));
    if rows.is_empty() && view.last.is_some() {
        frame.render_widget("No plugin is configured.", area);
    } else {
        frame.render_stateful_widget(table, area, &mut state);
    }
}

/// The cells for waiting, oldest, full, in, out, dropped and dead.
fn numbers(row: &Row) -> [String; 7] {
    let Some(queue) = &row.queue else { return [const { String::new() }; 7] };
    let count = |value: u64| if value > 0 { number(value as f64) } else { String::new() };
    let rate = |value: fn((f64, f64)) -> f64| row.rates.map_or_else(String::new, |rates| number(value(rates)));
    [
        number(queue.pending() as f64),
        queue.oldest_seconds.filter(|_| queue.pending() > 0).map_or_else(String::new, age),
        queue.full().map_or_else(String::new, |full| format!("{:.0}%", full * 100.0)),
        rate(|(taken, _)| taken),
        rate(|(_, delivered)| delivered),
        count(queue.dropped()),
        count(queue.dead_lettered),
    ]
}

fn details_of(row: &Row, plugin: Option<&Plugin>, now: u64) -> Vec<Line<'static>> {
    let mut lines = vec![Line::from(format!("id {}", sanitize(&row.key.1)))];
    if let Some(plugin) = plugin {
        lines.push(Line::from(format!("on {}", sanitize(&plugin.scope))));
    }
    if let Some(queue) = &row.queue {
        let place = if queue.on_disk { "on disk" } else { "in memory" };
        let bound = queue.max_bytes.map_or_else(String::new, |max| format!(" of {}", bytes(max)));
        let unconfirmed = match queue.unconfirmed {
            0 => String::new(),
            unconfirmed => format!("; {unconfirmed} sent and not confirmed"),
        };
        let (waiting, size) = (counted(queue.pending(), "message"), bytes(queue.bytes));
        let held = format!("queue {place}: {waiting}, {size}{bound}{unconfirmed}");
        lines.push(Line::from(held));
        lines.push(Line::from(format!(
            "since start: {} accepted, {} recovered, {} delivered, {}, {}, {} resent",
            queue.enqueued,
            queue.recovered,
            queue.delivered,
            counted(queue.dead_lettered, "dead letter"),
            counted(queue.failures, "failed attempt"),
            queue.retried
        )));
        let dropped: Vec<String> = queue
            .dropped
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        if !dropped.is_empty() {
            lines.push(Line::styled(format!("dropped: {}", dropped.join(", ")), BAD));
        }
        if let Some(error) = &queue.last_error {
            let ago = age(now.saturating_sub(error.at) as f64 / 1e3);
            let style = if queue.failing { BAD } else { DIM };
            lines.push(Line::styled(format!("last error, {ago} ago: {}", sanitize(&error.message)), style));
        }
    }
    if let Some(plugin) = plugin.filter(|plugin| !plugin.snippets.is_empty()) {
        lines.push(Line::styled("Lua", BOLD));
        lines.extend(plugin.snippets.iter().map(snippet));
    }
    lines
}

fn snippet(snippet: &Snippet) -> Line<'static> {
    let mut text = format!("  {}", sanitize(&snippet.field));
    if let Some(seconds) = snippet.mean_seconds {
        text.push_str(&format!(": {} on average", short_time(seconds)));
    }
    if snippet.errors > 0 {
        text.push_str(&format!(", {}", counted(snippet.errors, "error")));
    }
    for (budget, count) in snippet.stopped.iter().filter(|(_, count)| **count > 0) {
        text.push_str(&format!(", {count} stopped ({budget})"));
    }
    if snippet.left_out > 0 {
        text.push_str(&format!(", left out {}", times(snippet.left_out)));
    }
    if let Some(seconds) = snippet.suspended_for_seconds {
        text.push_str(&format!(", suspended for {} more", age(seconds)));
    }
    Line::styled(text, if snippet.errors > 0 { BAD } else { Style::new() })
}

const HELP: &str = "\
WAITING  messages in the queue that the destination does not have
OLDEST   how long the oldest message has waited
STATE    ok; failing: the last attempt failed; no disk: the queue cannot be
         written; shared: the plugin shares the queue of another one with
         the same destination; no plugin: the queue of a removed plugin
FULL     used share of the maximum size of the queue
IN, OUT  messages accepted and delivered per second
DROPPED  messages dropped since the start
DEAD     messages that the destination refused permanently (dead letters)
LUA      failed runs of snippets

↑ ↓ j k  select a plugin          Enter   show or hide its details
s        change the sort order    p       pause
q        quit                     ?       show or hide this help";

fn draw_help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = (76.min(area.width), 16.min(area.height));
    let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(HELP).block(Block::bordered().title(" Help ")), place);
}
