//! `kong.cache` (kong/cache/init.lua, lua-resty-mlcache): a small cache for scripts, one for each VM.

use std::rc::Rc;

use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Table, Value as Lv};

use crate::host::State;
use crate::host::detached::DetachError;
use crate::runtime::{check, host_function, kind_name, lua_number, raise};

/// Default lifetimes in seconds, of a value and of its absence (Kong's `db_cache_ttl` of mlcache and its `neg_ttl`).
const TTL: f64 = 3600.0;
const NEG_TTL: f64 = 300.0;

/// The results of Kong's functions: a value, an error, and the level of the hit or the lifetime.
type Lookup = (Lv, Option<String>, Option<f64>);

pub(super) fn table(lua: &Lua, state: &Rc<State>, base: &Table) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let pcall: Function = base.raw_get("pcall")?;
    let add = |name: &str, work: Method| {
        let (state, pcall, cache) = (state.clone(), pcall.clone(), table.clone());
        let function = host_function(lua, move |lua, mut arguments: MultiValue| {
            // The functions are methods: `kong.cache:get(...)`.
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

type Method = fn(&Call<'_>, MultiValue) -> mlua::Result<MultiValue>;

/// One call of a function of `kong.cache`.
struct Call<'a> {
    lua: &'a Lua,
    state: &'a State,
    /// The scripts' `pcall`, which does not catch a stop.
    pcall: &'a Function,
}

impl Call<'_> {
    fn key(&self, argument: Option<Lv>) -> mlua::Result<Vec<u8>> {
        match argument {
            Some(Lv::String(key)) => Ok(key.as_bytes().to_vec()),
            _ => Err(raise(self.lua, "key must be a string")),
        }
    }

    /// A duration of `opts`, in seconds.
    fn span(&self, options: Option<&Table>, name: &str, default: f64) -> mlua::Result<f64> {
        let option = options.map_or(Ok(Lv::Nil), |options| options.raw_get(name))?;
        let span = match option {
            Lv::Nil => return Ok(default),
            Lv::Integer(span) => span as f64,
            Lv::Number(span) => span,
            _ => return Err(raise(self.lua, &format!("opts.{name} must be a number"))),
        };
        if span >= 0.0 { Ok(span) } else { Err(raise(self.lua, &format!("opts.{name} must be >= 0"))) }
    }

    /// `get(key, opts, callback, ...)`, and `renew`, which skips the lookup.
    fn get(&self, mut arguments: MultiValue, look: bool) -> mlua::Result<Lookup> {
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

    /// The lifetimes of a value and of its absence, in seconds.
    fn options(&self, argument: &Lv) -> mlua::Result<(f64, f64)> {
        let options = match argument {
            Lv::Nil => None,
            Lv::Table(options) => Some(options),
            _ => return Err(raise(self.lua, "opts must be a table")),
        };
        Ok((self.span(options, "ttl", TTL)?, self.span(options, "neg_ttl", NEG_TTL)?))
    }

    /// The stored value if `look` asks for it, else the result of the callback, which is stored.
    fn fetch(
        &self,
        key: &[u8],
        (ttl, neg_ttl): (f64, f64),
        callback: Option<Function>,
        mut arguments: MultiValue,
        look: bool,
    ) -> mlua::Result<Lookup> {
        if look && let Some((value, _)) = self.state.cache.find(self.lua, &self.state.array_mark, key, true)? {
            return Ok((value, None, Some(1.0)));
        }
        let Some(callback) = callback else { return Ok((Lv::Nil, None, Some(-1.0))) };
        let failed = |problem: String| Ok((Lv::Nil, Some(problem), None));
        arguments.push_front(Lv::Function(callback));
        let mut results: MultiValue = self.pcall.call(arguments)?;
        check()?;
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
        // With a negative lifetime the callback asks not to store its value.
        if ttl >= 0.0 {
            match self.state.cache.insert(&self.state.array_mark, key, &value, ttl) {
                Err(DetachError::Stopped(error)) => return Err(error),
                Err(DetachError::Unsupported(kind)) if value.is_table() => return failed(cannot_cache(kind)),
                Err(DetachError::Unsupported(kind)) => return Err(raise(self.lua, &cannot_cache(kind))),
                Err(DetachError::TooLarge) | Ok(()) => {}
            }
        }
        Ok((value, None, Some(if look { 3.0 } else { ttl })))
    }

    /// `get_bulk({key, opts, callback, argument, ..., n = operations})`: three results for each operation.
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
            check()?;
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

    /// Returns the seconds until the value expires, nil and the value; nils if it is not cached.
    fn probe(&self, mut arguments: MultiValue) -> mlua::Result<(Option<f64>, Option<String>, Lv)> {
        let key = self.key(arguments.pop_front())?;
        let found = self.state.cache.find(self.lua, &self.state.array_mark, &key, false)?;
        Ok(found.map_or((None, None, Lv::Nil), |(value, left)| (Some(left), None, value)))
    }

    fn safe_set(&self, mut arguments: MultiValue) -> mlua::Result<(Option<bool>, Option<String>)> {
        let key = self.key(arguments.pop_front())?;
        let value = arguments.pop_front().unwrap_or(Lv::Nil);
        match self.state.cache.insert(&self.state.array_mark, &key, &value, TTL) {
            Err(DetachError::Stopped(error)) => Err(error),
            Err(DetachError::Unsupported(kind)) => Ok((None, Some(cannot_cache(kind)))),
            Err(DetachError::TooLarge) | Ok(()) => Ok((Some(true), None)),
        }
    }
}

fn cannot_cache(kind: &str) -> String {
    format!("cannot cache value of type {kind}")
}

/// A script's error value as text, without its metamethods.
fn shown(problem: &Lv) -> String {
    match problem {
        Lv::String(text) => text.to_string_lossy(),
        Lv::Integer(number) => lua_number(*number as f64),
        Lv::Number(number) => lua_number(*number),
        Lv::Boolean(value) => value.to_string(),
        other => kind_name(other).to_owned(),
    }
}
