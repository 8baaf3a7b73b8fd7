//! The state of one VM that all host functions share: the current transaction, the plugin and the budgets.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use ipnet::IpNet;
use mlua::{Lua, Table, Value as Lv};

use super::attribution::Attribution;
use super::cache::Cache;
use super::changes::Changes;
use super::edits::RecordedEdits;
use super::json::{FieldEncoding, ValueError};
use super::options::{CountLimits, Options};
use super::phase::Phase;
use super::rate_limit::LogRateLimit;
use crate::message::{KeyPath, Message, Mode, Snapshot};
use crate::runtime::{Deadline, check, work};
use crate::transaction::{Level, Transaction, Value, View};
use crate::vault::Vault;

/// One VM's shared state, used on the VM's thread alone.
pub(crate) struct State {
    pub(crate) deadline: Deadline,
    pub(crate) encoding: FieldEncoding,
    pub(crate) quirks: bool,
    /// The default limits of `kong.request.get_headers` and similar functions.
    pub(crate) counts: CountLimits,
    /// For `kong.ip.is_trusted`.
    pub(crate) trusted_ips: Vec<IpNet>,
    /// For `kong.vault`.
    pub(crate) vault: Arc<Vault>,
    /// The metatable of arrays that were read from JSON, so that an empty one stays an array.
    pub(crate) array_mark: Table,
    message: RefCell<Option<Message>>,
    /// Bytes that edits had added to the message when the current plugin began.
    added_before: Cell<usize>,
    /// The message before the first edit of the running snippet, which is restored if the snippet fails.
    before_edits: RefCell<Option<Snapshot>>,
    /// `kong.ctx.shared`, `ngx.ctx` and each plugin's `kong.ctx.plugin`, created on first use.
    contexts: RefCell<HashMap<Context, Table>>,
    plugin: Cell<usize>,
    /// The phase that the running function belongs to.
    pub(crate) phase: Cell<Phase>,
    /// What the running function has called although it has no effect on a finished transaction, each once.
    no_effect: RefCell<Vec<Rc<str>>>,
    /// Functions with the phases that may call them, of those that are not for the log phase.
    pub(crate) restricted: RefCell<Vec<(Rc<str>, &'static str)>>,
    /// Name of the running plugin, for log lines.
    pub(crate) plugin_name: RefCell<Rc<str>>,
    /// Environments in which a script has set a global.
    pub(crate) modified_globals: RefCell<Vec<Table>>,
    /// A snippet is being loaded, outside of any transaction.
    pub(crate) loading: Cell<bool>,
    /// Shared with the VMs that replace this one: a plugin must not get a new allowance by breaking its VM.
    pub(crate) log_rate: Rc<LogRateLimit>,
    /// Identifier of the running plugin, for `kong.plugin.get_id`.
    plugin_id: RefCell<Option<Rc<str>>>,
    /// The running plugin has called `kong.log.inspect.off`.
    pub(crate) inspect_off: Cell<bool>,
    /// The entries of `kong.cache`, which live as long as the VM.
    pub(crate) cache: Cache,
    /// The metatable of `ngx.ctx`, which looks up what Kong keeps there.
    pub(crate) ctx_metatable: RefCell<Option<Table>>,
    /// For `ngx.ctx.serialize_values`.
    pub(crate) recorded_edits: RecordedEdits,
    /// For whoever looks at what snippets do.
    pub(crate) attribution: Attribution,
    /// What snippets have changed in the request of this transaction.
    pub(crate) changes: RefCell<Changes>,
    /// The loaded snippets' texts and names, and the number of the running one.
    pub(crate) sources: RefCell<Vec<(Arc<str>, Arc<str>)>>,
    pub(crate) running: Cell<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Context {
    Shared,
    Core,
    Ngx,
    Plugin(usize),
}

impl State {
    pub(crate) fn new(
        lua: &Lua,
        deadline: Deadline,
        options: &Options,
        log_rate: Option<Rc<LogRateLimit>>,
    ) -> mlua::Result<Self> {
        let array_mark = lua.create_table()?;
        array_mark.set_readonly(true);
        Ok(Self {
            deadline,
            encoding: FieldEncoding::new(options.style, options.limits.value),
            quirks: options.kong_quirks,
            counts: options.counts,
            trusted_ips: options.trusted_ips.clone(),
            vault: options.vault.clone(),
            array_mark,
            message: RefCell::new(None),
            added_before: Cell::new(0),
            before_edits: RefCell::new(None),
            contexts: RefCell::new(HashMap::new()),
            plugin: Cell::new(0),
            phase: Cell::default(),
            no_effect: RefCell::default(),
            restricted: RefCell::default(),
            plugin_name: RefCell::new("".into()),
            modified_globals: RefCell::new(Vec::new()),
            loading: Cell::new(false),
            log_rate: log_rate.unwrap_or_else(|| Rc::new(LogRateLimit::new(options.limits.log_lines_per_second))),
            plugin_id: RefCell::new(None),
            inspect_off: Cell::new(false),
            cache: Cache::default(),
            ctx_metatable: RefCell::new(None),
            recorded_edits: RecordedEdits::default(),
            attribution: Attribution::default(),
            changes: RefCell::default(),
            sources: RefCell::new(Vec::new()),
            running: Cell::new(0),
        })
    }

    /// Begins a transaction.
    pub(crate) fn begin(&self, message: Message) {
        self.contexts.borrow_mut().clear();
        self.changes.take();
        self.recorded_edits.clear();
        self.deadline.enter_plugin();
        self.added_before.set(0);
        self.inspect_off.set(false);
        self.phase.set(Phase::Log);
        *self.message.borrow_mut() = Some(message);
    }

    /// Ends the transaction and returns its message.
    pub(crate) fn take(&self) -> Option<Message> {
        self.contexts.borrow_mut().clear();
        self.message.borrow_mut().take()
    }

    /// Whether a phase before the log phase is replayed.
    pub(crate) fn replays(&self) -> bool {
        self.phase.get() != Phase::Log
    }

    /// Notes that the running function called `name`, which has no effect on a finished transaction.
    pub(crate) fn note_no_effect(&self, name: &Rc<str>) {
        let mut noted = self.no_effect.borrow_mut();
        if !noted.contains(name) {
            noted.push(name.clone());
        }
    }

    /// What was noted since the last call.
    pub(crate) fn take_no_effect(&self) -> Vec<Rc<str>> {
        self.no_effect.take()
    }

    pub(crate) fn enter_plugin(&self, index: usize, name: &Rc<str>) {
        self.deadline.enter_plugin();
        self.added_before.set(self.with_message(|message| message.added_bytes()).unwrap_or(0));
        self.plugin.set(index);
        self.inspect_off.set(false);
        *self.plugin_name.borrow_mut() = name.clone();
    }

    /// The number of the running plugin.
    pub(crate) fn plugin_index(&self) -> usize {
        self.plugin.get()
    }

    pub(crate) fn set_plugin_id(&self, id: &Rc<str>) {
        *self.plugin_id.borrow_mut() = Some(id.clone());
    }

    /// Identifier of the running plugin.
    pub(crate) fn plugin_id(&self) -> Option<Rc<str>> {
        self.plugin_id.borrow().clone()
    }

    /// Reads from the transaction; `None` outside of one, such as while a snippet is loaded.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&Transaction) -> R) -> Option<R> {
        self.message.borrow().as_ref().map(|message| look(message.transaction()))
    }

    /// Works on the message; `None` outside of a transaction.
    pub(crate) fn with_message<R>(&self, work: impl FnOnce(&mut Message) -> R) -> Option<R> {
        self.message.borrow_mut().as_mut().map(work)
    }

    /// Reads one member of the object at `level`.
    pub(crate) fn member<R>(&self, level: Level, name: &str, look: impl FnOnce(View<'_>) -> Option<R>) -> Option<R> {
        self.with(|transaction| {
            work(transaction.members_count());
            transaction.member(level, name).and_then(look)
        })
        .flatten()
    }

    /// A text member.
    pub(crate) fn text(&self, level: Level, name: &str) -> Option<String> {
        self.member(level, name, |view| view.text().map(|text| text.into_owned()))
    }

    /// A text member of `_context`.
    pub(crate) fn context_text(&self, name: &str) -> Option<String> {
        self.with(|transaction| transaction.context(name)?.text().map(|text| text.into_owned())).flatten()
    }

    /// A number member of `_context`.
    pub(crate) fn context_number(&self, name: &str) -> Option<f64> {
        self.with(|transaction| transaction.context(name)?.number()).flatten()
    }

    /// The table behind `kong.ctx.shared`, `kong.ctx.plugin` or `ngx.ctx`, `None` outside of a transaction.
    pub(crate) fn context_table(&self, lua: &Lua, which: &str) -> mlua::Result<Option<Table>> {
        if self.message.borrow().is_none() {
            return Ok(None);
        }
        let context = match which {
            "shared" => Context::Shared,
            "core" => Context::Core,
            "plugin" => Context::Plugin(self.plugin.get()),
            _ => Context::Ngx,
        };
        if let Some(table) = self.contexts.borrow().get(&context) {
            return Ok(Some(table.clone()));
        }
        let given = match context {
            Context::Shared => self.table_of_context(lua, "shared")?,
            Context::Ngx => self.table_of_context(lua, "ngx_ctx")?,
            _ => None,
        };
        let table = match given {
            Some(table) => table,
            None => lua.create_table()?,
        };
        if let (Context::Ngx, Some(metatable)) = (context, &*self.ctx_metatable.borrow()) {
            table.set_metatable(Some(metatable.clone()))?;
        }
        self.contexts.borrow_mut().insert(context, table.clone());
        Ok(Some(table))
    }

    fn table_of_context(&self, lua: &Lua, member: &str) -> mlua::Result<Option<Table>> {
        let value = self.with(|transaction| transaction.context(member).map(|view| self.to_lua(lua, view))).flatten();
        Ok(value.transpose()?.and_then(|value| value.as_table().cloned()))
    }

    /// Sets a script's value at `path` of the message.
    ///
    /// # Errors
    /// The value or the edit is invalid or too large, or the script has to stop.
    pub(crate) fn edit(&self, path: &KeyPath, value: &Lv, mode: Mode) -> Result<(), ValueError> {
        let json = self.encoding.to_json(value, &self.array_mark)?;
        // An upper bound of the overhead of each step of an edit's path, without the texts.
        const STEP: usize = 64;
        let size = json.as_ref().map_or(0, Vec::len) + path.text().len() + path.parts().len() * STEP;
        let limit = self.encoding.limits().bytes.saturating_mul(4);
        let before = self.added_before.get();
        let recorded = self.recorded_edits.is_on().then(|| json.clone());
        let edited = self.with_message(|message| {
            let added = message.added_bytes().saturating_sub(before);
            if json.is_some() && added.saturating_add(size) > limit {
                let message =
                    format!("all values that the plugin has set for one message are larger than {limit} bytes");
                return Err(ValueError::TooLarge(message));
            }
            message.edit(path, json, mode).map_err(|error| ValueError::Invalid(error.to_string()))?;
            if message.changed_by_last_edit() {
                self.attribution.note(path, mode);
            }
            Ok(())
        });
        if let (Some(json), Some(Ok(()))) = (recorded, &edited) {
            self.recorded_edits.push(path.text(), json, mode);
        }
        edited.unwrap_or(Ok(()))
    }

    /// Like [`Self::edit`], in the middle of a snippet: [`Self::undo_edits`] takes it back.
    ///
    /// # Errors
    /// The value or the edit is invalid or too large, or the script has to stop.
    pub(crate) fn edit_within(&self, path: &KeyPath, value: &Lv, mode: Mode) -> Result<(), ValueError> {
        let mut before = self.before_edits.borrow_mut();
        if before.is_none() {
            *before = self.with_message(|message| message.snapshot());
        }
        drop(before);
        self.edit(path, value, mode)
    }

    /// Forgets the edits of the last snippet: they stay.
    pub(crate) fn keep_edits(&self) {
        *self.before_edits.borrow_mut() = None;
        self.recorded_edits.keep();
    }

    /// Takes back the edits of the last snippet, which has failed.
    pub(crate) fn undo_edits(&self) {
        self.recorded_edits.undo();
        self.attribution.take();
        if let Some(before) = self.before_edits.borrow_mut().take() {
            self.with_message(|message| message.undo(before));
        }
    }

    /// Converts a JSON value to a Lua value of new tables.
    ///
    /// # Errors
    /// The script has to stop, or the VM has no memory left.
    pub(crate) fn to_lua(&self, lua: &Lua, view: View<'_>) -> mlua::Result<Lv> {
        work(view.raw().len());
        check()?;
        Ok(match view.value() {
            Value::Null => Lv::NULL,
            Value::Bool(value) => Lv::Boolean(value),
            Value::Number(number) => Lv::Number(number),
            Value::String(bytes) => Lv::String(lua.create_string(bytes.as_ref())?),
            Value::Array(elements) => {
                let table = lua.create_table_with_capacity(elements.len(), 0)?;
                for (at, element) in elements.into_iter().enumerate() {
                    table.raw_set(at + 1, self.to_lua(lua, element)?)?;
                }
                table.set_metatable(Some(self.array_mark.clone()))?;
                Lv::Table(table)
            }
            Value::Object(members) => {
                let table = lua.create_table_with_capacity(0, members.len())?;
                for (name, value) in members {
                    table.raw_set(lua.create_string(name.as_ref())?, self.to_lua(lua, value)?)?;
                }
                Lv::Table(table)
            }
        })
    }
}

/// The `mode` of an edit's options.
///
/// # Errors
/// It is none of the modes, in Kong's words.
pub(crate) fn mode(value: &Lv) -> Result<Mode, &'static str> {
    let text = match value {
        Lv::Nil | Lv::Boolean(false) => return Ok(Mode::Set),
        Lv::String(text) => text.to_string_lossy(),
        _ => String::new(),
    };
    match text.as_str() {
        "set" => Ok(Mode::Set),
        "add" => Ok(Mode::Add),
        "replace" => Ok(Mode::Replace),
        _ => Err("mode must be 'set', 'add' or 'replace'"),
    }
}
