//! Writes Envoy's maps as JSON.

use crate::envoy::entry::TextMember;
use crate::json::{Writer, sorted};

impl Writer<'_> {
    /// A member with an object of strings, sorted, unless it is empty. Of members with one name the last counts, as in a
    /// map of protobuf.
    pub(crate) fn texts_member(&mut self, name: &str, members: &[TextMember<'_>]) {
        if members.is_empty() {
            return;
        }
        self.open_member(name);
        for member in sorted(members, |member| member.key) {
            self.foreign_name(member.key);
            self.text(member.value);
        }
        self.close(b'}');
    }
}
