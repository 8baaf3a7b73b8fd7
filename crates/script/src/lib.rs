//! Lua: compiling snippets, and running them where they can do no harm.
//!
//! Snippets run in Luau, each in an environment of its own on top of frozen modules, with a deadline for each call
//! and a memory limit for the whole VM. They see the transaction through `kong.*` and `ngx.*`, read-only but for
//! `kong.log.set_serialize_value`, and give back a value that becomes JSON text at once.

mod clock;
mod compile;
mod convert;
mod deadline;
mod environment;
mod interrupt;
mod joined;
pub mod message;
mod module;
mod nesting;
mod ngx;
mod own;
mod pdk;
mod profile;
mod state;
pub mod transaction;
mod vm;

pub use clock::{Busy, Clock};
pub use compile::{Bytecode, CompileError, Difference, SourceLimits, compile, differences};
pub use convert::ValueLimits;
pub use profile::{Dialect, Profile, modules, names};
pub use vm::{FieldResult, Limits, Most, Options, ScriptError, SnippetId, Stop, Vm};

/// Reads what scripts may ask for and threads that are locked down cannot find out: the time zone, the node's name and
/// id, and a seed for random numbers; and compiles our own Lua. To be called before the first such thread is; what is read stays for good.
pub fn prepare() {
    pdk::prepare();
    ngx::prepare();
    module::random::prepare();
    module::compile();
}

#[cfg(test)]
mod tests;
