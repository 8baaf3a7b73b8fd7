//! One worker's Lua VM.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ipnet::IpNet;
use mlua::{Function, Lua, LuaOptions, StdLib, Value as Lv};

use super::clock::Clock;
use super::compile::Bytecode;
use super::convert::{Unfit, ValueLimits, kind_name};
use super::deadline::{Deadline, Passed};
use super::environment::Environment;
use super::interrupt::{self, OUT_OF_TIME};
use super::profile::Dialect;
use super::state::State;
use crate::message::{KeyPath, Message, Mode, Style};

/// What scripts may use up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time for one call of a snippet.
    pub deadline: Duration,
    /// Time for all calls of one plugin's snippets in one transaction.
    pub plugin_deadline: Duration,
    /// Bytes that one VM may hold, compiled snippets included.
    pub memory: usize,
    /// What one value may be.
    pub value: ValueLimits,
    /// Lines that one VM's scripts may log in a second.
    pub log_lines_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(10),
            plugin_deadline: Duration::from_millis(50),
            memory: 64 << 20,
            value: ValueLimits::default(),
            log_lines_per_second: 100,
        }
    }
}

/// How many headers and arguments the PDK's and ngx's functions give unless asked otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Request headers (Kong's `lua_max_req_headers`).
    pub req_headers: usize,
    /// Response headers (`lua_max_resp_headers`).
    pub resp_headers: usize,
    /// Query arguments (`lua_max_uri_args`).
    pub uri_args: usize,
    /// Arguments of a form (`lua_max_post_args`).
    pub post_args: usize,
}

impl Default for Most {
    /// Kong's.
    fn default() -> Self {
        Self { req_headers: 100, resp_headers: 100, uri_args: 100, post_args: 100 }
    }
}

/// How a VM is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What scripts may use up.
    pub limits: Limits,
    /// What they may call.
    pub dialect: Dialect,
    /// How their values are written.
    pub style: Style,
    /// Kong's exact behaviour where it is odd (the setting `kong_quirks`).
    pub kong_quirks: bool,
    /// How many headers and arguments they see.
    pub most: Most,
    /// Networks for which `kong.ip.is_trusted` is true.
    pub trusted_ips: Vec<IpNet>,
}

/// A snippet that was loaded into a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnippetId(usize);

/// Which budget a script ran out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its time was over.
    Deadline,
    /// The time of all snippets of its plugin was over.
    PluginDeadline,
    /// The VM's memory was used up.
    Memory,
    /// The value that it gave is too large, too deep or has too many nodes.
    Value,
    /// It was not run: it ran out of time or memory too often in a row.
    Suspended,
}

impl Stop {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Deadline, Self::PluginDeadline, Self::Memory, Self::Value, Self::Suspended];

    /// One word for it, for metrics and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deadline => "time",
            Self::PluginDeadline => "plugin_time",
            Self::Memory => "memory",
            Self::Value => "value",
            Self::Suspended => "suspended",
        }
    }
}

/// A snippet that failed. The message is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScriptError {
    /// Lua's or Kong's words, with the place in the snippet where Lua gives one.
    pub message: String,
    /// Line in the snippet, from 1.
    pub line: Option<usize>,
    /// Which budget ran out, if one did.
    pub stop: Option<Stop>,
}

/// What running a field gives.
pub type FieldResult = Result<(), ScriptError>;

/// A VM with its snippets. Lives and dies on one thread.
pub struct Vm {
    // Functions before the VM that they live in.
    snippets: Vec<Function>,
    /// For pre- and post-functions: what the chunk returned, which runs from then on in its place.
    returned: Vec<Option<Function>>,
    environment: Environment,
    state: Rc<State>,
    /// Bytes that the VM may hold.
    memory: usize,
    /// Bytes that were left when garbage was last cleared away to make room.
    in_use: Cell<usize>,
    lua: Lua,
}

impl Vm {
    /// Makes a VM without snippets.
    ///
    /// # Errors
    /// The environment does not fit the memory limit.
    pub fn new(options: &Options) -> mlua::Result<Self> {
        let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::default())?;
        lua.set_memory_limit(options.limits.memory)?;
        let deadline = Deadline::new(options.limits.deadline, options.limits.plugin_deadline);
        let state = Rc::new(State::new(&lua, deadline, options)?);
        let environment = Environment::new(&lua, &state, &options.dialect)?;
        interrupt::install(&lua)?;
        let memory = options.limits.memory;
        Ok(Self { snippets: Vec::new(), returned: Vec::new(), environment, state, memory, in_use: Cell::new(0), lua })
    }

    /// Loads a snippet into an environment of its own.
    ///
    /// # Errors
    /// The VM's memory limit is too small for all snippets.
    pub fn load(&mut self, bytecode: &Bytecode) -> mlua::Result<SnippetId> {
        let environment = self.environment.fresh(&self.lua)?;
        self.state.loading.set(true);
        let loaded = self
            .lua
            .load(&*bytecode.code)
            .set_name(&*bytecode.chunk_name)
            .set_mode(mlua::chunk::ChunkMode::Binary)
            .set_environment(environment)
            .into_function();
        self.state.loading.set(false);
        self.snippets.push(loaded?);
        self.returned.push(None);
        Ok(SnippetId(self.snippets.len() - 1))
    }

    /// Begins a transaction.
    pub fn begin(&self, message: Message) {
        Clock::refresh();
        self.state.begin(message);
    }

    /// Ends it and gives the message back.
    pub fn end(&self) -> Option<Message> {
        let message = self.state.take();
        self.make_room();
        message
    }

    /// Luau fails at the memory limit without collecting what is garbage first; honest snippets shall not pay for
    /// what greedy ones left behind. Where most of the memory is in use for good, collecting would not help.
    fn make_room(&self) {
        let used = self.lua.used_memory();
        if used > self.memory / 4 * 3 && used > 2 * self.in_use.get() {
            let _ = self.lua.gc_collect();
            self.in_use.set(self.lua.used_memory());
        }
    }

    /// Whether so much of the memory is in use that an honest snippet may find none.
    pub fn is_cramped(&self) -> bool {
        self.lua.used_memory() > self.memory / 2
    }

    /// Looks at the message at hand.
    pub fn with_message<R>(&self, look: impl FnOnce(&mut Message) -> R) -> Option<R> {
        self.state.with_message(look)
    }

    /// Whose snippets run from now on; `index` tells plugins apart, `name` is for log lines.
    pub fn enter_plugin(&self, index: usize, name: &Rc<str>) {
        self.state.enter_plugin(index, name);
    }

    /// The identifier of the plugin that was entered last, for `kong.plugin.get_id`.
    pub fn set_plugin_id(&self, id: &Rc<str>) {
        self.state.set_plugin_id(id);
    }

    /// Bytes that the VM holds.
    pub fn used_memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Strings that were not UTF-8 so far.
    pub fn invalid_strings(&self) -> u64 {
        self.state.conversion.invalid_strings.get()
    }

    /// Runs a `custom_fields_by_lua` snippet and applies what it returns at `path`.
    pub fn run_field(&self, snippet: SnippetId, path: &KeyPath) -> FieldResult {
        self.call(&self.snippets[snippet.0], |value, options| {
            let mode = self.mode(&options)?;
            self.state.edit(path, &value, mode).map_err(ScriptError::from)
        })
    }

    /// Runs a pre- or post-function. Of a chunk that returns a function, that function runs, now and from then on.
    pub fn run_function(&mut self, snippet: SnippetId) -> FieldResult {
        if let Some(function) = &self.returned[snippet.0] {
            return self.call(function, |_, _| Ok(()));
        }
        let value = self.call(&self.snippets[snippet.0], |value, _| Ok(value))?;
        if let Lv::Function(function) = value {
            self.call(&function, |_, _| Ok(()))?;
            self.returned[snippet.0] = Some(function);
        }
        Ok(())
    }

    /// Calls `function` and does `then` with its first two values, all within the deadline.
    fn call<R>(
        &self,
        function: &Function,
        then: impl FnOnce(Lv, Lv) -> Result<R, ScriptError>,
    ) -> Result<R, ScriptError> {
        let deadline = &self.state.deadline;
        if deadline.plugin_is_over() {
            return Err(out_of_plugin_time(deadline.plugin_limit()));
        }
        deadline.begin();
        let result = match function.call::<(Lv, Lv)>(()) {
            Ok((value, options)) if !deadline.has_passed() => then(value, options),
            Ok(_) => Err(plain_error(OUT_OF_TIME.to_owned())),
            Err(error) => Err(script_error(&error)),
        };
        let passed = deadline.end();
        self.environment.clean(&self.state);
        let result = match passed {
            Some(Passed::Time) => Err(match deadline.last_limit() {
                (limit, true) => out_of_plugin_time(limit),
                (limit, false) => {
                    stopped(Stop::Deadline, format!("stopped after {limit:?}: the snippet's time is over"))
                }
            }),
            Some(Passed::Memory) => Err(stopped(Stop::Memory, NOT_ENOUGH_MEMORY.to_owned())),
            None => result,
        };
        if result.is_err() {
            self.environment.mend();
        }
        match result.as_ref().err().and_then(|failure| failure.stop) {
            // What the script held is garbage now, and the next one needs the room.
            Some(Stop::Memory) => drop(self.lua.gc_collect()),
            Some(_) if self.is_cramped() => drop(self.lua.gc_collect()),
            _ => {}
        }
        result
    }

    /// The second value that a snippet returned: options for `set_serialize_value`.
    fn mode(&self, options: &Lv) -> Result<Mode, ScriptError> {
        match options {
            Lv::Table(options) => {
                let mode = options.raw_get::<Lv>("mode").unwrap_or(Lv::Nil);
                super::pdk::mode(&mode).map_err(plain_error)
            }
            Lv::Nil | Lv::String(_) | Lv::Boolean(false) => Ok(Mode::Set),
            other if self.state.quirks => {
                Err(plain_error(format!("attempt to index local 'options' (a {} value)", kind_name(other))))
            }
            _ => Ok(Mode::Set),
        }
    }
}

/// Luau's words, wherever an allocation was refused.
pub(super) const NOT_ENOUGH_MEMORY: &str = "not enough memory";

fn stopped(stop: Stop, message: String) -> ScriptError {
    ScriptError { message, line: None, stop: Some(stop) }
}

fn out_of_plugin_time(limit: Duration) -> ScriptError {
    let message = format!("stopped: the time of all snippets of the plugin, {limit:?} for a transaction, is over");
    stopped(Stop::PluginDeadline, message)
}

impl From<Unfit> for ScriptError {
    fn from(unfit: Unfit) -> Self {
        let stop = unfit.too_large.then_some(Stop::Value);
        Self { message: for_a_log(&unfit.message), line: None, stop }
    }
}

fn plain_error(message: String) -> ScriptError {
    ScriptError { message: for_a_log(&message), line: None, stop: None }
}

/// An error's text, which a script or a transaction may have written, as one line of bounded length.
fn for_a_log(text: &str) -> String {
    const LONGEST: usize = 1000;
    let mut line = String::new();
    for character in text.chars() {
        if line.len() >= LONGEST {
            line.push_str("...");
            break;
        }
        if character.is_control() { line.extend(character.escape_default()) } else { line.push(character) }
    }
    line
}

/// What an error says to the user, without the VM's wrapping and traceback.
pub(super) fn script_error(error: &mlua::Error) -> ScriptError {
    match error {
        mlua::Error::CallbackError { cause, .. } => script_error(cause),
        mlua::Error::MemoryError(_) => stopped(Stop::Memory, NOT_ENOUGH_MEMORY.to_owned()),
        mlua::Error::RuntimeError(text) => {
            let message = in_the_snippet(text);
            let stop = (message == NOT_ENOUGH_MEMORY).then_some(Stop::Memory);
            ScriptError { line: line_of(&message), message: for_a_log(&message), stop }
        }
        other => plain_error(other.to_string()),
    }
}

/// An error's message without the traceback. The place of one that arose in our own Lua is the snippet's line that
/// called it.
fn in_the_snippet(text: &str) -> String {
    let (message, traceback) = text.split_once("\nstack traceback:").unwrap_or((text, ""));
    let own = message.strip_prefix("logphase:").and_then(|rest| rest.split_once(": "));
    let place = traceback.lines().map(str::trim_start).find(|line| line.starts_with("[string \""));
    match (own, place.and_then(|line| line.split_once(": in "))) {
        (Some((_, what)), Some((place, _))) => format!("{place}: {what}"),
        _ => message.to_owned(),
    }
}

/// The line in `[string "..."]:3: message`.
fn line_of(message: &str) -> Option<usize> {
    let after = message.strip_prefix("[string \"")?.split_once("\"]:")?.1;
    after[..after.find(':')?].parse().ok()
}
