//! Kong Gateway's log phase as a service of its own.
//!
//! A proxy hands over finished transactions; each is serialized as Kong does, every logging plugin's
//! `custom_fields_by_lua` runs in a sandbox, and the messages go out in Kong's plugin-priority order.
//!
//! The modules follow the way of a transaction: [`input`] → [`decode`] → [`transaction`] → [`phase`] (with [`script`] and
//! [`message`]) → [`queue`] → [`delivery`] → a [`plugin`]'s sink. What a configuration says comes through
//! [`document`] (text to tree), [`schema`] (fields), [`entity`] (Kong's entities) and [`settings`] (ours);
//! every complaint about it is a [`diagnostic::Diagnostic`].

pub mod api;
pub mod cli;
mod compile;
pub mod confinement;
pub mod declarative;
pub mod decode;
pub mod delivery;
pub mod entity;
pub mod input;
mod log;
pub mod options;
pub mod phase;
pub mod plugin;
pub mod service;
pub mod settings;
pub mod sink;
pub mod socket_file;
