//! Syslog messages: any bytes as one message, and as a header before an object, which must then be found or taken for text.

#![no_main]

#[allow(dead_code, reason = "the program uses more of it")]
#[path = "../../src/decode/syslog.rs"]
mod syslog;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let message = syslog::parse(input);
    let header = message.header;
    let range = input.as_ptr_range();
    let parts = [header.timestamp, header.hostname, header.app_name, header.proc_id, header.msg_id, message.body];
    for part in parts {
        assert!(part.is_empty() || (range.start <= part.as_ptr() && part.as_ptr_range().end <= range.end));
    }
    assert!(header.priority.is_none_or(|priority| priority <= 191));
    assert_eq!((header.facility().is_some(), header.severity().is_some()), (header.priority.is_some(), header.priority.is_some()));
    // What is read of a body is itself a body.
    if message.is_object() {
        assert_eq!(syslog::parse(message.body).body, message.body);
    }
    let text = [b"<14>Nov 29 12:00:00 h t: ", message.body].concat();
    if message.is_object() {
        assert_eq!(syslog::parse(&text).body, message.body);
    }
});
