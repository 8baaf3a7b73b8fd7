//! The mappings that are part of the program, and the own ones of the settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{KONG, Mapping, read};
use logphase_config::diagnostic::{Diagnostic, Place, SourceFile, codes, suggest};
use logphase_config::document::Node;

/// The built-in mappings: their names and texts.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("nginx", include_str!("builtin/nginx.yml")),
    ("haproxy", include_str!("builtin/haproxy.yml")),
    ("caddy", include_str!("builtin/caddy.yml")),
    ("traefik", include_str!("builtin/traefik.yml")),
    ("apache", include_str!("builtin/apache.yml")),
    ("otel", include_str!("builtin/otel.yml")),
    ("envoy-otel", include_str!("builtin/envoy-otel.yml")),
];

/// All mappings that inputs can name. Cheap to clone; clones share what the transactions of each mapping had.
#[derive(Debug, Clone, Default)]
pub struct Mappings {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The own ones, as written.
    definitions: Value,
    own: BTreeMap<String, Arc<Mapping>>,
    /// Built-in ones that were asked for.
    built_in: Mutex<BTreeMap<&'static str, Arc<Mapping>>>,
}

impl Mappings {
    /// Reads own mappings, a record of definitions by name. What is wrong is added to `diagnostics`, and that mapping left
    /// out.
    pub fn read(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let own = read::all(node, diagnostics).into_iter().map(|mapping| (mapping.name.clone(), Arc::new(mapping)));
        let inner = Inner { definitions: node.to_json(), own: own.collect(), built_in: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The mapping `name`; `None` for [`KONG`], and if there is none.
    pub fn find(&self, name: &str) -> Option<Arc<Mapping>> {
        if let Some(own) = self.inner.own.get(name) {
            return Some(own.clone());
        }
        let (name, _) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name)?;
        let mut known = self.inner.built_in.lock();
        Some(known.entry(name).or_insert_with(|| Arc::new(read::built_in(name))).clone())
    }

    /// Whether inputs can name `name`, a mapping or [`KONG`].
    pub fn contains(&self, name: &str) -> bool {
        name == KONG || self.inner.own.contains_key(name) || BUILT_IN.iter().any(|(built_in, _)| *built_in == name)
    }

    /// The names that inputs can name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let built_in = BUILT_IN.iter().map(|(name, _)| *name);
        std::iter::once(KONG).chain(built_in).chain(self.inner.own.keys().map(String::as_str))
    }

    /// The error for `name`, which is none of [`Self::names`].
    pub fn unknown(&self, name: &str) -> Diagnostic {
        let diagnostic = Diagnostic::error(codes::SETTING, format!("there is no mapping `{name}`"));
        let names = self.names().collect::<Vec<_>>().join(", ");
        let diagnostic = diagnostic.help(format!("the mappings are {names}; define others under `mappings`"));
        match suggest(name, self.names()) {
            Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
            None => diagnostic.label("unknown mapping"),
        }
    }

    /// The text of the mapping `name`, as settings have it under the name; `None` for [`KONG`], and if there is none.
    pub fn definition(&self, name: &str) -> Option<String> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            return Some((*text).to_owned());
        }
        // JSON is YAML, too.
        Some(format!("{:#}\n", self.inner.definitions.get(name)?))
    }

    /// Whether `name`, an argument `--mapping` of the command line, can be named.
    ///
    /// # Errors
    /// See [`Self::unknown`].
    pub fn check_argument(&self, name: &str) -> Result<(), Box<Diagnostic>> {
        if self.contains(name) {
            return Ok(());
        }
        let place = Place::new(SourceFile::new("--mapping", name), 0..name.len());
        Err(Box::new(self.unknown(name).at(place)))
    }

    /// The own mappings, and the built-in ones that were asked for, by name.
    pub fn asked_for(&self) -> Vec<Arc<Mapping>> {
        let built_in = self.inner.built_in.lock();
        let mut all: Vec<_> = built_in.values().chain(self.inner.own.values()).cloned().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}

/// Equal if they are defined in the same way.
impl PartialEq for Mappings {
    fn eq(&self, other: &Self) -> bool {
        let empty = |definitions: &Value| definitions.as_object().is_none_or(serde_json::Map::is_empty);
        let (one, other) = (&self.inner.definitions, &other.inner.definitions);
        one == other || (empty(one) && empty(other))
    }
}

impl<'de> Deserialize<'de> for Mappings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let definitions = Value::deserialize(deserializer)?;
        let mut diagnostics = Vec::new();
        let read = Self::read(&Node::from_request(&definitions), &mut diagnostics);
        match diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
            Some(error) => Err(D::Error::custom(&error.message)),
            None => Ok(read),
        }
    }
}
