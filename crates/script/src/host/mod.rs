//! What the host functions of `kong`, `ngx` and `require` share: options, the state of a VM, the module builder, and
//! conversions between Lua values, JSON and text. The folders that use it do not import each other.

pub(crate) mod arguments;
mod attribution;
pub(crate) mod base64;
mod cache;
pub(crate) mod changes;
pub(crate) mod detached;
pub(crate) mod digest;
mod edits;
pub(crate) mod entities;
pub(crate) mod headers;
pub(crate) mod json;
pub(crate) mod log;
mod module;
mod options;
mod phase;
mod profile;
mod rate_limit;
pub(crate) mod request;
mod state;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod uri;
pub(crate) mod words;

pub use attribution::AppliedEdit;
pub(crate) use module::{Loader, Module, index, lazy, make_lazy, out_of_reach, wrong_phase};
pub use options::{CountLimits, Limits, Options, ValueLimits};
pub use phase::Phase;
pub(crate) use phase::Phases;
pub use profile::{Dialect, Profile, names};
pub(crate) use profile::{missing_member, missing_module};
pub(crate) use rate_limit::LogRateLimit;
pub(crate) use request::is_session;
pub(crate) use state::{State, mode};
