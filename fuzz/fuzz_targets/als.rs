//! Envoy's access log service: a message is split, and what it holds is converted. The first byte chooses the kind of entry
//! that the whole input is also read as.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logphase_protocol::envoy::batch::{self, Part};
use logphase_protocol::envoy::{Conversion, Converter, Origin};

fuzz_target!(|input: &[u8]| {
    let Some((kind, message)) = input.split_first() else { return };
    let rules = ["consumer.username=metadata:ns.test:s", "route.name=filter_state:my.key"];
    let rules = rules.iter().map(|rule| rule.parse().expect("a rule")).collect();
    let converter = Converter::new(rules, true);
    let mut origin = Origin::default();
    let whole = if kind & 1 == 0 { Part::Http(message) } else { Part::Tcp(message) };
    for part in batch::read(message).flatten().chain([whole]) {
        let mut out = Vec::new();
        let converted = match part {
            Part::Identifier(identifier) => {
                origin = Origin::decode(identifier).unwrap_or_default();
                continue;
            }
            Part::Http(entry) => converter.http(entry, &origin, &mut out),
            Part::Tcp(entry) => converter.tcp(entry, &origin, &mut out),
        };
        match converted {
            Ok(Conversion::Written) => {
                let object: serde_json::Value = serde_json::from_slice(&out).expect("what is written is JSON");
                assert!(object.is_object());
            }
            Ok(Conversion::Intermediate) => panic!("all records are kept"),
            Err(_) => assert!(out.is_empty()),
        }
    }
});
