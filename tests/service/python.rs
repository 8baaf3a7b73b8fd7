//! Python with packages of PyPI.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Python with the packages of the file `requirements` (a path in this repository), which are below `target/NAME`. They are
/// downloaded if they are missing.
pub fn python(requirements: &str, name: &str) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages(requirements, name)).env("PYTHONDONTWRITEBYTECODE", "1");
    // Proxies and authorities of this machine's environment are none of the test's.
    command.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE");
    command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
    command
}

fn packages(requirements: &str, name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in target");
    let mut fetch = Command::new(root.join(".ci/python"));
    let fetch = fetch.current_dir(root).arg(requirements).arg(built.join(name)).output().unwrap();
    assert!(fetch.status.success(), "{}", String::from_utf8_lossy(&fetch.stderr));
    String::from_utf8(fetch.stdout).unwrap().trim_end().into()
}
