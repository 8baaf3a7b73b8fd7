//! Diagnostics as JSON, at places in the texts of a request.

use serde_json::{Value, json};

use super::lines::Lines;
use crate::decode::DecodeError;
use logphase_config::diagnostic::{Diagnostic, Origin, Place};

/// Diagnostics of one kind that are shown, and bytes of one of their texts: a pasted file may have any number of mistakes.
const MAX_SHOWN: usize = 200;
const MAX_TEXT: usize = 600;

/// The texts of a request, by the names that its files have.
pub(super) struct Places<'a> {
    sources: Vec<(&'static str, Lines<'a>)>,
}

/// The names of the texts.
pub(super) const CONFIGURATION: &str = "configuration";
pub(super) const SETTINGS: &str = "settings";
const TRANSACTION: &str = "transaction";

impl<'a> Places<'a> {
    pub(super) fn new(configuration: &'a str, settings: Option<&'a str>, transaction: &'a str) -> Self {
        let mut sources = vec![(CONFIGURATION, Lines::of(configuration)), (TRANSACTION, Lines::of(transaction))];
        sources.extend(settings.map(|text| (SETTINGS, Lines::of(text))));
        Self { sources }
    }

    fn lines(&self, name: &str) -> Option<&Lines<'a>> {
        self.sources.iter().find(|(known, _)| *known == name).map(|(_, lines)| lines)
    }

    /// The line of `origin` in its text.
    pub(super) fn line(&self, origin: &Origin) -> Option<Value> {
        let place = origin.place()?;
        Some(self.lines(&place.file.name)?.place(place.span.start)["line"].take())
    }

    /// The diagnostics, the most severe first, as many as are shown.
    pub(super) fn diagnostics(&self, found: &[Diagnostic]) -> Vec<Value> {
        let mut sorted: Vec<&Diagnostic> = found.iter().collect();
        sorted.sort_by_key(|one| one.severity);
        sorted.into_iter().take(MAX_SHOWN).map(|one| self.diagnostic(one)).collect()
    }

    fn diagnostic(&self, found: &Diagnostic) -> Value {
        let mut shown = json!({
            "severity": found.severity.word(),
            "code": found.code,
            "message": cut(&found.message),
            "source": Value::Null,
            "start": Value::Null,
            "end": Value::Null,
            "label": cut(&found.label),
            "help": found.help.as_deref().map(cut),
        });
        if let Some((source, place, lines)) = found.place().and_then(|place| self.known(place)) {
            shown["source"] = source.into();
            shown["start"] = lines.place(place.span.start);
            shown["end"] = lines.place(place.span.end);
        }
        shown
    }

    fn known<'b>(&'b self, place: &'b Place) -> Option<(&'static str, &'b Place, &'b Lines<'a>)> {
        let (name, lines) = self.sources.iter().find(|(name, _)| *name == place.file.name)?;
        Some((name, place, lines))
    }

    /// The error of a transaction that cannot be read.
    pub(super) fn rejected(&self, error: &DecodeError) -> Value {
        let message = format!("transaction {}: {}", error.index, error.reason);
        self.about_transaction(&message, error.offset)
    }

    /// An error about the byte `offset` of the transactions.
    pub(super) fn about_transaction(&self, message: &str, offset: usize) -> Value {
        let place = self.lines(TRANSACTION).map(|lines| lines.place(offset));
        json!({
            "severity": "error", "code": Value::Null, "message": cut(message), "source": TRANSACTION,
            "start": place, "end": place, "label": "", "help": Value::Null,
        })
    }
}

/// `text` without what is too much of it.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
