//! What snippets read, found in any text as a source: the search ends, on lines that exist; and no text around a need hides
//! it, unless it is an open string, comment or scope.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logphase_script::needs::{Need, findings};

fuzz_target!(|input: &[u8]| {
    let Ok(source) = std::str::from_utf8(input) else { return };
    let lines = source.matches('\n').count() + 1;
    for finding in findings(&[source]).into_iter().flatten() {
        assert!((1..=lines).contains(&finding.line));
        if let Some(need) = finding.need() {
            assert!(!need.member().is_empty());
        }
    }
    // With a `;`, so that what follows cannot go on with it: `get_raw_body() = x` is no call, and no Lua.
    let need = "return kong.request.get_raw_body();\n";
    let found = findings(&[&format!("{need}{source}")]).into_iter().flatten();
    assert!(found.into_iter().any(|finding| finding.need() == Some(&Need::RequestBody)));
});
