//! What a transaction passes, from the inputs to the destinations, as a tree and for Graphviz.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use super::Shown;
use super::outputs::{self, Output};
use super::plans::{self, OF_SOME, Row, grouped};

/// The tree.
pub(super) fn text(shown: &Shown) -> String {
    let mut text = String::new();
    for input in &shown.inputs {
        let _ = writeln!(text, "input {}  {}", input.name, input.from.join(", "));
    }
    if shown.inputs.is_empty() {
        text.push_str("no input\n");
    }
    let groups = grouped(&shown.plans.rows);
    let mesh = !shown.mesh_outputs.is_empty();
    let scoped = plans::scoped(shown);
    for (at, rows) in groups.iter().enumerate() {
        let is_last = at + 1 == groups.len() && !mesh && scoped.is_empty();
        text.push_str("│\n");
        let (branch, below) = if is_last { ("└─", "  ") } else { ("├─", "│ ") };
        let titles: Vec<String> = rows.iter().map(|row| row.title()).collect();
        let _ = writeln!(text, "{branch} {}", titles.join(&format!("\n{below} ")));
        steps(shown, rows[0], below, &mut text);
    }
    if !scoped.is_empty() {
        let (branch, below) = if mesh { ("├─", "│ ") } else { ("└─", "  ") };
        let _ = writeln!(text, "│\n{branch} {OF_SOME}");
        for (at, step) in scoped.iter().enumerate() {
            let branch = if at + 1 == scoped.len() { "└─" } else { "├─" };
            let scope = &shown.program.steps[*step].scope;
            let _ = writeln!(text, "{below} {branch} {scope}: {}", plugin(shown, *step));
        }
    }
    if mesh {
        text.push_str("│\n└─ access logs of meshes\n");
        for (at, output) in shown.mesh_outputs.iter().enumerate() {
            let branch = if at + 1 == shown.mesh_outputs.len() { "└─" } else { "├─" };
            let _ = writeln!(text, "   {branch}{}", way(output));
        }
    }
    text
}

fn steps(shown: &Shown, row: &Row, below: &str, text: &mut String) {
    if row.steps.is_empty() {
        let _ = writeln!(text, "{below} └─ no plugin");
    }
    for (order, step) in row.steps.iter().enumerate() {
        let branch = if order + 1 == row.steps.len() { "└─" } else { "├─" };
        let _ = writeln!(text, "{below} {branch} {} {}", order + 1, plugin(shown, *step));
    }
}

/// The plugin of a step, and the way of its messages.
fn plugin(shown: &Shown, step: usize) -> String {
    let way = shown.outputs[step].as_ref().map(way).unwrap_or_default();
    format!("{}{way}", shown.program.steps[step].label)
}

fn way(output: &Output) -> String {
    format!(" ──> queue ({}) ──> {}", output.storage(), output.title())
}

/// The graph in the language of Graphviz. The edges to plugins have the number of their execution.
pub(super) fn dot(shown: &Shown) -> String {
    let mut text = "digraph logphase {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n".to_owned();
    node(&mut text, "phase", "log phase", ", style=rounded");
    for input in &shown.inputs {
        let id = format!("input:{}", input.name);
        node(&mut text, &id, &format!("{}\n{}", input.name, input.from.join("\n")), ", shape=cds");
        edge(&mut text, &id, "phase", "");
    }
    let mut used = BTreeSet::new();
    for (at, rows) in grouped(&shown.plans.rows).into_iter().enumerate() {
        let id = format!("plan:{at}");
        let titles: Vec<String> = rows.iter().map(|row| row.title()).collect();
        node(&mut text, &id, &titles.join("\n"), ", shape=folder");
        edge(&mut text, "phase", &id, "");
        for (order, step) in rows[0].steps.iter().enumerate() {
            edge(&mut text, &id, &format!("plugin:{step}"), &(order + 1).to_string());
            used.insert(*step);
        }
    }
    let scoped = plans::scoped(shown);
    if !scoped.is_empty() {
        node(&mut text, "scoped", OF_SOME, ", shape=folder");
        edge(&mut text, "phase", "scoped", "");
    }
    for step in scoped {
        edge(&mut text, "scoped", &format!("plugin:{step}"), "");
        used.insert(step);
    }
    let mut queues = HashMap::new();
    for (at, output) in outputs::distinct(shown).into_iter().enumerate() {
        queues.insert(&output.id, at);
        node(&mut text, &format!("queue:{at}"), &format!("queue\n{}", output.storage()), ", shape=cylinder");
        node(&mut text, &format!("sink:{at}"), &output.title(), ", shape=component");
        edge(&mut text, &format!("queue:{at}"), &format!("sink:{at}"), "");
    }
    for step in used {
        let id = format!("plugin:{step}");
        node(&mut text, &id, &shown.program.steps[step].label, "");
        if let Some(queue) = shown.outputs[step].as_ref().and_then(|output| queues.get(&output.id)) {
            edge(&mut text, &id, &format!("queue:{queue}"), "");
        }
    }
    if !shown.mesh_outputs.is_empty() {
        node(&mut text, "mesh", "access logs of meshes", ", shape=folder");
        edge(&mut text, "phase", "mesh", "");
        for queue in shown.mesh_outputs.iter().filter_map(|output| queues.get(&output.id)) {
            edge(&mut text, "mesh", &format!("queue:{queue}"), "");
        }
    }
    text.push_str("}\n");
    text
}

fn node(text: &mut String, id: &str, label: &str, more: &str) {
    let _ = writeln!(text, "  {} [label={}{more}];", quoted(id), quoted(label));
}

fn edge(text: &mut String, from: &str, to: &str, label: &str) {
    let label = if label.is_empty() { String::new() } else { format!(" [label={}]", quoted(label)) };
    let _ = writeln!(text, "  {} -> {}{label};", quoted(from), quoted(to));
}

/// `text` as a string of Graphviz's language, where only the quote and the backslash, which begins an escape in labels, are special.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    /// Scenario: names with quotes, backslashes and line ends. Guarantees: they stay within their string of the graph.
    #[test]
    fn quotes() {
        assert_eq!(super::quoted("a\"b\\c\nd"), r#""a\"b\\c\nd""#);
    }
}
