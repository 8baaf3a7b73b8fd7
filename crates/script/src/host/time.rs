//! The system's time and time zone.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The system's time zone, read once: threads that run scripts may not open the files of the zone database.
pub(crate) fn zone() -> &'static TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(TimeZone::system)
}

/// Seconds since 1970.
pub(crate) fn since_epoch() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// Seconds since 1970 in whole milliseconds, as nginx keeps times.
pub(crate) fn now() -> f64 {
    (since_epoch() * 1000.0).floor() / 1000.0
}

/// The timestamp of `seconds` since 1970, within the years 0 to 9999.
pub(crate) fn timestamp(seconds: f64) -> Option<Timestamp> {
    const FIRST: f64 = -62_167_219_200.0;
    const LAST: f64 = 253_402_207_200.0;
    let seconds = seconds.floor();
    if (FIRST..=LAST).contains(&seconds) { Timestamp::from_second(seconds as i64).ok() } else { None }
}
