//! Headers of the PROXY protocol: whatever arrives, piece by piece, is judged once and the same as a whole.

#![no_main]

// The module alone: the crate that has it would build a TLS library for the fuzzer.
#[path = "../../crates/net/src/proxy_protocol/mod.rs"]
mod proxy_protocol;

use libfuzzer_sys::fuzz_target;
use proxy_protocol::{MAX_HEADER_BYTES, Parsed, parse};

fuzz_target!(|input: &[u8]| {
    let whole = parse(input);
    let mut judged = None;
    for end in 0..=input.len() {
        match parse(&input[..end]) {
            Ok(Parsed::Incomplete) => assert!(judged.is_none(), "a judgement is withdrawn"),
            Ok(Parsed::Header(header)) => {
                assert!(header.length <= end && header.length <= MAX_HEADER_BYTES);
                judged.get_or_insert(Ok(Parsed::Header(header)));
            }
            Err(error) => {
                judged.get_or_insert(Err(error));
            }
        }
    }
    assert_eq!(judged.unwrap_or(Ok(Parsed::Incomplete)), whole);
});
