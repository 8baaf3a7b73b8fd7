//! The settings, each with its value and where that comes from.

use std::fmt::Write;

use serde_json::{Value, json};

use super::super::arguments::Files;
use crate::admin::mask_field;
use crate::service::ConfigFiles;
use crate::settings::{GivenBy, Settings, environment};
use logphase_config::diagnostic::SourceFile;
use logphase_config::schema::Type;

/// A setting.
pub(super) struct Setting {
    path: String,
    ty: Type,
    /// Its value, with a mask for each secret.
    value: Value,
    from: Source,
}

/// Where a value comes from.
enum Source {
    Default,
    /// A line of a file.
    File(String),
    Variable(String),
    CommandLine,
}

impl Setting {
    /// Whether somebody gives it a value.
    pub(super) fn is_given(&self) -> bool {
        !matches!(self.from, Source::Default)
    }
}

/// All settings of a service with `files`, which are valid, in the order of the documentation. `given` are the arguments, which
/// override the setting `config`.
pub(super) fn all(files: &ConfigFiles, given: &Files) -> Vec<Setting> {
    let file = files.settings_file().and_then(|path| SourceFile::read(&path, files.accept).ok());
    let of = |origin: crate::settings::SettingOrigin| {
        let (path, field, mut value) = (origin.path, origin.field, origin.value);
        mask_field(field, &mut value);
        let from = match origin.from {
            GivenBy::Default => Source::Default,
            GivenBy::File(place) => Source::File(format!("{}:{}", place.file.name, place.line())),
            GivenBy::Variable(name) => Source::Variable(name),
        };
        if path == "config" && !given.config.is_empty() {
            let value = given.config.iter().map(|path| Value::from(path.to_string_lossy())).collect();
            return Setting { path, ty: field.ty, value, from: Source::CommandLine };
        }
        Setting { path, ty: field.ty, value, from }
    };
    Settings::origins(file, environment()).into_iter().map(of).collect()
}

/// A line for each setting: path, value, where it comes from.
pub(super) fn text(settings: &[Setting]) -> String {
    let values: Vec<String> = settings.iter().map(|setting| shown(setting.ty, &setting.value)).collect();
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let paths = width(&mut settings.iter().map(|setting| setting.path.len()));
    // A long value does not push all others away.
    let wide = width(&mut values.iter().map(|value| value.chars().count()).filter(|width| *width <= 40));
    let mut text = String::new();
    for (setting, value) in settings.iter().zip(&values) {
        let from = match &setting.from {
            Source::Default => "default",
            Source::File(name) | Source::Variable(name) => name,
            Source::CommandLine => "command line",
        };
        let _ = writeln!(text, "{:<paths$}  {value:<wide$}  {from}", setting.path);
    }
    text
}

/// A value as the settings file may have it.
fn shown(ty: Type, value: &Value) -> String {
    match (ty, value) {
        (_, Value::Null) => "-".to_owned(),
        (Type::Duration, Value::Number(number)) => duration(number.as_f64().unwrap_or_default()),
        (Type::Size, Value::Number(number)) => number.as_u64().map_or_else(|| number.to_string(), size),
        (_, Value::String(text)) if !text.is_empty() => text.clone(),
        (_, value) => value.to_string(),
    }
}

fn duration(seconds: f64) -> String {
    if seconds.fract() == 0.0 { format!("{seconds}s") } else { format!("{}ms", seconds * 1000.0) }
}

fn size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// The settings as an object by path; durations are seconds, sizes are bytes.
pub(super) fn json(settings: &[Setting]) -> Value {
    let of = |setting: &Setting| {
        let from = match &setting.from {
            Source::Default => json!({"default": true}),
            Source::File(place) => json!({"file": place}),
            Source::Variable(name) => json!({"variable": name}),
            Source::CommandLine => json!({"command_line": true}),
        };
        (setting.path.clone(), json!({"value": setting.value, "from": from}))
    };
    Value::Object(settings.iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: durations and sizes of all magnitudes. Guarantees: each is written as the settings file takes it.
    #[test]
    fn units() {
        assert_eq!([duration(30.0), duration(0.5), duration(0.0)], ["30s", "500ms", "0s"]);
        assert_eq!(
            [size(64 << 20), size(1536), size(1000), size(0), size(1 << 30)],
            ["64MiB", "1536", "1000", "0", "1GiB"]
        );
    }
}
