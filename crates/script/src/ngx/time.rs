//! OpenResty's times. nginx caches the time of an event; here each call reads the clock.

use std::time::UNIX_EPOCH;

use mlua::{Lua, Value as Lv};

use super::date::Moment;
use crate::host::Module;
use crate::host::arguments::number;
use crate::host::time::{now, since_epoch};
use crate::runtime::{bad_argument, raise};

/// Adds `ngx.now` and the other functions of time.
pub(super) fn add(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("now", |_, _, (): ()| Ok(now()))?;
    module.function("time", |_, _, (): ()| Ok(since_epoch().floor()))?;
    module.function("update_time", |_, _, (): ()| Ok(()))?;
    for (name, format, local) in
        [("today", "%Y-%m-%d", true), ("localtime", "%Y-%m-%d %H:%M:%S", true), ("utctime", "%Y-%m-%d %H:%M:%S", false)]
    {
        module.function(name, move |_, _, (): ()| {
            Ok(Moment::at(since_epoch().floor(), local).and_then(|moment| moment.format(format)))
        })?;
    }
    module.function("http_time", |lua, _, seconds: Lv| {
        Ok(moment(lua, &seconds, "http_time")?.format("%a, %d %b %Y %H:%M:%S GMT"))
    })?;
    module.function("cookie_time", |lua, _, seconds: Lv| {
        let moment = moment(lua, &seconds, "cookie_time")?;
        // nginx's rule: two digits would be ambiguous past 2037.
        let year = if moment.year() > 2037 { "%Y" } else { "%y" };
        Ok(moment.format(&format!("%a, %d-%b-{year} %H:%M:%S GMT")))
    })?;
    module.function("parse_http_time", |lua, _, text: Lv| {
        let Lv::String(text) = &text else { return Err(raise(lua, "string argument only")) };
        let text = text.to_string_lossy();
        let parsed = httpdate::parse_http_date(text.trim()).ok();
        Ok(parsed.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|time| time.as_secs_f64()))
    })
}

fn moment(lua: &Lua, seconds: &Lv, function: &str) -> mlua::Result<Moment> {
    let seconds = number(lua, 1, function, seconds)?;
    Moment::at(seconds, false).ok_or_else(|| bad_argument(lua, 1, function, "time out of range"))
}
