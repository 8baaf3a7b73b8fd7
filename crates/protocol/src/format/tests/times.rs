//! The language of START_TIME.

use serde_json::json;

use super::render;

fn entry(time: &str) -> serde_json::Value {
    json!({"protocolVersion": "HTTP11", "commonProperties": {"startTime": time}})
}

/// Scenario: every conversion, for a Sunday in November.
/// Guarantees: each prints what Envoy 1.40 prints for the same time; what is no conversion is printed as it is.
#[test]
fn conversions() {
    let time = entry("2026-11-29T11:28:05.495010Z");
    for (format, printed) in [
        ("%Y-%m-%dT%H:%M:%E3SZ", "2026-11-29T11:28:05.495Z"),
        ("%s", "1795951685"),
        ("%s.%3f", "1795951685.495"),
        ("%1f %6f %9f %f", "4 495010 495010000 495010000"),
        ("%E0S %E3S %E9S %E*S", "05 05.495 05.495010000 05.49501"),
        ("%E3f %E*f", "495 49501"),
        ("%z %Ez %E*z %:z %::z %Z", "+0000 +00:00 +00:00:00 +00:00 +00:00:00 UTC"),
        ("%E4Y %C %y %G %g %V", "2026 20 26 2026 26 48"),
        ("%F %T %D %R %r", "2026-11-29 11:28:05 11/29/26 11:28 11:28:05 AM"),
        ("%c|%x|%X", "Sun Nov 29 11:28:05 2026|11/29/26|11:28:05"),
        ("%a %A %b %h %B", "Sun Sunday Nov Nov November"),
        ("%e %d %j %k %l %I", "29 29 333 11 11 11"),
        ("%u %w %U %W", "7 0 48 47"),
        ("%p %P", "AM am"),
        ("[%t]%%", "[\t]%"),
        ("%-m/%_d/%0e", "11/29/29"),
        ("%Od %Ey %OH", "29 26 11"),
        ("%i %N %Q", "%i %N %Q"),
        ("no time at all", "no time at all"),
    ] {
        assert_eq!(render(&format!("%START_TIME({format})%"), &time), printed, "{format}");
    }
    assert_eq!(render("%START_TIME%|%START_TIME()%", &time), "2026-11-29T11:28:05.495Z|2026-11-29T11:28:05.495Z");
}

/// Scenario: a time of a whole second, a day and an hour of one digit, and noon and midnight.
/// Guarantees: padding and the clock of twelve hours are those of the C library.
#[test]
fn padding() {
    let time = entry("2026-01-03T00:04:07Z");
    for (format, printed) in [
        ("%e|%k|%l|%I|%p", " 3| 0|12|12|AM"),
        ("%-d|%_d|%-H|%_m|%-j|%_j", "3| 3|0| 1|3|  3"),
        ("%E*S|%E*f|", "07||"),
        ("%U %W %V %G", "00 00 01 2026"),
        ("%E2S", "07.00"),
    ] {
        assert_eq!(render(&format!("%START_TIME({format})%"), &time), printed, "{format}");
    }
    assert_eq!(render("%START_TIME(%l %I %p)%", &entry("2026-01-03T12:00:00Z")), "12 12 PM");
    assert_eq!(render("%START_TIME(%G-W%V-%u %y)%", &entry("2027-01-02T12:00:00Z")), "2026-W53-6 27");
}
