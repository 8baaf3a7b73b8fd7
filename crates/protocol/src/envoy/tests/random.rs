//! Whatever a peer sends.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::origin;
use crate::envoy::batch::{self, Part};
use crate::envoy::{Conversion, Converter, Origin, Rule};

/// The entries of Envoy, to be damaged: whether each is one of HTTP, and its bytes.
pub(super) static SAMPLES: LazyLock<Vec<(bool, Vec<u8>)>> = LazyLock::new(|| {
    use base64::Engine;
    let lines = include_str!("../../../tests/samples.ndjson").lines();
    let samples = lines.map(|line| {
        let sample: Value = serde_json::from_str(line).unwrap();
        let entry = base64::engine::general_purpose::STANDARD.decode(sample["entry"].as_str().unwrap()).unwrap();
        (sample["kind"] == "http", entry)
    });
    samples.collect()
});

fn converter() -> Converter {
    let rules = ["consumer.username=metadata:ns.test:s", "route.name=filter_state:my.key", "workspace=peer_uri_san"];
    Converter::new(rules.iter().map(|rule| rule.parse::<Rule>().unwrap()).collect(), true)
}

/// Converts an entry as either kind; what is written is one JSON object.
fn check(entry: &[u8], origin: &Origin) {
    for http in [true, false] {
        let mut out = b"before".to_vec();
        let converted =
            if http { converter().http(entry, origin, &mut out) } else { converter().tcp(entry, origin, &mut out) };
        let Some(written) = out.strip_prefix(b"before") else { panic!("what was there is kept") };
        match converted {
            Ok(Conversion::Written) => {
                let object: Value = serde_json::from_slice(written).unwrap();
                assert!(object.is_object());
            }
            Ok(Conversion::Intermediate) => panic!("all records are kept"),
            Err(_) => assert!(written.is_empty()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Scenario: random bytes as a message, as an identifier and as an entry of either kind.
    /// Guarantees: no panic; what is written is one JSON object; a refused entry leaves nothing.
    #[test]
    fn bytes(message in vec(any::<u8>(), 0..200)) {
        let sender = Origin::decode(&message).unwrap_or_else(|_| origin());
        check(&message, &sender);
        for part in batch::read(&message).flatten() {
            let (Part::Http(entry) | Part::Tcp(entry) | Part::Identifier(entry)) = part;
            check(entry, &sender);
        }
    }

    /// Scenario: entries of a real Envoy with bytes changed, cut out and put in.
    /// Guarantees: the same; this reaches the inner messages.
    #[test]
    fn damaged_entries(
        which in 0..44_usize,
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8),
    ) {
        let (_, mut entry) = SAMPLES[which].clone();
        for (at, byte, how) in changes {
            if entry.is_empty() {
                break;
            }
            let at = at.index(entry.len());
            match how {
                0 => entry[at] = byte,
                1 => drop(entry.remove(at)),
                _ => entry.insert(at, byte),
            }
        }
        check(&entry, &origin());
    }
}
