//! `logphase try`.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::arguments::Try;
use super::{Exit, complain, load, pretty, say};
use crate::diagnostic::{Diagnostic, Format, Place, SourceFile, any_error, codes};
use crate::document::SnippetSource;
use crate::entity::{Configuration, Field, Plugin, Scope};
use crate::phase::{Observer, Part, Program, Runner};
use crate::script::{Clock, ScriptError};
use crate::settings::Settings;
use crate::transaction::{self, BodyRejection, Limits, Transaction};

/// Prints, for each transaction and per plugin in execution order, the message that would be sent.
pub(super) fn run(arguments: &Try) -> Exit {
    let (mut settings, mut findings) = load::settings(&arguments.files);
    // A trial on a busy machine shall not fail for want of time; what `run` would stop is far past this.
    settings.lua.deadline_ms = settings.lua.deadline_ms.max(100.0);
    settings.lua.plugin_deadline_ms = settings.lua.plugin_deadline_ms.max(1000.0);
    let mut configuration = Configuration::default();
    let paths = load::paths(&arguments.files, &settings);
    if !paths.is_empty() || arguments.field.is_empty() {
        let (read, more) = load::configuration(&paths, &settings);
        configuration = read;
        findings.extend(more);
    }
    add_fields(&mut configuration, &arguments.field);
    let program = match Program::build(&configuration, &settings) {
        Ok(program) => Some(Arc::new(program)),
        Err(errors) => {
            findings.extend(errors);
            None
        }
    };
    load::show(&findings, Format::Pretty);
    let Some(program) = program.filter(|_| !any_error(&findings)) else { return Exit::Configuration };
    match transactions(arguments.transaction.as_deref(), &settings) {
        Ok(transactions) => execute(&program, transactions, arguments.json),
        Err(exit) => exit,
    }
}

fn execute(program: &Arc<Program>, transactions: Vec<Transaction>, json: bool) -> Exit {
    let clock = match Clock::start() {
        Ok(clock) => clock,
        Err(error) => {
            complain(&format!("error: cannot start a thread: {error}\n"));
            return Exit::Unavailable;
        }
    };
    let _busy = clock.busy();
    let mut runner = match Runner::new(program.clone()) {
        Ok(runner) => runner,
        Err(error) => {
            complain(&format!("error: {error}\n"));
            return Exit::Configuration;
        }
    };
    let mut exit = Exit::Done;
    for (number, transaction) in transactions.into_iter().enumerate() {
        let plan = runner.plan(&transaction);
        let mut shown = Shown { outcomes: plan.iter().map(|&step| Outcome::new(step)).collect() };
        runner.run(transaction, &plan, &mut shown);
        if shown.outcomes.iter().any(|outcome| !outcome.errors.is_empty()) {
            exit = Exit::Incomplete;
        }
        if json { shown.say_json(program) } else { shown.say_pretty(program, number + 1) }
    }
    exit
}

/// Adds the fields of the command line to every logging plugin, or to one made for them.
fn add_fields(configuration: &mut Configuration, given: &[(String, String)]) {
    if given.is_empty() {
        return;
    }
    let fields = given.iter().map(|(key, lua)| {
        let text = SourceFile::new(format!("--field {key}"), lua.clone());
        let key_place = Place::new(text.clone(), 0..0);
        Field { key: key.clone(), source: SnippetSource::whole(&text), key_place }
    });
    if configuration.plugins.is_empty() {
        let kind = crate::plugin::find("file-log").expect("file-log is one of the kinds");
        configuration.plugins.push(Plugin {
            id: "on-the-spot".to_owned(),
            kind,
            instance_name: None,
            enabled: true,
            protocols: crate::plugin::ANY.to_vec(),
            scope: Scope::default(),
            tags: Vec::new(),
            config: json!({}),
            fields: Vec::new(),
            functions: Vec::new(),
            old_form: false,
            place: Place::new(SourceFile::new("--field", ""), 0..0),
        });
    }
    for plugin in configuration.plugins.iter_mut().filter(|plugin| plugin.kind.emits) {
        plugin.fields.extend(fields.clone());
    }
}

/// Reads the transactions of a file or of standard input: one object, an array, or lines.
fn transactions(path: Option<&Path>, settings: &Settings) -> Result<Vec<Transaction>, Exit> {
    let name = path.map_or("standard input".to_owned(), |path| path.display().to_string());
    let mut text = Vec::new();
    let read = match path {
        Some(path) => std::fs::read(path).map(|bytes| text = bytes),
        None => {
            if std::io::stdin().is_terminal() {
                complain("reading a transaction from standard input; end it with Ctrl-D, or use --transaction FILE\n");
            }
            std::io::stdin().lock().read_to_end(&mut text).map(drop)
        }
    };
    if let Err(error) = read {
        complain(&format!("error: cannot read {name}: {error}\n"));
        return Err(Exit::Unavailable);
    }
    let body = Bytes::from(text);
    let transactions = split(&body, &settings.limits.transaction()).map_err(|rejection| {
        let line = 1 + body[..rejection.offset.min(body.len())].iter().filter(|byte| **byte == b'\n').count();
        complain(&format!("error: {name}, line {line}: {rejection}\n"));
        Exit::Incomplete
    })?;
    if transactions.is_empty() {
        complain(&format!("error: {name} holds no transaction\n"));
        return Err(Exit::Incomplete);
    }
    Ok(transactions)
}

fn split(body: &Bytes, limits: &Limits) -> Result<Vec<Transaction>, BodyRejection> {
    transaction::parse_body(body, limits).or_else(|error| {
        // Several objects are lines; the first being whole tells them from a broken body.
        let first = memchr::memchr(b'\n', body).unwrap_or(body.len());
        match Transaction::parse(body.slice(..first), limits) {
            Ok(_) => transaction::parse_lines(body, limits),
            Err(_) if body.trim_ascii().is_empty() => Ok(Vec::new()),
            Err(_) => Err(error),
        }
    })
}

struct Shown {
    outcomes: Vec<Outcome>,
}

struct Outcome {
    step: usize,
    message: Option<Bytes>,
    errors: Vec<(usize, ScriptError)>,
}

impl Outcome {
    fn new(step: usize) -> Self {
        Self { step, message: None, errors: Vec::new() }
    }
}

impl Observer for Shown {
    fn message(&mut self, step: usize, message: Bytes) {
        self.of(step).message = Some(message);
    }

    fn failed(&mut self, part: Part, error: &ScriptError) {
        self.of(part.step).errors.push((part.part, error.clone()));
    }

    fn dropped(&mut self, _: usize) {}
}

impl Shown {
    fn of(&mut self, step: usize) -> &mut Outcome {
        let found = self.outcomes.iter_mut().find(|outcome| outcome.step == step);
        found.expect("only steps of the plan are run")
    }

    fn say_json(&self, program: &Program) {
        let mut out = Vec::new();
        for Outcome { step, message, errors } in &self.outcomes {
            let step = &program.steps[*step];
            let errors: Vec<_> = errors
                .iter()
                .map(|(part, error)| json!({"field": step.parts[*part].name(*part), "message": error.message}))
                .collect();
            let head = json!({"plugin": step.kind.name, "instance_name": step.instance_name, "errors": errors});
            let head = head.to_string();
            // The message goes in as it is, so that its numbers stay as they would be sent.
            out.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
            out.extend_from_slice(b",\"message\":");
            out.extend_from_slice(message.as_deref().unwrap_or(b"null"));
            out.extend_from_slice(b"}\n");
        }
        say(&out);
    }

    fn say_pretty(&self, program: &Program, number: usize) {
        let mut out = format!("# transaction {number}\n").into_bytes();
        if self.outcomes.is_empty() {
            out.extend_from_slice(b"no plugin applies\n");
        }
        for Outcome { step, message, errors } in &self.outcomes {
            let step = &program.steps[*step];
            out.extend_from_slice(format!("\n## {}\n", step.label).as_bytes());
            match message {
                Some(message) => out.extend_from_slice(&pretty::pretty(message)),
                None if step.kind.emits => {
                    out.extend_from_slice(b"no message: a snippet failed and on_error is drop\n")
                }
                None => out.extend_from_slice(b"ran; it sends nothing itself\n"),
            }
            for (part, error) in errors {
                let compiled = &step.parts[*part];
                let what = compiled.name(*part);
                let diagnostic = Diagnostic::error(codes::LUA, format!("`{what}` of {} failed", step.label))
                    .at(compiled.source.line_place(error.line.unwrap_or(1)))
                    .label(error.message.clone());
                out.extend_from_slice(diagnostic.render(std::io::stdout().is_terminal()).as_bytes());
            }
        }
        out.push(b'\n');
        say(&out);
    }
}
