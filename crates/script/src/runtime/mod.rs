//! The layer over Luau that everything else builds on: clock, deadline, interrupt, errors, raw tables and the bundled
//! Lua sources. Nothing here knows of a transaction.

pub(crate) mod bundled;
mod clock;
mod cpu_time;
pub(crate) mod deadline;
mod error;
mod host_function;
pub(crate) mod interrupt;
pub(crate) mod number_text;
mod table;

pub use clock::{Busy, Clock};
pub(crate) use deadline::{Deadline, Exceeded, OUT_OF_TIME, check, work};
pub(crate) use error::{
    NOT_ENOUGH_MEMORY, bad_argument, kind_name, plain_error, raise, script_error, stopped, wrong_type,
};
pub use error::{ScriptError, Stop};
pub(crate) use host_function::host_function;
pub use number_text::lua_number;
pub(crate) use number_text::{push_lua_number, set_quirks};
pub(crate) use table::{ReadError, array_length, frozen, read_members, sequence_index};
