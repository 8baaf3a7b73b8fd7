//! What a draft was in the last configuration that had it: most entities of a configuration are also in the next one.

use std::sync::Arc;

use parking_lot::Mutex;

use super::consumer::{Api, Consumer, ConsumerGroup};
use super::draft::Draft;
use super::plugin::{Outcome, SCOPES};
use super::route::Route;
use super::scope::EntityRef;
use super::service::Service;

/// How many entities a plugin can refer to.
pub(super) const REFERENCES: usize = SCOPES.len() + 1;

/// What a draft was in the last configuration that had it, with what that depended on besides the draft.
#[derive(Debug, Default)]
pub(super) struct Built(Mutex<Option<Last>>);

#[derive(Debug, Clone)]
enum Last {
    Service(Arc<Service>),
    Route(Option<EntityRef>, Arc<Route>),
    Consumer(Arc<Consumer>),
    ConsumerGroup(Arc<ConsumerGroup>),
    Api(Arc<Api>),
    Plugin([Option<Arc<Draft>>; REFERENCES], Arc<Outcome>),
}

impl Built {
    fn last(&self) -> Option<Last> {
        self.0.lock().clone()
    }

    fn keep(&self, last: Last) {
        *self.0.lock() = Some(last);
    }
}

impl Draft {
    pub(super) fn service(&self) -> Arc<Service> {
        if let Some(Last::Service(service)) = self.built.last() {
            return service;
        }
        let service = Arc::new(Service::from_draft(self));
        self.built.keep(Last::Service(service.clone()));
        service
    }

    /// The route, of `service`.
    pub(super) fn route(&self, service: Option<EntityRef>) -> Arc<Route> {
        match self.built.last() {
            Some(Last::Route(of, route)) if of == service => return route,
            _ => {}
        }
        let route = Arc::new(Route::from_draft(self, service.clone()));
        self.built.keep(Last::Route(service, route.clone()));
        route
    }

    pub(super) fn consumer(&self) -> Arc<Consumer> {
        if let Some(Last::Consumer(consumer)) = self.built.last() {
            return consumer;
        }
        let consumer = Arc::new(Consumer::from_draft(self));
        self.built.keep(Last::Consumer(consumer.clone()));
        consumer
    }

    pub(super) fn consumer_group(&self) -> Arc<ConsumerGroup> {
        if let Some(Last::ConsumerGroup(group)) = self.built.last() {
            return group;
        }
        let group = Arc::new(ConsumerGroup::from_draft(self));
        self.built.keep(Last::ConsumerGroup(group.clone()));
        group
    }

    pub(super) fn api(&self) -> Arc<Api> {
        if let Some(Last::Api(api)) = self.built.last() {
            return api;
        }
        let api = Arc::new(Api::from_draft(self));
        self.built.keep(Last::Api(api.clone()));
        api
    }

    /// The plugin, whose definition is its own and which refers to `targets`; `read` reads it.
    pub(super) fn plugin(
        &self,
        targets: [Option<&Arc<Draft>>; REFERENCES],
        read: impl FnOnce() -> Outcome,
    ) -> Arc<Outcome> {
        let same = |(one, other): (&Option<Arc<Draft>>, &Option<&Arc<Draft>>)| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        match &*self.built.0.lock() {
            Some(Last::Plugin(of, outcome)) if of.iter().zip(&targets).all(same) => return outcome.clone(),
            _ => {}
        }
        let outcome = Arc::new(read());
        self.built.keep(Last::Plugin(targets.map(Option::<&Arc<Draft>>::cloned), outcome.clone()));
        outcome
    }
}
