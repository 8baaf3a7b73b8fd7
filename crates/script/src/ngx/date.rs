//! `os.date` and `os.time`: C's `strftime` and `mktime` in the C locale, written by jiff so that no format reaches C.

use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset, TimeZone};
use mlua::{Function, Lua, Value as Lv};

use crate::host::arguments::number;
use crate::host::text::to_number;
use crate::host::time::{since_epoch, timestamp, zone};
use crate::runtime::{bad_argument, host_function, raise, wrong_type};

/// A point in time in a time zone.
pub(super) struct Moment(Zoned);

/// Bytes of a format.
const MAX_FORMAT: usize = 4096;

impl Moment {
    /// `None` outside of the years 0 to 9999.
    pub(super) fn at(seconds: f64, local: bool) -> Option<Self> {
        // C calls the zone of `gmtime` GMT, where jiff's UTC is called UTC.
        let zone = if local { zone().clone() } else { TimeZone::posix("GMT0").ok()? };
        Some(Self(timestamp(seconds)?.to_zoned(zone)))
    }

    pub(super) fn year(&self) -> i16 {
        self.0.year()
    }

    /// Formats by C99's conversions; `None` if `format` has any other.
    pub(super) fn format(&self, format: &str) -> Option<String> {
        let mut translated = String::new();
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                translated.push(character);
                continue;
            }
            let mut conversion = characters.next()?;
            if matches!(conversion, 'E' | 'O') {
                // Alternative forms, which the C locale does not have.
                conversion = characters.next()?;
            }
            match conversion {
                'z' => translated.push_str(&self.offset()),
                other => translated.push_str(jiff_conversion(other)?),
            }
        }
        BrokenDownTime::from(&self.0).to_string(&translated).ok()
    }

    /// The offset from UTC as `+hhmm`: C omits the seconds that jiff writes for historical offsets.
    fn offset(&self) -> String {
        let minutes = self.0.offset().seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        format!("{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
    }
}

/// jiff's format for a conversion of C99; `None` for all others. Years are not padded, as in glibc.
fn jiff_conversion(conversion: char) -> Option<&'static str> {
    Some(match conversion {
        'a' => "%a",
        'A' => "%A",
        'b' | 'h' => "%b",
        'B' => "%B",
        'c' => "%a %b %e %H:%M:%S %-Y",
        'C' => "%02C",
        'd' => "%d",
        'D' | 'x' => "%m/%d/%y",
        'e' => "%e",
        'F' => "%-Y-%m-%d",
        'g' => "%g",
        'G' => "%-G",
        'H' => "%H",
        'I' => "%I",
        'j' => "%j",
        'm' => "%m",
        'M' => "%M",
        'n' => "%n",
        'p' => "%p",
        'r' => "%I:%M:%S %p",
        'R' => "%H:%M",
        's' => "%s",
        'S' => "%S",
        't' => "%t",
        'T' | 'X' => "%H:%M:%S",
        'u' => "%u",
        'U' => "%U",
        'V' => "%V",
        'w' => "%w",
        'W' => "%W",
        'y' => "%y",
        'Y' => "%-Y",
        'Z' => "%Z",
        '%' => "%%",
        _ => return None,
    })
}

/// `os.time` of Lua 5.1, which reads a table in the system's time zone; Luau's reads it in UTC.
pub(crate) fn os_time(lua: &Lua) -> mlua::Result<Function> {
    host_function(lua, |lua, table: Lv| {
        let table = match table {
            Lv::Nil => return Ok(Some(since_epoch().floor())),
            Lv::Table(table) => table,
            other => return Err(wrong_type(lua, 1, "time", "table", &other)),
        };
        let field = |name: &str, default: Option<f64>| {
            let given = to_number(&table.raw_get::<Lv>(name)?).or(default);
            given.map(f64::trunc).ok_or_else(|| raise(lua, &format!("field '{name}' missing in date table")))
        };
        // The first missing field in this order is the one that LuaJIT names.
        let days = field("day", None)? - 1.0;
        let (month, year) = (field("month", None)? - 1.0, field("year", None)?);
        let seconds = field("hour", Some(12.0))? * 3600.0 + field("min", Some(0.0))? * 60.0 + field("sec", Some(0.0))?;
        // As in C's mktime, fields past their range carry over.
        let (year, month) = (year + (month / 12.0).floor(), month.rem_euclid(12.0));
        Ok(local_time(year, month, days * 86_400.0 + seconds))
    })
}

/// The time `seconds` after the beginning of a month (from 0) in the system's time zone.
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

/// `os.date` of Lua 5.1. Conversions that C99 lacks are an error; Lua passes them on to C.
pub(crate) fn os_date(lua: &Lua) -> mlua::Result<Function> {
    host_function(lua, |lua, (format, time): (Lv, Lv)| {
        let format = match &format {
            Lv::Nil => "%c".to_owned(),
            Lv::String(text) if text.as_bytes().len() <= MAX_FORMAT => text.to_string_lossy(),
            Lv::String(_) => return Err(raise(lua, &format!("format of 'date' is longer than {MAX_FORMAT} bytes"))),
            other => return Err(wrong_type(lua, 1, "date", "string", other)),
        };
        let seconds = match &time {
            Lv::Nil => since_epoch(),
            other => number(lua, 2, "date", other)?,
        };
        let (local, format) = match format.strip_prefix('!') {
            Some(rest) => (false, rest),
            None => (true, format.as_str()),
        };
        let Some(moment) = Moment::at(seconds, local) else {
            return Err(bad_argument(lua, 2, "date", "time out of range"));
        };
        if format.starts_with("*t") {
            return table(lua, &moment);
        }
        match moment.format(format) {
            Some(text) => Ok(Lv::String(lua.create_string(text)?)),
            None => Err(bad_argument(lua, 1, "date", "invalid conversion")),
        }
    })
}

/// The table that the format `*t` asks for.
fn table(lua: &Lua, Moment(date): &Moment) -> mlua::Result<Lv> {
    let table = lua.create_table()?;
    table.raw_set("year", date.year())?;
    table.raw_set("month", date.month())?;
    table.raw_set("day", date.day())?;
    table.raw_set("hour", date.hour())?;
    table.raw_set("min", date.minute())?;
    table.raw_set("sec", date.second())?;
    table.raw_set("wday", date.weekday().to_sunday_one_offset())?;
    table.raw_set("yday", date.day_of_year())?;
    table.raw_set("isdst", date.time_zone().to_offset_info(date.timestamp()).dst().is_dst())?;
    Ok(Lv::Table(table))
}

#[cfg(test)]
mod tests {
    use super::Moment;

    /// Scenario: all conversions of C99 on days around the turn of years and weeks, on both sides of noon, and on one
    /// with a year of two digits; the expected texts are those of glibc in the C locale.
    /// Guarantees: the same text for each conversion, also with the modifiers E and O.
    #[test]
    fn conversions_are_those_of_c() {
        const CONVERSIONS: &str = "aAbBcCdDeFgGhHIjmMnprRsStTuUVwWxXyYzZ%";
        for (seconds, expected) in CASES {
            let moment = Moment::at(seconds, false).expect("a year in range");
            let texts = expected.split('|');
            assert_eq!(texts.clone().count(), CONVERSIONS.len(), "{seconds}");
            for (conversion, text) in CONVERSIONS.chars().zip(texts) {
                for modifier in ["", "E", "O"] {
                    let formatted = moment.format(&format!("%{modifier}{conversion}"));
                    assert_eq!(formatted.as_deref(), Some(text), "%{modifier}{conversion} at {seconds}");
                }
            }
        }
    }

    /// Scenario: letters that C99 has no conversion for, jiff's own extensions, and a `%` at the end.
    /// Guarantees: none is formatted.
    #[test]
    fn other_conversions_are_refused() {
        let moment = Moment::at(0.0, false).expect("a year in range");
        let letters = ('\0'..='\u{7f}').filter(|c| !"aAbBcCdDeFgGhHIjmMnprRsStTuUVwWxXyYzZ%EO".contains(*c));
        for conversion in letters
            .map(String::from)
            .chain(["-d", "_d", "03d", ":z", ".f", "3f", "^a", "E", "O", ""].map(str::to_owned))
        {
            assert_eq!(moment.format(&format!("%{conversion}")), None, "%{conversion}");
        }
    }

    const CASES: [(f64, &str); 13] = [
        (
            0.0,
            "Thu|Thursday|Jan|January|Thu Jan  1 00:00:00 1970|19|01|01/01/70| 1|1970-01-01|70|1970|Jan|00|12|001|01|\
             00|\n|AM|12:00:00 AM|00:00|0|00|\t|00:00:00|4|00|01|4|00|01/01/70|00:00:00|70|1970|+0000|GMT|%",
        ),
        (
            -1.0,
            "Wed|Wednesday|Dec|December|Wed Dec 31 23:59:59 1969|19|31|12/31/69|31|1969-12-31|70|1970|Dec|23|11|365|\
             12|59|\n|PM|11:59:59 PM|23:59|-1|59|\t|23:59:59|3|52|01|3|52|12/31/69|23:59:59|69|1969|+0000|GMT|%",
        ),
        (
            951827696.0,
            "Tue|Tuesday|Feb|February|Tue Feb 29 12:34:56 2000|20|29|02/29/00|29|2000-02-29|00|2000|Feb|12|12|060|02|\
             34|\n|PM|12:34:56 PM|12:34|951827696|56|\t|12:34:56|2|09|09|2|09|02/29/00|12:34:56|00|2000|+0000|GMT|%",
        ),
        (
            1104537599.0,
            "Fri|Friday|Dec|December|Fri Dec 31 23:59:59 2004|20|31|12/31/04|31|2004-12-31|04|2004|Dec|23|11|366|12|\
             59|\n|PM|11:59:59 PM|23:59|1104537599|59|\t|23:59:59|5|52|53|5|52|12/31/04|23:59:59|04|2004|+0000|GMT|%",
        ),
        (
            1104537600.0,
            "Sat|Saturday|Jan|January|Sat Jan  1 00:00:00 2005|20|01|01/01/05| 1|2005-01-01|04|2004|Jan|00|12|001|01|\
             00|\n|AM|12:00:00 AM|00:00|1104537600|00|\t|00:00:00|6|00|53|6|00|01/01/05|00:00:00|05|2005|+0000|GMT|%",
        ),
        (
            1230768000.0,
            "Thu|Thursday|Jan|January|Thu Jan  1 00:00:00 2009|20|01|01/01/09| 1|2009-01-01|09|2009|Jan|00|12|001|01|\
             00|\n|AM|12:00:00 AM|00:00|1230768000|00|\t|00:00:00|4|00|01|4|00|01/01/09|00:00:00|09|2009|+0000|GMT|%",
        ),
        (
            1262304000.0,
            "Fri|Friday|Jan|January|Fri Jan  1 00:00:00 2010|20|01|01/01/10| 1|2010-01-01|09|2009|Jan|00|12|001|01|00|\
             \n|AM|12:00:00 AM|00:00|1262304000|00|\t|00:00:00|5|00|53|5|00|01/01/10|00:00:00|10|2010|+0000|GMT|%",
        ),
        (
            1419984000.0,
            "Wed|Wednesday|Dec|December|Wed Dec 31 00:00:00 2014|20|31|12/31/14|31|2014-12-31|15|2015|Dec|00|12|365|\
             12|00|\n|AM|12:00:00 AM|00:00|1419984000|00|\t|00:00:00|3|52|01|3|52|12/31/14|00:00:00|14|2014|+0000|GMT|%",
        ),
        (
            1451606400.0,
            "Fri|Friday|Jan|January|Fri Jan  1 00:00:00 2016|20|01|01/01/16| 1|2016-01-01|15|2015|Jan|00|12|001|01|00|\
             \n|AM|12:00:00 AM|00:00|1451606400|00|\t|00:00:00|5|00|53|5|00|01/01/16|00:00:00|16|2016|+0000|GMT|%",
        ),
        (
            1709208000.0,
            "Thu|Thursday|Feb|February|Thu Feb 29 12:00:00 2024|20|29|02/29/24|29|2024-02-29|24|2024|Feb|12|12|060|02|\
             00|\n|PM|12:00:00 PM|12:00|1709208000|00|\t|12:00:00|4|08|09|4|09|02/29/24|12:00:00|24|2024|+0000|GMT|%",
        ),
        (
            1735689599.0,
            "Tue|Tuesday|Dec|December|Tue Dec 31 23:59:59 2024|20|31|12/31/24|31|2024-12-31|25|2025|Dec|23|11|366|12|\
             59|\n|PM|11:59:59 PM|23:59|1735689599|59|\t|23:59:59|2|52|01|2|53|12/31/24|23:59:59|24|2024|+0000|GMT|%",
        ),
        (
            4102444800.0,
            "Fri|Friday|Jan|January|Fri Jan  1 00:00:00 2100|21|01|01/01/00| 1|2100-01-01|99|2099|Jan|00|12|001|01|00|\
             \n|AM|12:00:00 AM|00:00|4102444800|00|\t|00:00:00|5|00|53|5|00|01/01/00|00:00:00|00|2100|+0000|GMT|%",
        ),
        (
            -59011459200.0,
            "Fri|Friday|Jan|January|Fri Jan  1 00:00:00 100|01|01|01/01/00| 1|100-01-01|99|99|Jan|00|12|001|01|00|\n|\
             AM|12:00:00 AM|00:00|-59011459200|00|\t|00:00:00|5|00|53|5|00|01/01/00|00:00:00|00|100|+0000|GMT|%",
        ),
    ];
}
