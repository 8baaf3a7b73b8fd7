//! Templates of access logs: the first line of the input is a template, the rest an entry of Envoy's access log service. The
//! first byte chooses the options.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logphase_protocol::envoy::entry::{HttpEntry, TcpEntry};
use logphase_protocol::format::{AlsEntry, Entry, JsonTemplate, KongEntry, Options, Placeholders, Source, Template};
use serde_json::{Value, json};

fuzz_target!(|input: &[u8]| {
    let Some((choice, input)) = input.split_first() else { return };
    let (template, entry) = match input.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &b""[..]),
    };
    let Ok(template) = std::str::from_utf8(template) else { return };
    let source = if choice & 1 == 0 { Source::Als } else { Source::Kong };
    let options = Options { omit_empty: choice & 2 != 0, escape: choice & 4 != 0, ..Options::new(source) };
    let compiled = Template::new(template, &options);
    if let Err(errors) = &compiled {
        assert!(!errors.is_empty());
        for error in errors {
            assert!(template.get(error.span.clone()).is_some(), "{error:?}");
        }
    }
    let json = json!({"k": template, template: [template, format!("<{template}")]});
    let json = JsonTemplate::new(&json, &options);
    assert_eq!(compiled.is_ok(), json.is_ok());
    let (Ok(text), Ok(json)) = (compiled, json) else { return };
    let render = |entry: &dyn Entry| {
        let mut out = Vec::new();
        text.render(entry, &mut out);
        out.clear();
        json.render(entry, &mut out);
        assert!(serde_json::from_slice::<Value>(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
    };
    let placeholders = Placeholders::default();
    match source {
        Source::Kong => {
            if let Ok(entry) = KongEntry::parse(entry) {
                render(&entry);
            }
        }
        Source::Als => {
            if let Ok(entry) = HttpEntry::decode(entry)
                && let Some(entry) = AlsEntry::http(&entry, &placeholders)
            {
                render(&entry);
            }
            if let Ok(entry) = TcpEntry::decode(entry)
                && let Some(entry) = AlsEntry::tcp(&entry, &placeholders)
            {
                render(&entry);
            }
        }
    }
});
