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

#[derive(Debug)]
enum Last {
    Service(Arc<Service>),
    Route(Option<EntityRef>, Arc<Route>),
    Consumer(Arc<Consumer>),
    ConsumerGroup(Arc<ConsumerGroup>),
    Api(Arc<Api>),
    Plugin([Option<Arc<Draft>>; REFERENCES], Arc<Outcome>),
}

impl Built {
    /// What `known` finds in the last one, otherwise what `make` makes, which `keep` keeps.
    fn or_make<T>(
        &self,
        known: impl FnOnce(&Last) -> Option<&Arc<T>>,
        keep: impl FnOnce(Arc<T>) -> Last,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let mut last = self.0.lock();
        if let Some(known) = last.as_ref().and_then(known) {
            return known.clone();
        }
        let made = Arc::new(make());
        *last = Some(keep(made.clone()));
        made
    }
}

/// A function that finds the record of a kind in a [`Last`].
macro_rules! known {
    ($kind:ident) => {
        |last| if let Last::$kind(known) = last { Some(known) } else { None }
    };
}

impl Draft {
    pub(super) fn service(&self) -> Arc<Service> {
        self.built.or_make(known!(Service), Last::Service, || Service::from_draft(self))
    }

    pub(super) fn consumer(&self) -> Arc<Consumer> {
        self.built.or_make(known!(Consumer), Last::Consumer, || Consumer::from_draft(self))
    }

    pub(super) fn consumer_group(&self) -> Arc<ConsumerGroup> {
        self.built.or_make(known!(ConsumerGroup), Last::ConsumerGroup, || ConsumerGroup::from_draft(self))
    }

    pub(super) fn api(&self) -> Arc<Api> {
        self.built.or_make(known!(Api), Last::Api, || Api::from_draft(self))
    }

    /// The route, of `service`.
    pub(super) fn route(&self, service: Option<EntityRef>) -> Arc<Route> {
        self.built.or_make(
            |last| match last {
                Last::Route(of, route) if *of == service => Some(route),
                _ => None,
            },
            |route| Last::Route(service.clone(), route),
            || Route::from_draft(self, service.clone()),
        )
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
        self.built.or_make(
            |last| match last {
                Last::Plugin(of, outcome) if of.iter().zip(&targets).all(same) => Some(outcome),
                _ => None,
            },
            |outcome| Last::Plugin(targets.map(Option::<&Arc<Draft>>::cloned), outcome),
            read,
        )
    }
}
