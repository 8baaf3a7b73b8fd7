//! Values for plugins, by their identity.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::plugin::Plugin;

/// Something for plugins of a configuration, by their identity.
#[derive(Debug)]
pub(crate) struct ByPlugin<T>(HashMap<usize, (Arc<Plugin>, T), RandomState>);

impl<T> Default for ByPlugin<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T> ByPlugin<T> {
    pub(crate) fn get(&self, plugin: &Arc<Plugin>) -> Option<&T> {
        // The plugin is held with its value, so that no other one can have its address.
        self.0.get(&Arc::as_ptr(plugin).addr()).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, plugin: &Arc<Plugin>, value: T) {
        self.0.insert(Arc::as_ptr(plugin).addr(), (plugin.clone(), value));
    }
}

/// Whether both lists have the same entities, by identity.
pub(crate) fn same_all<T>(one: &[Arc<T>], other: &[Arc<T>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
}
