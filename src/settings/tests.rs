use serde_json::json;

use super::*;
use crate::entity::Plugin;
use crate::options::queue::Storage;
use logphase_config::diagnostic::{SourceFile, render_all};
use logphase_queue::Mode;
use logphase_script::message::{BodyOptions, Include};

fn load(text: &str, environment: &[(&str, &str)]) -> (Settings, Vec<Diagnostic>) {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(Some(SourceFile::new("logphase.yml", text)), environment)
}

fn good(text: &str, environment: &[(&str, &str)]) -> Settings {
    let (settings, diagnostics) = load(text, environment);
    assert_eq!(diagnostics, []);
    settings
}

fn shorts(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    load(text, environment).1.iter().map(Diagnostic::short).collect()
}

fn of<'a>(settings: &'a Settings, input: &str) -> &'a serde_json::Value {
    settings.inputs.get(input).expect("every input has settings")
}

/// Scenario: no file and an empty one. Guarantees: the documented defaults.
#[test]
fn has_defaults() {
    let settings = Settings::load(None, std::iter::empty()).0;
    assert_eq!(settings, good("", &[]));
    assert_eq!(settings, Settings::default());
    assert_eq!(of(&settings, "http")["listen"], json!(["127.0.0.1:9080"]));
    assert_eq!((&of(&settings, "tcp")["listen"], &of(&settings, "udp")["listen"]), (&json!([]), &json!([])));
    assert_eq!(settings.limits.transaction(), logphase_script::transaction::Limits::default());
    assert_eq!(settings.limits.max_body_bytes, 8 << 20);
    assert_eq!(settings.lua.deadline(), Duration::from_millis(10));
    assert_eq!(settings.lua.memory_limit, 64 << 20);
    assert_eq!(settings.shutdown_timeout, Duration::from_secs(30));
    let queue = settings.queue.defaults.resolve();
    assert_eq!((queue.memory_bounds().max_entries, queue.disk_bounds().max_entries), (10_000, None));
    assert_eq!((queue.max_retry_time, queue.overflow), (None, Overflow::Block));
    assert_eq!(settings.queue.limits, QueueLimits { max_memory: 128 << 20, max_data_bytes: 8 << 30 });
    assert_eq!((settings.on_error, settings.lua.max_req_headers, settings.kong_quirks), (OnError::Keep, 100, false));
    assert!(settings.workers >= 1);
    assert!(settings.data_dir.is_absolute() && settings.data_dir.ends_with("logphase"));
}

/// Scenario: a file with units, and variables over it. Guarantees: variables win, in every type.
#[test]
fn variables_win() {
    let text = "inputs: {http: {listen: []}, tcp: {listen: ['0.0.0.0:1'], idle_timeout: 2m}}\nlimits: {max_body_bytes: 1m}\nqueue: {max_entries: 5}\nlog: {format: json}\n";
    let settings = good(
        text,
        &[
            ("LOGPHASE_TCP_LISTEN", "127.0.0.1:2, [::1]:3"),
            ("LOGPHASE_LIMITS_MAX_BODY_BYTES", "2MiB"),
            ("LOGPHASE_QUEUE_MAX_RETRY_TIME", "500ms"),
            ("LOGPHASE_KONG_QUIRKS", "true"),
            ("LOGPHASE_DATA_DIR", "123"),
            ("LOGPHASE_CONFIG", "[a.yml, 'b,c.yml']"),
            ("LOGPHASE_SELECT_TAGS", ""),
            ("LOGPHASE_PLUGINS", "{file-log: {on_error: drop}}"),
            ("LOGPHASE_LUA_DEADLINE_MS", "0.5"),
            (FILE_VARIABLE, "elsewhere.yml"),
            ("HOME", "/root"),
        ],
    );
    assert_eq!(of(&settings, "http")["listen"], json!([]));
    assert_eq!(of(&settings, "tcp")["listen"], json!(["127.0.0.1:2", "[::1]:3"]));
    assert_eq!(of(&settings, "tcp")["idle_timeout"], json!(120.0));
    assert_eq!(settings.limits.max_body_bytes, 2 << 20);
    assert_eq!(settings.queue.defaults.max_retry_time, Some(Duration::from_millis(500)));
    assert_eq!(settings.queue.defaults.max_entries, Some(5));
    assert!(settings.kong_quirks);
    assert_eq!(settings.data_dir, PathBuf::from("123"));
    assert_eq!(settings.config, [PathBuf::from("a.yml"), PathBuf::from("b,c.yml")]);
    assert_eq!(settings.plugins["file-log"].on_error, Some(OnError::Drop));
    assert_eq!(settings.lua.deadline(), Duration::from_micros(500));
    assert_eq!(settings.log.format, LogFormat::Json);
}

/// Scenario: mistakes in the file and in variables. Guarantees: all are reported, with place or name and a suggestion.
#[test]
fn reports_mistakes() {
    let text = "inputs:\n  htpp: {}\n  http: {listen: [localhost]}\nlimits: {max_depth: 0}\nqueue: {overflow: blok, initial_retry_delay: 5m}\nplugins: {file-log: {on_eror: drop}}\nshutdown_timeout: soon\n";
    let environment = [("LOGPHASE_HTTP_LISTN", "x"), ("LOGPHASE_WORKERS", "many"), ("LOGPHASE_LOG_LEVEL", "inof")];
    insta::assert_snapshot!(render_all(
        &load(text, &environment).1,
        logphase_config::diagnostic::Format::Pretty,
        false
    ));
    assert_eq!(shorts("- a", &[]), ["logphase.yml:1:1: error[K0402]: the top level is a list; expected a record"]);
    assert_eq!(shorts("a: [", &[]).len(), 1);
}

/// Scenario: the variables that Kubernetes sets for Services named `logphase` and `logphase-status`; variables that look like them
/// and have other values.
/// Guarantees: the former are told in one note and change nothing; the latter are errors.
#[test]
fn variables_of_kubernetes() {
    let environment = [
        ("LOGPHASE_PORT", "tcp://10.0.0.1:9080"),
        ("LOGPHASE_PORT_9080_TCP", "tcp://10.0.0.1:9080"),
        ("LOGPHASE_PORT_9080_TCP_ADDR", "10.0.0.1"),
        ("LOGPHASE_PORT_9080_TCP_PORT", "9080"),
        ("LOGPHASE_PORT_9080_TCP_PROTO", "tcp"),
        ("LOGPHASE_SERVICE_HOST", "10.0.0.1"),
        ("LOGPHASE_SERVICE_PORT", "9080"),
        ("LOGPHASE_SERVICE_PORT_HTTP", "9080"),
        ("LOGPHASE_STATUS_PORT", "tcp://10.0.0.2:8007"),
        ("LOGPHASE_STATUS_PORT_53_UDP_PROTO", "udp"),
        ("LOGPHASE_STATUS_SERVICE_HOST", "fd00::1"),
    ];
    let (settings, diagnostics) = load("", &environment);
    assert!(diagnostics.len() == 1 && !diagnostics[0].is_error(), "{diagnostics:?}");
    assert!(environment.iter().all(|(name, _)| diagnostics[0].message.contains(name)));
    assert_eq!(settings.status.listen, good("", &[]).status.listen);
    for wrong in [("LOGPHASE_STATUS_PORT", "8007"), ("LOGPHASE_SERVICE_PORT", "x"), ("LOGPHASE_PORT_X_TCP_ADDR", "a")] {
        assert!(load("", &[wrong]).1.iter().any(|diagnostic| diagnostic.is_error()), "{wrong:?}");
    }
}

/// Scenario: where state is kept, by what the environment says. Guarantees: systemd's folder first, absolute paths only.
#[test]
fn finds_the_data_folder() {
    let folder = |environment: &[(&str, &str)]| good("", environment).data_dir;
    assert_eq!(folder(&[("STATE_DIRECTORY", "/var/lib/x:/var/lib/y")]), PathBuf::from("/var/lib/x"));
    let own = folder(&[("XDG_STATE_HOME", "/state"), ("HOME", "/home/a")]);
    let root = rustix::process::geteuid().is_root();
    assert_eq!(own, PathBuf::from(if root { "/var/lib/logphase" } else { "/state/logphase" }));
    assert!(folder(&[("STATE_DIRECTORY", "relative")]).is_absolute());
}

/// Scenario: a plugin with its own queue, settings for its name and for its instance. Guarantees: the most specific wins.
#[test]
fn layers_plugin_settings() {
    let kong = "_format_version: '3.0'\nplugins:\n- {name: udp-log, instance_name: u, config: {host: h, port: 1, oversize: tcp, on_error: drop, queue: {max_entries: 7, max_retry_time: -1, max_bytes: 10}}}\n- {name: tcp-log, config: {host: h, port: 1}}\n";
    let options = crate::declarative::ReadOptions { select_tags: &[], env: &|_| None };
    let (configuration, diagnostics) = crate::declarative::read(&[SourceFile::new("k.yml", kong)], options);
    assert_eq!(diagnostics, []);
    let settings = good(
        "queue: {max_entries: 9, max_batch_size: 3}\nplugins:\n  udp-log: {queue: {max_entries: 8, overflow: drop_oldest}}\n  u: {queue: {max_entries: 6}, on_error: keep}\n",
        &[],
    );
    let udp = settings.for_plugin(&configuration.plugins[0]).unwrap();
    assert_eq!((udp.on_error, udp.oversize), (OnError::Keep, Oversize::Tcp));
    assert_eq!((udp.queue.max_entries, udp.queue.max_batch_size, udp.queue.max_bytes), (Some(6), 3, Some(10)));
    assert_eq!((udp.queue.overflow, udp.queue.max_retry_time), (Overflow::DropOldest, Some(Duration::ZERO)));
    assert_eq!(settings.unmatched(&configuration), []);
    let misspelt = good("plugins: {tpc-log: {}}", &[]).unmatched(&configuration);
    assert_eq!((misspelt.len(), misspelt[0].help.as_deref()), (1, Some("did you mean `tcp-log`?")));
    let collectors = "plugins: {mesh-tcp: {}, 'a.example:5000': {}, 'b:5000': {}}\n";
    let streamer = "inputs: {access_log_streamer: {fifos: [/f], addresses: ['*.example:*']}}";
    let unmatched = |text: &str| good(text, &[]).unmatched(&configuration).len();
    assert_eq!([unmatched(collectors), unmatched(&format!("{collectors}{streamer}"))], [3, 1]);
    let tcp = settings.for_plugin(&configuration.plugins[1]).unwrap();
    let body = BodyOptions::new(Include::OFF, 100);
    let queue = QueueOptions { durability: Durability::Disk, ..settings.queue.defaults.resolve() };
    assert_eq!(tcp, PluginSettings { on_error: OnError::Keep, oversize: Oversize::Drop, body, queue });
}

/// Scenario: plugins that are not Kong's, with each value of `custom_plugins`, in a file and in a variable, and in a strict check.
/// Guarantees: by default they are notes, whatever their fields, except a name that is nearly that of a plugin that runs here;
/// a list accepts its names and no others; the error says what to set.
#[test]
fn custom_plugins_are_accepted_as_set() {
    let kong = "_format_version: '3.0'\nplugins:\n- {name: acme-auth, config: {any: [{thing: 1}]}}\n- {name: sqs-log, config: 5}\n- {name: fil-log}\n";
    let options = crate::declarative::ReadOptions { select_tags: &[], env: &|_| None };
    let (configuration, diagnostics) = crate::declarative::read(&[SourceFile::new("k.yml", kong)], options);
    assert_eq!(diagnostics, []);
    let of = |custom: &CustomPlugins| {
        let found = custom.findings(&configuration);
        found.iter().map(|found| found.severity.word()).collect::<Vec<_>>()
    };
    for (text, variable, expected, strict) in [
        ("", None, ["note", "note", "error"], ["error"; 3]),
        ("custom_plugins: note", None, ["note", "note", "error"], ["error"; 3]),
        ("custom_plugins: error", None, ["error"; 3], ["error"; 3]),
        ("custom_plugins: []", None, ["error"; 3], ["error"; 3]),
        ("custom_plugins: [sqs-log]", None, ["error", "note", "error"], ["error", "note", "error"]),
        ("custom_plugins: error", Some("fil-log, acme-auth"), ["note", "error", "note"], ["note", "error", "note"]),
        ("custom_plugins: error", Some("note"), ["note", "note", "error"], ["error"; 3]),
    ] {
        let variables: Vec<_> = variable.map(|value| ("LOGPHASE_CUSTOM_PLUGINS", value)).into_iter().collect();
        let custom = good(text, &variables).custom_plugins;
        assert_eq!(of(&custom), expected, "{text} {variable:?}");
        assert_eq!(of(&custom.strict()), strict, "{text} {variable:?}");
    }
    let error = &good("", &[]).custom_plugins.findings(&configuration)[2];
    assert!(error.short().contains("did you mean `file-log`"), "{}", error.short());
    assert_eq!(error.help.as_deref(), Some("if it is a custom plugin, set `custom_plugins: [fil-log]`"));
    for wrong in ["custom_plugins: eror", "custom_plugins: [1]", "custom_plugins: ['']", "custom_plugins: {a: 1}"] {
        assert!(shorts(wrong, &[])[0].contains("expected note, error or a list of names"), "{wrong}");
    }
}

/// Scenario: an option that the settings, a plugin's own configuration, the settings for its name and those for its
/// instance give, each with one layer fewer; every option of a queue in each layer.
/// Guarantees: instance over name over own configuration over the settings' defaults, for each option by itself.
#[test]
fn queue_options_have_one_precedence() {
    let queue = |default: &str, own: &str, name: &str, instance: &str| {
        let kong = format!(
            "_format_version: '3.0'\nplugins:\n- {{name: tcp-log, instance_name: t, config: {{host: h, port: 1, queue: {{{own}}}}}}}\n"
        );
        let options = crate::declarative::ReadOptions { select_tags: &[], env: &|_| None };
        let (configuration, diagnostics) = crate::declarative::read(&[SourceFile::new("k.yml", kong)], options);
        assert_eq!(diagnostics, []);
        let text = format!(
            "queue: {{{default}}}\nplugins: {{tcp-log: {{queue: {{{name}}}}}, t: {{queue: {{{instance}}}}}}}\n"
        );
        good(&text, &[]).for_plugin(&configuration.plugins[0]).unwrap().queue
    };
    let given = |value: u8| format!("max_batch_size: {value}");
    let size = |layers: [&str; 4]| queue(layers[0], layers[1], layers[2], layers[3]).max_batch_size;
    let (default, own, name, instance) = (given(2), given(3), given(4), given(5));
    assert_eq!(size(["", "", "", ""]), 1);
    assert_eq!(size([&default, "", "", ""]), 2);
    assert_eq!(size([&default, &own, "", ""]), 3);
    assert_eq!(size([&default, &own, &name, ""]), 4);
    assert_eq!(size([&default, &own, &name, &instance]), 5);
    assert_eq!(size([&default, "", &name, &instance]), 5);
    let all = "max_batch_size: 7, max_coalescing_delay: 7, max_entries: 7, max_bytes: 7, max_retry_time: 7, \
               initial_retry_delay: 7, max_retry_delay: 7, concurrency_limit: -1, overflow: drop_oldest, \
               required: false, durability: memory, spill: false, sync: interval, sync_interval: 7, max_disk_bytes: 7777";
    let expected = QueueOptions {
        max_batch_size: 7,
        max_coalescing_delay: Duration::from_secs(7),
        max_entries: Some(7),
        max_bytes: Some(7),
        max_retry_time: Some(Duration::from_secs(7)),
        initial_retry_delay: Duration::from_secs(7),
        max_retry_delay: Duration::from_secs(7),
        concurrency_limit: -1,
        overflow: Overflow::DropOldest,
        required: false,
        durability: Durability::Memory,
        spill: false,
        sync: SyncPolicy::Interval,
        sync_interval: Duration::from_secs(7),
        max_disk_bytes: 7777,
        ..QueueOptions::default()
    };
    for layers in [[all, "", "", ""], ["", all, "", ""], ["", "", all, ""], ["", "", "", all]] {
        assert_eq!(queue(layers[0], layers[1], layers[2], layers[3]), expected, "{layers:?}");
    }
    let dead = "max_dead_letter_bytes: 7";
    for layers in [[dead, ""], ["", dead]] {
        assert_eq!(queue(layers[0], "", layers[1], "").max_dead_letter_bytes, 7, "{layers:?}");
    }
}

/// Scenario: every plugin that emits messages, with default settings; tcp-log with each durability and with an interval.
/// Guarantees: what is acknowledged waits on disk, synced before it is answered, the rest in memory,
/// from where a backlog goes to disk; settings override
/// both.
#[test]
fn storage_follows_plugin_and_settings() {
    let plugin = |name: &str, config: &str| {
        let kong = format!("_format_version: '3.0'\nplugins:\n- {{name: {name}, config: {{{config}}}}}\n");
        let options = crate::declarative::ReadOptions { select_tags: &[], env: &|_| None };
        let (mut configuration, diagnostics) = crate::declarative::read(&[SourceFile::new("k.yml", kong)], options);
        assert_eq!(diagnostics, []);
        configuration.plugins.remove(0)
    };
    let storage = |plugin: &Plugin, text: &str| good(text, &[]).for_plugin(plugin).unwrap().queue.storage();
    let disk = |storage: Storage| match storage {
        Storage::Disk(options) => options,
        Storage::Memory | Storage::Spill(_) => panic!("in memory"),
    };
    let tcp = plugin("tcp-log", "host: h, port: 1");
    let file = plugin("file-log", "path: /tmp/x");
    let on_disk = [
        plugin("http-log", "http_endpoint: 'http://h'"),
        plugin("kafka-log", "topic: t, bootstrap_servers: [{host: h, port: 1}]"),
        tcp.clone(),
    ];
    for plugin in &on_disk {
        let options = disk(storage(plugin, ""));
        assert_eq!((options.bounds.max_entries, options.mode), (None, Mode::Sync), "{}", plugin.definition.name);
    }
    let udp = plugin("udp-log", "host: h, port: 1");
    for plugin in [&file, &udp, &plugin("syslog", ""), &plugin("loggly", "key: k")] {
        let Storage::Spill(options) = storage(plugin, "") else { panic!("{} cannot spill", plugin.definition.name) };
        assert_eq!((options.bounds.max_entries, options.mode), (Some(10_000), Mode::Spill));
    }
    assert!(matches!(storage(&tcp, "queue: {durability: memory}"), Storage::Spill(_)));
    assert_eq!(storage(&tcp, "queue: {durability: memory, spill: false}"), Storage::Memory);
    let options = disk(storage(&file, "queue: {durability: disk, max_entries: 7, sync: interval}"));
    assert_eq!((options.bounds.max_entries, options.mode), (Some(7), Mode::Interval(Duration::from_secs(1))));
}

/// Scenario: values in a plugin's configuration that no setting can have, as another source than a validated file may
/// bring them, in the plugin's own fields and in its queue.
/// Guarantees: the error names plugin and field, says what to do, and points at the plugin; nothing falls back to a
/// default.
#[test]
fn unusable_plugin_fields_are_errors() {
    let kong = "_format_version: '3.0'\nplugins:\n- {name: udp-log, config: {host: h, port: 1}}\n";
    let options = crate::declarative::ReadOptions { select_tags: &[], env: &|_| None };
    let (mut configuration, _) = crate::declarative::read(&[SourceFile::new("k.yml", kong)], options);
    let plugin = &mut configuration.plugins[0];
    for (field, value) in [
        ("on_error", serde_json::json!("explode")),
        ("oversize", serde_json::json!(7)),
        ("max_body_size", serde_json::json!(-1)),
        ("queue", serde_json::json!(7)),
        ("queue.max_entries", serde_json::json!(1.5)),
        ("queue.sync", serde_json::json!("sometimes")),
        ("queue.sync_interval", serde_json::json!("1s")),
    ] {
        std::sync::Arc::make_mut(plugin).config = match field.strip_prefix("queue.") {
            Some(option) => serde_json::json!({"host": "h", "queue": {"max_batch_size": 2, option: value}}),
            None => serde_json::json!({"host": "h", field: value}),
        };
        let error = Settings::default().for_plugin(plugin).unwrap_err().diagnostic();
        let beginning = format!("`config.{field}` of plugin `udp-log` has a value that cannot be used: ");
        assert!(error.message.starts_with(&beginning), "{}", error.message);
        assert_eq!(error.path.as_deref(), Some(format!("config.{field}").as_str()));
        assert!(error.is_error() && error.help.is_some() && error.short().starts_with("k.yml:3:"), "{}", error.short());
    }
}

/// Scenario: a plugin whose configuration has Kong's default of `max_entries`, as Kong's tools write it, or another
/// number; settings that say nothing, the same number, or another one.
/// Guarantees: Kong's default is no bound on disk where nobody but Kong's tools has said it; everything else is.
#[test]
fn kongs_max_entries_is_no_bound_on_disk() {
    let disk_entries = |own: &str, settings: &str| {
        let kong = format!(
            "_format_version: '3.0'\nplugins:\n- {{name: tcp-log, config: {{host: h, port: 1, queue: {{{own}}}}}}}\n"
        );
        let options = crate::declarative::ReadOptions { select_tags: &[], env: &|_| None };
        let (configuration, diagnostics) = crate::declarative::read(&[SourceFile::new("k.yml", kong)], options);
        assert_eq!(diagnostics, []);
        let queue = good(settings, &[]).for_plugin(&configuration.plugins[0]).unwrap().queue;
        (queue.memory_bounds().max_entries, queue.disk_bounds().max_entries)
    };
    assert_eq!(disk_entries("", ""), (10_000, None));
    assert_eq!(disk_entries("max_entries: 10000", ""), (10_000, None));
    assert_eq!(disk_entries("max_entries: 9999", ""), (9999, Some(9999)));
    assert_eq!(disk_entries("", "queue: {max_entries: 10000}"), (10_000, Some(10_000)));
    assert_eq!(disk_entries("max_entries: 10000", "queue: {max_entries: 5}"), (10_000, None));
    let named = "plugins: {tcp-log: {queue: {max_entries: 10000}}}";
    assert_eq!(disk_entries("max_entries: 10000", named), (10_000, Some(10_000)));
}

/// Scenario: bodies asked for by a plugin's own configuration, by settings for its name and for its instance, and by
/// nobody; ranges that are none. Guarantees: the most specific wins, field by field; kafka-log has the request's body
/// unasked; a wrong range is reported at its place.
#[test]
fn layers_body_settings() {
    let kong = "_format_version: '3.0'\nplugins:\n- {name: udp-log, instance_name: u, config: {host: h, port: 1, include_body: both, max_body_size: 1k, body_types: [text/*], on_body_error: keep}}\n- {name: kafka-log, config: {topic: t}}\n";
    let options = crate::declarative::ReadOptions { select_tags: &[], env: &|_| None };
    let (configuration, diagnostics) = crate::declarative::read(&[SourceFile::new("k.yml", kong)], options);
    assert_eq!(diagnostics, []);
    let settings = good(
        "lua: {max_post_args: 7}\nplugins:\n  udp-log: {include_body: off, max_body_size: 5}\n  u: {include_body: response}\n",
        &[],
    );
    let udp = settings.for_plugin(&configuration.plugins[0]).unwrap().body;
    let types = Some(vec!["text/*".to_owned()]);
    let expected = BodyOptions { include: Include::RESPONSE, max_size: Some(5), types, keep_broken: true, max_args: 7 };
    assert_eq!(udp, expected);
    let kafka = settings.for_plugin(&configuration.plugins[1]).unwrap().body;
    assert_eq!(kafka, BodyOptions::new(Include::REQUEST, 7));
    let wrong = shorts("plugins:\n  udp-log:\n    body_types: [text/*, json]\n    include_body: all\n", &[]);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong.iter().any(|error| error.starts_with("logphase.yml:3:") && error.contains("`json`")), "{wrong:?}");
}

/// Scenario: every profile; `on` and `lax`, modules and names that nobody offers, networks that are none.
/// Guarantees: the former are taken, as plain words and from variables; the latter are errors that say why and what there is.
#[test]
fn sandbox_settings() {
    use logphase_script::Profile;
    assert_eq!(good("", &[]).untrusted_lua, Profile::Sandbox);
    assert_eq!(good("untrusted_lua: off", &[]).untrusted_lua, Profile::Off);
    assert_eq!(good("", &[("LOGPHASE_UNTRUSTED_LUA", "strict")]).untrusted_lua, Profile::Strict);
    let text = "untrusted_lua_sandbox_requires: [bit, table.new]\nuntrusted_lua_sandbox_environment: [os.date, string]\n\
                trusted_ips: [10.0.0.0/8, 192.0.2.7, 'fd00::/8']\n";
    let settings = good(text, &[]);
    assert_eq!(settings.untrusted_lua_sandbox_requires, ["bit", "table.new"]);
    assert_eq!(settings.trusted_ips.len(), 3);
    for (text, said) in [
        ("untrusted_lua: on", "`on` is not offered: it would give snippets the files"),
        ("untrusted_lua: lax", "use `strict`"),
        ("untrusted_lua: maybe", "off, sandbox, strict"),
        ("untrusted_lua_sandbox_requires: [bti]", "no module `bti` is offered; did you mean `bit`?"),
        ("untrusted_lua_sandbox_requires: [ffi]", "no module `ffi` is offered"),
        ("untrusted_lua_sandbox_environment: [os.execute]", "no name `os.execute` is offered"),
        ("untrusted_lua_sandbox_environment: [os.dat]", "did you mean `os.date`?"),
        ("trusted_ips: [10.0.0.0/99]", "expected an address or a network"),
        ("lua: {max_value_depth: 100000}", "1000"),
        ("confinement: {landlok: true}", "did you mean `landlock`?"),
    ] {
        let shown = render_all(&load(text, &[]).1, logphase_config::diagnostic::Format::Pretty, false);
        assert!(shown.contains("error[") && shown.contains(said), "{text}: {shown}");
    }
}

/// Scenario: rules for all plugins, for a name and for an instance, and a key. Guarantees: a plugin has all of its own, in
/// that order; the key is not shown; a key that is too short, and a hash without one, are errors that do not show it.
#[test]
fn redact_rules_add_up() {
    let text = "redact: [{header: a}]\nredact_key: 0123456789abcdef\n\
                plugins: {file-log: {redact: [{query: b, action: hash}]}, f: {redact: [{cookie: c}]}}\n";
    let settings = good(text, &[]);
    let kong = "_format_version: '3.0'\nplugins: [{name: file-log, instance_name: f, config: {path: /tmp/x}}, \
                {name: udp-log, config: {host: h, port: 1}}]\n";
    let options = crate::declarative::ReadOptions { select_tags: &[], env: &|_| None };
    let (configuration, _) = crate::declarative::read(&[SourceFile::new("k.yml", kong)], options);
    let of_file = settings.redact_for(&configuration.plugins[0]);
    assert_eq!((of_file[0].header.as_deref(), of_file[1].query.as_deref()), (Some("a"), Some("b")));
    assert_eq!((of_file[2].cookie.as_deref(), of_file.len()), (Some("c"), 3));
    assert_eq!(settings.redact_for(&configuration.plugins[1]).len(), 1);
    assert!(!format!("{settings:?}").contains("0123456789abcdef"));
    let (_, diagnostics) = load("", &[("LOGPHASE_REDACT_KEY", "tooshort")]);
    let shown = render_all(&diagnostics, logphase_config::diagnostic::Format::Pretty, false);
    assert!(shown.contains("has 8 bytes") && !shown.contains("tooshort"), "{shown}");
    let (_, diagnostics) = load(&text.replace("redact_key", "#"), &[]);
    let shown = render_all(&diagnostics, logphase_config::diagnostic::Format::Pretty, false);
    assert!(shown.contains("plugins.file-log.redact[0].action") && shown.contains("LOGPHASE_REDACT_KEY"), "{shown}");
    assert_eq!(shorts("redact: [{header: a, key: b}]", &[]).len(), 1);
}

/// Scenario: the list of variables. Guarantees: no name twice, every one described.
#[test]
fn variables_are_unique_and_described() {
    let all = variables();
    let names: std::collections::HashSet<_> = all.iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), all.len());
    assert!(all.iter().all(|(_, _, about)| !about.is_empty()));
    assert!(all.iter().any(|(name, path, _)| name == "LOGPHASE_HTTP_LISTEN" && path == "inputs.http.listen"));
}

proptest::proptest! {
    /// Scenario: any value of any variable. Guarantees: no panic; without an error, settings that can be used.
    #[test]
    fn never_panics(value in "(?s)[-0-9a-z.:,\\[\\]{}'\" \n]{0,20}", which in 0usize..40) {
        let all = variables();
        let name = &all[which % all.len()].0;
        let (settings, diagnostics) = load("", &[(name, &value)]);
        render_all(&diagnostics, logphase_config::diagnostic::Format::Pretty, false);
        settings.lua.deadline();
    }
}
