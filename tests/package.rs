//! The Debian package, and `cargo install`.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::service::free_port;
use crate::service_manager::verify_unit;

fn project(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; .ci/tools installs it"));
    let said = [&*output.stdout, &*output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
    output
}

/// The package of the program under test, in `directory`.
fn package(directory: &Path) -> String {
    let mut build = Command::new(project("packaging/deb/build"));
    let built = succeeds(build.arg(env!("CARGO_BIN_EXE_logphase")).arg(directory).env("COMPRESSION", "none"));
    String::from_utf8(built.stdout).unwrap().trim().to_owned()
}

/// Scenario: the package is made, and installed into a Debian of its own with nothing but what it depends on; the service runs there as
/// its unit says, logrotate rotates its file, the package is installed again over a changed configuration, removed and purged.
/// Guarantees: a transaction that is sent is in the file before and after the rotation; changes of the administrator stay; files have
/// the owners and modes that keep others out; removing keeps configuration and data, purging leaves nothing.
#[test]
fn deb_installs_and_serves() {
    let directory = TempDir::new().unwrap();
    let package = package(directory.path());
    let field = succeeds(Command::new("dpkg-deb").args(["--field", &package, "Depends"]));
    let field = String::from_utf8(field.stdout).unwrap();
    let depends: Vec<&str> = field.split(',').filter_map(|one| one.split_whitespace().next()).collect();
    assert!(depends.contains(&"libc6") && depends.contains(&"adduser"), "{field}");
    let suite = succeeds(Command::new("sh").args(["-c", ". /etc/os-release && echo $VERSION_CODENAME"]));
    let (inside, here) = (project("tests/package/inside.sh"), project(""));
    let hook = format!("{inside} \"$1\" {package} {} {here}", free_port());
    let mut root = Command::new("mmdebstrap");
    root.args(["--variant=minbase", "--format=null", "--quiet"]);
    root.arg(format!("--include={},logrotate", depends.join(",")));
    root.arg(format!("--customize-hook={hook}"));
    let output = succeeds(root.arg(String::from_utf8(suite.stdout).unwrap().trim()).arg("-"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("# done"), "{said}");
}

/// Scenario: the files of the package. Guarantees: systemd finds nothing wrong with its unit, which runs as the package's user; every
/// file in /etc is a configuration file; the same inputs make the same package.
#[test]
fn deb_holds_sound_files() {
    let directory = TempDir::new().unwrap();
    let package = package(directory.path());
    let first = std::fs::read(&package).unwrap();
    succeeds(Command::new("dpkg-deb").args(["--raw-extract", &package]).arg(directory.path().join("root")));
    let read = |path: &str| std::fs::read_to_string(directory.path().join("root").join(path)).unwrap();
    let unit = read("lib/systemd/system/logphase.service");
    assert!(unit.contains("User=logphase\nGroup=logphase\n") && !unit.contains("DynamicUser"), "{unit}");
    // The user is made when the package is installed.
    verify_unit(&unit.replace("/usr/bin/logphase", env!("CARGO_BIN_EXE_logphase")).replace("=logphase\n", "=root\n"));
    let conffiles = read("DEBIAN/conffiles");
    for path in
        ["/etc/default/logphase", "/etc/logphase/kong.yml", "/etc/logphase/logphase.yml", "/etc/logrotate.d/logphase"]
    {
        assert!(conffiles.lines().any(|line| line == path), "{path}: {conffiles}");
    }
    for path in ["usr/share/zsh/vendor-completions/_logphase", "usr/share/fish/vendor_completions.d/logphase.fish"] {
        assert!(read(path).contains("explain"), "{path}");
    }
    assert!(
        crate::package::package(directory.path()) == package && std::fs::read(&package).unwrap() == first,
        "it differs"
    );
}
