//! One worker's Lua VM.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use mlua::{Function, Lua, LuaOptions, StdLib, Value as Lv};

use crate::compile::Bytecode;
use crate::environment::Environment;
use crate::host::json::ValueError;
use crate::host::words::kong_words;
use crate::host::{AppliedEdit, LogRateLimit, Options, Phase, State};
use crate::message::{KeyPath, Message, Mode};
use crate::needs::Names;
use crate::runtime::{
    Clock, Deadline, Exceeded, NOT_ENOUGH_MEMORY, OUT_OF_TIME, ScriptError, Stop, interrupt, kind_name, plain_error,
    script_error, set_quirks, stopped,
};

/// A snippet loaded into a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnippetId(usize);

/// The result of running a snippet.
pub type FieldResult = Result<(), ScriptError>;

/// A VM with its snippets, bound to one thread.
pub struct Vm {
    // Declared before the VM, because the functions must be dropped first.
    snippets: Vec<Function>,
    /// For pre- and post-functions: the function that the chunk returned, which runs instead of the chunk from then on.
    returned: Vec<Option<Function>>,
    environment: Environment,
    state: Rc<State>,
    /// The memory limit in bytes.
    memory: usize,
    /// Bytes that the environment and the snippets take.
    loaded_bytes: usize,
    /// Bytes in use after the last garbage collection.
    in_use: Cell<usize>,
    lua: Lua,
}

impl Vm {
    /// Creates a VM without snippets.
    ///
    /// # Errors
    /// The environment does not fit the memory limit.
    pub fn new(options: &Options) -> mlua::Result<Self> {
        Self::with_log_rate(options, None)
    }

    /// A VM that replaces this one. It has no snippet, and what is left of the allowance of log lines.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn renewed(&self, options: &Options) -> mlua::Result<Self> {
        Self::with_log_rate(options, Some(self.state.log_rate.clone()))
    }

    fn with_log_rate(options: &Options, log_rate: Option<Rc<LogRateLimit>>) -> mlua::Result<Self> {
        let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::default())?;
        lua.set_memory_limit(options.limits.memory)?;
        let deadline = Deadline::new(options.limits.deadline, options.limits.plugin_deadline);
        let state = Rc::new(State::new(&lua, deadline, options, log_rate)?);
        let environment = Environment::new(&lua, &state, &options.dialect)?;
        interrupt::install(&lua)?;
        let memory = options.limits.memory;
        let (snippets, returned, in_use) = (Vec::new(), Vec::new(), Cell::new(0));
        let loaded_bytes = lua.used_memory();
        Ok(Self { snippets, returned, environment, state, memory, loaded_bytes, in_use, lua })
    }

    /// The names that snippets find.
    ///
    /// # Errors
    /// The memory limit is too small for a table of globals.
    pub fn names(&self) -> mlua::Result<Names> {
        let globals = self.environment.fresh(&self.lua)?;
        Names::of(&globals, &self.state.restricted.borrow())
    }

    /// Loads a snippet into its own environment, also between two snippets of a transaction.
    ///
    /// # Errors
    /// The VM's memory limit is too small for all snippets.
    pub fn load(&mut self, bytecode: &Bytecode) -> mlua::Result<SnippetId> {
        // Garbage must not be taken for room, nor its collection for a smaller snippet.
        if self.is_cramped() {
            self.lua.gc_collect()?;
        }
        let before = self.lua.used_memory();
        self.lua.gc_stop();
        let loaded = self.load_function(bytecode);
        self.lua.gc_restart();
        self.loaded_bytes += self.lua.used_memory().saturating_sub(before);
        self.snippets.push(loaded?);
        self.state.recorded_edits.look_at(&bytecode.source);
        self.returned.push(None);
        let name = bytecode.chunk_name.trim_start_matches('=').into();
        self.state.sources.borrow_mut().push((name, bytecode.source.clone()));
        Ok(SnippetId(self.snippets.len() - 1))
    }

    fn load_function(&self, bytecode: &Bytecode) -> mlua::Result<Function> {
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
        loaded
    }

    /// The memory limit in bytes.
    pub fn memory_limit(&self) -> usize {
        self.memory
    }

    /// Bytes that the environment and the loaded snippets take.
    pub fn loaded_bytes(&self) -> usize {
        self.loaded_bytes
    }

    /// Begins a transaction.
    pub fn begin(&self, message: Message) {
        if self.has_snippets() {
            Clock::catch_up();
        } else {
            Clock::refresh();
        }
        self.state.begin(message);
    }

    /// Whether there is anything that it can run. Only then it needs a [`Clock`] that is busy.
    pub fn has_snippets(&self) -> bool {
        !self.snippets.is_empty()
    }

    /// Ends the transaction and returns its message.
    pub fn end(&self) -> Option<Message> {
        let message = self.state.take();
        self.collect_garbage();
        message
    }

    /// Collects garbage if it takes much of the memory: at the limit Luau fails without collecting first, and a snippet must
    /// not fail for the garbage of another. If most of the memory is live, collecting would not help.
    fn collect_garbage(&self) {
        let used = self.lua.used_memory();
        if used > self.memory / 4 && used > 2 * self.in_use.get() {
            let _ = self.lua.gc_collect();
            self.in_use.set(self.lua.used_memory());
        }
    }

    /// Whether so much memory is in use that a modest snippet may find none.
    pub fn is_cramped(&self) -> bool {
        self.lua.used_memory() > self.memory / 2
    }

    /// Whether an eighth of the memory limit is in use by what snippets hold, such as `kong.ctx`, after collecting garbage.
    pub fn holds_much(&self) -> bool {
        let _ = self.lua.gc_collect();
        self.held_bytes() > self.memory / 8
    }

    /// Bytes in use in addition to the snippets themselves.
    pub fn held_bytes(&self) -> usize {
        self.lua.used_memory().saturating_sub(self.loaded_bytes)
    }

    /// Reads or edits the current message.
    pub fn with_message<R>(&self, work: impl FnOnce(&mut Message) -> R) -> Option<R> {
        self.state.with_message(work)
    }

    /// Sets the plugin whose snippets run next. `index` identifies it, `name` is for log lines.
    pub fn enter_plugin(&self, index: usize, name: &Rc<str>) {
        self.state.enter_plugin(index, name);
    }

    /// Sets the phase that the functions which run next belong to; [`Self::begin`] sets the log phase.
    pub fn enter_phase(&self, phase: Phase) {
        self.state.phase.set(phase);
    }

    /// The CPU time that the current plugin has used of what it has for one transaction, in microseconds.
    pub fn plugin_time(&self) -> u64 {
        self.state.deadline.used()
    }

    /// Counts `micros` as used by the current plugin before: in an earlier phase of the transaction.
    pub fn charge_plugin(&self, micros: u64) {
        self.state.deadline.charge(micros);
    }

    /// What functions of a replayed phase have called since the last call although it has no effect on a finished
    /// transaction, each name once.
    pub fn take_no_effect(&self) -> Vec<Rc<str>> {
        self.state.take_no_effect()
    }

    /// Whether the edits of snippets that run next are noted, for [`Self::take_edits`].
    pub fn note_edits(&self, note: bool) {
        self.state.attribution.turn(note);
    }

    /// The edits that have changed the message since the last call, in their order, and how many more there were than are kept. Those
    /// of a snippet that failed are not among them.
    pub fn take_edits(&self) -> (Vec<AppliedEdit>, usize) {
        self.state.attribution.take()
    }

    /// Sets the identifier of the current plugin, for `kong.plugin.get_id`.
    pub fn set_plugin_id(&self, id: &Rc<str>) {
        self.state.set_plugin_id(id);
    }

    /// Bytes that the VM holds.
    pub fn used_memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// How many strings were not UTF-8 so far.
    pub fn invalid_strings(&self) -> u64 {
        self.state.encoding.invalid_strings.get()
    }

    /// Runs a `custom_fields_by_lua` snippet and sets the returned value at `path`.
    pub fn run_field(&self, snippet: SnippetId, path: &KeyPath) -> FieldResult {
        self.call(snippet, &self.snippets[snippet.0], |value, options| {
            let mode = self.mode(&options)?;
            self.state.edit(path, &value, mode).map_err(ScriptError::from)
        })
    }

    /// Runs a snippet of `custom_attributes_by_lua` and sets the returned value at `path`; nil is null there, so that whoever
    /// gets the message knows what is to be left out.
    pub fn run_attribute(&self, snippet: SnippetId, path: &KeyPath) -> FieldResult {
        self.call(snippet, &self.snippets[snippet.0], |value, _| {
            let value = if value.is_nil() { Lv::NULL } else { value };
            self.state.edit(path, &value, Mode::Set).map_err(ScriptError::from)
        })
    }

    /// Runs a pre- or post-function. If the chunk returns a function, that function runs now and in later calls.
    pub fn run_function(&mut self, snippet: SnippetId) -> FieldResult {
        if let Some(function) = &self.returned[snippet.0] {
            return self.call(snippet, function, |_, _| Ok(()));
        }
        let value = self.call(snippet, &self.snippets[snippet.0], |value, _| Ok(value))?;
        if let Lv::Function(function) = value {
            self.call(snippet, &function, |_, _| Ok(()))?;
            self.returned[snippet.0] = Some(function);
        }
        Ok(())
    }

    /// Calls `function`, and `then` with its first two results, all within the deadline.
    fn call<R>(
        &self,
        snippet: SnippetId,
        function: &Function,
        then: impl FnOnce(Lv, Lv) -> Result<R, ScriptError>,
    ) -> Result<R, ScriptError> {
        let deadline = &self.state.deadline;
        if deadline.plugin_is_over() {
            return Err(plugin_deadline_exceeded(deadline.plugin_limit()));
        }
        set_quirks(self.state.quirks);
        self.state.running.set(snippet.0);
        deadline.begin();
        let result = match function.call::<(Lv, Lv)>(()) {
            Ok((value, options)) if !deadline.is_exceeded() => then(value, options),
            Ok(_) => Err(plain_error(OUT_OF_TIME)),
            Err(error) => Err(self.in_kongs_words(script_error(&error))),
        };
        let exceeded = deadline.end();
        self.environment.clean(&self.state);
        let result = match exceeded {
            Some(Exceeded::Time) => Err(match deadline.last_limit() {
                (limit, true) => plugin_deadline_exceeded(limit),
                (limit, false) => {
                    stopped(Stop::Deadline, format!("stopped after {limit:?}: the snippet's time is over"))
                }
            }),
            Some(Exceeded::Memory) => Err(stopped(Stop::Memory, NOT_ENOUGH_MEMORY.to_owned())),
            None => result,
        };
        if result.is_err() {
            self.environment.reset();
            self.state.undo_edits();
        } else {
            self.state.keep_edits();
        }
        match result.as_ref().err().and_then(|failure| failure.stop) {
            // The memory of the script is garbage now, and the next one needs it.
            Some(Stop::Memory) => drop(self.lua.gc_collect()),
            Some(_) if self.is_cramped() => drop(self.lua.gc_collect()),
            _ => {}
        }
        result
    }

    fn in_kongs_words(&self, error: ScriptError) -> ScriptError {
        match kong_words(&self.lua, &self.state, &error.message) {
            Some(message) => ScriptError { message, ..error },
            None => error,
        }
    }

    /// The mode in the second result of a snippet, options for `set_serialize_value`.
    fn mode(&self, options: &Lv) -> Result<Mode, ScriptError> {
        match options {
            Lv::Table(options) => {
                let mode = options.raw_get::<Lv>("mode").unwrap_or(Lv::Nil);
                crate::host::mode(&mode).map_err(plain_error)
            }
            Lv::Nil | Lv::String(_) | Lv::Boolean(false) => Ok(Mode::Set),
            other if self.state.quirks => {
                Err(plain_error(&format!("attempt to index local 'options' (a {} value)", kind_name(other))))
            }
            _ => Ok(Mode::Set),
        }
    }
}

fn plugin_deadline_exceeded(limit: Duration) -> ScriptError {
    let message = format!("stopped: the time of all snippets of the plugin, {limit:?} for a transaction, is over");
    stopped(Stop::PluginDeadline, message)
}

impl From<ValueError> for ScriptError {
    fn from(error: ValueError) -> Self {
        let stop = matches!(error, ValueError::TooLarge(_)).then_some(Stop::Value);
        Self { stop, ..plain_error(&error.to_string()) }
    }
}
