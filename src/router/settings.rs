//! How Kong's router is set up: the settings of kong.conf that change its answers.

use serde::Deserialize;

/// Kong's `router_flavor`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavor {
    /// The fields of routes, translated to expressions.
    #[default]
    TraditionalCompatible,
    /// Expressions, and the fields of routes as well.
    Expressions,
}

impl Flavor {
    /// The names in settings.
    pub const NAMES: &[&str] = &["traditional_compatible", "expressions"];
}

/// Kong's `route_match_calculation` (Enterprise, from 3.4.3.19 on).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calculation {
    /// The priorities that Kong has always computed, with the overflows of 32-bit shifts.
    #[default]
    Original,
    /// The priorities that were intended, and routes for TLS only with SNIs do not take plain traffic.
    Strict,
}

impl Calculation {
    /// The names in settings.
    pub const NAMES: &[&str] = &["original", "strict"];
}

/// How the router is built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Which fields routes have; by default `expressions` if a route has an expression, which Kong accepts in no other
    /// flavor.
    pub flavor: Option<Flavor>,
    /// How routes are ordered.
    pub calculation: Calculation,
}
