//! The configuration: validated entities with resolved references.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::consumer::{Api, Consumer, ConsumerGroup};
use super::draft::{Completeness, Drafts, Validated};
use super::external;
use super::index::Index;
use super::kind::EntityKind;
use super::plugin::{self, NotRun, Plugin};
use super::route::Route;
use super::service::Service;
use super::{unique, vault};
use crate::mesh::Resources;
use logphase_config::diagnostic::{Diagnostic, SourceFile};
use logphase_script::vault::VaultEntity;

/// All configured entities.
#[derive(Debug, Default)]
pub struct Configuration {
    /// The plugins that run in the log phase, including disabled ones, in the order of the files.
    pub plugins: Vec<Arc<Plugin>>,
    /// The services.
    pub services: Vec<Arc<Service>>,
    /// The routes.
    pub routes: Vec<Arc<Route>>,
    /// The consumers.
    pub consumers: Vec<Arc<Consumer>>,
    /// The consumer groups.
    pub consumer_groups: Vec<Arc<ConsumerGroup>>,
    /// The APIs of Kong before 1.0.
    pub apis: Vec<Arc<Api>>,
    /// The vaults that references name by their prefixes.
    pub vaults: Vec<VaultEntity>,
    /// Plugins that do not run here: other plugins of Kong, and custom plugins.
    pub not_run: Vec<NotRun>,
    /// What is wrong depending on whether an input finds routes.
    pub routing: Routing,
    /// Resources of meshes.
    pub mesh: Arc<Resources>,
    /// Identifies the files: the MD5 of their texts, in hexadecimal, like Kong's `configuration_hash`.
    pub digest: String,
    /// The texts that it was read from; none if it was not read from texts.
    pub sources: Vec<Arc<SourceFile>>,
    /// Names of the groups of each consumer, by its id and by its username.
    memberships: HashMap<String, BTreeSet<String>>,
}

/// What is wrong with a configuration depending on whether an input finds the routes of transactions.
#[derive(Debug, Default)]
pub struct Routing {
    /// Errors that hold if one does: values that the router needs.
    pub if_found: Vec<Diagnostic>,
    /// Warnings that hold if none does: plugins that only the router could give transactions.
    pub if_not_found: Vec<Diagnostic>,
}

/// How drafts are validated.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Only plugins with all of these tags are used.
    pub select_tags: &'a [String],
    /// How complete an entity must be.
    pub completeness: Completeness,
}

impl Configuration {
    /// Validates `drafts` and resolves their references. The configuration can be used only if no diagnostic is an
    /// error.
    pub fn from_drafts(drafts: Drafts, rules: Rules<'_>) -> (Self, Vec<Diagnostic>) {
        let external = external::entities(&drafts);
        let Drafts { mut entities, memberships, vaults, clones, .. } = drafts;
        entities.extend(external);
        let entities = entities.into_iter().map(|draft| Arc::new(draft.validated(rules.completeness))).collect();
        Self::from_validated(&Validated { entities, memberships, clones, vaults }, rules.select_tags)
    }

    /// Resolves the references of `validated`. The configuration can be used only if no diagnostic is an error.
    pub fn from_validated(validated: &Validated, select_tags: &[String]) -> (Self, Vec<Diagnostic>) {
        let (mut configuration, mut diagnostics) = (Self::default(), Vec::new());
        let Validated { entities, memberships, vaults, clones } = validated;
        let clones = super::clones::read(clones, &mut diagnostics);
        diagnostics.extend(entities.iter().flat_map(|draft| draft.found()).cloned());
        let index = Index::new(entities);
        unique::check(entities, &mut diagnostics);
        for (at, draft) in entities.iter().enumerate() {
            match draft.kind {
                EntityKind::Services => configuration.services.push(draft.service()),
                // The router does not know what an external route matches.
                EntityKind::Routes if draft.external => {}
                EntityKind::Routes => {
                    let service = index.service_of(entities, at, &mut diagnostics);
                    configuration.routes.push(draft.route(service));
                }
                EntityKind::Consumers => configuration.consumers.push(draft.consumer()),
                EntityKind::ConsumerGroups => configuration.consumer_groups.push(draft.consumer_group()),
                EntityKind::Apis => configuration.apis.push(draft.api()),
                EntityKind::Certificates | EntityKind::Plugins => {}
            }
        }
        configuration.vaults = vault::read(vaults, &mut diagnostics);
        configuration.memberships = index.memberships(entities, memberships, &mut diagnostics);
        plugin::read(entities, &index, &clones, select_tags, &mut configuration, &mut diagnostics);
        (configuration, diagnostics)
    }

    /// Names of the groups that a consumer is in, sorted. `consumer` is its id or username.
    pub fn groups_of(&self, consumer: &str) -> Vec<&str> {
        self.memberships.get(consumer).into_iter().flatten().map(String::as_str).collect()
    }
}
