//! Which snippet, and which rule of redaction, changed what of a message: for taps and dry runs.

use serde_json::{Value, json};

use super::program::Program;
use super::run::Part;
use logphase_script::AppliedEdit;
use logphase_script::message::{Mode, RedactAction, Redacted};

/// Changes of one message that are kept at most.
const MAX_CHANGES: usize = 1000;

/// A change of a member of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Index of the step that made it: for an edit perhaps that of an earlier plugin, whose edits later ones see.
    pub step: usize,
    /// What made it.
    pub by: ChangedBy,
    /// The key path.
    pub path: Box<str>,
}

/// What changes a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangedBy {
    /// The part of the step with this index.
    Part(usize, Mode),
    /// A rule of redaction, like `header authorization`.
    Rule(String, RedactAction),
}

impl Change {
    /// The change as taps and the page show it: `by`, `plugin`, `path`, `mode`, and the `rule` of redaction.
    pub fn to_json(&self, program: &Program) -> Value {
        let step = &program.steps[self.step];
        match &self.by {
            ChangedBy::Part(part, mode) => {
                let mode = match mode {
                    Mode::Set => "set",
                    Mode::Add => "add",
                    Mode::Replace => "replace",
                };
                json!({"by": step.parts[*part].name(), "plugin": step.id, "path": self.path, "mode": mode})
            }
            ChangedBy::Rule(rule, action) => {
                let mode = match action {
                    RedactAction::Remove => "remove",
                    RedactAction::Mask => "mask",
                    RedactAction::Hash => "hash",
                };
                json!({"by": "redaction", "rule": rule, "plugin": step.id, "path": self.path, "mode": mode})
            }
        }
    }
}

/// The changes of one transaction's message so far.
#[derive(Debug, Default)]
pub struct Changes {
    edits: Vec<Change>,
}

impl Changes {
    /// Adds the edits of a part; see [`super::Observer::edited`].
    pub fn edited(&mut self, Part { step, part }: Part, edits: Vec<AppliedEdit>) {
        let room = MAX_CHANGES.saturating_sub(self.edits.len());
        let change = |edit: AppliedEdit| Change { step, by: ChangedBy::Part(part, edit.mode), path: edit.path };
        self.edits.extend(edits.into_iter().take(room).map(change));
    }

    /// The changes that the message of `step` shows: all edits so far, and what was redacted, of which `redacted` says as much as it is
    /// asked for.
    pub fn of_message(&self, step: usize, redacted: &dyn Fn(usize) -> Vec<Redacted>) -> Vec<Change> {
        let mut all = self.edits.clone();
        let rule =
            |Redacted { rule, action, path }| Change { step, by: ChangedBy::Rule(rule, action), path: path.into() };
        all.extend(redacted(MAX_CHANGES.saturating_sub(all.len())).into_iter().map(rule));
        all
    }

    /// Forgets what `step` has set for its own message alone.
    pub fn after_message(&mut self, program: &Program, step: usize) {
        if program.steps[step].definition.fields.are_attributes {
            self.edits.retain(|edit| edit.step != step);
        }
    }
}
