//! Writes Envoy's maps and structures as JSON.

use crate::envoy::message::{Kind, Struct, TextMember, Value};
use crate::json::{Writer, sorted};

impl Writer<'_> {
    /// A member with an object of strings, sorted, unless it is empty. Of members with one name the last counts, as in a
    /// map of protobuf.
    pub(crate) fn texts_member(&mut self, name: &str, members: &[TextMember]) {
        if members.is_empty() {
            return;
        }
        self.open_member(name);
        for member in sorted(members, |member| &member.key) {
            self.foreign_name(&member.key);
            self.text(&member.value);
        }
        self.close(b'}');
    }

    /// `google.protobuf.Struct` as JSON, with sorted members.
    pub(crate) fn structure(&mut self, structure: &Struct) {
        self.open(b'{');
        for member in sorted(&structure.fields, |member| &member.key) {
            self.foreign_name(&member.key);
            match &member.value {
                Some(value) => self.value(value),
                None => self.serialized(()),
            }
        }
        self.close(b'}');
    }

    fn value(&mut self, value: &Value) {
        match &value.kind {
            None | Some(Kind::Null(_)) => self.serialized(()),
            Some(Kind::Number(number)) => self.float(*number),
            Some(Kind::String(text)) => self.text(text),
            Some(Kind::Bool(value)) => self.serialized(value),
            Some(Kind::Struct(structure)) => self.structure(structure),
            Some(Kind::List(list)) => {
                self.open(b'[');
                list.values.iter().for_each(|value| self.value(value));
                self.close(b']');
            }
        }
    }
}
