//! How options are defined: one row each, which gives the type, the schema, the default, the documentation and what a
//! reload can change. [`queue`] has the options of queues, which settings and plugins share, `kafka` the fields of Kafka's
//! clients, `postgres` the URLs of databases, [`secret`] the values that no log shows.

pub(crate) mod kafka;
pub(crate) mod postgres;
pub mod queue;
pub(crate) mod record;
pub mod secret;

/// A record of settings some of which take effect only when the service starts.
pub(crate) trait Restart {
    /// Adds the settings that differ in `new` and need a restart to `names`, with `path` before each.
    fn changed(&self, new: &Self, path: &str, names: &mut Vec<String>);
}
