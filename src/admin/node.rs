//! What the Admin API says of the node itself: `/`, `/status`, the level of its log.

use std::process;

use hyper::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::Call;
use super::body::Body;
use super::error::{ApiError, ApiResult};
use super::log_level::LogLevel;
use super::schemas;
use super::state::State;
use super::upstreams::Health;
use crate::plugin;

/// The version of Kong whose Admin API this is. Clients decide by it what they may ask for.
pub(crate) const KONG_VERSION: &str = "3.10.0";

/// What is known of the node from its settings.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    id: Uuid,
    /// `off`, `sqlite` or `postgres`.
    database: &'static str,
    log_level: LogLevel,
    admin_listen: Vec<String>,
    proxy_listen: Vec<String>,
    router_flavor: &'static str,
    health: Health,
}

impl Node {
    /// A node with the `database` that its entities are in, and the addresses of its Admin API and of its inputs: `HOST:PORT`, with
    /// ` ssl` behind it for TLS.
    pub(crate) fn new(
        database: &'static str,
        log_level: &str,
        admin_listen: Vec<String>,
        proxy_listen: Vec<String>,
    ) -> Self {
        let log_level = LogLevel::new(log_level);
        let router_flavor = "traditional_compatible";
        Self {
            id: Uuid::new_v4(),
            database,
            log_level,
            admin_listen,
            proxy_listen,
            router_flavor,
            health: Health::default(),
        }
    }

    /// `/`
    pub(crate) fn info(&self, state: &State) -> Value {
        let available: serde_json::Map<String, Value> = plugin::definitions()
            .iter()
            .map(|one| (one.name.to_owned(), json!({"version": KONG_VERSION, "priority": one.priority})))
            .collect();
        let tables = state.tables();
        let plugins = super::kind::find("plugins").expect("plugins are a kind");
        let mut used: Vec<&str> = tables.all(plugins).filter_map(|(_, plugin)| plugin.get("name")?.as_str()).collect();
        used.sort_unstable();
        used.dedup();
        let loaded: serde_json::Map<String, Value> =
            schemas::plugin_names().into_iter().map(|name| (name.to_owned(), true.into())).collect();
        json!({
            "version": KONG_VERSION,
            "edition": "community",
            "tagline": "Welcome to kong",
            "server": concat!("logphase/", env!("CARGO_PKG_VERSION")),
            "hostname": rustix::system::uname().nodename().to_string_lossy(),
            "node_id": self.id.to_string(),
            "lua_version": "LuaJIT 2.1.0-20231117",
            "timers": {"running": 0, "pending": 0},
            "pids": {"master": process::id(), "workers": [process::id()]},
            "plugins": {"available_on_server": available, "enabled_in_cluster": used},
            "configuration": {
                "database": self.database,
                "role": "traditional",
                "log_level": self.log_level.name(),
                "router_flavor": self.router_flavor,
                "admin_listen": self.admin_listen,
                "admin_listeners": listeners(&self.admin_listen),
                "admin_gui_listeners": [],
                "admin_gui_listen": ["off"],
                "proxy_listen": self.proxy_listen,
                "proxy_listeners": listeners(&self.proxy_listen),
                "loaded_plugins": loaded,
                "plugins": ["bundled"],
            },
        })
    }

    /// `/status`
    ///
    /// # Errors
    /// An argument of `query` is wrong.
    pub(crate) fn status(&self, state: &State, query: &str) -> ApiResult<Value> {
        let argument = |name: &str| {
            form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let all = state.gateway().status(&argument);
        let all = all.map_err(|message| ApiError::plain(StatusCode::BAD_REQUEST, message))?;
        let mut status = json!({"server": all["server"], "memory": {"lua_shared_dicts": {}, "workers_lua_vms": []}});
        for name in ["connections_reading", "connections_writing", "connections_waiting"] {
            status["server"][name] = 0.into();
        }
        if let Some(workers) = all.pointer("/memory/workers_lua_vms") {
            status["memory"]["workers_lua_vms"] = workers.clone();
        }
        if state.has_database() {
            status["database"] = json!({"reachable": state.is_reachable()});
        } else {
            status["configuration_hash"] = state.hash().into();
        }
        Ok(status)
    }

    /// The health of targets.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// The id of the node.
    pub(crate) fn id(&self) -> String {
        self.id.to_string()
    }

    /// `/debug/node/log-level`
    pub(crate) fn log_level(&self) -> Value {
        json!({"message": format!("log level: {}", self.log_level.name())})
    }

    /// Changes the level of the log, for the time that `call` says.
    ///
    /// # Errors
    /// There is no such level or time; or no database, where Kong refuses it.
    pub(crate) fn set_log_level(&self, state: &State, level: &str, call: &Call) -> ApiResult<Value> {
        if !state.has_database() {
            let message = "cannot change log level when not using a database";
            return Err(ApiError::plain(StatusCode::METHOD_NOT_ALLOWED, message));
        }
        let mut arguments = form_urlencoded::parse(call.query.as_bytes());
        let of_query = arguments.find(|(name, _)| name == "timeout").map(|(_, value)| value.into_owned());
        let of_body = || match &call.body {
            Body::Json(members) => members.get("timeout").map(|value| value.to_string()),
            Body::Form(pairs) => pairs.iter().find(|(name, _)| name == "timeout").and_then(|(_, value)| value.clone()),
            Body::None | Body::Yaml(_) => None,
        };
        self.log_level.set(level, of_query.or_else(of_body).as_deref(), &call.caller)
    }
}

/// `/timers`: Logphase has none of Kong's.
pub(crate) fn timers() -> Value {
    let none = "";
    json!({
        "worker": {"id": 0, "count": 1},
        "stats": {
            "flamegraph": {"running": none, "pending": none, "elapsed_time": none},
            "sys": {"total": 0, "runs": 0, "running": 0, "pending": 0, "waiting": 0},
            "timers": {},
        },
    })
}

/// Addresses `HOST:PORT` and `HOST:PORT ssl` as Kong's listeners.
fn listeners(addresses: &[String]) -> Value {
    let listener = |listener: &String| {
        let (address, ssl) = match listener.strip_suffix(" ssl") {
            Some(address) => (address, true),
            None => (listener.as_str(), false),
        };
        let (host, port) = address.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        Some(json!({"ip": host, "port": port, "listener": listener, "ssl": ssl, "http2": false}))
    };
    addresses.iter().filter_map(listener).collect()
}
