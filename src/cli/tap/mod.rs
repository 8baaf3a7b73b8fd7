//! `logphase tap`: messages of the running service as they leave.

mod show;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::control::{self, ControlClient, ControlError};
use super::{Exit, complain};
use crate::phase::Condition;
use show::{Form, Line, render};

/// Watch messages of the running service as they leave, before and after Lua.
///
/// The stream goes on across reloads, and when the service is restarted. What is shown is a sample; messages that come
/// faster than they can be shown are skipped and counted, and hold up nothing. Redaction holds here as well, and
/// `--before` shows `[not sent]` for what Lua keeps from the plugin's destination.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Tap {
    /// A plugin's name, instance name or id; all plugins without it.
    pub(super) plugin: Option<String>,
    /// How many messages are shown: `20/s`, `5/m`, or `all`.
    #[arg(long, value_name = "RATE", default_value = "10/s", value_parser = sample)]
    sample: Sample,
    /// Only messages with this value, as they are sent; several must all hold. Dots in KEY lead into objects.
    #[arg(long = "where", value_name = "KEY=VALUE", value_parser = condition)]
    conditions: Vec<String>,
    /// End after so many messages.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Show the message without any edit.
    #[arg(long, conflicts_with_all = ["after", "both"])]
    before: bool,
    /// Show the message as it is sent; this is the default.
    #[arg(long, conflicts_with = "both")]
    after: bool,
    /// Show the message as it is sent, and what Lua changed in it.
    #[arg(long)]
    both: bool,
    /// One line of JSON per message: plugin, id, instance_name, at, before, after, not_sent, failed.
    #[arg(long)]
    json: bool,
    /// Logphase's own settings, which say where the service's data is; without it, logphase.yml in the current directory
    /// if there is one.
    #[arg(long, value_name = "FILE", env = "LOGPHASE_SETTINGS")]
    settings: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
  logphase tap
  logphase tap http-log --both
  logphase tap --where response.status=500 --where request.method=POST
  logphase tap file-log --sample all --limit 100 --json | jq .after.request.uri
  logphase tap --settings /etc/logphase/logphase.yml --sample 1/s

Exit codes:
  0   as many messages were shown as were asked for, or the reader of the output has gone
  2   wrong arguments
  74  no service runs with this data directory, or it cannot be reached
  78  the settings are wrong";

/// How many messages are asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sample {
    All,
    PerSecond(f64),
}

fn condition(text: &str) -> Result<String, String> {
    let sound = Condition::parse(text).is_some();
    if sound { Ok(text.to_owned()) } else { Err("expected KEY=VALUE, like `response.status=500`".to_owned()) }
}

fn sample(text: &str) -> Result<Sample, String> {
    if text == "all" {
        return Ok(Sample::All);
    }
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit {
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let rate = number.parse::<f64>().ok().zip(seconds).map(|(number, seconds)| number / seconds);
    let rate = rate.filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.map(Sample::PerSecond).ok_or_else(|| "expected a rate like `10/s`, `5/m` or `1/h`, or `all`".to_owned())
}

/// How long to wait before asking again for a service that has gone.
const AGAIN: Duration = Duration::from_millis(250);

/// Shows messages until as many as asked for have been shown.
pub(super) fn run(arguments: &Tap) -> Exit {
    let (settings, runtime) = match control::prepare(arguments.settings.as_deref()) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    runtime.block_on(watch(arguments, &ControlClient::of(&settings.data_dir)))
}

/// Why a stream is no longer read.
enum Ended {
    /// The service has gone.
    Gone,
    /// Enough was shown, or nobody reads it.
    Done,
}

async fn watch(arguments: &Tap, client: &ControlClient) -> Exit {
    let form = if arguments.json { Form::Json } else { Form::Pretty { color: std::io::stdout().is_terminal() } };
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let mut connected_before = false;
    loop {
        match client.stream(&path(arguments)).await {
            Ok(stream) => {
                if connected_before {
                    complain("logphase tap: connected again\n");
                } else {
                    let what = arguments.plugin.as_deref().unwrap_or("all plugins");
                    complain(&format!("logphase tap: watching {what}; Ctrl-C ends it\n"));
                }
                connected_before = true;
                warn_of_unknown(arguments, client).await;
                if let Ended::Done = read(stream, &mut left, |line, text| render(line, text, form)).await {
                    return Exit::Done;
                }
                complain("logphase tap: the service has ended the stream; waiting until it is there again\n");
            }
            Err(ControlError::NotRunning(_) | ControlError::Broken { .. }) if connected_before => {}
            Err(error) => {
                complain(&format!("error: {error}\n"));
                return Exit::Unavailable;
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn path(arguments: &Tap) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let sides = match (arguments.before, arguments.both) {
        (true, _) => "before",
        (_, true) => "both",
        _ => "after",
    };
    query.append_pair("sides", sides);
    if let Some(plugin) = &arguments.plugin {
        query.append_pair("plugin", plugin);
    }
    if let Sample::PerSecond(rate) = arguments.sample {
        query.append_pair("rate", &rate.to_string());
    }
    for condition in &arguments.conditions {
        query.append_pair("where", condition);
    }
    format!("/tap?{}", query.finish())
}

/// Nothing is ever shown of a plugin that is not there; a reload may yet bring it.
async fn warn_of_unknown(arguments: &Tap, client: &ControlClient) {
    let Some(wanted) = arguments.plugin.as_deref() else { return };
    let Ok(status) = client.get("/status").await else { return };
    let plugins = status["plugins"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is = |plugin: &Value| ["name", "instance_name", "id"].iter().any(|key| plugin[*key] == wanted);
    if !plugins.iter().any(is) {
        let names: Vec<&str> = plugins.iter().filter_map(|plugin| plugin["name"].as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        complain(&format!(
            "logphase tap: the service has no plugin `{wanted}` now (it has: {names}); waiting for it\n"
        ));
    }
}

/// Shows what comes, line by line.
async fn read(mut stream: Incoming, left: &mut u64, render: impl Fn(&Line<'_>, &[u8]) -> Vec<u8>) -> Ended {
    let mut pending = Vec::new();
    if *left == 0 {
        return Ended::Done;
    }
    while let Some(Ok(frame)) = stream.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        pending.extend_from_slice(&data);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let text: Vec<u8> = pending.drain(..=end).collect();
            // An empty line is a sign of life.
            let Ok(line) = serde_json::from_slice::<Line<'_>>(&text) else { continue };
            if let Some(skipped) = line.skipped {
                complain(&format!("logphase tap: skipped: {skipped} (they came faster than they are shown)\n"));
                continue;
            }
            let mut out = std::io::stdout().lock();
            if out.write_all(&render(&line, &text)).and_then(|()| out.flush()).is_err() {
                return Ended::Done;
            }
            *left -= 1;
            if *left == 0 {
                return Ended::Done;
            }
        }
    }
    Ended::Gone
}
