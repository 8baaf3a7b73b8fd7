//! OpenResty's times. nginx caches the time of an event; here each call reads the clock.

use mlua::{Lua, Value as Lv};

use super::date::Moment;
use crate::host::Module;
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
        Ok(http_time(&text.to_string_lossy()))
    })
}

/// The time as HTTP writes it; `None` outside of the years 1970 to 9999.
pub(crate) fn http_date(seconds: f64) -> Option<String> {
    Moment::at(seconds.clamp(0.0, 253_402_300_799.0), false)?.format("%a, %d %b %Y %H:%M:%S GMT")
}

fn moment(lua: &Lua, seconds: &Lv, function: &str) -> mlua::Result<Moment> {
    let seconds = match seconds {
        Lv::Integer(seconds) => *seconds as f64,
        Lv::Number(seconds) => *seconds,
        _ => return Err(raise(lua, "number argument only")),
    };
    // nginx's bounds, the years 1970 to 9999.
    let seconds = seconds.clamp(0.0, 253_402_300_799.0);
    Moment::at(seconds, false).ok_or_else(|| bad_argument(lua, 1, function, "time out of range"))
}

/// The time that nginx reads (`ngx_parse_http_time`): `Thu, 18 Nov 2010 11:27:35`, `Thursday, 18-Nov-10 11:27:35` or `Thu Nov
/// 18 11:27:35 2010`. It reads neither the day of the week nor the zone.
fn http_time(text: &str) -> Option<f64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split([' ', ',', '-']).filter(|part| !part.is_empty());
    if !text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return None;
    }
    let _weekday = parts.next()?;
    let parts: Vec<&str> = parts.take(4).collect();
    let &[first, second, third, fourth] = &parts[..] else { return None };
    let (day, month, year, time) = match text.contains(',') {
        true => (first, second, third, fourth),
        false => (second, first, fourth, third),
    };
    let number = |text: &str| text.parse::<i16>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let month = MONTHS.iter().position(|name| *name == month)? as i8 + 1;
    let year = match (year.len(), number(year)?) {
        (2, year) if year < 70 => year + 2000,
        (2, year) => year + 1900,
        (_, year) => year,
    };
    let mut clock = time.split(':').map(|part| number(part).and_then(|part| i8::try_from(part).ok()));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let day = i8::try_from(number(day)?).ok()?;
    let time = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let seconds = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    (seconds >= 0).then_some(seconds as f64)
}
