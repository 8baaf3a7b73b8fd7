//! What the functions given to scripts share: the transaction at hand and the limits.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use ipnet::IpNet;
use mlua::{Lua, Table};

use super::convert::Conversion;
use super::deadline::Deadline;
use super::vm::Most;
use crate::message::Message;
use crate::transaction::{Level, Transaction, View};

/// One VM's shared state. All of it is used on the VM's thread alone.
pub(super) struct State {
    pub(super) deadline: Deadline,
    pub(super) conversion: Conversion,
    pub(super) quirks: bool,
    /// What `kong.request.get_headers` and its kin give at most unless asked otherwise.
    pub(super) most: Most,
    /// For `kong.ip.is_trusted`.
    pub(super) trusted_ips: Vec<IpNet>,
    /// The metatable of arrays that came as JSON, so that an empty one stays an array.
    pub(super) array_mark: Table,
    message: RefCell<Option<Message>>,
    /// Bytes of the edits that scripts have made to it.
    pub(super) edited: Cell<usize>,
    /// `kong.ctx.shared`, `ngx.ctx` and each plugin's `kong.ctx.plugin`, made when first asked for.
    contexts: RefCell<HashMap<Context, Table>>,
    plugin: Cell<usize>,
    /// Name of the plugin that runs, for its log lines.
    pub(super) plugin_name: RefCell<Rc<str>>,
    /// Environments that a script wrote a global into.
    pub(super) soiled: RefCell<Vec<Table>>,
    /// A snippet is being loaded: there is no transaction to look at.
    pub(super) loading: Cell<bool>,
    pub(super) log: super::pdk::LogBudget,
    /// Identifier of the plugin that runs, for `kong.plugin.get_id`.
    plugin_id: RefCell<Option<Rc<str>>>,
    /// `kong.log.inspect.off` was called by the plugin that runs.
    pub(super) inspect_off: Cell<bool>,
    /// What `kong.cache` holds; as old as the VM.
    pub(super) cache: super::pdk::Cache,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Context {
    Shared,
    Core,
    Ngx,
    Plugin(usize),
}

impl State {
    pub(super) fn new(lua: &Lua, deadline: Deadline, options: &super::vm::Options) -> mlua::Result<Self> {
        let array_mark = lua.create_table()?;
        array_mark.set_readonly(true);
        Ok(Self {
            deadline,
            conversion: Conversion::new(options.style, options.limits.value),
            quirks: options.kong_quirks,
            most: options.most,
            trusted_ips: options.trusted_ips.clone(),
            array_mark,
            message: RefCell::new(None),
            edited: Cell::new(0),
            contexts: RefCell::new(HashMap::new()),
            plugin: Cell::new(0),
            plugin_name: RefCell::new("".into()),
            soiled: RefCell::new(Vec::new()),
            loading: Cell::new(false),
            log: super::pdk::LogBudget::new(options.limits.log_lines_per_second),
            plugin_id: RefCell::new(None),
            inspect_off: Cell::new(false),
            cache: super::pdk::Cache::default(),
        })
    }

    /// Begins a transaction.
    pub(super) fn begin(&self, message: Message) {
        self.contexts.borrow_mut().clear();
        self.deadline.enter_plugin();
        self.edited.set(0);
        self.inspect_off.set(false);
        *self.message.borrow_mut() = Some(message);
    }

    /// Ends it.
    pub(super) fn take(&self) -> Option<Message> {
        self.contexts.borrow_mut().clear();
        self.message.borrow_mut().take()
    }

    pub(super) fn enter_plugin(&self, index: usize, name: &Rc<str>) {
        self.deadline.enter_plugin();
        self.plugin.set(index);
        self.inspect_off.set(false);
        *self.plugin_name.borrow_mut() = name.clone();
    }

    pub(super) fn set_plugin_id(&self, id: &Rc<str>) {
        *self.plugin_id.borrow_mut() = Some(id.clone());
    }

    /// Identifier of the plugin that runs.
    pub(super) fn plugin_id(&self) -> Option<Rc<str>> {
        self.plugin_id.borrow().clone()
    }

    /// Looks at the transaction; `None` outside of one, as while code is loaded.
    pub(super) fn with<R>(&self, look: impl FnOnce(&Transaction) -> R) -> Option<R> {
        self.message.borrow().as_ref().map(|message| look(message.transaction()))
    }

    /// The message, to edit or to write.
    pub(super) fn with_message<R>(&self, work: impl FnOnce(&mut Message) -> R) -> Option<R> {
        self.message.borrow_mut().as_mut().map(work)
    }

    /// Looks at one member of the object at `level`.
    pub(super) fn member<R>(&self, level: Level, name: &str, look: impl FnOnce(View<'_>) -> Option<R>) -> Option<R> {
        self.with(|transaction| transaction.member(level, name).and_then(look)).flatten()
    }

    /// A text member.
    pub(super) fn text(&self, level: Level, name: &str) -> Option<String> {
        self.member(level, name, |view| view.text().map(|text| text.into_owned()))
    }

    /// A text out of `_context`.
    pub(super) fn context_text(&self, name: &str) -> Option<String> {
        self.with(|transaction| transaction.context(name)?.text().map(|text| text.into_owned())).flatten()
    }

    /// A number out of `_context`.
    pub(super) fn context_number(&self, name: &str) -> Option<f64> {
        self.with(|transaction| transaction.context(name)?.number()).flatten()
    }

    /// The table behind `kong.ctx.shared`, `kong.ctx.plugin` or `ngx.ctx`, `None` outside of a transaction.
    pub(super) fn context_table(&self, lua: &Lua, which: &str) -> mlua::Result<Option<Table>> {
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
            Context::Shared => self.given_shared(lua)?,
            _ => None,
        };
        let table = match given {
            Some(table) => table,
            None => lua.create_table()?,
        };
        self.contexts.borrow_mut().insert(context, table.clone());
        Ok(Some(table))
    }

    fn given_shared(&self, lua: &Lua) -> mlua::Result<Option<Table>> {
        let value = self.with(|transaction| transaction.context("shared").map(|view| self.to_lua(lua, view))).flatten();
        Ok(value.transpose()?.and_then(|value| value.as_table().cloned()))
    }
}
