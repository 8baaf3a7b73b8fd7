//! Transactions of very different sizes, each with content of its own.

use serde_json::{Value, json};

use super::rng::mixed;
use crate::service::transaction;

/// A transaction of 200 bytes to 300 kB; the id decides about its size and its content.
pub fn sized(id: u64) -> Value {
    let choice = mixed(id);
    let size = choice >> 8;
    let padding = match choice % 100 {
        0..20 => return small(id),
        20..75 => size % 400,
        75..96 => size % 4_000,
        96..99 => size % 40_000,
        _ => size % 300_000,
    };
    let mut transaction = transaction(id);
    let word = format!("{choice:x}\u{e9}");
    let mut text = word.repeat(usize::try_from(padding).expect("it is small") / word.len() + 1);
    text.push('"');
    transaction["padding"] = text.into();
    transaction
}

fn small(id: u64) -> Value {
    json!({
        "request": {"id": id.to_string(), "method": "GET", "headers": {"authorization": "Bearer s3cr3t"}},
        "response": {"status": 200}, "latencies": {"request": 1, "kong": 1, "proxy": 0}, "client_ip": "203.0.113.7",
        "started_at": 1_726_783_839_538_u64,
    })
}
