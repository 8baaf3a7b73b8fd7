//! What labels say of a resource: its name for people, where it comes from, and the role of a policy
//! (pkg/core/resources of Kuma 2.14).

use super::access_log::AccessLogPolicy;
use super::envelope::Meta;
use super::proxy::ZONE;
use super::target_ref::{TargetKind, TargetRef};

const DISPLAY_NAME: &str = "kuma.io/display-name";
/// The label of the namespace of a resource.
pub(super) const NAMESPACE: &str = "k8s.kuma.io/namespace";
const ORIGIN: &str = "kuma.io/origin";
const ROLE: &str = "kuma.io/policy-role";
const EFFECT: &str = "kuma.io/effect";

/// The namespaces of control planes, whose policies are for the whole mesh.
const SYSTEM_NAMESPACES: [&str; 2] = ["kuma-system", "kong-mesh-system"];

/// Where a resource was created; a later one is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Created {
    Globally,
    /// It does not say.
    Unknown,
    InZone,
}

/// For whom a policy was written; a later one is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    System,
    Producer,
    Consumer,
    WorkloadOwner,
}

impl Meta {
    /// The name that people gave it, without what a control plane adds.
    pub fn display_name(&self) -> &str {
        self.label(DISPLAY_NAME).unwrap_or(&self.name)
    }

    /// The value of a label that is not empty.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn namespace_label(&self) -> &str {
        self.label(NAMESPACE).unwrap_or(&self.namespace)
    }

    pub(super) fn zone_label(&self) -> Option<&str> {
        self.label(ZONE)
    }

    pub(super) fn created_in(&self) -> Created {
        match self.label(ORIGIN) {
            Some("global") => Created::Globally,
            Some("zone") => Created::InZone,
            _ => Created::Unknown,
        }
    }

    /// Whether Kuma only shows what the policy would do.
    pub(super) fn is_shadow(&self) -> bool {
        self.label(EFFECT) == Some("shadow")
    }
}

/// The role of a policy: what its label says, or else what the control plane would write there.
pub(super) fn of(policy: &AccessLogPolicy) -> Role {
    let meta = &policy.meta;
    match meta.label(ROLE) {
        Some("producer") => return Role::Producer,
        Some("consumer") => return Role::Consumer,
        Some("workload-owner") => return Role::WorkloadOwner,
        Some(_) => return Role::System,
        None => {}
    }
    let namespace = meta.namespace.as_str();
    if namespace.is_empty() || SYSTEM_NAMESPACES.contains(&namespace) {
        return Role::System;
    }
    if !policy.from.is_empty() || policy.to.is_empty() {
        return Role::WorkloadOwner;
    }
    let of_producer = |target: &TargetRef| {
        matches!(target.kind, TargetKind::MeshService | TargetKind::MeshHTTPRoute)
            && !target.name.is_empty()
            && (target.namespace.is_empty() || target.namespace == namespace)
    };
    // Kuma refuses a policy that mixes both.
    if policy.to.iter().all(|item| of_producer(&item.target)) { Role::Producer } else { Role::Consumer }
}
