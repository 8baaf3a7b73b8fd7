//! Dead letters: messages that their destination refused for good, kept with the reason.
//!
//! Each plugin has a file, `dead-letters/KIND-ID.ndjson` in the data directory; each line is an object:
//! `time` (milliseconds since 1970), `plugin`, `instance_name`, `reason`, and `message` as it was to be sent.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::OutletSpec;

/// The folder in the data directory.
const FOLDER: &str = "dead-letters";

/// One line.
#[derive(Serialize)]
struct Letter<'a> {
    time: u64,
    plugin: &'a str,
    instance_name: Option<&'a str>,
    reason: &'a str,
    message: Box<RawValue>,
}

/// The file of one plugin's dead letters. It is made when the first comes.
#[derive(Debug, Clone)]
pub(super) struct DeadLetters {
    path: PathBuf,
}

impl DeadLetters {
    pub(super) fn of(data_dir: &Path, spec: &OutletSpec) -> Self {
        // Ids come from files that users write; a name of a file is made of the harmless part.
        let harmless = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
        let identity: String = spec.identity.chars().map(harmless).take(100).collect();
        Self { path: data_dir.join(FOLDER).join(format!("{}-{identity}.ndjson", spec.kind)) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends `entry`, whole or not at all.
    pub(super) async fn keep(&self, spec: &OutletSpec, entry: &Bytes, reason: &str) -> io::Result<()> {
        let line = line(spec, entry, reason)?;
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || append(&path, &line)).await.map_err(io::Error::other)?
    }
}

fn line(spec: &OutletSpec, entry: &[u8], reason: &str) -> io::Result<Vec<u8>> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let letter = Letter {
        time: u64::try_from(time).unwrap_or(u64::MAX),
        plugin: &spec.kind,
        instance_name: spec.instance.as_deref(),
        reason,
        message: serde_json::from_slice(entry).or_else(|_| to_raw_value(&String::from_utf8_lossy(entry)))?,
    };
    let mut line = serde_json::to_vec(&letter)?;
    line.push(b'\n');
    Ok(line)
}

fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let before = file.metadata()?.len();
    file.write_all(line).inspect_err(|_| {
        // A line that is half there (a full disk) would spoil the next one.
        let _ = file.set_len(before);
    })
}
