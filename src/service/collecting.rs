//! The collectors that lines name, as a configuration and settings allow them.

use std::sync::Arc;

use super::outputs;
use crate::delivery::{Collectors, Delivery, Held, Output};
use crate::input::LineAddresses;
use crate::settings::Settings;

/// The collectors of a service with an input of lines that name them.
pub(super) struct Collecting {
    /// As the settings said at the start.
    addresses: LineAddresses,
    collectors: Collectors,
}

impl Collecting {
    /// Opens the queues that an earlier run has left; `outputs` are those of the configuration itself. `None` if no input has such
    /// lines.
    pub(super) fn open(delivery: &Delivery, settings: &Settings, outputs: &[Arc<Output>]) -> Option<Self> {
        let addresses = LineAddresses::of(settings)?;
        let named = outputs::tcp_collectors(outputs);
        let rules = outputs::collector_rules(settings, &addresses, &named);
        let collectors = Collectors::new(delivery.clone(), &settings.data_dir, addresses.max, rules);
        let mut held = collectors.hold();
        held.set_configured(&named);
        held.open_recorded();
        drop(held);
        Some(Self { addresses, collectors })
    }

    /// For the input.
    pub(super) fn collectors(&self) -> Collectors {
        self.collectors.clone()
    }

    /// Keeps lines from opening outputs while the configuration is replaced.
    pub(super) fn hold(&self) -> HeldCollecting<'_> {
        HeldCollecting { addresses: &self.addresses, held: self.collectors.hold() }
    }
}

/// The collectors while the configuration is replaced.
pub(super) struct HeldCollecting<'a> {
    addresses: &'a LineAddresses,
    held: Held<'a>,
}

impl HeldCollecting<'_> {
    /// The outputs that only lines have named.
    pub(super) fn outputs(&self) -> Vec<Arc<Output>> {
        self.held.outputs()
    }

    /// Changes to a configuration with these `outputs` of its own. Returns those that only lines have named and that are kept.
    pub(super) fn replace(&mut self, settings: &Settings, outputs: &[Arc<Output>]) -> Vec<Arc<Output>> {
        let named = outputs::tcp_collectors(outputs);
        self.held.replace(outputs::collector_rules(settings, self.addresses, &named), &named)
    }
}
