//! `os.date`: C's `strftime` in the C locale, written out so that no format reaches C.

use std::fmt::Write;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use mlua::{Function, Lua, Value as Lv};

use super::super::convert::kind_name;
use super::super::pdk::raise;
use super::time::{since_epoch, timestamp, zone};

/// A point in time as people write it.
pub(super) struct Moment {
    date: DateTime,
    offset: Offset,
    zone: String,
    summer: bool,
    seconds: i64,
}

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Bytes of a format, and of what it becomes.
const LONGEST: usize = 4096;

impl Moment {
    /// `None` outside of the years 0 to 9999.
    pub(super) fn at(seconds: f64, local: bool) -> Option<Self> {
        let timestamp = timestamp(seconds)?;
        let zone = if local { zone().clone() } else { TimeZone::UTC };
        let info = zone.to_offset_info(timestamp);
        Some(Self {
            date: info.offset().to_datetime(timestamp),
            offset: info.offset(),
            zone: if local { info.abbreviation().to_owned() } else { "GMT".to_owned() },
            summer: info.dst().is_dst(),
            seconds: timestamp.as_second(),
        })
    }

    pub(super) fn year(&self) -> i16 {
        self.date.year()
    }

    fn weekday(&self) -> usize {
        self.date.weekday().to_sunday_zero_offset().unsigned_abs().into()
    }

    fn month(&self) -> usize {
        usize::from(self.date.month().unsigned_abs()) - 1
    }

    /// `None` where `format` has a conversion that C99 lacks.
    pub(super) fn format(&self, format: &str) -> Option<String> {
        let mut out = String::new();
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                out.push(character);
                continue;
            }
            let mut conversion = characters.next()?;
            if matches!(conversion, 'E' | 'O') {
                // Other forms of the same thing, which the C locale does not have.
                conversion = characters.next()?;
            }
            self.push(&mut out, conversion)?;
        }
        Some(out)
    }

    fn push(&self, out: &mut String, conversion: char) -> Option<()> {
        let date = &self.date;
        let hour12 = (date.hour() + 11) % 12 + 1;
        let week = date.date().iso_week_date();
        let written = match conversion {
            'a' => write!(out, "{}", &DAYS[self.weekday()][..3]),
            'A' => write!(out, "{}", DAYS[self.weekday()]),
            'b' | 'h' => write!(out, "{}", &MONTHS[self.month()][..3]),
            'B' => write!(out, "{}", MONTHS[self.month()]),
            'C' => write!(out, "{:02}", date.year() / 100),
            'd' => write!(out, "{:02}", date.day()),
            'e' => write!(out, "{:2}", date.day()),
            'g' => write!(out, "{:02}", week.year().rem_euclid(100)),
            'G' => write!(out, "{}", week.year()),
            'H' => write!(out, "{:02}", date.hour()),
            'I' => write!(out, "{hour12:02}"),
            'j' => write!(out, "{:03}", date.day_of_year()),
            'm' => write!(out, "{:02}", date.month()),
            'M' => write!(out, "{:02}", date.minute()),
            'n' => writeln!(out),
            'p' => write!(out, "{}", if date.hour() < 12 { "AM" } else { "PM" }),
            's' => write!(out, "{}", self.seconds),
            'S' => write!(out, "{:02}", date.second()),
            't' => write!(out, "\t"),
            'u' => write!(out, "{}", (self.weekday() + 6) % 7 + 1),
            'U' => write!(out, "{:02}", self.week_from(0)),
            'V' => write!(out, "{:02}", week.week()),
            'w' => write!(out, "{}", self.weekday()),
            'W' => write!(out, "{:02}", self.week_from(1)),
            'y' => write!(out, "{:02}", date.year().rem_euclid(100)),
            'Y' => write!(out, "{}", date.year()),
            'z' => {
                let minutes = self.offset.seconds() / 60;
                let sign = if minutes < 0 { '-' } else { '+' };
                write!(out, "{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
            }
            'Z' => write!(out, "{}", self.zone),
            '%' => write!(out, "%"),
            other => return self.push_several(out, other),
        };
        written.ok()
    }

    /// Conversions that stand for others.
    fn push_several(&self, out: &mut String, conversion: char) -> Option<()> {
        let format = match conversion {
            'c' => "%a %b %e %H:%M:%S %Y",
            'D' | 'x' => "%m/%d/%y",
            'F' => "%Y-%m-%d",
            'r' => "%I:%M:%S %p",
            'R' => "%H:%M",
            'T' | 'X' => "%H:%M:%S",
            _ => return None,
        };
        out.push_str(&self.format(format)?);
        Some(())
    }

    /// Number of the week in the year, where the first begins on the first Sunday (0) or Monday (1).
    fn week_from(&self, first: usize) -> usize {
        let day = usize::from(self.date.day_of_year().unsigned_abs()) - 1;
        let weekday = (self.weekday() + 7 - first) % 7;
        (day + 7 - weekday) / 7
    }
}

/// `os.time` of Lua 5.1: of a table, in this machine's zone, where Luau's would be in UTC.
pub(in super::super) fn time_function(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, table: Lv| {
        let table = match table {
            Lv::Nil => return Ok(Some(since_epoch().floor())),
            Lv::Table(table) => table,
            other => {
                let message = format!("bad argument #1 to 'time' (table expected, got {})", kind_name(&other));
                return Err(raise(lua, &message));
            }
        };
        let field = |name: &str, default: Option<f64>| {
            let given = super::number(&table.raw_get::<Lv>(name)?).or(default);
            given.map(f64::trunc).ok_or_else(|| raise(lua, &format!("field '{name}' missing in date table")))
        };
        let (year, month) = (field("year", None)?, field("month", None)? - 1.0);
        let days = field("day", None)? - 1.0;
        let seconds = field("hour", Some(12.0))? * 3600.0 + field("min", Some(0.0))? * 60.0 + field("sec", Some(0.0))?;
        // As C's mktime, fields past their range go on in the next greater one.
        let (year, month) = (year + (month / 12.0).floor(), month.rem_euclid(12.0));
        Ok(local_time(year, month, days * 86_400.0 + seconds))
    })
}

/// The time of `seconds` after the month (from 0) began in this machine's zone.
fn local_time(year: f64, month: f64, seconds: f64) -> Option<f64> {
    if !(0.0..=9999.0).contains(&year) || !month.is_finite() {
        return None;
    }
    let month = DateTime::new(year as i16, month as i8 + 1, 1, 0, 0, 0, 0).ok()?;
    let begin = TimeZone::UTC.to_timestamp(month).ok()?.as_second() as f64;
    let in_utc = timestamp(begin + seconds)?;
    let local = zone().to_timestamp(Offset::UTC.to_datetime(in_utc)).ok()?;
    Some(local.as_second() as f64)
}

/// `os.date` of Lua 5.1; what Lua leaves to C is an error here.
pub(in super::super) fn function(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, (format, time): (Lv, Lv)| {
        let format = match &format {
            Lv::Nil => "%c".to_owned(),
            Lv::String(text) if text.as_bytes().len() <= LONGEST => text.to_string_lossy(),
            Lv::String(_) => return Err(raise(lua, &format!("format of 'date' is longer than {LONGEST} bytes"))),
            other => {
                let message = format!("bad argument #1 to 'date' (string expected, got {})", kind_name(other));
                return Err(raise(lua, &message));
            }
        };
        let seconds = match &time {
            Lv::Nil => since_epoch(),
            Lv::Integer(seconds) => *seconds as f64,
            Lv::Number(seconds) => *seconds,
            other => {
                let message = format!("bad argument #2 to 'date' (number expected, got {})", kind_name(other));
                return Err(raise(lua, &message));
            }
        };
        let (local, format) = match format.strip_prefix('!') {
            Some(rest) => (false, rest),
            None => (true, format.as_str()),
        };
        let Some(moment) = Moment::at(seconds, local) else {
            return Err(raise(lua, "bad argument #2 to 'date' (time out of range)"));
        };
        if format.starts_with("*t") {
            return table(lua, &moment);
        }
        match moment.format(format) {
            Some(text) => Ok(Lv::String(lua.create_string(text)?)),
            None => Err(raise(lua, "bad argument #1 to 'date' (invalid conversion)")),
        }
    })
}

fn table(lua: &Lua, moment: &Moment) -> mlua::Result<Lv> {
    let table = lua.create_table()?;
    let date = &moment.date;
    table.raw_set("year", date.year())?;
    table.raw_set("month", date.month())?;
    table.raw_set("day", date.day())?;
    table.raw_set("hour", date.hour())?;
    table.raw_set("min", date.minute())?;
    table.raw_set("sec", date.second())?;
    table.raw_set("wday", moment.weekday() + 1)?;
    table.raw_set("yday", date.day_of_year())?;
    table.raw_set("isdst", moment.summer)?;
    Ok(Lv::Table(table))
}
