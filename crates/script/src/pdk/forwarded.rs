//! Addresses and headers that depend on which proxies the setting `trusted_ips` trusts.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::host::State;
use crate::transaction::{Level, Value, View};

/// Whether `address` is in a network of the setting `trusted_ips`; false for text that is not an address.
pub(super) fn is_trusted(state: &State, address: &str) -> bool {
    let Ok(address) = address.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() else { return false };
    state.trusted_ips.iter().any(|network| network.contains(&address))
}

/// A variable of nginx that the proxy sent along.
pub(super) fn variable<R>(state: &State, name: &str, read: impl FnOnce(View<'_>) -> Option<R>) -> Option<R> {
    state.with(|transaction| transaction.context("vars")?.get(name).and_then(read)).flatten()
}

/// The address of the connection, before the proxy replaced it with a forwarded one, if it says which.
pub(super) fn peer_address(state: &State) -> Option<String> {
    let given = variable(state, "realip_remote_addr", |view| view.text().map(|text| text.into_owned()));
    given.or_else(|| state.text(Level::Root, "client_ip"))
}

/// The value of a forwarding header, if the setting `trusted_ips` trusts the client.
pub(super) fn forwarded(state: &State, name: &str) -> Option<String> {
    if state.trusted_ips.is_empty() || !is_trusted(state, &peer_address(state)?) {
        return None;
    }
    let first = |value: View<'_>| match value.value() {
        Value::Array(values) => values.first()?.text().map(Cow::into_owned),
        _ => value.text().map(Cow::into_owned),
    };
    state.with(|transaction| transaction.header(Level::RequestHeaders, name.as_bytes()).and_then(first)).flatten()
}
