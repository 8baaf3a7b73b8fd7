//! OpenTelemetry's logs: a request is read record by record, and its records become JSON. The first byte chooses the encoding.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logphase_protocol::otlp::{self, Encoding};

/// Bytes of a record, at most.
const MAX_BYTES: usize = 10_000;

fuzz_target!(|input: &[u8]| {
    let Some((encoding, request)) = input.split_first() else { return };
    let encoding = if encoding & 1 == 0 { Encoding::Protobuf } else { Encoding::Json };
    let request = bytes::Bytes::copy_from_slice(request);
    let _ = otlp::read(&request, encoding, |group, record| {
        let Ok(record) = record else { return Ok::<_, ()>(()) };
        if let Ok(object) = group.members(MAX_BYTES).and_then(|members| record.object(members, MAX_BYTES)) {
            assert!(object.len() <= MAX_BYTES);
            let object: serde_json::Value = serde_json::from_slice(&object).expect("what is written is JSON");
            assert!(object.is_object());
        }
        if let Ok(text) = record.body_text(MAX_BYTES) {
            assert!(text.len() <= MAX_BYTES.max(request.len()));
        }
        Ok(())
    });
});
