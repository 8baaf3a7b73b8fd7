//! What plugins and their snippets ask for that transactions lack, as findings.

use crate::phase::{Ask, Program};
use logphase_config::diagnostic::{Diagnostic, Severity, codes};
use logphase_script::needs::{Need, Note};

/// `finding` at the line of its snippet, if a snippet asks.
fn at_line(finding: Diagnostic, program: &Program, ask: &Ask) -> Diagnostic {
    match ask.asker.part {
        Some(part) => finding.at(program.steps[ask.asker.step].parts[part].source.line_origin(ask.finding.line)),
        None => finding,
    }
}

/// Who asks, as in `header of file-log`.
pub(super) fn asker(program: &Program, ask: &Ask) -> String {
    let step = &program.steps[ask.asker.step];
    match ask.asker.part {
        Some(part) => format!("`{}` of {}", step.parts[part].name(), step.label),
        None => step.label.to_string(),
    }
}

/// What is known only when a snippet runs, and what no proxy can send, as warnings.
pub(super) fn unsendable(program: &Program) -> Vec<Diagnostic> {
    let found = program.asks.all().iter().filter_map(|ask| {
        let who = asker(program, ask);
        let warning = match &ask.finding.note {
            Note::Needs(_) => return None,
            Note::Dynamic { what, help } => {
                Diagnostic::warning(codes::NOT_SENT, format!("{who} reads {what}")).help(*help)
            }
            Note::Impossible { what, reason } => {
                Diagnostic::warning(codes::NOT_SENT, format!("{who} reads {what}, which cannot be sent: {reason}"))
            }
        };
        Some(at_line(warning, program, ask))
    });
    found.collect()
}

/// A finding for each ask for one of the needs that `missing` tells why transactions lack it: a warning, or a note if
/// snippets get a substitute.
pub(super) fn missing(
    program: &Program,
    help: Option<&str>,
    missing: impl Fn(&Need) -> Option<String>,
) -> Vec<Diagnostic> {
    let found = program.asks.all().iter().filter_map(|ask| {
        let need = ask.finding.need()?;
        let why = missing(need)?;
        let message = format!("{} reads {need}: {why}", asker(program, ask));
        let severity = if need.substitute().is_some() { Severity::Note } else { Severity::Warning };
        let finding = Diagnostic::new(severity, codes::NOT_SENT, message);
        let finding = match need.substitute() {
            Some(substitute) => finding.label(format!("gets {substitute} instead")),
            None => finding.label(format!("{} is missing", need.member())),
        };
        let finding = match help {
            Some(help) => finding.help(help),
            None => finding,
        };
        Some(at_line(finding, program, ask))
    });
    found.collect()
}
