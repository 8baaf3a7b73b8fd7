//! JSON lines of files that grow: what proxies and Kong's file-log write.
//!
//! A file is known by its device and inode, and by checksums of what was read of it ([`position`]), not by its name: one that
//! is renamed is read to its end, and one that is truncated is read from its start ([`follower`]). How far each was read is
//! saved after its entries are safe ([`positions`]), so every line is taken at least once. Files have turns ([`turn`]), and
//! those for which the queues have no room do not hold up the others.

mod followed;
mod follower;
mod look;
mod notices;
mod patterns;
mod position;
mod positions;
mod turn;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use self::follower::Follower;
use self::patterns::Patterns;
use self::positions::Positions;
use super::settings::{MAPPING, MATCH_ROUTES, list, matches_routes, replays_phases, settings_record};
use super::{Address, BindError, BoundInput, Context, Input};
use crate::confinement::Files;
use crate::decode::TextDecoder;
use crate::decode::kong::Format;
use crate::input::Shared;
use crate::options::record::{choice, count, duration};
use crate::sink::BoxFuture;
use logphase_config::schema::{Check, Field, Record};

const PATTERN: Field = Field::string("").checks(&[Check::Custom(patterns::check)]);

/// Where reading files begins that are there when the input reads for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadFrom {
    /// At their beginning.
    Beginning,
    /// At their end.
    End,
}

settings_record! {
    /// The settings `inputs.file`.
    pub struct Settings {
        /// Files, directories (the files in them) and patterns (`*`, `?`, `[a-z]`, and `**` for directories at any depth).
        include: Vec<String> = list(&PATTERN);
        /// Patterns of files to leave out; one without a `/` is for names in every directory.
        exclude: Vec<String> = list(&PATTERN);
        /// Where to begin in files that are there when the input runs for the first time: `beginning` or `end`. Later
        /// files are read from their beginning.
        read_from: ReadFrom = choice("beginning", &[Check::OneOf(&["beginning", "end"])]);
        /// Leave out files that have not changed for this long, until they change; 0: none.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        ignore_older: Duration = duration(0, &[]);
        /// How often directories and files are looked at, in addition to the notices that Linux gives.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        poll_interval: Duration = duration(1, &[Check::Between(0.01, 3600.0)]);
        /// How long a renamed or removed file is still read after its last change.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        rotate_wait: Duration = duration(30, &[]);
        /// Files that are open at the same time; the others are opened when they change.
        max_open_files: usize = count(256, &[Check::Between(1.0, 1_000_000.0)]);
        /// Files that are followed; further ones are not read, and counted.
        max_files: usize = count(10_000, &[Check::Between(1.0, 1_000_000.0)]);
        /// Mapping of what is read to transactions: `kong`, a built-in one, or one of `mappings`.
        mapping: String = MAPPING;
        /// Find the route and service of transactions without them, as Kong's router would; by default if `mapping` is
        /// not `kong`.
        match_routes: Option<bool> = MATCH_ROUTES;
    }
}

/// What [`Follower`] is told.
#[derive(Debug)]
struct Options {
    patterns: Patterns,
    read_from: ReadFrom,
    ignore_older: Duration,
    poll_interval: Duration,
    rotate_wait: Duration,
    max_open_files: usize,
    max_files: usize,
}

impl From<&Settings> for Options {
    fn from(settings: &Settings) -> Self {
        Self {
            patterns: Patterns::new(&settings.include, &settings.exclude),
            read_from: settings.read_from,
            ignore_older: settings.ignore_older,
            poll_interval: settings.poll_interval,
            rotate_wait: settings.rotate_wait,
            max_open_files: settings.max_open_files,
            max_files: settings.max_files,
        }
    }
}

/// The file input.
#[derive(Debug, Clone)]
pub(super) struct FileInput {
    settings: Settings,
    decoder: TextDecoder,
    data_dir: PathBuf,
}

impl Input for FileInput {
    const NAME: &'static str = "file";
    const ABOUT: &'static str = "JSON lines of files that grow.";
    const SETTINGS: &'static Record = Settings::RECORD;
    type Settings = Settings;

    fn new(settings: Settings, shared: Shared<'_>) -> Option<Self> {
        let decoder = shared.decoder(&settings.mapping, Format::Object);
        let data_dir = shared.data_dir.to_owned();
        (!settings.include.is_empty()).then_some(Self { settings, decoder, data_dir })
    }

    fn matches_routes(&self) -> bool {
        matches_routes(self.settings.match_routes, &self.settings.mapping)
    }

    fn replays_phases(&self) -> bool {
        replays_phases(self.settings.match_routes, &self.settings.mapping)
    }

    fn files(&self) -> Files {
        Files { read: Options::from(&self.settings).patterns.readable(), write: Vec::new() }
    }

    fn bind(self) -> Result<Box<dyn BoundInput>, BindError> {
        let positions = Positions::open(&self.data_dir)?;
        Ok(Box::new(Bound { input: self, positions }))
    }
}

struct Bound {
    input: FileInput,
    positions: Positions,
}

impl BoundInput for Bound {
    fn addresses(&self) -> Vec<Address> {
        Vec::new()
    }

    fn serve(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        let Self { input: FileInput { settings, decoder, .. }, positions } = *self;
        tracing::info!("following: {}", settings.include.join(", "));
        Box::pin(async move { Follower::new(context, decoder, (&settings).into(), positions).run().await })
    }
}

#[cfg(test)]
mod tests;
