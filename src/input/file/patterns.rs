//! Which files are followed: paths, directories and patterns.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use glob::{MatchOptions, Pattern, glob_with};
use serde_json::Value;

use super::position::FileId;

/// As a shell: `*` stands for no `/`, and not for the dot of a hidden file.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Ends of names of compressed files.
const COMPRESSED: &[&str] = &["gz", "bz2", "xz", "zst", "lz4", "lzma", "zip", "Z"];

/// Checks a pattern of the settings.
pub(super) fn check(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if text.is_empty() {
        return Err("expected a path or a pattern, like /var/log/nginx/*.json".to_owned());
    }
    Pattern::new(text).map(drop).map_err(|error| format!("not a pattern: {} at character {}", error.msg, error.pos + 1))
}

/// The patterns of the settings.
#[derive(Debug, Clone)]
pub(super) struct Patterns {
    include: Vec<(PathBuf, Pattern)>,
    exclude: Vec<Pattern>,
}

/// A file that matches.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    /// When it was created, where the file system knows.
    pub(super) created: Option<SystemTime>,
}

impl Found {
    pub(super) fn new(path: PathBuf, metadata: &Metadata) -> Self {
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Self { path, id: metadata.into(), size: metadata.len(), modified, created: metadata.created().ok() }
    }
}

/// What a look at the directories has found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Each file once, by its first name.
    pub(super) files: Vec<Found>,
    /// Compressed files, and those past the limit.
    pub(super) left_out: u64,
    /// Whether the limit was reached.
    pub(super) is_full: bool,
    /// What could not be read; the first error of each pattern.
    pub(super) errors: Vec<(PathBuf, io::Error)>,
}

impl Patterns {
    /// The patterns `include` without what matches `exclude`. Invalid ones, which the settings refuse, match nothing.
    pub(super) fn new(include: &[String], exclude: &[String]) -> Self {
        let include = include.iter().filter_map(|text| Some((PathBuf::from(text), Pattern::new(text).ok()?)));
        let exclude = exclude.iter().filter_map(|text| Pattern::new(text).ok());
        Self { include: include.collect(), exclude: exclude.collect() }
    }

    /// Whether `path` is followed, if it is a file.
    pub(super) fn matches(&self, path: &Path) -> bool {
        let included = |(text, pattern): &(PathBuf, Pattern)| {
            pattern.matches_path_with(path, OPTIONS)
                || is_literal(text) && path.parent() == Some(text) && is_shown(path)
        };
        self.include.iter().any(included) && !self.is_excluded(path)
    }

    /// A pattern without `/` is for the name alone.
    fn is_excluded(&self, path: &Path) -> bool {
        self.exclude.iter().any(|pattern| match path.file_name() {
            Some(name) if !pattern.as_str().contains('/') => pattern.matches_path_with(Path::new(name), OPTIONS),
            _ => pattern.matches_path_with(path, OPTIONS),
        })
    }

    /// The files that match now, at most `max`. Reads directories.
    pub(super) fn list(&self, max: usize) -> Listing {
        let mut listing = Listing::default();
        let mut found = BTreeMap::new();
        for (text, pattern) in &self.include {
            let mut error = None;
            let mut add = |path: PathBuf| self.add(path, max, &mut found, &mut listing);
            if !is_literal(text) {
                for path in glob_with(pattern.as_str(), OPTIONS).into_iter().flatten() {
                    match path {
                        Ok(path) => add(path),
                        Err(failed) => error = Some((failed.path().to_owned(), failed.into())),
                    }
                }
            } else if text.is_dir() {
                match std::fs::read_dir(text) {
                    Ok(entries) => {
                        entries.flatten().map(|entry| entry.path()).filter(|path| is_shown(path)).for_each(add);
                    }
                    Err(failed) => error = Some((text.clone(), failed)),
                }
            } else {
                add(text.clone());
            }
            listing.errors.extend(error);
        }
        listing.files = found.into_values().collect();
        listing
    }

    fn add(&self, path: PathBuf, max: usize, found: &mut BTreeMap<FileId, Found>, listing: &mut Listing) {
        if self.is_excluded(&path) {
            return;
        }
        // A file that has gone meanwhile is as good as one that never was.
        let Ok(metadata) = std::fs::metadata(&path) else { return };
        if !metadata.is_file() {
            return;
        }
        let id = FileId::from(&metadata);
        if is_compressed(&path) {
            listing.left_out += 1;
        } else if found.len() >= max && !found.contains_key(&id) {
            listing.left_out += 1;
            listing.is_full = true;
        } else {
            found.entry(id).or_insert_with(|| Found::new(path, &metadata));
        }
    }

    /// The directories that the patterns begin with, as far as they are no patterns.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = self.include.iter().map(|(text, _)| base(text)).collect();
        directories.sort();
        directories.dedup();
        directories
    }

    /// The directories that must be readable, links followed.
    pub(super) fn readable(&self) -> Vec<PathBuf> {
        // One that does not exist is created below the nearest one that does, but the root is too much.
        let existing = |path: &Path| {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let path =
                path.ancestors().find(|above| above.is_dir()).or_else(|| path.is_relative().then_some(Path::new(".")));
            path.filter(|above| *above != Path::new("/")).map(Path::to_owned)
        };
        let mut readable: Vec<PathBuf> = self.directories().iter().filter_map(|path| existing(path)).collect();
        // Links, such as those of Kubernetes in /var/log/containers, lead elsewhere.
        let files = self.list(MAX_LINKS).files;
        let targets = files.iter().filter_map(|file| file.path.canonicalize().ok());
        readable.extend(targets.filter_map(|target| target.parent().map(Path::to_owned)));
        readable.sort();
        readable.dedup();
        readable
    }
}

/// Files whose real directories are looked up before the process is confined.
const MAX_LINKS: usize = 10_000;

/// Whether `text` is a path and no pattern.
fn is_literal(text: &Path) -> bool {
    text.to_str().is_some_and(|text| !text.contains(['*', '?', '[']))
}

/// Whether the name is UTF-8 and not hidden.
fn is_shown(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| !name.starts_with('.'))
}

/// Whether the name is that of a compressed file.
pub(super) fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| COMPRESSED.iter().any(|known| extension == *known))
}

/// The directory of a path, or the longest part of a pattern that is a directory and no pattern; empty for the current
/// directory. A path without a pattern that is a directory is its own.
fn base(text: &Path) -> PathBuf {
    if is_literal(text) && text.is_dir() {
        return text.to_owned();
    }
    let parent = text.parent().unwrap_or(Path::new(""));
    parent.components().take_while(|part| is_literal(Path::new(part))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(include: &[&str], exclude: &[&str]) -> Patterns {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Patterns::new(&owned(include), &owned(exclude))
    }

    /// Scenario: a directory with logs, a rotated, a compressed and a hidden one, a directory in it, a link and a second
    /// name; given as a directory, as patterns, with exclusions by name and by path.
    /// Guarantees: files are found once, and those that nobody means are left out.
    #[test]
    fn what_is_found() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for name in ["a.json", "b.json", "b.json.1", "c.json.gz", ".hidden.json", "note.txt"] {
            std::fs::write(path(name), "{}\n").unwrap();
        }
        std::fs::create_dir(path("deep")).unwrap();
        std::fs::write(path("deep/d.json"), "{}\n").unwrap();
        std::os::unix::fs::symlink(path("a.json"), path("link.json")).unwrap();
        let root = home.path().to_str().unwrap().to_owned();
        let find = |include: &str, exclude: &[&str]| {
            let include = format!("{root}/{include}");
            let patterns = patterns(&[include.trim_end_matches('/')], exclude);
            let listing = patterns.list(100);
            assert!(listing.files.iter().all(|file| patterns.matches(&file.path)), "{listing:?}");
            let name = |file: &Found| file.path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let mut names: Vec<String> = listing.files.iter().map(name).collect();
            names.sort();
            (names.join(" "), listing.left_out)
        };
        // Of a file and a link to it, the first name counts, in the order of the directory.
        let (names, left_out) = find("", &["link*", "*.txt"]);
        assert_eq!((names.as_str(), left_out), ("a.json b.json b.json.1", 1));
        assert_eq!(find("*.json", &["link*"]).0, "a.json b.json");
        assert_eq!(find("link.json", &[]).0, "link.json");
        assert_eq!(find("**/*.json", &["link*"]).0, "a.json b.json deep/d.json");
        assert_eq!(find("**/*.json", &[&format!("{root}/deep/*"), "[ab].json"]).0, "link.json");
        assert_eq!(find("nothing/*.json", &[]).0, "");
        assert_eq!(patterns(&[&format!("{root}/*")], &[]).list(2).files.len(), 2);
        assert!(patterns(&[&format!("{root}/*")], &[]).list(2).is_full);
    }

    /// Scenario: paths and patterns, existing and not, relative ones.
    /// Guarantees: the directory to watch is the part without a pattern; what must be readable exists, and is never all.
    #[test]
    fn directories() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().to_str().unwrap();
        let of = |include: &str| patterns(&[include], &[]).directories().remove(0);
        assert_eq!(of(root), home.path());
        assert_eq!(of(&format!("{root}/a.json")), home.path());
        assert_eq!(of(&format!("{root}/*/x[0-9]/a.json")), home.path());
        assert_eq!((of("a.json"), of("*.json"), of("logs/*")), ("".into(), "".into(), "logs".into()));
        let readable = |include: &str| patterns(&[include], &[]).readable();
        assert_eq!(readable(&format!("{root}/none/yet/*.json")), [home.path()]);
        assert_eq!(readable("logs-of-nobody/a.json"), [PathBuf::from(".")]);
        assert!(readable("/no-such-directory/*.json").is_empty());
    }

    /// Scenario: a pattern that cannot be one.
    /// Guarantees: the error says where.
    #[test]
    fn mistakes() {
        assert_eq!(check(&"/var/log/[a".into()).unwrap_err(), "not a pattern: invalid range pattern at character 10");
        assert!(check(&"".into()).is_err() && check(&"/var/log/*.json".into()).is_ok());
    }
}
