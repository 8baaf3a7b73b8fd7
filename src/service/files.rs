//! The files that a service needs, for Landlock.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::confinement::{self, Files};
use crate::entity::{Configuration, Plugin};
use crate::input::INPUTS;
use crate::options::postgres::PostgresUrl;
use crate::settings::Settings;
use logphase_config::diagnostic::{Diagnostic, Origin, codes};

/// The files of a service: it reads its settings and configuration, and writes its data, the files of its plugins, and its
/// sockets. Names directories rather than files, so that replaced and rotated files stay accessible.
pub fn of_service(
    settings_file: Option<&Path>,
    config: &[PathBuf],
    configuration: &Configuration,
    settings: &Settings,
) -> Files {
    let mut files = Files::default();
    for path in settings_file.into_iter().chain(config.iter().map(PathBuf::as_path)) {
        files.read.push(directory(path));
        // Kubernetes mounts links, and replaces the files that they point to.
        files.read.extend(path.canonicalize().ok().map(|real| directory(&real)));
    }
    if let Some(Ok(url)) = settings.database_url.as_ref().map(|url| PostgresUrl::parse(url.text())) {
        files.read.extend(url.files().map(directory));
    }
    files.write.push(settings.data_dir.clone());
    files.write.extend(settings.confinement.paths.iter().cloned());
    for input in INPUTS {
        files = files.and(input.files(settings));
    }
    files = files.and(settings.admin.tls.files()).and(settings.page.tls.files());
    let of_mesh = configuration.mesh.files().map(|(_, path)| PathBuf::from(path)).filter(|path| !inherited(path));
    files.write.extend(of_mesh.flat_map(|path| places(&path)));
    files
        .write
        .extend(written(configuration).filter(|(.., path)| !inherited(path)).flat_map(|(.., path)| places(&path)));
    files
}

/// An error for each plugin or policy of a mesh whose file the running process may not write: Landlock restricts it to the files of the
/// configuration at its start.
pub fn out_of_reach(configuration: &Configuration) -> Vec<Diagnostic> {
    out_of_reach_but(configuration, |_| false)
}

/// The same, but for the plugins of which `is_known` says that they were in reach before.
pub(super) fn out_of_reach_but(
    configuration: &Configuration,
    is_known: impl Fn(&Arc<Plugin>) -> bool,
) -> Vec<Diagnostic> {
    let refuse = |plugin: &Plugin, field: &str, path: &Path| {
        let message = format!("{} may not write {}", plugin.definition.name, path.display());
        let diagnostic = Diagnostic::error(codes::OUT_OF_REACH, message).at(plugin.origin(field));
        beyond_reach(diagnostic.path(format!("config.{field}")))
    };
    let is_beyond = |path: &Path| !inherited(path) && !confinement::may_write(path);
    let new = configuration.plugins.iter().filter(|plugin| !is_known(plugin));
    let beyond = written_by(new).filter(|(.., path)| is_beyond(path));
    let of_plugins = beyond.map(|(plugin, field, path)| refuse(plugin, field, &path));
    let of_mesh = configuration.mesh.files().filter(|(_, path)| is_beyond(Path::new(path)));
    let refuse = |(origin, path): (&Origin, &str)| {
        let message = format!("the access log of a mesh may not write {path}");
        beyond_reach(Diagnostic::error(codes::OUT_OF_REACH, message).at(origin.clone()))
    };
    of_plugins.chain(of_mesh.map(refuse)).collect()
}

fn beyond_reach(diagnostic: Diagnostic) -> Diagnostic {
    diagnostic
        .label("not among the files of the configuration at the start of the service")
        .help("restart the service, or add the directory to `confinement.paths` before the start")
}

/// The files that plugins write, each with the plugin and the field that names it.
fn written(configuration: &Configuration) -> impl Iterator<Item = (&Plugin, &'static str, PathBuf)> {
    written_by(configuration.plugins.iter())
}

fn written_by<'a>(
    plugins: impl Iterator<Item = &'a Arc<Plugin>>,
) -> impl Iterator<Item = (&'a Plugin, &'static str, PathBuf)> {
    plugins.filter(|plugin| plugin.enabled).flat_map(|plugin| {
        let paths = plugin.definition.written_files.iter();
        paths.filter_map(move |field| Some((&**plugin, *field, PathBuf::from(plugin.config.get(*field)?.as_str()?))))
    })
}

/// Whether the process has inherited the file, open.
fn inherited(path: &Path) -> bool {
    matches!(path.to_str(), Some("/dev/stdout" | "/dev/stderr"))
}

/// The paths that must be writable so that `path` can be written: its directory, so that a rotated file can be created
/// again; for a device or a pipe only `path` itself; for a link both.
fn places(path: &Path) -> Vec<PathBuf> {
    // Missing directories are created below the nearest one that exists.
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
