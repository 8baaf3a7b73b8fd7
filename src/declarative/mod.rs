//! Reading entities from declarative files.
//!
//! [`read`] accepts Kong's format (1.1, 2.1 and 3.0; YAML or JSON; flat and nested; decK's tags, expressions and shared
//! plugin configurations), and objects of Kubernetes for Kong's ingress controller. [`crate::entity`] validates the entities.
//! Resources of Kuma go to [`crate::mesh`].

mod format;
mod json_schema;
mod kubernetes;
mod migration;
mod needed;
mod reader;

use std::collections::HashMap;
use std::sync::Arc;

use md5::{Digest, Md5};

pub use self::json_schema::json_schema;
use self::needed::Uses;
use crate::entity::{Completeness, Configuration, Drafts, Rules};
use crate::mesh;
use logphase_config::diagnostic::{Diagnostic, SourceFile};
use logphase_config::document::{self, Documents, Node};

/// How files are read.
#[derive(Clone, Copy)]
pub struct ReadOptions<'a> {
    /// Only plugins with all of these tags are used; if empty, all plugins.
    pub select_tags: &'a [String],
    /// Looks up an environment variable for `${{ env "DECK_X" }}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// Reads `files` as one configuration. The configuration can be used only if no diagnostic is an error. A variable that is
/// not set is an error only where its value is needed here.
pub fn read(files: &[Arc<SourceFile>], options: ReadOptions<'_>) -> (Configuration, Vec<Diagnostic>) {
    read_as(files, options, Completeness::LogPhase)
}

/// The same, with entities as complete as `completeness` says.
pub(crate) fn read_as(
    files: &[Arc<SourceFile>],
    options: ReadOptions<'_>,
    completeness: Completeness,
) -> (Configuration, Vec<Diagnostic>) {
    let (mut trees, mut diagnostics, mut unset) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        let Documents { roots, diagnostics: found, unset: missing } = document::parse_all(file, Some(options.env));
        diagnostics.extend(found);
        unset.extend(missing);
        let kong = roots.iter().filter(|root| !kubernetes::is_object(root) && !mesh::is_resource(root));
        diagnostics.extend(kong.skip(1).take(1).map(document::second_document));
        trees.extend(roots);
    }
    let (drafts, mesh, found) = drafts(&trees);
    diagnostics.extend(found);
    let uses = Uses::new(&drafts, &unset);
    let (mut configuration, found) = configuration(drafts, options.select_tags, completeness);
    configuration.mesh = mesh.into();
    // Whatever else is wrong with a value that lacks a variable is wrong because it lacks it.
    diagnostics.extend(found.into_iter().filter(|diagnostic| !uses.explain(diagnostic)));
    diagnostics.extend(uses.judge(unset, &mut configuration));
    configuration.digest = digest(files);
    configuration.sources = files.to_vec();
    sort(&mut diagnostics, files);
    (configuration, diagnostics)
}

/// Reads a tree that is part of another document.
pub fn read_tree(root: &Node, select_tags: &[String]) -> (Configuration, Vec<Diagnostic>) {
    let (drafts, mesh, mut diagnostics) = drafts(std::slice::from_ref(root));
    let (mut configuration, found) = configuration(drafts, select_tags, Completeness::LogPhase);
    configuration.mesh = mesh.into();
    diagnostics.extend(found);
    (configuration, diagnostics)
}

/// The entities of `trees` before they are validated.
pub(crate) fn all_drafts(trees: &[Node]) -> Drafts {
    drafts(trees).0
}

fn drafts(trees: &[Node]) -> (Drafts, mesh::Resources, Vec<Diagnostic>) {
    let (resources, of_mesh) = mesh::read(trees);
    let (objects, files): (Vec<_>, Vec<_>) = trees.iter().cloned().partition(kubernetes::is_object);
    let files: Vec<_> = files.into_iter().filter(|root| !mesh::is_resource(root)).collect();
    let (mut drafts, mut diagnostics) = reader::drafts(&files);
    diagnostics.extend(of_mesh);
    let (of_kubernetes, found) = kubernetes::drafts(&objects);
    drafts.append(of_kubernetes);
    diagnostics.extend(found);
    (drafts, resources, diagnostics)
}

fn configuration(
    drafts: Drafts,
    select_tags: &[String],
    completeness: Completeness,
) -> (Configuration, Vec<Diagnostic>) {
    Configuration::from_drafts(drafts, Rules { select_tags, completeness })
}

/// The MD5 of `files`, in hexadecimal.
pub(crate) fn digest(files: &[Arc<SourceFile>]) -> String {
    let mut hash = Md5::new();
    for file in files {
        // With the lengths, two files differ from one file with both texts.
        hash.update((file.text.len() as u64).to_le_bytes());
        hash.update(&file.text);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sorts by file and position.
pub fn sort(diagnostics: &mut [Diagnostic], files: &[Arc<SourceFile>]) {
    let order: HashMap<_, _> = files.iter().enumerate().map(|(at, file)| (Arc::as_ptr(file), at)).collect();
    diagnostics.sort_by_key(|diagnostic| {
        let place = diagnostic.place();
        place.map(|place| (order.get(&Arc::as_ptr(&place.file)), place.span.start))
    });
}

#[cfg(test)]
mod tests;
