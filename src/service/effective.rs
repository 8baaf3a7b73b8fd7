//! What a service would serve: the settings, the configuration, and the entities as the Admin API shows them.

use logphase_config::diagnostic::Diagnostic;
use serde_json::{Map, Value};

use super::{ConfigFiles, Loaded, Prepared, database};
use crate::admin::{self, KnownDrafts, Tables};
use crate::settings::DatabaseKind;

/// The time, in seconds since 1970, of entities that have none, which is left out: another run would show another. Kong takes no zero.
const NO_TIME: i64 = 1;

fn members(entities: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    entities.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut)
}

/// What a service would serve.
pub struct Effective {
    /// The configuration, checked.
    pub prepared: Prepared,
    /// Its entities as a declarative document, with a mask for each secret. Resources of meshes are not among them.
    pub entities: Value,
}

impl Effective {
    /// Reads what `files` name, and the database if the settings say so. Changes nothing; a service may be running.
    ///
    /// # Errors
    /// All diagnostics, with at least one error.
    pub fn read(files: &ConfigFiles) -> Result<Self, Vec<Diagnostic>> {
        let (settings, diagnostics) = files.read_settings();
        let paths = files.declarative_files(&settings);
        if settings.database != DatabaseKind::Off && paths.is_empty() {
            let tables = database::tables(&settings).map_err(|error| vec![*error])?;
            let validated = KnownDrafts::default().of(&tables);
            let prepared = Prepared::new(Loaded::with_entities(settings, diagnostics, &validated))?;
            return Ok(Self { prepared, entities: admin::without_secrets(&tables) });
        }
        let prepared = Prepared::new(Loaded::of(settings, paths, files.accept, diagnostics))?;
        let mut tables = Tables::new();
        tables.apply(&admin::changes_of(&prepared.configuration().sources, 1000 * NO_TIME));
        let mut entities = admin::without_secrets(&tables);
        for entity in entities.as_object_mut().into_iter().flat_map(|all| all.values_mut()).flat_map(members) {
            entity.retain(|name, value| !matches!(&**name, "created_at" | "updated_at") || *value != NO_TIME);
        }
        Ok(Self { prepared, entities })
    }
}
