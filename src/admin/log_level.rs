//! `/debug/node/log-level`: the level of the service's own log, which a request changes for a time (kong/api/routes/debug.lua).

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use logphase_script::parse_lua_number;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::access::Caller;
use super::error::{ApiError, ApiResult};
use crate::log::{self, AUDIT_TARGET};

/// Levels of Kong's log, the most verbose first.
pub(super) const LEVELS: [&str; 8] = ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"];

/// How long a new level stays, unless a request says otherwise.
const DEFAULT_TIME: Duration = Duration::from_secs(60);

/// The level of the log. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct LogLevel {
    /// That of the settings.
    configured: Arc<str>,
    current: Arc<Mutex<Current>>,
}

#[derive(Debug)]
struct Current {
    /// Kong's name.
    name: String,
    /// How often it was changed, so that an end that belongs to an earlier change is none.
    changes: u64,
}

impl LogLevel {
    /// The level of the settings, before any change.
    pub(super) fn new(configured: &str) -> Self {
        let current = Current { name: kongs_name(configured).to_owned(), changes: 0 };
        Self { configured: configured.into(), current: Arc::new(Mutex::new(current)) }
    }

    /// Kong's name of the level.
    pub(super) fn name(&self) -> String {
        self.current.lock().name.clone()
    }

    /// Changes the level for `timeout` seconds, 0: until the service stops. `caller` is named in the log. Must be called within a Tokio
    /// runtime.
    ///
    /// # Errors
    /// There is no such level, or the time is negative.
    pub(super) fn set(&self, level: &str, timeout: Option<&str>, caller: &Caller) -> ApiResult<Value> {
        let refused = |message: String| Err(ApiError::plain(StatusCode::BAD_REQUEST, message));
        if !LEVELS.contains(&level) {
            return refused(format!("unknown log level: {level}"));
        }
        let seconds = timeout.and_then(|text| parse_lua_number(text.as_bytes())).map(f64::ceil);
        let time = match seconds {
            Some(seconds) if seconds < 0.0 => return refused("timeout must be greater than or equal to 0".to_owned()),
            // Past a few centuries, a timer has no end either.
            Some(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO),
            None => DEFAULT_TIME,
        };
        let mut current = self.current.lock();
        if current.name == level {
            return Ok(json!({"message": format!("log level is already {level}")}));
        }
        let unavailable = |error| ApiError::unexpected(&format!("failed setting log level: {error}"));
        log::set_level(own_name(level)).map_err(unavailable)?;
        level.clone_into(&mut current.name);
        current.changes += 1;
        let time_text = if time.is_zero() { "until the service stops".to_owned() } else { format!("for {time:?}") };
        tracing::info!(target: AUDIT_TARGET, "admin: the level of the log is {level} {time_text} by {caller}");
        if !time.is_zero() {
            let (level, change) = (self.clone(), current.changes);
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                level.reset(change);
            });
        }
        Ok(json!({"message": "log level changed"}))
    }

    /// Goes back to the level of the settings, unless there was another change after the change number `change`.
    fn reset(&self, change: u64) {
        let mut current = self.current.lock();
        if current.changes == change && log::set_level(&self.configured).is_ok() {
            kongs_name(&self.configured).clone_into(&mut current.name);
            tracing::info!(target: AUDIT_TARGET, "admin: the level of the log is {} again", self.configured);
        }
    }
}

fn kongs_name(level: &str) -> &str {
    if level == "trace" { "debug" } else { level }
}

/// The least verbose level of the own log that has all lines of Kong's `level`.
fn own_name(level: &str) -> &str {
    match level {
        "notice" => "info",
        "crit" | "alert" | "emerg" => "error",
        level => level,
    }
}
