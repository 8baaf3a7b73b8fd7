//! Kong Gateway's log phase as a separate service.
//!
//! A proxy sends finished transactions. Logphase serializes each as Kong does, runs the `custom_fields_by_lua` of every
//! logging plugin in a sandbox, and sends the messages in the order of Kong's plugin priorities.
//!
//! A transaction passes through these modules: [`input`] receives it, [`decode`] parses it into a
//! [`Transaction`](logphase_script::transaction::Transaction), [`phase`] runs the plugins with [`logphase_script`] and
//! appends their messages to queues ([`logphase_queue`]), and [`delivery`] sends those with a [`sink`].
//!
//! [`logphase_config`] parses configuration files: `document` into a tree, `schema` into checked fields. [`declarative`]
//! reads Kong's entities ([`entity`]), [`settings`] has the settings of Logphase, [`options`] those that settings and plugins
//! share, [`plugin`] defines the supported plugins, `vaults` resolves references to secrets, and `compile` builds the program that [`phase`] runs. Every problem of a
//! configuration is a [`Diagnostic`](logphase_config::diagnostic::Diagnostic).
//!
//! [`service`] connects these parts, [`api`] serves its status and metrics, [`admin`] is Kong's Admin API, `page` is the page in a browser, [`confinement`]
//! restricts the process, and [`cli`] has the commands.

pub mod admin;
pub mod api;
pub mod cli;
mod compile;
pub mod confinement;
mod connections;
pub mod declarative;
pub mod decode;
pub mod delivery;
pub mod dry_run;
pub mod entity;
pub mod forwarder;
pub mod input;
mod log;
pub mod mesh;
pub mod options;
mod page;
pub mod phase;
pub mod plugin;
pub mod router;
pub mod service;
pub mod settings;
pub mod sink;
pub mod socket_file;
mod vaults;
