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

fn components(format: &str) -> String {
    String::from_utf8(succeeds(Command::new(project("packaging/components")).arg(format)).stdout).unwrap()
}

/// Scenario: the notices of the libraries.
/// Guarantees: each that is linked, or in the page, is there with its licence, also the C and C++ code in crates; nothing that only builds or tests; all
/// licences are among those of deny.toml.
#[test]
fn notices_are_whole() {
    let notices = components("notices");
    let rows: Vec<Vec<&str>> = notices
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() > 200, "{}", rows.len());
    let has = |name: &str| rows.iter().any(|row| row[1].starts_with(&format!("{name} ")));
    for name in ["serde", "tokio", "rdkafka-sys", "luau0-src", "libsqlite3-sys", "libmimalloc-sys", "aws-lc-sys"] {
        assert!(has(name), "{name}");
    }
    for name in ["proptest", "insta", "serde_derive", "syn", "cc", "logphase-config"] {
        assert!(!has(name), "{name}");
    }
    for text in ["librdkafka", "Roblox Corporation", "Microsoft Corporation, Daan Leijen"] {
        assert!(notices.contains(text), "{text}");
    }
    // What the page contains of npm's packages, and nothing that only builds it.
    for name in ["svelte", "uplot", "@codemirror/view"] {
        assert!(has(name), "{name}: is the page built? `make page`");
    }
    assert!(!has("vite") && !has("rollup"));
    let allowed = std::fs::read_to_string(project("deny.toml")).unwrap();
    for row in &rows {
        // Of alternatives, one is enough.
        let one = row[2].split(" OR ").any(|licence| {
            let mut all = licence.split(" AND ").map(|name| name.trim_matches(['(', ')']));
            all.all(|name| allowed.contains(&format!("\"{name}\"")))
        });
        assert!(one || row[2].contains(" AND "), "{row:?}");
    }
    let without = notices.lines().find_map(|line| line.strip_prefix("These come without the text of their licence: "));
    assert!(without.unwrap_or_default().split(", ").count() < 10, "{without:?}");
}

/// Scenario: the bill of materials. Guarantees: it has the libraries of the notices with the checksums of Cargo.lock, and no edge to
/// something that it does not have.
#[test]
fn bill_of_materials_is_whole() {
    let bill: serde_json::Value = serde_json::from_str(&components("sbom")).unwrap();
    let list = |name: &str| bill[name].as_array().unwrap();
    assert_eq!((&bill["bomFormat"], &bill["metadata"]["component"]["name"]), (&"CycloneDX".into(), &"logphase".into()));
    let mut known: std::collections::BTreeSet<&str> =
        list("components").iter().map(|component| component["bom-ref"].as_str().unwrap()).collect();
    assert_eq!(known.len(), list("components").len(), "a component is there twice");
    known.insert(bill["metadata"]["component"]["bom-ref"].as_str().unwrap());
    for dependency in list("dependencies") {
        for other in dependency["dependsOn"].as_array().unwrap() {
            assert!(known.contains(other.as_str().unwrap()), "{other}");
        }
    }
    let lock = std::fs::read_to_string(project("Cargo.lock")).unwrap();
    let is_npm = |component: &serde_json::Value| component["purl"].as_str().unwrap().starts_with("pkg:npm/");
    assert!(list("components").iter().any(is_npm), "is the page built? `make page`");
    let of_others =
        list("components").iter().filter(|component| !component["name"].as_str().unwrap().starts_with("logphase"));
    for component in of_others {
        let checksum = component["hashes"][0]["content"].as_str().unwrap_or_else(|| panic!("{component}"));
        // Those of npm are SHA-512 in another notation.
        assert!(lock.contains(checksum) || (is_npm(component) && checksum.len() == 128), "{component}");
    }
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
    assert!(read("usr/share/doc/logphase/NOTICES.md").contains("rdkafka-sys"));
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
