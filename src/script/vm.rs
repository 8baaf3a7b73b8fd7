//! One worker's Lua VM.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use mlua::{Function, Lua, LuaOptions, StdLib, Value as Lv};

use super::clock::Clock;
use super::compile::Bytecode;
use super::convert::kind_name;
use super::deadline::Deadline;
use super::environment::Environment;
use super::interrupt::{self, OUT_OF_TIME};
use super::state::State;
use crate::message::{KeyPath, Message, Mode, Style};

/// What scripts may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time for one call of a snippet.
    pub deadline: Duration,
    /// Bytes that one VM may hold, compiled snippets included.
    pub memory: usize,
    /// Bytes of JSON that one value may become.
    pub max_value_bytes: usize,
    /// Lines that one VM's scripts may log in a second.
    pub log_lines_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(10),
            memory: 64 << 20,
            max_value_bytes: 1 << 20,
            log_lines_per_second: 100,
        }
    }
}

/// How a VM is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// What scripts may use.
    pub limits: Limits,
    /// How their values are written.
    pub style: Style,
    /// Kong's exact behaviour where it is odd (the setting `kong_quirks`).
    pub kong_quirks: bool,
    /// How many headers and query arguments the PDK's functions give unless asked otherwise (Kong's
    /// `lua_max_req_headers` and its kin, 100).
    pub max_headers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { limits: Limits::default(), style: Style::default(), kong_quirks: false, max_headers: 100 }
    }
}

/// A snippet that was loaded into a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnippetId(usize);

/// Why a script did not come to its end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its time was over.
    Deadline,
    /// The VM's memory was used up.
    Memory,
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
        let deadline = Deadline::new(options.limits.deadline);
        let state = Rc::new(State::new(&lua, deadline, options)?);
        let environment = Environment::new(&lua, &state)?;
        interrupt::install(&lua);
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

    /// Looks at the message at hand.
    pub fn with_message<R>(&self, look: impl FnOnce(&mut Message) -> R) -> Option<R> {
        self.state.with_message(look)
    }

    /// Whose snippets run from now on; `index` tells plugins apart, `name` is for log lines.
    pub fn enter_plugin(&self, index: usize, name: &Rc<str>) {
        self.state.enter_plugin(index, name);
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
            self.state.edit(path, &value, mode).map_err(plain_error)
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
        self.state.deadline.begin();
        let result = match function.call::<(Lv, Lv)>(()) {
            Ok((value, options)) if !self.state.deadline.has_passed() => then(value, options),
            Ok(_) => Err(plain_error(OUT_OF_TIME.to_owned())),
            Err(error) => Err(script_error(&error)),
        };
        let passed = self.state.deadline.end();
        self.environment.clean(&self.state);
        if passed {
            self.make_room();
            let limit = self.state.deadline.limit();
            let message = format!("stopped after {limit:?}: the snippet's time is over");
            return Err(ScriptError { message, line: None, stop: Some(Stop::Deadline) });
        }
        if result.as_ref().is_err_and(|failure| failure.stop == Some(Stop::Memory)) {
            // What the script held is garbage now, and the next one needs the room.
            let _ = self.lua.gc_collect();
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
        mlua::Error::MemoryError(_) => {
            ScriptError { message: "not enough memory".to_owned(), line: None, stop: Some(Stop::Memory) }
        }
        mlua::Error::RuntimeError(text) => {
            let message = in_the_snippet(text);
            let stop = message.ends_with("not enough memory").then_some(Stop::Memory);
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
