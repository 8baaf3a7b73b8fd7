//! The playground: the log phase of a configuration and transactions that somebody has pasted, with all that there is to say about them.
//!
//! Whoever may look at the page may send anything here. So it runs in a process of its own, which `process` confines: one request on standard
//! input, its answer on standard output.

mod answer;
mod lines;
mod logged;
mod places;
mod process;
mod setup;

use serde::Deserialize;

pub(crate) use answer::answer;
pub(crate) use process::{Unserved, serve};
pub(crate) use setup::Setup;

/// What somebody wants to try.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    /// The text of a declarative file.
    pub(crate) configuration: String,
    /// The text of a settings file; without one, [`Self::own_settings`] count.
    #[serde(default)]
    pub(crate) settings: Option<String>,
    /// The settings of the service ([`crate::settings::Settings::of_log_phase`]).
    #[serde(default)]
    pub(crate) own_settings: String,
    /// One object, an array, or JSON lines.
    pub(crate) transaction: String,
    /// The mapping that makes transactions of it, or `kong`.
    #[serde(default)]
    pub(crate) mapping: Option<String>,
    /// The name of a test that is to be made of it, instead of showing it.
    #[serde(default)]
    pub(crate) test: Option<String>,
}
