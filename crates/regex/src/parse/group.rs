//! Groups.

use super::super::ast::Node;
use super::{Flags, MAX_DEPTH, Parser, Result};

impl Parser<'_> {
    /// Parses a group after its parenthesis; `None` if it only changes the flags.
    pub(super) fn group(&mut self) -> Result<Option<Node>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("parentheses are too deeply nested"));
        }
        let flags = self.flags;
        let node = self.any_group()?;
        self.depth -= 1;
        if node.is_some() {
            self.flags = flags;
        }
        Ok(node)
    }

    fn any_group(&mut self) -> Result<Option<Node>> {
        if self.peek() == Some(b'*') {
            return Err(self.error("verbs, (*...), are not supported"));
        }
        if !self.eat(b"?") {
            return self.capture(None).map(Some);
        }
        let look = |behind, negative| (behind, negative);
        let (behind, negative) = match self.rest() {
            [b'=', ..] => look(false, false),
            [b'!', ..] => look(false, true),
            [b'<', b'=', ..] => look(true, false),
            [b'<', b'!', ..] => look(true, true),
            _ => return self.named_or_plain(),
        };
        self.at += 1 + usize::from(behind);
        let node = Box::new(self.body()?);
        if behind {
            self.check_width(&node)?;
        }
        Ok(Some(Node::Look { node, behind, negative }))
    }

    /// Look-behind moves back by a known number of characters, which may differ only between top-level alternatives.
    fn check_width(&self, node: &Node) -> Result<()> {
        let sound = match node {
            Node::Alternate(nodes) => nodes.iter().all(|node| node.width().is_some()),
            node => node.width().is_some(),
        };
        if sound { Ok(()) } else { Err(self.error("lookbehind assertion is not fixed length")) }
    }

    fn named_or_plain(&mut self) -> Result<Option<Node>> {
        match self.rest() {
            [b':', ..] => {
                self.at += 1;
                // Wrapped, so that a repetition applies to all of it.
                self.body().map(|node| Some(own(node)))
            }
            [b'>', ..] => {
                self.at += 1;
                Ok(Some(Node::Atomic(Box::new(self.body()?))))
            }
            [b'P', b'=', ..] => {
                self.at += 2;
                self.named_reference(b')').map(Some)
            }
            [b'P', b'<', ..] => self.named_capture(2, b'>').map(Some),
            [b'<', ..] => self.named_capture(1, b'>').map(Some),
            [b'\'', ..] => self.named_capture(1, b'\'').map(Some),
            [b'(', ..] => Err(self.error("conditional groups, (?(...)...), are not supported")),
            [b'|', ..] => Err(self.error("groups that share numbers, (?|...), are not supported")),
            [b'C', ..] => Err(self.error("callouts, (?C), are not supported")),
            [b'R' | b'&' | b'0'..=b'9' | b'+', ..] | [b'P', b'>', ..] | [b'-', b'0'..=b'9', ..] => {
                Err(self.error("recursion is not supported"))
            }
            [b'#', ..] => Err(self.error("missing ) after comment")),
            [b'P', ..] => Err(self.error("unrecognized character after (?P")),
            _ => self.flags_group(),
        }
    }

    fn named_capture(&mut self, skip: usize, close: u8) -> Result<Node> {
        self.at += skip;
        let name = self.name(close)?;
        if !self.flags.duplicates && self.names.iter().any(|known| known.0 == name) {
            return Err(self.error("two named subpatterns have the same name"));
        }
        self.capture(Some(name))
    }

    fn capture(&mut self, name: Option<Box<[u8]>>) -> Result<Node> {
        self.groups += 1;
        let number = self.groups;
        self.names.extend(name.map(|name| (name, number)));
        Ok(Node::Capture(number, Box::new(self.body()?)))
    }

    /// The body of a group and its closing parenthesis.
    fn body(&mut self) -> Result<Node> {
        let node = self.alternatives()?;
        if self.eat(b")") { Ok(node) } else { Err(self.error("missing )")) }
    }

    /// `(?i)` and `(?i-s:...)`.
    fn flags_group(&mut self) -> Result<Option<Node>> {
        let mut flags = self.flags;
        let mut on = true;
        loop {
            let letter = self.peek();
            self.at += 1;
            match letter {
                Some(b'-') => on = false,
                Some(b')') => {
                    self.flags = flags;
                    return Ok(None);
                }
                Some(b':') => {
                    self.flags = flags;
                    return self.body().map(|node| Some(own(node)));
                }
                Some(letter) if set(&mut flags, letter, on) => {}
                None => return Err(self.error("missing )")),
                Some(_) => {
                    self.at -= 1;
                    return Err(self.error("unrecognized character after (? or (?-"));
                }
            }
        }
    }
}

/// Wraps a body that a repetition would apply to only in part.
fn own(node: Node) -> Node {
    match node {
        Node::Assertion(_) | Node::Look { .. } => Node::Concat(vec![node]),
        node => node,
    }
}

fn set(flags: &mut Flags, letter: u8, on: bool) -> bool {
    let flag = match letter {
        b'i' => &mut flags.caseless,
        b'm' => &mut flags.multiline,
        b's' => &mut flags.dot_all,
        b'x' => &mut flags.extended,
        b'U' => &mut flags.ungreedy,
        b'J' => &mut flags.duplicates,
        _ => return false,
    };
    *flag = on;
    true
}
