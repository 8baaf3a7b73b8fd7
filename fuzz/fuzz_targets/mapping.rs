//! Lines of any bytes, mapped by each built-in mapping: what is taken becomes one JSON object within the limits.

#![no_main]
#![allow(dead_code, reason = "the module is part of the program, which uses all of it")]

#[path = "../../src/decode/mapping/mod.rs"]
mod mapping;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use logphase_script::transaction::Limits;
use mapping::{BUILT_IN, Mapping, Mappings, Rejected};
use std::sync::Arc;

static MAPPINGS: LazyLock<Vec<Arc<Mapping>>> = LazyLock::new(|| {
    let all = Mappings::default();
    BUILT_IN.iter().map(|(name, _)| all.find(name).expect("a built-in mapping")).collect()
});

fuzz_target!(|line: &[u8]| {
    let limits = Limits { max_bytes: 64 << 10, ..Limits::default() };
    for mapping in MAPPINGS.iter() {
        let mut out = Vec::new();
        match mapping.map(line, 0, &limits, &mut out) {
            Ok(end) => {
                assert!(end <= line.len() && out.len() <= limits.max_bytes);
                let parsed: serde_json::Value = serde_json::from_slice(&out).expect("a transaction is JSON");
                assert!(parsed.is_object());
            }
            Err(Rejected { offset, .. }) => assert!(offset <= line.len()),
        }
    }
});
