//! `kong.cache` (kong/cache/init.lua, lua-resty-mlcache): a small cache of the scripts' own, one for each VM.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Table, Value as Lv};

use super::super::convert::kind_name;
use super::super::deadline;
use super::super::interrupt::OUT_OF_TIME;
use super::super::state::State;
use super::plain::{Plain, Refusal};
use super::raise;

/// Entries and bytes of one VM's cache, and bytes of one entry.
const MOST_ENTRIES: usize = 1_000;
const MOST_BYTES: usize = 1 << 20;
const LARGEST: usize = 128 << 10;

/// How long entries live unless told otherwise, in seconds: values, and that there is none (Kong's `db_cache_ttl` of
/// mlcache and its `neg_ttl`).
const TTL: f64 = 3600.0;
const NEG_TTL: f64 = 300.0;

/// Copies of plain values by key. The entry that was used longest ago makes room.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: RefCell<HashMap<Box<[u8]>, Entry>>,
    bytes: Cell<usize>,
    turn: Cell<u64>,
}

#[derive(Debug)]
struct Entry {
    value: Plain,
    /// When it ends; `None` never.
    until: Option<Instant>,
    used: u64,
    size: usize,
}

impl Entry {
    fn seconds_left(&self) -> Option<f64> {
        match self.until {
            None => Some(0.0),
            Some(until) => until.checked_duration_since(Instant::now()).map(|left| left.as_secs_f64()),
        }
    }
}

impl Cache {
    /// The value at `key` and the seconds that it has left, 0 for one without an end.
    fn find(&self, lua: &Lua, state: &State, key: &[u8], touch: bool) -> mlua::Result<Option<(Lv, f64)>> {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(key) else { return Ok(None) };
        let Some(left) = entry.seconds_left() else { return Ok(None) };
        if touch {
            entry.used = self.next_turn();
        }
        Ok(Some((entry.value.to_lua(lua, state)?, left)))
    }

    fn next_turn(&self) -> u64 {
        self.turn.set(self.turn.get() + 1);
        self.turn.get()
    }

    /// Keeps `value` for `ttl` seconds, 0 for good. One that is too large is not kept.
    fn keep(&self, state: &State, key: &[u8], value: &Lv, ttl: f64) -> Result<(), Refusal> {
        self.remove(key);
        let Some(mut room) = LARGEST.checked_sub(key.len()) else { return Ok(()) };
        let before = room;
        let value = match Plain::copy(state, value, &mut room) {
            Err(Refusal::Size) => return Ok(()),
            other => other?,
        };
        let size = before - room + key.len();
        while self.bytes.get() + size > MOST_BYTES || self.entries.borrow().len() >= MOST_ENTRIES {
            if !self.drop_oldest() {
                break;
            }
        }
        // A span past what the clock can tell has no end.
        let until = if ttl > 0.0 {
            Duration::try_from_secs_f64(ttl).ok().and_then(|ttl| Instant::now().checked_add(ttl))
        } else {
            None
        };
        self.bytes.set(self.bytes.get() + size);
        let entry = Entry { value, until, used: self.next_turn(), size };
        self.entries.borrow_mut().insert(key.into(), entry);
        Ok(())
    }

    fn drop_oldest(&self) -> bool {
        let oldest = self.entries.borrow().iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.remove(&key))
    }

    fn remove(&self, key: &[u8]) -> bool {
        let removed = self.entries.borrow_mut().remove(key);
        if let Some(entry) = &removed {
            self.bytes.set(self.bytes.get() - entry.size);
        }
        removed.is_some()
    }

    fn clear(&self) {
        self.entries.borrow_mut().clear();
        self.bytes.set(0);
    }
}

/// What Kong's functions return: a value, an error, and the level of the hit or the time left.
type Answer = (Lv, Option<String>, Option<f64>);

pub(super) fn table(lua: &Lua, state: &Rc<State>, base: &Table) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let pcall: Function = base.raw_get("pcall")?;
    let add = |name: &str, work: Work| {
        let (state, pcall, cache) = (state.clone(), pcall.clone(), table.clone());
        let function = lua.create_function(move |lua, mut arguments: MultiValue| {
            // They are methods: `kong.cache:get(...)`.
            if matches!(arguments.front(), Some(Lv::Table(first)) if *first == cache) {
                arguments.pop_front();
            }
            work(&Call { lua, state: &state, pcall: &pcall }, arguments)
        })?;
        table.raw_set(name, function)
    };
    add("get", |call, arguments| call.get(arguments, true)?.into_lua_multi(call.lua))?;
    add("renew", |call, arguments| call.get(arguments, false)?.into_lua_multi(call.lua))?;
    add("get_bulk", |call, arguments| call.get_bulk(arguments)?.into_lua_multi(call.lua))?;
    add("probe", |call, arguments| call.probe(arguments)?.into_lua_multi(call.lua))?;
    add("safe_set", |call, arguments| call.safe_set(arguments)?.into_lua_multi(call.lua))?;
    for name in ["invalidate", "invalidate_local"] {
        add(name, |call, mut arguments| {
            let key = call.key(arguments.pop_front())?;
            call.state.cache.remove(&key);
            Ok(MultiValue::new())
        })?;
    }
    add("purge", |call, _| {
        call.state.cache.clear();
        Ok(MultiValue::new())
    })?;
    Ok(table)
}

type Work = fn(&Call<'_>, MultiValue) -> mlua::Result<MultiValue>;

/// One call of a function of `kong.cache`.
struct Call<'a> {
    lua: &'a Lua,
    state: &'a State,
    /// The scripts' own `pcall`, which lets no stop pass for an error.
    pcall: &'a Function,
}

impl Call<'_> {
    fn key(&self, given: Option<Lv>) -> mlua::Result<Vec<u8>> {
        match given {
            Some(Lv::String(key)) => Ok(key.as_bytes().to_vec()),
            _ => Err(raise(self.lua, "key must be a string")),
        }
    }

    /// A span of `opts`, in seconds.
    fn span(&self, options: Option<&Table>, name: &str, default: f64) -> mlua::Result<f64> {
        let given = options.map_or(Ok(Lv::Nil), |options| options.raw_get(name))?;
        let span = match given {
            Lv::Nil => return Ok(default),
            Lv::Integer(span) => span as f64,
            Lv::Number(span) => span,
            _ => return Err(raise(self.lua, &format!("opts.{name} must be a number"))),
        };
        if span >= 0.0 { Ok(span) } else { Err(raise(self.lua, &format!("opts.{name} must be >= 0"))) }
    }

    /// `get(key, opts, callback, ...)` and, without a look at what is there, `renew`.
    fn get(&self, mut arguments: MultiValue, look: bool) -> mlua::Result<Answer> {
        let key = self.key(arguments.pop_front())?;
        let options = self.options(&arguments.pop_front().unwrap_or(Lv::Nil))?;
        let callback = match arguments.pop_front() {
            None | Some(Lv::Nil) if look => None,
            Some(Lv::Function(callback)) => Some(callback),
            _ if look => return Err(raise(self.lua, "callback must be nil or a function")),
            _ => return Err(raise(self.lua, "callback must be a function")),
        };
        let (value, problem, level) = self.fetch(&key, options, callback, arguments, look)?;
        let doing = if look { "failed to get from" } else { "failed to renew key in" };
        Ok((value, problem.map(|problem| format!("{doing} node cache: {problem}")), level))
    }

    /// How long a value and its absence are kept, in seconds.
    fn options(&self, given: &Lv) -> mlua::Result<(f64, f64)> {
        let options = match given {
            Lv::Nil => None,
            Lv::Table(options) => Some(options),
            _ => return Err(raise(self.lua, "opts must be a table")),
        };
        Ok((self.span(options, "ttl", TTL)?, self.span(options, "neg_ttl", NEG_TTL)?))
    }

    /// What is there if it is wanted, else what the callback gives, which is kept.
    fn fetch(
        &self,
        key: &[u8],
        (ttl, neg_ttl): (f64, f64),
        callback: Option<Function>,
        mut arguments: MultiValue,
        look: bool,
    ) -> mlua::Result<Answer> {
        if look && let Some((value, _)) = self.state.cache.find(self.lua, self.state, key, true)? {
            return Ok((value, None, Some(1.0)));
        }
        let Some(callback) = callback else { return Ok((Lv::Nil, None, Some(-1.0))) };
        let failed = |problem: String| Ok((Lv::Nil, Some(problem), None));
        arguments.push_front(Lv::Function(callback));
        let mut results: MultiValue = self.pcall.call(arguments)?;
        checked()?;
        let ran = matches!(results.pop_front(), Some(Lv::Boolean(true)));
        let mut next = || results.pop_front().unwrap_or(Lv::Nil);
        let (value, problem, given_ttl) = (next(), next(), next());
        if !ran {
            return failed(format!("callback threw an error: {}", shown(&value)));
        }
        if !matches!(problem, Lv::Nil | Lv::Boolean(false)) {
            return failed(shown(&problem));
        }
        let given_ttl = given_ttl.as_f64().or(given_ttl.as_i64().map(|ttl| ttl as f64));
        let ttl = given_ttl.unwrap_or(if value.is_nil() { neg_ttl } else { ttl });
        // Below zero the callback asks that its value is not kept.
        if ttl >= 0.0 {
            match self.state.cache.keep(self.state, key, &value, ttl) {
                Err(Refusal::Stopped(error)) => return Err(error),
                Err(Refusal::Kind(kind)) if value.is_table() => return failed(cannot_cache(kind)),
                Err(Refusal::Kind(kind)) => return Err(raise(self.lua, &cannot_cache(kind))),
                Err(Refusal::Size) | Ok(()) => {}
            }
        }
        Ok((value, None, Some(if look { 3.0 } else { ttl })))
    }

    /// `get_bulk({key, opts, callback, argument, ..., n = operations})`: three places for each operation.
    fn get_bulk(&self, mut arguments: MultiValue) -> mlua::Result<Table> {
        let Some(Lv::Table(bulk)) = arguments.pop_front() else {
            return Err(raise(self.lua, "bulk must be a table"));
        };
        if !matches!(arguments.pop_front(), None | Some(Lv::Nil | Lv::Table(_))) {
            return Err(raise(self.lua, "opts must be a table"));
        }
        let Some(count) = bulk.raw_get::<Option<usize>>("n").ok().flatten() else {
            return Err(raise(self.lua, "bulk must have n field"));
        };
        let results = self.lua.create_table()?;
        for operation in 0..count {
            checked()?;
            let at = operation.saturating_mul(4) + 1;
            let wrong = |what: &str, at: usize, must: &str, got: &Lv| {
                let (operation, kind) = (operation + 1, kind_name(got));
                raise(self.lua, &format!("{what} at index {at} must be {must} for operation {operation} (got {kind})"))
            };
            let key = match bulk.raw_get::<Lv>(at)? {
                Lv::String(key) => key.as_bytes().to_vec(),
                other => return Err(wrong("key", at, "a string", &other)),
            };
            let options = self.options(&bulk.raw_get(at + 1)?)?;
            let callback = match bulk.raw_get::<Lv>(at + 2)? {
                Lv::Nil => None,
                Lv::Function(callback) => Some(callback),
                other => return Err(wrong("callback", at + 2, "a function", &other)),
            };
            let argument = MultiValue::from_vec(vec![bulk.raw_get::<Lv>(at + 3)?]);
            let (value, problem, level) = self.fetch(&key, options, callback, argument, true)?;
            let place = operation * 3 + 1;
            results.raw_set(place, value)?;
            results.raw_set(place + 1, problem)?;
            results.raw_set(place + 2, level)?;
        }
        results.raw_set("n", count.saturating_mul(3))?;
        Ok(results)
    }

    /// The seconds left, nil and the value; nothing where there is none.
    fn probe(&self, mut arguments: MultiValue) -> mlua::Result<(Option<f64>, Option<String>, Lv)> {
        let key = self.key(arguments.pop_front())?;
        let found = self.state.cache.find(self.lua, self.state, &key, false)?;
        Ok(found.map_or((None, None, Lv::Nil), |(value, left)| (Some(left), None, value)))
    }

    fn safe_set(&self, mut arguments: MultiValue) -> mlua::Result<(Option<bool>, Option<String>)> {
        let key = self.key(arguments.pop_front())?;
        let value = arguments.pop_front().unwrap_or(Lv::Nil);
        match self.state.cache.keep(self.state, &key, &value, TTL) {
            Err(Refusal::Stopped(error)) => Err(error),
            Err(Refusal::Kind(kind)) => Ok((None, Some(cannot_cache(kind)))),
            Err(Refusal::Size) | Ok(()) => Ok((Some(true), None)),
        }
    }
}

fn checked() -> mlua::Result<()> {
    if deadline::is_over() { Err(mlua::Error::runtime(OUT_OF_TIME)) } else { Ok(()) }
}

fn cannot_cache(kind: &str) -> String {
    format!("cannot cache value of type {kind}")
}

/// A script's error value as text, without its metamethods.
fn shown(problem: &Lv) -> String {
    match problem {
        Lv::String(text) => text.to_string_lossy(),
        Lv::Integer(number) => number.to_string(),
        Lv::Number(number) => number.to_string(),
        Lv::Boolean(value) => value.to_string(),
        other => kind_name(other).to_owned(),
    }
}
