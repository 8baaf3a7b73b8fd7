//! The entities and protocols of a transaction.

use crate::plugin::Protocol;
use logphase_script::transaction::{Level, Transaction, View};

/// One bit for each protocol.
pub(crate) fn mask(protocols: &[Protocol]) -> u16 {
    protocols.iter().fold(0, |mask, protocol| mask | 1 << *protocol as u16)
}

/// The id and name of an entity of the transaction, if it has them.
pub(super) fn names<'a>(
    transaction: &'a Transaction,
    entity: &str,
    name: &str,
) -> [Option<std::borrow::Cow<'a, str>>; 2] {
    let Some(entity) = transaction.get(entity) else { return [None, None] };
    [entity.get("id").and_then(View::text), entity.get(name).and_then(View::text)]
}

/// The protocols of the transaction, one bit each. A WebSocket handshake is HTTP as well.
pub(super) fn protocols(transaction: &Transaction) -> u16 {
    use Protocol::*;
    if transaction.get("session").is_some() && transaction.get("request").is_none() {
        return stream_protocols(transaction);
    }
    let url = transaction.member(Level::Request, "url").and_then(View::text);
    let scheme = url.as_deref().and_then(|url| url.split_once("://")).map(|(scheme, _)| scheme.to_ascii_lowercase());
    let secure = match scheme.as_deref() {
        Some(scheme) => scheme.ends_with('s'),
        None => transaction.member(Level::Request, "tls").is_some_and(|tls| !tls.is_null()),
    };
    let header = |name| transaction.member(Level::RequestHeaders, name).and_then(View::text);
    let grpc = matches!(scheme.as_deref(), Some("grpc" | "grpcs"))
        || header("content-type").is_some_and(|kind| kind.starts_with("application/grpc"));
    let websocket = matches!(scheme.as_deref(), Some("ws" | "wss"))
        || header("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"));
    match (grpc, websocket, secure) {
        (true, _, true) => mask(&[Grpcs]),
        (true, _, false) => mask(&[Grpc]),
        (_, true, true) => mask(&[Https, Wss]),
        (_, true, false) => mask(&[Http, Ws]),
        (_, _, true) => mask(&[Https]),
        (_, _, false) => mask(&[Http]),
    }
}

/// The protocols of an L4 session: the stream protocols of the route; without any, TLS or TCP by whether the session has
/// TLS.
fn stream_protocols(transaction: &Transaction) -> u16 {
    let stream = mask(&[Protocol::Tcp, Protocol::Tls, Protocol::TlsPassthrough, Protocol::Udp]);
    let given = transaction.get("route").and_then(|route| route.get("protocols")).map(View::value);
    if let Some(logphase_script::transaction::Value::Array(protocols)) = given {
        let known: Vec<_> = protocols.into_iter().filter_map(|name| Protocol::find(&name.text()?)).collect();
        if mask(&known) & stream != 0 {
            return mask(&known) & stream;
        }
    }
    let tls = transaction.get("session").and_then(|session| session.get("tls")).is_some_and(|tls| !tls.is_null());
    if tls { mask(&[Protocol::Tls]) } else { mask(&[Protocol::Tcp]) }
}
