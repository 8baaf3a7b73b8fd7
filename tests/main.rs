//! Tests of the built program as users run it: its own process, real files, sockets, signals and logrotate.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests fail by panicking and say why")]

mod admin;
mod architecture;
mod backlog;
mod bodies;
mod chained;
mod check;
mod configurations;
mod confinement;
mod conformance;
mod datagrams;
mod differences;
mod disk;
mod documentation;
mod documentation_examples;
mod dry_run;
mod durable;
mod earlier_phases;
mod envoy;
mod examples;
mod examples_deliver;
mod explain;
mod fairness;
mod files;
mod find_service;
mod format;
mod forwarder;
mod hostile;
mod http_input;
mod http_log;
mod kafka;
mod kill;
mod loggly;
mod logrotate;
mod manual;
mod mapping;
mod mesh;
mod mesh_schemas;
mod mesh_stream;
mod metrics;
mod observability;
mod odd_files;
mod one_writer;
mod otlp;
mod own_log;
mod package;
mod plugin_docs;
mod printed;
mod proxies;
mod queue_command;
mod readme;
mod redaction;
mod refusals;
mod reload;
mod resources;
mod restarts;
mod router;
mod salvage;
mod sandbox;
mod sandbox_command;
mod security;
mod service;
mod service_manager;
mod sharing;
mod show;
mod signals;
mod snippet_tests;
mod statsd;
mod stdin;
mod syslog;
mod syslog_input;
mod tail;
mod tap;
mod top;
mod transaction_schema;
mod unlogged;
mod unread;
mod vaults;
mod worked_example;

// The files of the worked example are written as if they were in `src/`: these modules are that place.
#[path = "worked_example/plugin.rs"]
mod plugin;
#[path = "worked_example/sink.rs"]
mod sink;
