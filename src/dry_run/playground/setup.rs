//! What a request wants to run: its settings, its configuration and its transactions.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::Request;
use super::places::{CONFIGURATION, Places, SETTINGS};
use crate::dry_run::why::{self, Absent};
use crate::dry_run::{mapped_transactions, transactions};
use crate::phase::Program;
use crate::service::Offline;
use crate::settings::{Settings, environment};
use crate::sink::Sink;
use logphase_config::diagnostic::{Diagnostic, SourceFile, any_error, codes};
use logphase_script::transaction::Transaction;

/// What can be run.
pub(crate) struct Setup {
    /// The compiled configuration.
    pub(crate) program: Arc<Program>,
    /// What each step delivers through.
    pub(crate) sinks: Vec<Option<Box<dyn Sink>>>,
    /// The plugins that run for no transaction.
    pub(crate) absent: Vec<Absent>,
    /// The transactions.
    pub(crate) transactions: Vec<Transaction>,
}

/// Nothing can be run, for the reasons among the diagnostics.
pub(crate) struct Unset;

impl Setup {
    /// Reads `request`. Also returns all diagnostics, as JSON.
    pub(crate) fn new(request: &Request) -> (Result<Self, Unset>, Vec<Value>) {
        let own = request.settings.as_ref().is_none_or(|text| text.trim().is_empty());
        let text = if own { &request.own_settings } else { request.settings.as_deref().unwrap_or_default() };
        let file = SourceFile::new(if own { "settings of the service" } else { SETTINGS }, text);
        let places = Places::new(&request.configuration, (!own).then_some(text), &request.transaction);
        let (settings, mut found) = Settings::load(Some(file), environment());
        let mut refused = any_error(&found);
        let source = SourceFile::new(CONFIGURATION, request.configuration.as_str());
        let (offline, more) = Offline::new(&settings, &source);
        found.extend(more);
        let mapping = request.mapping.as_deref().unwrap_or(crate::decode::mapping::KONG);
        if let Err(unknown) = settings.mappings.check_argument(mapping) {
            refused = true;
            found.push(*unknown);
        }
        if own && settings.redact_key.is_some() {
            let message = "hashes of redaction are made with another key here than in the service";
            found.push(Diagnostic::note(codes::SETTING, message));
        }
        let body = Bytes::copy_from_slice(request.transaction.as_bytes());
        let limits = settings.limits.transaction();
        let decoded = match settings.mappings.find(mapping) {
            Some(mapping) => mapped_transactions(&body, mapping, limits),
            None => transactions(&body, &limits),
        };
        let mut shown = places.diagnostics(&found);
        let transactions = match decoded {
            Ok(transactions) => transactions,
            Err(error) => {
                shown.insert(0, places.rejected(&error));
                Vec::new()
            }
        };
        if transactions.is_empty() && shown.iter().all(|one| one["source"] != "transaction") {
            shown.insert(0, places.about_transaction("there is no transaction", 0));
        }
        let Some(Offline { configuration, program, sinks }) = offline.filter(|_| !refused) else {
            return (Err(Unset), shown);
        };
        let absent = why::absent(&configuration);
        (Ok(Self { program: Arc::new(program), sinks, absent, transactions }), shown)
    }
}
