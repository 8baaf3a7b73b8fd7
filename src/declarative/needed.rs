//! Which environment variables must be set: those in what runs here.
//!
//! decK demands all variables of a file, because it sends the whole file to Kong. Here most of a file stands for other
//! processes: plugins that Kong runs, credentials, upstreams. A variable that only they use need not be set.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::format::{OTHER_COLLECTIONS, nested};
use crate::entity::{Configuration, Draft, Drafts, EntityKind, LOG_PHASE_FIELDS, Plugin};
use logphase_config::diagnostic::{Diagnostic, Origin, Place, codes};
use logphase_config::document::{Node, Unset};

/// The most variables that one note names.
const MAX_NAMED: usize = 10;

/// The start of a key or value: the address of its file, and the byte.
type Start = (usize, usize);

/// What uses a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum User {
    /// Whatever the settings are.
    Always,
    /// The plugin that begins here, if it runs.
    Plugin(Start),
    /// The certificate with this id, if a plugin that runs refers to it.
    Certificate(String),
    /// Inputs that find routes.
    Router,
}

/// What uses each value that lacks a variable.
pub(super) struct Uses {
    users: HashMap<Start, HashSet<User>>,
    /// The same values in order, each with its end.
    values: Vec<(Start, usize)>,
}

impl Uses {
    /// What in `drafts` uses the values of `unset`.
    pub(super) fn new(drafts: &Drafts, unset: &[Unset]) -> Self {
        let mut values: Vec<_> = unset.iter().map(|unset| (begins(&unset.place), unset.place.span.end)).collect();
        values.sort_unstable();
        let users = values.iter().map(|(start, _)| (*start, HashSet::new())).collect();
        let mut uses = Self { users, values };
        if unset.is_empty() {
            return uses;
        }
        for draft in &drafts.entities {
            uses.draft(draft);
        }
        let lists = [&drafts.memberships, &drafts.clones, &drafts.vaults];
        lists.into_iter().flatten().for_each(|(_, node)| uses.visit(node, &User::Always));
        uses
    }

    fn draft(&mut self, draft: &Draft) {
        let whole = match draft.kind {
            EntityKind::Plugins => start(&draft.origin()).map_or(User::Always, User::Plugin),
            EntityKind::Certificates => {
                User::Certificate(draft.node.get("id").and_then(Node::as_str).unwrap_or_default().to_owned())
            }
            EntityKind::Services | EntityKind::Routes => User::Router,
            _ => User::Always,
        };
        for (key, value) in draft.node.entries().into_iter().flatten() {
            let name = key.name.as_str();
            // What is nested has drafts of its own, or is for Kong alone.
            if nested(draft.kind).iter().any(|kind| kind.name() == name) || OTHER_COLLECTIONS.contains(&name) {
                continue;
            }
            let user = match (&whole, name) {
                // They say which plugin it is and whether it runs.
                (User::Plugin(_), "name" | "tags") => &User::Always,
                (User::Router, _) if LOG_PHASE_FIELDS.contains(&name) => &User::Always,
                _ => &whole,
            };
            self.note(start(&key.origin()), user);
            self.visit(value, user);
        }
        if let Some(Ok(shared)) = &draft.shared_config {
            self.visit(shared, &whole);
        }
    }

    fn visit(&mut self, node: &Node, user: &User) {
        node.items().into_iter().flatten().for_each(|item| self.visit(item, user));
        for (key, value) in node.entries().into_iter().flatten() {
            self.note(start(&key.origin()), user);
            self.visit(value, user);
        }
        if node.items().is_none() && node.entries().is_none() {
            self.note(start(&node.origin()), user);
        }
    }

    fn note(&mut self, start: Option<Start>, user: &User) {
        if let Some(users) = start.and_then(|start| self.users.get_mut(&start)) {
            users.insert(user.clone());
        }
    }

    /// Whether `diagnostic` is about a value that lacks a variable.
    pub(super) fn explain(&self, diagnostic: &Diagnostic) -> bool {
        let Some(place) = diagnostic.place() else { return false };
        // Values do not overlap: only the last one that starts early enough can reach so far.
        let before = self.values.partition_point(|(start, _)| *start <= begins(place));
        let last = before.checked_sub(1).map(|at| self.values[at]);
        last.is_some_and(|((file, _), end)| file == begins(place).0 && place.span.end <= end)
    }

    /// An error for each variable that what runs here uses, and one note about the others. Those that only the router uses
    /// become errors of `configuration` that hold while an input finds routes.
    pub(super) fn judge(&self, unset: Vec<Unset>, configuration: &mut Configuration) -> Vec<Diagnostic> {
        let running = Running::of(configuration);
        let (mut diagnostics, mut others) = (Vec::new(), Vec::new());
        for unset in unset {
            let users = &self.users[&begins(&unset.place)];
            if users.iter().any(|user| running.includes(user)) {
                diagnostics.push(unset.error);
                continue;
            }
            if users.contains(&User::Router) {
                configuration.routing.if_found.push(unset.error.clone());
            }
            others.push(unset);
        }
        diagnostics.extend(note(&others));
        diagnostics
    }
}

/// The plugins that run.
struct Running {
    plugins: HashSet<Start>,
    skipped: HashSet<Start>,
    certificates: HashSet<String>,
}

impl Running {
    fn of(configuration: &Configuration) -> Self {
        let enabled = || configuration.plugins.iter().filter(|plugin| plugin.enabled);
        let disabled = configuration.plugins.iter().filter(|plugin| !plugin.enabled).map(|plugin| &plugin.origin);
        let skipped = configuration.not_run.iter().map(|plugin| &plugin.origin).chain(disabled);
        let certificate = |plugin: &Arc<Plugin>| {
            let path = plugin.definition.certificate;
            let id = path.iter().try_fold(&plugin.config, |value, name| value.get(name))?;
            (!path.is_empty()).then(|| id.as_str().map(str::to_owned))?
        };
        Self {
            plugins: enabled().filter_map(|plugin| start(&plugin.origin)).collect(),
            skipped: skipped.filter_map(start).collect(),
            certificates: enabled().filter_map(certificate).collect(),
        }
    }

    fn includes(&self, user: &User) -> bool {
        match user {
            User::Always => true,
            // One that could not be read is neither; what it lacks is told.
            User::Plugin(start) => self.plugins.contains(start) || !self.skipped.contains(start),
            User::Certificate(id) => self.certificates.contains(id),
            User::Router => false,
        }
    }
}

fn note(unset: &[Unset]) -> Option<Diagnostic> {
    let first = unset.first()?;
    let mut names: Vec<&str> = Vec::new();
    for unset in unset {
        if !names.contains(&unset.variable.as_str()) {
            names.push(&unset.variable);
        }
    }
    let shown: Vec<_> = names.iter().take(MAX_NAMED).map(|name| format!("`{name}`")).collect();
    let more = match names.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!("not set, and used by nothing that runs here: {}{more}", shown.join(", "));
    Some(Diagnostic::note(codes::ENVIRONMENT, message).at(first.place.clone()))
}

fn start(origin: &Origin) -> Option<Start> {
    origin.place().map(begins)
}

fn begins(place: &Place) -> Start {
    (Arc::as_ptr(&place.file).addr(), place.span.start)
}
