//! Modules of facts and small helpers: `kong.constants`, `kong.meta`, `kong.tools.timestamp`, `.ip`, `.utils`, `resty.cookie`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use mlua::{Function, Lua, LuaString, Table, Value as Lv};

use super::kong;
use crate::host::headers::first_header;
use crate::host::time::now;
use crate::host::{Module, State};
use crate::runtime::{bundled, frozen, host_function};
use crate::transaction::Level;

pub(super) const CONSTANTS: &str = include_str!("../../../../lua/kong_constants.luau");
pub(super) const IP: &str = include_str!("../../../../lua/kong_ip.luau");
pub(super) const COOKIE: &str = include_str!("../../../../lua/resty_cookie.luau");

/// Freezes `table` and all tables in it, which are a tree.
pub(super) fn all_frozen(table: Table) -> mlua::Result<Table> {
    table.for_each(|_: Lv, value: Lv| match value {
        Lv::Table(inner) => all_frozen(inner).map(drop),
        _ => Ok(()),
    })?;
    Ok(frozen(table))
}

/// `kong.constants`: what does not belong to Kong's own administration.
pub(super) fn constants(lua: &Lua) -> mlua::Result<Lv> {
    all_frozen(bundled::load(lua, CONSTANTS)?.call(())?).map(Lv::Table)
}

/// `kong.meta`.
pub(super) fn meta(lua: &Lua) -> mlua::Result<Lv> {
    let (text, number) = crate::pdk::VERSION;
    let version = lua.create_table()?;
    for (name, part) in [("major", 1_000_000), ("minor", 1000), ("patch", 1)] {
        version.raw_set(name, number / part % 1000)?;
    }
    let meta = lua.create_table()?;
    meta.raw_set("_NAME", "kong")?;
    meta.raw_set("_VERSION", text)?;
    meta.raw_set("version", text)?;
    meta.raw_set("_SERVER_TOKENS", format!("kong/{text}"))?;
    meta.raw_set("_VERSION_TABLE", version)?;
    all_frozen(meta).map(Lv::Table)
}

/// `kong.tools.ip`.
pub(super) fn ip(lua: &Lua, base: &Table) -> mlua::Result<Lv> {
    let is_v4 =
        host_function(lua, |_, text: LuaString| Ok(text.to_str().is_ok_and(|text| text.parse::<Ipv4Addr>().is_ok())))?;
    let is_v6 = host_function(lua, |_, text: LuaString| {
        let text = text.to_string_lossy();
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
        Ok(bare.parse::<Ipv6Addr>().is_ok())
    })?;
    bundled::load(lua, IP)?.call((base, is_v4, is_v6))
}

/// `kong.tools.utils`: the functions of the other `kong.tools.*` that Kong keeps there for old snippets.
pub(super) fn utils(lua: &Lua, state: &Rc<State>, base: &Table) -> mlua::Result<Lv> {
    let all = lua.create_table()?;
    for module in [
        kong::table(lua, base)?,
        kong::uuid(lua, state)?,
        kong::rand(lua, state)?,
        kong::time(lua, state)?,
        kong::string(lua, state, base)?,
        ip(lua, base)?,
    ] {
        if let Lv::Table(module) = module {
            module.for_each(|name: Lv, function: Lv| all.raw_set(name, function))?;
        }
    }
    Ok(Lv::Table(all))
}

/// `resty.cookie`: the cookies of the request.
pub(super) fn cookie(lua: &Lua, state: &Rc<State>, base: &Table) -> mlua::Result<Lv> {
    let state = state.clone();
    let header: Function =
        host_function(lua, move |lua, (): ()| first_header(lua, &state, Level::RequestHeaders, b"cookie"))?;
    bundled::load(lua, COOKIE)?.call((base, header))
}

/// `kong.tools.timestamp`. Times are milliseconds since 1970 in UTC.
pub(super) fn timestamp(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    module.function("get_utc", |_, _, (): ()| Ok(now().floor() * 1000.0))?;
    module.function("get_utc_ms", |_, _, (): ()| Ok(now() * 1000.0))?;
    module.function("get_timetable", |lua, _, given: Option<f64>| {
        let (days, second) = split(given);
        let (year, month, day) = date(days);
        let table = lua.create_table()?;
        let of_day = second.floor() as i64;
        for (name, value) in [("year", year), ("month", month), ("day", day), ("hour", of_day / 3600)] {
            table.raw_set(name, value)?;
        }
        table.raw_set("min", of_day / 60 % 60)?;
        table.raw_set("sec", (of_day % 60) as f64 + second.fract())?;
        Ok(table)
    })?;
    module.function("get_timestamps", |lua, _, given: Option<f64>| {
        let (days, second) = split(given);
        let (_, month, day) = date(days);
        let second = second.floor();
        let first_of_month = days - (day - 1);
        let first_of_year = (1..month).fold(first_of_month, |at, _| at - date(at - 1).2);
        let table = lua.create_table()?;
        for (name, day, second) in [
            ("second", days, second),
            ("minute", days, second - second % 60.0),
            ("hour", days, second - second % 3600.0),
            ("day", days, 0.0),
            ("month", first_of_month, 0.0),
            ("year", first_of_year, 0.0),
        ] {
            table.raw_set(name, (day as f64 * DAY + second) * 1000.0)?;
        }
        Ok(table)
    })?;
    let module = module.done();
    let names = ["second", "minute", "hour", "day", "month", "year"];
    module.raw_set("timestamp_table_fields", frozen(lua.create_sequence_from(names)?))?;
    Ok(Lv::Table(module))
}

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// Days since 1970 and seconds of the day; without a time, of the present. Like Kong's, it takes milliseconds and also seconds.
fn split(given: Option<f64>) -> (i64, f64) {
    /// The year 20000 in seconds: what is larger is milliseconds.
    const LARGEST_SECONDS: f64 = 568_971_820_800.0;
    /// The year 9999, in seconds.
    const LAST: f64 = 253_402_300_799.0;
    let time = given.map_or_else(|| now().floor(), |time| if time > LARGEST_SECONDS { time / 1000.0 } else { time });
    let time = if time.is_nan() { 0.0 } else { time.clamp(-LAST, LAST) };
    let days = (time / DAY).floor();
    (days as i64, time - days * DAY)
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar.
fn date(days: i64) -> (i64, i64, i64) {
    // From the first of March of the year 0, so that leap days end years.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
