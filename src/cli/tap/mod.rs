//! `logphase tap`: messages of the running service as they are sent.

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
use show::{Form, TapLine, render};

/// Watch messages of the running service as they are sent, before and after Lua.
///
/// The stream continues across reloads and restarts of the service. It is a sample: messages that arrive faster than
/// tap can print them are skipped and counted, and never slow the service down. Redaction applies, and `--before`
/// shows `[not sent]` for values that Lua removes or changes.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Tap {
    /// Plugin name, instance name or id; default: all plugins.
    pub(super) plugin: Option<String>,
    /// Sampling rate: `20/s`, `5/m`, `1/h`, or `all`.
    #[arg(long, value_name = "RATE", default_value = "10/s", value_parser = sample)]
    sample: Sample,
    /// Show only messages that are sent with this value; several conditions must all hold. Dots in KEY lead into
    /// objects.
    #[arg(long = "where", value_name = "KEY=VALUE", value_parser = condition)]
    conditions: Vec<String>,
    /// Exit after this many messages.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Show the message without any edit.
    #[arg(long, conflicts_with_all = ["after", "both"])]
    before: bool,
    /// Show the message as it is sent (default).
    #[arg(long, conflicts_with = "both")]
    after: bool,
    /// Show the message as it is sent, and what Lua changed in it.
    #[arg(long)]
    both: bool,
    /// Print one line of JSON per message: plugin, id, instance_name, at, before, after, not_sent, failed.
    #[arg(long)]
    json: bool,
    /// Settings file, which names the service's data directory; default: logphase.yml in the current directory, if
    /// present.
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
  0   --limit messages were shown, or the reader of the output has exited
  2   the command line is invalid
  74  no service runs with this data directory, or it cannot be reached
  78  the settings are invalid";

/// The sampling rate.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sample {
    All,
    PerSecond(f64),
}

fn condition(text: &str) -> Result<String, String> {
    let is_valid = Condition::parse(text).is_some();
    if is_valid { Ok(text.to_owned()) } else { Err("expected KEY=VALUE, like `response.status=500`".to_owned()) }
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

/// The pause before reconnecting to a service that has stopped.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// Prints messages until the limit is reached.
pub(super) fn run(arguments: &Tap) -> Exit {
    let (settings, runtime) = match control::prepare_and_locate(arguments.settings.as_deref()) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    runtime.block_on(watch(arguments, &ControlClient::new(&settings.data_dir)))
}

/// Why reading a stream ended.
enum Ended {
    /// The service has closed the stream.
    Closed,
    /// The limit is reached, or the reader of the output has exited.
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
                    complain("logphase tap: reconnected\n");
                } else {
                    let what = arguments.plugin.as_deref().unwrap_or("all plugins");
                    complain(&format!("logphase tap: watching {what}; stop with Ctrl-C\n"));
                }
                connected_before = true;
                warn_of_unknown(arguments, client).await;
                if let Ended::Done = read(stream, &mut left, |line, text| render(line, text, form)).await {
                    return Exit::Done;
                }
                complain("logphase tap: the service closed the stream; reconnecting\n");
            }
            Err(ControlError::NotRunning(_) | ControlError::Broken { .. }) if connected_before => {}
            Err(error) => {
                complain(&format!("error: {error}\n"));
                return Exit::Unavailable;
            }
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
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

/// Warns if the service has no such plugin now. A reload may add it later.
async fn warn_of_unknown(arguments: &Tap, client: &ControlClient) {
    let Some(wanted) = arguments.plugin.as_deref() else { return };
    let Ok(status) = client.get("/status").await else { return };
    let plugins = status["plugins"].as_array().map(Vec::as_slice).unwrap_or_default();
    let matches = |plugin: &Value| ["name", "instance_name", "id"].iter().any(|key| plugin[*key] == wanted);
    if !plugins.iter().any(matches) {
        let names: Vec<&str> = plugins.iter().filter_map(|plugin| plugin["name"].as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        complain(&format!(
            "logphase tap: the service has no plugin `{wanted}` now (it has: {names}); waiting for it\n"
        ));
    }
}

/// Prints the lines of the stream as they arrive.
async fn read(mut stream: Incoming, left: &mut u64, render: impl Fn(&TapLine<'_>, &[u8]) -> Vec<u8>) -> Ended {
    let mut pending = Vec::new();
    if *left == 0 {
        return Ended::Done;
    }
    while let Some(Ok(frame)) = stream.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        pending.extend_from_slice(&data);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let text: Vec<u8> = pending.drain(..=end).collect();
            // Empty lines are keep-alives.
            let Ok(line) = serde_json::from_slice::<TapLine<'_>>(&text) else { continue };
            if let Some(skipped) = line.skipped {
                complain(&format!("logphase tap: skipped: {skipped} (they arrived faster than they were printed)\n"));
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
    Ended::Closed
}
