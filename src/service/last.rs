//! What was made of the last configuration that was prepared. One that replaces it uses all of it again that has not changed: a
//! request to the Admin API changes one entity of many thousands.

use std::sync::Arc;

use logphase_config::diagnostic::Diagnostic;

use super::outputs::Outputs;
use crate::entity::{Configuration, Plugin, Route, Service, same_all};
use crate::phase::{KnownSteps, Program};
use crate::router::Router;
use crate::settings::Settings;

/// The router of a configuration, with what is wrong with its routes.
#[derive(Debug, Default)]
struct Routed {
    routes: Vec<Arc<Route>>,
    services: Vec<Arc<Service>>,
    router: Arc<Router>,
    found: Vec<Diagnostic>,
}

/// What was made of the last configuration.
#[derive(Debug, Default)]
pub(super) struct Last {
    /// All of it depends on them. `None` if there was none.
    settings: Option<Settings>,
    steps: KnownSteps,
    outputs: Outputs,
    routed: Routed,
}

impl Last {
    /// It, if it was made with `settings`.
    pub(super) fn with(&self, settings: &Settings) -> Option<&Self> {
        (self.settings.as_ref() == Some(settings)).then_some(self)
    }

    pub(super) fn steps(&self) -> &KnownSteps {
        &self.steps
    }

    /// Whether `plugin` was among its plugins.
    pub(super) fn has(&self, plugin: &Arc<Plugin>) -> bool {
        self.steps.of(plugin).is_some()
    }

    pub(super) fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The router of `configuration`, with what is wrong with its routes.
    pub(super) fn router(&self, configuration: &Configuration) -> Option<(Arc<Router>, Vec<Diagnostic>)> {
        let Routed { routes, services, router, found } = &self.routed;
        let unchanged = same_all(routes, &configuration.routes) && same_all(services, &configuration.services);
        unchanged.then(|| (router.clone(), found.clone()))
    }

    /// The router of the last configuration.
    pub(super) fn last_router(&self) -> &Router {
        &self.routed.router
    }

    /// What was made of `configuration`, which is valid: its program, its outputs, and its router with what is wrong with its
    /// routes.
    pub(super) fn of(
        settings: &Settings,
        configuration: &Configuration,
        program: &Program,
        outputs: Outputs,
        (router, found): (Arc<Router>, Vec<Diagnostic>),
    ) -> Self {
        let steps = KnownSteps::of_program(program);
        let (routes, services) = (configuration.routes.clone(), configuration.services.clone());
        Self { settings: Some(settings.clone()), steps, outputs, routed: Routed { routes, services, router, found } }
    }
}
