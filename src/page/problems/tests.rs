//! Tests of the table of problems.

use super::Severity;
use super::table::ALERTS;

/// Scenario: the alert rules of observability/, and the problems that the page shows. Guarantees: they are the same, with the same severity, and
/// each says what to do.
#[test]
fn the_page_shows_what_alerts_tell() {
    let rules = include_str!("../../../observability/alerts.yml");
    let mut of_rules: Vec<(&str, &str)> = rules
        .split("- alert: ")
        .skip(1)
        .map(|rule| {
            let severity = rule.split("severity: ").nth(1).and_then(|rest| rest.split('}').next());
            (rule.lines().next().unwrap_or_default().trim(), severity.unwrap_or_default())
        })
        .collect();
    let severity = |severity| match severity {
        Severity::Error => "critical",
        Severity::Warning => "warning",
    };
    let mut of_page: Vec<(&str, &str)> = ALERTS.iter().map(|alert| (alert.name, severity(alert.severity))).collect();
    of_rules.sort_unstable();
    of_page.sort_unstable();
    assert_eq!(of_page, of_rules);
    for alert in ALERTS {
        assert!(alert.title.len() > 10 && alert.help.len() > 20 && alert.help.ends_with('.'), "{}", alert.name);
    }
}
