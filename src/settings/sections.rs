//! The smaller records: limits, budgets of snippets, status, reload, confinement, log.

use std::path::PathBuf;
use std::time::Duration;

use crate::input::Tls;
use crate::mesh;
use crate::options::record::{
    ADDRESS, ALLOWED_HOST, TEXT, boolean, choice, count, duration, list, milliseconds, settings_record, size,
};
use crate::options::secret::Secret;
use logphase_config::schema::{Check, Default, Field};

/// Default address of the status listener: Kong's status port.
pub const STATUS_ADDRESS: &str = "127.0.0.1:8007";

/// Default address of the Admin API: Kong's.
pub const ADMIN_ADDRESS: &str = "127.0.0.1:8001";

const MILLISECONDS: &[Check] = &[Check::Between(0.1, 60_000.0)];
const AT_LEAST_ONE: &[Check] = &[Check::GreaterThan(0.0)];
const UP_TO_A_MILLION: &[Check] = &[Check::Between(0.0, 1_000_000.0)];

/// One of Kong's limits on headers and arguments (`lua_max_req_headers`, ...). A snippet can ask for more.
const KONG_LIMIT: Field = count(100, &[Check::Between(1.0, 1000.0)]);

settings_record! {
    /// Budgets of snippets. A snippet that exceeds one loses its field, never the message.
    #[derive(Copy)]
    pub struct Lua {
        /// Maximum CPU time of one snippet, in milliseconds.
        deadline_ms: f64 =
            Field::number("").required().default(Default::Integer(10)).checks(MILLISECONDS);
        /// Maximum CPU time of all snippets of one plugin for one transaction, in milliseconds.
        plugin_deadline_ms: f64 =
            Field::number("").required().default(Default::Integer(50)).checks(MILLISECONDS);
        /// Maximum memory of each Lua VM, in bytes.
        memory_limit: usize = size(64 << 20);
        /// Maximum bytes of one returned value as JSON.
        max_value_bytes: usize = size(1 << 20);
        /// Maximum members, elements and plain values of one returned value, all levels together.
        max_value_nodes: usize = count(250_000, AT_LEAST_ONE);
        /// Maximum levels of nesting of one returned value, the message included.
        // Writing is recursive; Kong's own limit is 1000.
        max_value_depth: usize = count(1000, &[Check::Between(1.0, 1000.0)]);
        /// Maximum bytes of the source of one snippet.
        max_source_bytes: usize = size(256 << 10);
        /// Maximum levels of brackets and blocks in the source of one snippet.
        max_source_nesting: usize = count(100, &[Check::Between(1.0, 150.0)]);
        /// Timeouts, less five for each success, after which a snippet is suspended; 0: never.
        suspend_after: u32 = count(10, UP_TO_A_MILLION);
        /// How long a snippet stays suspended.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        suspend_for: Duration = duration(60, AT_LEAST_ONE);
        /// How long one transaction may keep a worker busy before the service counts as stuck: `/status/live` and the
        /// service manager's watchdog fail.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        stuck_after: Duration = duration(10, AT_LEAST_ONE);
        /// Default maximum of request headers that a snippet sees.
        max_req_headers: usize = KONG_LIMIT;
        /// Default maximum of response headers that a snippet sees.
        max_resp_headers: usize = KONG_LIMIT;
        /// Default maximum of query arguments that a snippet sees.
        max_uri_args: usize = KONG_LIMIT;
        /// Default maximum of form arguments that a snippet sees.
        max_post_args: usize = KONG_LIMIT;
        /// Maximum log lines per second from the snippets of one plugin on one worker, and as many errors besides; further lines are counted and dropped.
        log_per_second: u32 = count(10, UP_TO_A_MILLION);
    }
}

impl Lua {
    /// How long one snippet may run.
    pub fn deadline(&self) -> Duration {
        milliseconds(self.deadline_ms)
    }

    /// How long all snippets of one plugin may run for one transaction.
    pub fn plugin_deadline(&self) -> Duration {
        milliseconds(self.plugin_deadline_ms)
    }
}

settings_record! {
    /// Secrets that `{vault://...}` references may name.
    #[derive(Eq)]
    pub struct Vault {
        /// The vault that reads environment variables.
        env: VaultEnv = Field::record("", VaultEnv::RECORD).required();
    }
}

settings_record! {
    /// The vault that reads environment variables.
    #[derive(Eq)]
    pub struct VaultEnv {
        /// Environment variables that `{vault://env/NAME}` may read, in plugins and in snippets; `NAME*` allows all that begin
        /// with it.
        allow: Vec<String> = list(&Field::string("").checks(&[Check::Custom(super::checks::variable)]));
    }
}

settings_record! {
    /// Listeners for status and metrics.
    #[derive(Eq)]
    pub struct Status {
        /// Addresses, `HOST:PORT`, of `/metrics`, `/status` and the probes. If another process has the default address,
        /// the service runs without it.
        listen: Vec<String> = list(&ADDRESS).default(Default::Strings(&[STATUS_ADDRESS]));
        /// Names, or `*.zone`, that requests may have in `Host` and `Origin`, in addition to addresses, names without a
        /// dot, private zones (`.internal`, `.svc`, `.cluster.local`, `.localhost`) and the name of the machine.
        allowed_hosts: Vec<String> = list(&ALLOWED_HOST);
    }
}

settings_record! {
    /// The Admin API (docs/admin-api.md).
    #[derive(Eq)]
    pub struct AdminApi {
        /// Addresses, `HOST:PORT`, of the Admin API; none turns it off. If another process has the default address, the
        /// service runs without it. Addresses that other machines reach need `token` or `tls.client_ca`.
        listen: Vec<String> = list(&ADDRESS).default(Default::Strings(&[ADMIN_ADDRESS]));
        /// Token that requests need, as `Authorization: Bearer TOKEN` or `Kong-Admin-Token: TOKEN`, or, with
        /// `tls.client_auth: optional`, a client certificate. Only requests with either see secrets.
        token: Option<Secret> = Field::string("");
        /// Token of requests that may only read.
        read_only_token: Option<Secret> = Field::string("");
        /// TLS, and certificates of clients.
        tls: Tls = Field::record("", Tls::RECORD).required();
        /// Origins of web pages, like `http://localhost:8002`, that may use the Admin API from a browser; by default pages
        /// of names that nobody can register (`allowed_hosts`).
        gui_urls: Vec<String> = list(&TEXT);
        /// Names, or `*.zone`, that requests may have in `Host` and `Origin`, in addition to those of `gui_urls` and to those that
        /// every request may have (see `status.allowed_hosts`).
        allowed_hosts: Vec<String> = list(&ALLOWED_HOST);
    }
}

settings_record! {
    /// The page in a browser (docs/page.md).
    #[derive(Eq)]
    pub struct Page {
        /// Addresses, `HOST:PORT`, of the page, such as `127.0.0.1:8002`; none turns it off. Addresses that other machines reach need
        /// `admin.token` or `page.tls.client_ca`.
        listen: Vec<String> = list(&ADDRESS);
        /// TLS, and certificates of browsers.
        tls: Tls = Field::record("", Tls::RECORD).required();
        /// Names, or `*.zone`, that requests may have in `Host` and `Origin`, in addition to those that every request may have (see
        /// `status.allowed_hosts`).
        allowed_hosts: Vec<String> = list(&ALLOWED_HOST);
    }
}

settings_record! {
    /// When the configuration is reloaded.
    #[derive(Copy, Eq)]
    pub struct Reload {
        /// Reload the configuration and the settings when their files change; SIGHUP reloads them in any case.
        watch: bool = boolean(true);
        /// How often the files are checked for changes; a change is applied when two checks find the same content.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        interval: Duration = duration(1, &[Check::Between(0.01, 3600.0)]);
    }
}

settings_record! {
    /// Restrictions on system calls and files of the process, where Linux supports them.
    #[derive(Eq)]
    pub struct Confinement {
        /// Refuse the process the system calls that no service needs, and restrict worker threads to those that computation needs.
        seccomp: bool = boolean(true);
        /// Restrict the process to the files that it needs.
        landlock: bool = boolean(true);
        /// Additional files and directories that may be read and written, for plugins that a reload adds.
        paths: Vec<PathBuf> = list(&TEXT);
        /// Allow core dumps, and debuggers of the same user; both show the secrets in the process's memory.
        core_dumps: bool = boolean(false);
    }
}

settings_record! {
    /// Access logs of meshes (docs/mesh.md).
    #[derive(Eq)]
    pub struct Mesh {
        /// Rules `TARGET=SOURCE` or `TARGET=SOURCE ~ PATTERN` that say where mesh, zone, services and tags are found for Envoys
        /// that are not Kuma's, such as `source_service=node_cluster`; the first with a value counts.
        names: Vec<String> = list(&MESH_NAME);
        /// Escape values in a text format that is valid JSON, so that lines are valid JSON. Kong Mesh does not.
        escape_json: bool = boolean(true);
        /// Write the headers of traces in the default format of TrafficLogs for HTTP, as Kong Mesh does and its documentation
        /// does not say.
        trace_headers: bool = boolean(false);
    }
}

/// A rule that names something of a mesh.
const MESH_NAME: Field = Field::string("").checks(&[Check::Custom(super::checks::mesh_name)]);

impl Mesh {
    /// What the access logs of meshes depend on.
    pub fn options(&self) -> mesh::Options {
        // Every rule was checked with the settings.
        let rules = self.names.iter().filter_map(|rule| rule.parse().ok()).collect();
        let Self { escape_json, trace_headers, .. } = *self;
        mesh::Options { names: mesh::Names::new(rules), escape_json, trace_headers }
    }
}

settings_record! {
    /// Files that plugins write.
    #[derive(Eq)]
    pub struct Files {
        /// Permissions of a new file, in octal digits, less the process's umask.
        mode: String = Field::string("")
            .required()
            .default(Default::String("0644"))
            .checks(&[Check::Custom(super::checks::file_mode)]);
    }
}

impl Files {
    /// The permissions of a new file.
    pub fn permissions(&self) -> u32 {
        // The check has read them.
        u32::from_str_radix(&self.mode, 8).unwrap_or(0o644)
    }
}

settings_record! {
    /// The service's own log.
    #[derive(Eq)]
    pub struct Log {
        /// Minimum level to log: `error`, `warn`, `info`, `debug` or `trace`.
        level: String =
            choice("info", &[Check::OneOf(&["error", "warn", "info", "debug", "trace"])]);
        /// Format of the lines: `text`, or `json` with one object per line.
        format: crate::log::LogFormat = choice("text", &[Check::OneOf(&["text", "json"])]);
    }
}
