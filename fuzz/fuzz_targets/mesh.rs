//! Files of any text, read as resources of a mesh: every mistake is a diagnostic that can be shown, and nothing panics. Each line of
//! the text, read as one for kuma-dp's streamer: it names an address, or is refused, and what is sent does not multiply.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logphase::mesh::{self, StreamedLine};
use logphase_config::diagnostic::SourceFile;
use logphase_config::document;

fuzz_target!(|text: &str| {
    let file = SourceFile::new("mesh.yml", text);
    let documents = document::parse_all(&file, None);
    let (resources, mut found) = mesh::read(&documents.roots);
    let read = resources.meshes.len() + resources.traffic_logs.len() + resources.access_logs.len();
    // A resource takes some bytes: nothing multiplies.
    assert!(read <= text.len());
    found.extend(documents.diagnostics);
    assert!(found.iter().all(|diagnostic| !diagnostic.render(false).is_empty()));
    for line in text.lines() {
        match StreamedLine::parse(line.as_bytes()) {
            Ok(StreamedLine { address, message }) => {
                assert!(mesh::split_host_port(&address).is_some());
                assert!(message.len() <= 6 * line.len());
            }
            Err(error) => assert!(error.to_string().len() < 2000),
        }
    }
});
