//! Transactions, messages, and the Lua sandbox that Kong's snippets run in.
//!
//! Snippets run in Luau, each in its own environment on top of frozen modules, with a deadline for each call and a
//! memory limit for the whole VM. They see the transaction through `kong.*` and `ngx.*`, read-only except for
//! `kong.log.set_serialize_value`, and return a value that is converted to JSON text at once.
//!
//! Imports point down: `vm` > `environment` > `module`, `ngx` and `pdk`, which do not know each other > `host` >
//! `runtime` and `message` > `transaction`. `compile` and `runtime` use `source`, the text of snippets, which knows none of
//! them; `needs` reads sources, and asks `pdk` and `ngx` for names; `catalogue` describes what `environment` offers.

pub mod catalogue;
mod compile;
mod environment;
mod host;
pub mod message;
mod module;
pub mod needs;
mod ngx;
mod pdk;
mod runtime;
mod source;
pub mod transaction;
pub mod vault;
mod vm;

pub use compile::{Bytecode, CompileError, Difference, SourceLimits, compile, differences};
pub use environment::modules;
pub use host::{AppliedEdit, CountLimits, Dialect, Limits, Options, Phase, Profile, ValueLimits, names};
pub use runtime::{Busy, Clock, ScriptError, Stop, lua_number};
pub use source::numeral::parse as parse_lua_number;
pub use vm::{FieldResult, SnippetId, Vm};

/// Reads what threads that run scripts cannot: the time zone, the node's name and id, and a seed for random numbers; and
/// compiles the bundled Lua. Call it before the first such thread starts; the results stay for the life of the process.
pub fn prepare() {
    pdk::prepare();
    ngx::prepare();
    module::prepare();
}

#[cfg(test)]
mod tests;
