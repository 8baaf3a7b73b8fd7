//! OpenResty's times. nginx caches the time of an event; here each call reads the clock.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mlua::{Lua, Value as Lv};

use super::super::convert::kind_name;
use super::super::pdk::{Module, raise};
use super::date::Moment;

/// The zone of this machine, read once: threads that run scripts may not open the files that it is in.
pub(in super::super) fn zone() -> &'static TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(TimeZone::system)
}

/// Seconds since 1970.
pub(in super::super) fn since_epoch() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// With milliseconds, as nginx keeps times.
pub(in super::super) fn now() -> f64 {
    (since_epoch() * 1000.0).floor() / 1000.0
}

/// Adds `ngx.now` and its kin.
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
        // nginx: two digits of the year would be misread past 2037.
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
    let number = match seconds {
        Lv::Integer(number) => *number as f64,
        Lv::Number(number) => *number,
        other => {
            let message = format!("bad argument #1 to '{function}' (number expected, got {})", kind_name(other));
            return Err(raise(lua, &message));
        }
    };
    Moment::at(number, false).ok_or_else(|| raise(lua, &format!("bad argument #1 to '{function}' (time out of range)")))
}

/// The timestamp of `seconds` since 1970, within the years 0 to 9999.
pub(super) fn timestamp(seconds: f64) -> Option<Timestamp> {
    const FIRST: f64 = -62_167_219_200.0;
    const LAST: f64 = 253_402_207_200.0;
    let seconds = seconds.floor();
    if (FIRST..=LAST).contains(&seconds) { Timestamp::from_second(seconds as i64).ok() } else { None }
}
