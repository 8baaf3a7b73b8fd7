//! Names of resources in the names that Kuma's Envoys have for clusters and routes.

use super::target_ref::TargetKind;

/// A resource that Kuma names by its kind, mesh, zone, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceName {
    /// Its kind: a service, or a MeshHTTPRoute.
    pub kind: TargetKind,
    /// Its mesh.
    pub mesh: String,
    /// Its zone; empty if it has none.
    pub zone: String,
    /// Its namespace; empty outside of Kubernetes.
    pub namespace: String,
    /// Its name, without mesh, zone and namespace.
    pub name: String,
    /// The name of one of its ports or rules; empty for the whole.
    pub section: String,
    /// The number of one of its ports, where the name has no other.
    pub port: Option<u16>,
}

/// Kuma's short names of kinds.
const SHORT: [(&str, TargetKind); 4] = [
    ("msvc", TargetKind::MeshService),
    ("extsvc", TargetKind::MeshExternalService),
    ("mzsvc", TargetKind::MeshMultiZoneService),
    ("mhttpr", TargetKind::MeshHTTPRoute),
];

fn kind(short: &str) -> Option<TargetKind> {
    SHORT.iter().find(|(known, _)| *known == short).map(|(_, kind)| *kind)
}

impl ResourceName {
    /// Reads `kri_SHORT_MESH_ZONE_NAMESPACE_NAME_SECTION`
    /// (<https://github.com/kumahq/kuma/blob/master/docs/madr/decisions/070-resource-identifier.md>).
    pub fn of_kri(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("kri_")?.splitn(6, '_');
        let mut next = || parts.next();
        let (kind, mesh, zone, namespace) = (kind(next()?)?, next()?, next()?, next()?);
        let (name, section) = (next()?, next()?);
        let port = if kind == TargetKind::MeshHTTPRoute { None } else { section.parse().ok() };
        Some(Self {
            kind,
            mesh: mesh.to_owned(),
            zone: zone.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            section: section.to_owned(),
            port,
        })
    }

    /// Reads `MESH_NAME_NAMESPACE_ZONE_SHORT_PORT`, which clusters are called without unified naming.
    pub fn of_cluster(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(6, '_');
        let mut next = || parts.next();
        let (port, kind, zone, namespace) = (next()?, kind(next()?)?, next()?, next()?);
        let (name, mesh) = (next()?, next()?);
        let port = port.parse().ok()?;
        if kind == TargetKind::MeshHTTPRoute || name.is_empty() || mesh.is_empty() {
            return None;
        }
        Some(Self {
            kind,
            mesh: mesh.to_owned(),
            zone: zone.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            section: String::new(),
            port: Some(port),
        })
    }

    /// The same resource as a whole.
    pub fn whole(&self) -> Self {
        Self { section: String::new(), port: None, ..self.clone() }
    }
}

impl std::fmt::Display for ResourceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} `{}`", self.kind.name(), self.name)?;
        for (what, value) in [("namespace", &self.namespace), ("zone", &self.zone)] {
            if !value.is_empty() {
                write!(f, ", {what} `{value}`")?;
            }
        }
        match (self.section.as_str(), self.port) {
            ("", None) => Ok(()),
            ("", Some(port)) => write!(f, ", port {port}"),
            (section, _) => write!(f, ", section `{section}`"),
        }
    }
}

/// The identifier of the workload `name`, as `%KUMA_WORKLOAD%` has it.
pub fn workload(mesh: &str, zone: &str, namespace: &str, name: &str) -> String {
    format!("kri_wl_{mesh}_{zone}_{namespace}_{name}_")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a name, separated by slashes.
    fn parts(name: Option<ResourceName>) -> String {
        let Some(name) = name else { return "none".to_owned() };
        let port = name.port.map_or(String::new(), |port| port.to_string());
        let ResourceName { kind, mesh, zone, namespace, name, section, .. } = name;
        [kind.name(), &mesh, &zone, &namespace, &name, &section, &port].join("/")
    }

    /// Scenario: names of clusters and routes, with and without unified naming, and others.
    /// Guarantees: the parts are Kuma's; what names no resource is none.
    #[test]
    fn names_are_split() {
        for (text, expected) in [
            ("kri_msvc_default_zone-1_kuma-demo_backend_http", "MeshService/default/zone-1/kuma-demo/backend/http/"),
            ("kri_msvc_default___backend_8080", "MeshService/default///backend/8080/8080"),
            ("kri_extsvc_m_z__example_", "MeshExternalService/m/z//example//"),
            ("kri_mzsvc_m___all_web", "MeshMultiZoneService/m///all/web/"),
            ("kri_mhttpr_m_z_ns_route_rule_1", "MeshHTTPRoute/m/z/ns/route/rule_1/"),
            ("kri_dp_m_z_ns_route_", "none"),
            ("kri_msvc_m_z_ns_name", "none"),
        ] {
            assert_eq!(parts(ResourceName::of_kri(text)), expected, "{text}");
        }
        for (text, expected) in [
            ("default_backend_kuma-demo_zone-1_msvc_3001", "MeshService/default/zone-1/kuma-demo/backend//3001"),
            ("default_backend___msvc_3001", "MeshService/default///backend//3001"),
            ("my_mesh_backend_ns__extsvc_80", "MeshExternalService/my_mesh//ns/backend//80"),
            ("backend_kuma-demo_svc_3001", "none"),
            ("a_b_c_d_msvc_no", "none"),
            ("a_b_c_d_mhttpr_80", "none"),
        ] {
            assert_eq!(parts(ResourceName::of_cluster(text)), expected, "{text}");
        }
    }
}
