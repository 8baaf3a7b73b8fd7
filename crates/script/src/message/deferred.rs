//! Members that are added to a plugin's message after the edits, but that the edits take precedence over.

use super::edit::Mode;
use super::key_path::{KeyPath, Name, Part};

/// The names of such members. Edits of these are recorded.
pub(super) const NAMES: [&str; 10] = [
    "body",
    "body_args",
    "body_base64",
    "body_error",
    "body_size",
    "response_body",
    "response_body_args",
    "response_body_base64",
    "response_body_error",
    "response_body_size",
];

/// Edits that are recorded at most: each of them is applied again whenever such a member is added.
pub(super) const MAX_EDITS: usize = 256;
/// Bytes of recorded edits at most.
pub(super) const MAX_BYTES: usize = 4 << 20;

/// An edit of a member that may be added later.
#[derive(Debug, Clone)]
pub(super) struct DeferredEdit {
    pub(super) path: KeyPath,
    pub(super) value: Option<Vec<u8>>,
    pub(super) mode: Mode,
}

impl DeferredEdit {
    /// Bytes that it takes, approximately.
    pub(super) fn bytes(&self) -> usize {
        self.path.text().len() + self.value.as_ref().map_or(0, Vec::len)
    }

    /// The edit, if it is of such a member.
    pub(super) fn of(path: &KeyPath, value: Option<&Vec<u8>>, mode: Mode) -> Option<Self> {
        let name = first(path)?;
        let deferred = name.plain.starts_with(b"body") || name.plain.starts_with(b"response_body");
        (deferred && NAMES.iter().any(|known| known.as_bytes() == &*name.plain)).then(|| Self {
            path: path.clone(),
            value: value.cloned(),
            mode,
        })
    }
}

/// The name of the outermost member that `path` leads to.
pub(super) fn first(path: &KeyPath) -> Option<&Name> {
    match path.parts().first()? {
        Part::Name(name) => Some(name),
        Part::Index(_) => None,
    }
}
