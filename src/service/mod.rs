//! The running service: a configuration with its workers, queues and sinks, and how one replaces another.

mod files;
mod inputs;
pub mod launch;
mod manager;
mod prepare;
mod reload;
mod serve;
mod shared;
mod signals;
mod source;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use arc_swap::ArcSwap;
use serde_json::Value;

use crate::admin::Parts;
use crate::confinement::{Enforcement, ThreadFilter};
use crate::delivery::{Delivery, Leftover, OpenError, Output, OutputSpec};
use crate::entity::{Configuration, Plugin};
use crate::phase::{Fields, Generation, Intake, Live, Program, Taps, WorkerStats, Workers};
use crate::plugin::{self, SinkContext};
use crate::settings::{PluginFieldError, PluginSettings, Settings};
use crate::sink::SinkShared;
use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_queue::{Budget, Queue};
use logphase_script::Clock;

pub use prepare::Prepared;
pub use reload::{ReloadError, Reloaded, Reloader};
pub use source::{ConfigFiles, Loaded, read_configuration, read_configuration_in};

/// Workers, queues and deliveries on one configuration. Transactions come in through [`Service::intake`].
pub struct Service {
    delivery: Delivery,
    /// What the snippets have done.
    fields: Arc<Fields>,
    workers: Workers,
    intake: Intake,
    live: Live,
    /// The outputs of what is live.
    outputs: Mutex<Vec<Arc<Output>>>,
    /// Whether the workers are confined.
    seccomp: Enforcement,
}

/// A configuration that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is wrong; each diagnostic points into it.
    #[error("the configuration is wrong")]
    Configuration(Vec<Diagnostic>),
    /// It is right, but something that it needs is not available.
    #[error("{0}")]
    Unavailable(String),
}

impl Service {
    /// Opens the queues and sinks of `prepared` and starts the workers. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// What is wrong with the configuration, or what is not available.
    pub fn start(prepared: Prepared) -> Result<Self, StartError> {
        let Prepared { settings, configuration, program, outputs, .. } = prepared;
        let limits = settings.queue.limits;
        let (memory, data) = (Budget::new(limits.max_memory), Budget::new(limits.max_data_bytes));
        let delivery = Delivery::bounded(SinkShared::new(None), memory, data, &settings.data_dir);
        let fields = Arc::new(Fields::default());
        let (queues, outputs) = open_outputs(&delivery, &configuration, &program, &outputs)?;
        delivery.warn_of_orphans();
        let live: Live = Arc::new(ArcSwap::from_pointee(activate(program, queues, &fields)));
        let clock =
            Clock::start().map_err(|error| StartError::Unavailable(format!("cannot start a thread: {error}")))?;
        // The runtime that is to be woken is up, so that the filter can know how.
        let (filter, missing) =
            if settings.confinement.seccomp { thread_filter() } else { (ThreadFilter::none(), None) };
        let (workers, channels) =
            Workers::start(&live, settings.workers, &clock, &filter).map_err(StartError::Unavailable)?;
        let seccomp = missing.unwrap_or_else(|| workers.wall().clone());
        if let Enforcement::Missing(why) = &seccomp {
            tracing::warn!("worker threads have no seccomp filter: {why}; the Lua sandbox has one layer less");
        }
        let intake = Intake::new(channels, delivery.room());
        Ok(Self { delivery, fields, workers, intake, live, outputs: Mutex::new(outputs), seccomp })
    }

    /// Where inputs hand transactions in.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// The queues and sinks.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The parts that status and metrics read; `landlock` is how far the process is kept from files.
    pub fn parts(&self, landlock: Enforcement) -> Parts {
        Parts {
            live: Arc::downgrade(&self.live),
            worker_stats: self.workers.worker_stats().clone(),
            fields: self.fields.clone(),
            delivery: self.delivery.clone(),
            seccomp: self.seccomp.clone(),
            landlock,
        }
    }

    /// Who watches the messages.
    pub fn taps(&self) -> &Arc<Taps> {
        self.workers.taps()
    }

    /// What the workers did so far, and whether they get on.
    pub fn worker_stats(&self) -> &Arc<WorkerStats> {
        self.workers.worker_stats()
    }

    /// Replaces the configuration as a whole, between two transactions of each worker. Plugins that stay keep their
    /// queues, and what waits there is sent as the new configuration says; those that go deliver what they have.
    ///
    /// # Errors
    /// As [`Self::start`]; then the old configuration stays active and nothing has changed, labels of metrics included.
    pub fn replace(&self, prepared: Prepared) -> Result<(), StartError> {
        let Prepared { configuration, program, outputs, .. } = prepared;
        let mut current = self.outputs.lock();
        match open_outputs(&self.delivery, &configuration, &program, &outputs) {
            Ok((queues, outputs)) => {
                self.live.store(Arc::new(activate(program, queues, &self.fields)));
                *current = outputs;
                self.delivery.take_over(&current);
                Ok(())
            }
            Err(error) => {
                self.delivery.undo(&current);
                Err(error)
            }
        }
    }

    /// Opens every file again.
    pub fn reopen_files(&self) {
        self.delivery.reopen_files();
    }

    /// Takes nothing more, runs what was taken, delivers within `time`. Answers with what could not be delivered.
    pub async fn shut_down(self, time: Duration) -> Vec<Leftover> {
        let deadline = tokio::time::Instant::now() + time;
        self.intake.close();
        let Self { delivery, workers, intake, live, .. } = self;
        drop(intake);
        // The workers end when the last input has dropped its intake.
        let joined = tokio::task::spawn_blocking(move || workers.join());
        if tokio::time::timeout_at(deadline, joined).await.is_err() {
            tracing::warn!("workers were still busy at the deadline");
        }
        drop(live);
        delivery.shut_down(deadline).await
    }
}

/// The filter for workers, or why there is none.
fn thread_filter() -> (ThreadFilter, Option<Enforcement>) {
    match ThreadFilter::for_workers() {
        Ok(filter) => (filter, None),
        Err(why) => (ThreadFilter::none(), Some(Enforcement::Missing(why))),
    }
}

/// What the workers run from now on; its snippets continue the counts of their predecessors.
fn activate(mut program: Program, queues: Vec<Option<Arc<dyn Queue>>>, fields: &Fields) -> Generation {
    program.go_on(fields);
    Generation { program: Arc::new(program), queues }
}

/// The queue of each step of a program, and the outputs behind them.
type OpenedOutputs = (Vec<Option<Arc<dyn Queue>>>, Vec<Arc<Output>>);

/// Opens the `outputs` of `program`, which run from here on.
fn open_outputs(
    delivery: &Delivery,
    configuration: &Configuration,
    program: &Program,
    outputs: &BTreeMap<usize, OutputSpec>,
) -> Result<OpenedOutputs, StartError> {
    let (mut queues, mut opened, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for step in &program.steps {
        let Some(spec) = outputs.get(&step.plugin) else {
            queues.push(None);
            continue;
        };
        if spec.queue.is_on_disk() {
            delivery.claim().map_err(StartError::Unavailable)?;
        }
        match delivery.open(spec.clone()) {
            Ok(output) => {
                queues.push(Some(output.queue().clone()));
                opened.push(output);
            }
            Err(error) => errors.extend(refused(&configuration.plugins[step.plugin], error)),
        }
    }
    if errors.is_empty() { Ok((queues, opened)) } else { Err(StartError::Configuration(errors)) }
}

/// A diagnostic for each reason why the output of `plugin` cannot be opened.
fn refused(plugin: &Plugin, error: OpenError) -> Vec<Diagnostic> {
    let reasons = match error {
        OpenError::Config { plugin, errors } => {
            errors.into_iter().map(|error| OpenError::Config { plugin: plugin.clone(), errors: vec![error] }).collect()
        }
        other => vec![other],
    };
    let diagnostic = |reason: OpenError| Diagnostic::error(codes::VALUE, reason.to_string()).at(plugin.place.clone());
    reasons.into_iter().map(diagnostic).collect()
}

/// What the sink of `plugin` is opened with.
fn sink_config(plugin: &Plugin, own: &PluginSettings) -> Value {
    let context = SinkContext {
        oversize: own.oversize.name(),
        max_batch_size: own.queue.max_batch_size,
        concurrency_limit: own.queue.concurrency_limit,
        old_form: plugin.old_form,
        certificate: plugin.certificate.as_ref().map(|pem| plugin::Certificate { cert: &pem.cert, key: &pem.key }),
    };
    plugin.definition.sink_config(&plugin.config, &context)
}

/// What the output of `plugin` is opened for; none if it emits nothing.
fn spec(plugin: &Plugin, settings: &Settings) -> Result<Option<OutputSpec>, PluginFieldError> {
    let Some(opener) = plugin.definition.open else { return Ok(None) };
    let own = settings.for_plugin(plugin)?;
    let config = sink_config(plugin, &own);
    Ok(Some(OutputSpec {
        identity: plugin.id.clone(),
        plugin: plugin.definition.name.to_owned(),
        instance: plugin.instance_name.clone(),
        shares: Vec::new(),
        opener,
        config,
        queue: own.queue,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::{ReadOptions, read};
    use logphase_config::diagnostic::SourceFile;

    /// Scenario: tcp-log and udp-log as before Kong 0.5, and tcp-log of today. Guarantees: the old tcp-log alone is
    /// asked for CR LF; the fields of the log phase are not passed on to any sink.
    #[test]
    fn old_plugins_ask_for_cr_lf() {
        let text = "_format_version: '1.1'\nplugins:\n- {name: tcplog, value: {host: h, port: 7}}\n\
                    - {name: udplog, value: {host: h, port: 7}}\nservices:\n- name: s\n  url: http://s\n  plugins:\n  \
                    - {name: tcp-log, config: {host: h, port: 7, custom_fields_by_lua: {a: return 1}}}\n";
        let files = [SourceFile::new("kong.yaml", text)];
        let (configuration, _) = read(&files, ReadOptions { select_tags: &[], env: &|_| None });
        let specs: Vec<_> =
            configuration.plugins.iter().filter_map(|plugin| spec(plugin, &Settings::default()).unwrap()).collect();
        let asks: Vec<bool> = specs.iter().map(|spec| spec.config.get("crlf") == Some(&Value::Bool(true))).collect();
        assert_eq!(asks, [true, false, false]);
        assert!(specs.iter().all(|spec| spec.config.get("custom_fields_by_lua").is_none()));
    }

    /// Scenario: http-log five times with one address, of which one has a header of its own and one a method of its own;
    /// file-log twice with one path.
    /// Guarantees: the three that send the same share a queue, known by the first, with the settings of the last; no
    /// other plugins do.
    #[test]
    fn plugins_with_the_same_target_share_a_queue() {
        let text = "_format_version: '3.0'\nservices:\n".to_owned()
            + &(["queue: {max_batch_size: 5}", "headers: {X-Key: a}", "queue: {max_batch_size: 7}", "method: PUT", ""])
                .iter()
                .enumerate()
                .map(|(at, more)| {
                    format!(
                        "- name: s{at}\n  url: http://s\n  plugins:\n  - {{name: http-log, instance_name: h{at}, config: \
                         {{http_endpoint: 'http://h', {more}}}}}\n  - {{name: file-log, config: {{path: /tmp/x}}}}\n"
                    )
                })
                .collect::<String>();
        let files = [SourceFile::new("kong.yaml", &text)];
        let (configuration, diagnostics) = read(&files, ReadOptions { select_tags: &[], env: &|_| None });
        assert_eq!(diagnostics, []);
        let specs = shared::specs(&configuration, 0..configuration.plugins.len(), &Settings::default()).unwrap();
        let of = |kind: &str| specs.values().filter(|spec| spec.plugin == kind).cloned().collect::<Vec<_>>();
        let http = of("http-log");
        let shown: Vec<_> = http.iter().map(|spec| (spec.instance.as_deref(), spec.queue.max_batch_size)).collect();
        assert_eq!(shown, [(Some("h4"), 1), (Some("h1"), 1), (Some("h4"), 1), (Some("h3"), 1), (Some("h4"), 1)]);
        let first = configuration.plugins.iter().find(|plugin| plugin.instance_name.as_deref() == Some("h0"));
        assert_eq!(Some(&http[0].identity), first.map(|plugin| &plugin.id));
        assert!(http[0] == http[2] && http[2] == http[4] && http[0] != http[1] && http[0] != http[3]);
        let mut files: Vec<_> = of("file-log").into_iter().map(|spec| spec.identity).collect();
        files.dedup();
        assert_eq!(files.len(), 5);
    }
}
