//! Members that are added to one plugin's message after the edits were made, and yet yield to them.

use super::key_path::{KeyPath, Name, Part};
use super::tree::{Message, Mode, Node, Slice, position};

/// The names that such members may have; edits of these are remembered.
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

/// An edit of a member that may be added later.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    path: KeyPath,
    value: Option<Vec<u8>>,
    mode: Mode,
}

impl Edit {
    /// The edit, where it is one of such a member.
    pub(super) fn of(path: &KeyPath, value: Option<&Vec<u8>>, mode: Mode) -> Option<Self> {
        let name = first(path)?;
        let late = name.plain.starts_with(b"body") || name.plain.starts_with(b"response_body");
        (late && NAMES.iter().any(|known| known.as_bytes() == &*name.plain)).then(|| Self {
            path: path.clone(),
            value: value.cloned(),
            mode,
        })
    }
}

fn first(path: &KeyPath) -> Option<&Name> {
    match path.parts().first()? {
        Part::Name(name) => Some(name),
        Part::Index(_) => None,
    }
}

impl Message {
    /// Adds the member `name`, one of [`NAMES`], as if it had been there before any edit: those of it are made anew,
    /// and the last word is theirs. A member of this name that came with the transaction stays as it is.
    pub(super) fn add_late(&mut self, name: &str, node: Node) {
        if self.transaction().get(name).is_some() {
            return;
        }
        let bytes = self.transaction().bytes().clone();
        let wanted = Name::new(name, self.style().escaping);
        let at = position(&self.root, &wanted, &bytes).unwrap_or_else(|| {
            self.root.push((Slice::Owned(wanted.encoded.clone()), Node::null()));
            self.root.len() - 1
        });
        let edited = std::mem::replace(&mut self.root[at].1, node);
        let edits = std::mem::take(&mut self.late);
        let of_it = edits.iter().filter(|edit| first(&edit.path).is_some_and(|name| name.plain == wanted.plain));
        for edit in of_it {
            // What led through a table before may not do so through the body: then the edits' own member stays.
            if self.edit(&edit.path, edit.value.clone(), edit.mode).is_err() {
                if let Some(at) = position(&self.root, &wanted, &bytes) {
                    self.root[at].1 = edited;
                }
                break;
            }
        }
        self.late = edits;
    }
}
