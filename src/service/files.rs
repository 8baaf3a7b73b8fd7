//! Which files a service with a configuration has business with.

use std::path::{Path, PathBuf};

use crate::confinement::{self, Files};
use crate::entity::{Configuration, Plugin};
use crate::input::INPUTS;
use crate::settings::Settings;
use logphase_config::diagnostic::{Diagnostic, codes};

/// The files of a service: its settings and configuration to read; its data, its plugins' files and its sockets to
/// write. Directories rather than files, so that what is replaced or rotated stays within.
pub fn of_service(
    settings_file: Option<&Path>,
    config: &[PathBuf],
    configuration: &Configuration,
    settings: &Settings,
) -> Files {
    let mut files = Files::default();
    for path in settings_file.into_iter().chain(config.iter().map(PathBuf::as_path)) {
        files.read.push(directory(path));
        // A file behind a link (as Kubernetes mounts them) is replaced where it really is.
        files.read.extend(path.canonicalize().ok().map(|real| directory(&real)));
    }
    files.write.push(settings.data_dir.clone());
    files.write.extend(settings.confinement.paths.iter().cloned());
    for input in INPUTS {
        let Files { read, write } = input.files(settings);
        files.read.extend(read);
        files.write.extend(write);
    }
    files
        .write
        .extend(written(configuration).filter(|(.., path)| !inherited(path)).flat_map(|(.., path)| places(&path)));
    files
}

/// An error for each plugin whose file the running process may not write: Landlock restricts it to the files of the
/// configuration that it was started with.
pub fn out_of_reach(configuration: &Configuration) -> Vec<Diagnostic> {
    let refuse = |plugin: &Plugin, field: &str, path: &Path| {
        let message = format!("{} may not write {}", plugin.definition.name, path.display());
        Diagnostic::error(codes::OUT_OF_REACH, message)
            .at(plugin.origin(field))
            .path(format!("config.{field}"))
            .label("not among the files that the service was started with")
            .help("restart the service, or name the directory in `confinement.paths` before it is started")
    };
    let beyond = written(configuration).filter(|(.., path)| !inherited(path) && !confinement::may_write(path));
    beyond.map(|(plugin, field, path)| refuse(plugin, field, &path)).collect()
}

/// The files that plugins write, each with the plugin and the field that names it.
fn written(configuration: &Configuration) -> impl Iterator<Item = (&Plugin, &'static str, PathBuf)> {
    let enabled = configuration.plugins.iter().filter(|plugin| plugin.enabled);
    enabled.flat_map(|plugin| {
        let paths = plugin.definition.written_files.iter();
        paths.filter_map(move |field| Some((plugin, *field, PathBuf::from(plugin.config.get(*field)?.as_str()?))))
    })
}

/// These are open already.
fn inherited(path: &Path) -> bool {
    matches!(path.to_str(), Some("/dev/stdout" | "/dev/stderr"))
}

/// What rules have to name for `path` to be written: the directory, so that a file that was moved away can be made anew;
/// of a device or a pipe only the thing itself, of a link both.
fn places(path: &Path) -> Vec<PathBuf> {
    // What is not there yet will be made below what is.
    let above = || directory(path).ancestors().find(|above| above.exists()).unwrap_or(Path::new(".")).to_owned();
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            let real = path.canonicalize().map(|real| places(&real)).unwrap_or_default();
            real.into_iter().chain([above()]).collect()
        }
        Ok(found) if !found.is_file() && !found.is_dir() => vec![path.to_owned()],
        _ => vec![above()],
    }
}

fn directory(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}
