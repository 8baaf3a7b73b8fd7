//! Compiles a pattern's tree to instructions for the backtracking matcher.

use std::collections::HashMap;
use std::rc::Rc;

use super::ast::{Assertion, Ast, Greediness, Node};
use super::hints::Hints;
use super::set::Set;

/// Instructions of a program.
const MAX_INSTRUCTIONS: usize = 20_000;
/// Bytes of a program's literals.
const MAX_BYTES: usize = 64 << 10;

/// A position in the program.
pub(super) type Pc = u32;
/// An index into the slots, which hold the spans of groups and the state of loops and assertions.
pub(super) type Slot = u32;

#[derive(Debug, Clone, Copy)]
pub(super) enum Inst {
    Match,
    Byte(u8),
    /// A range of the pool of literals.
    Bytes {
        from: u32,
        length: u32,
    },
    Set(u32),
    Assertion(Assertion),
    /// Saves the position in a slot.
    Save(Slot),
    /// Ends a group whose start is in the last slot, for groups with back-references.
    Close {
        group: u32,
        begun: Slot,
    },
    Split {
        first: Pc,
        second: Pc,
    },
    Jump(Pc),
    /// A repeated set.
    Run {
        set: u32,
        min: u32,
        max: u32,
        greediness: Greediness,
    },
    /// Leaves a loop for `out` if its last iteration, which began at the slot's position, was empty.
    Turn {
        begun: Slot,
        out: Pc,
    },
    /// Saves the height of the stack.
    Mark(Slot),
    /// Drops all alternatives since the mark.
    Cut(Slot),
    /// Returns to the slot's position.
    Return(Slot),
    /// Begins a negative assertion, which continues at `after` if its body does not match.
    Not {
        mark: Slot,
        after: Pc,
    },
    /// The body of a negative assertion has matched.
    Refuse(Slot),
    /// Moves back by a number of characters.
    BackBy(u32),
    /// A back-reference.
    Back {
        list: u32,
        caseless: bool,
    },
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) insts: Vec<Inst>,
    pub(super) pool: Vec<u8>,
    pub(super) sets: Vec<Rc<Set>>,
    /// The groups of each back-reference.
    pub(super) lists: Vec<Box<[u32]>>,
    pub(super) slots: usize,
    pub(super) utf: bool,
    /// A reference to an unset group matches the empty string instead of failing.
    pub(super) javascript: bool,
    pub(super) hints: Hints,
}

/// The compiled pattern would exceed the limits.
#[derive(Debug)]
pub(super) struct TooLarge;

struct Compiler {
    program: Program,
    referred: Vec<bool>,
    /// Sets that are already in the program: repeated nodes are compiled several times.
    known: HashMap<Known, u32>,
}

#[derive(PartialEq, Eq, Hash)]
enum Known {
    Set(*const Set),
    Literal(u32),
}

/// Compiles a pattern.
pub(super) fn compile(ast: &Ast, utf: bool, javascript: bool) -> Result<Program, TooLarge> {
    let mut referred = vec![false; ast.groups as usize + 1];
    find_referred(&ast.node, &mut referred);
    let program = Program {
        insts: Vec::new(),
        pool: Vec::new(),
        sets: Vec::new(),
        lists: Vec::new(),
        slots: (ast.groups as usize + 1) * 2,
        utf,
        javascript,
        hints: Hints::new(&ast.node, utf),
    };
    let mut compiler = Compiler { program, referred, known: HashMap::new() };
    compiler.emit(Inst::Save(0))?;
    compiler.node(&ast.node)?;
    compiler.emit(Inst::Save(1))?;
    compiler.emit(Inst::Match)?;
    let mut program = compiler.program;
    program.insts.shrink_to_fit();
    program.pool.shrink_to_fit();
    Ok(program)
}

fn find_referred(node: &Node, referred: &mut [bool]) {
    if let Node::Back { groups, .. } = node {
        groups.iter().for_each(|group| referred[*group as usize] = true);
    }
    node.children().iter().for_each(|node| find_referred(node, referred));
}

impl Program {
    /// The approximate size in bytes.
    pub(super) fn size(&self) -> usize {
        let sets: usize = self.sets.iter().map(|set| set.size() + 16).sum();
        self.insts.len() * size_of::<Inst>() + self.pool.len() + sets + self.lists.len() * 32 + size_of::<Self>()
    }
}

impl Compiler {
    fn here(&self) -> Pc {
        self.program.insts.len() as Pc
    }

    fn emit(&mut self, inst: Inst) -> Result<usize, TooLarge> {
        if self.program.insts.len() >= MAX_INSTRUCTIONS {
            return Err(TooLarge);
        }
        self.program.insts.push(inst);
        Ok(self.program.insts.len() - 1)
    }

    fn slot(&mut self) -> Slot {
        self.program.slots += 1;
        self.program.slots as Slot - 1
    }

    /// The index of a set. The tree keeps it alive, so its address identifies it.
    fn set(&mut self, set: &Rc<Set>) -> u32 {
        self.known_set(Known::Set(Rc::as_ptr(set)), || set.clone())
    }

    fn known_set(&mut self, what: Known, make: impl FnOnce() -> Rc<Set>) -> u32 {
        let sets = &mut self.program.sets;
        *self.known.entry(what).or_insert_with(|| {
            sets.push(make());
            sets.len() as u32 - 1
        })
    }

    fn node(&mut self, node: &Node) -> Result<(), TooLarge> {
        match node {
            Node::Literal(value) => self.literal(*value),
            Node::Set(set) => {
                let set = self.set(set);
                self.emit(Inst::Set(set)).map(drop)
            }
            Node::Assertion(Assertion::Keep) => self.emit(Inst::Save(0)).map(drop),
            Node::Assertion(assertion) => self.emit(Inst::Assertion(*assertion)).map(drop),
            Node::Capture(group, node) => self.capture(*group, node),
            Node::Concat(nodes) => self.concat(nodes),
            Node::Alternate(nodes) => self.alternate(nodes.iter().map(|node| (node, 0))),
            Node::Repeat { node, min, max, greediness } => self.repeat(node, *min, *max, *greediness),
            Node::Atomic(node) => self.atomic(|compiler| compiler.node(node)),
            Node::Look { node, behind, negative } => self.look(node, *behind, *negative),
            Node::Back { groups, caseless } => {
                self.program.lists.push(groups.clone().into());
                let list = self.program.lists.len() as u32 - 1;
                self.emit(Inst::Back { list, caseless: *caseless }).map(drop)
            }
        }
    }

    fn bytes_of(&self, value: u32, buffer: &mut Vec<u8>) {
        match char::from_u32(value) {
            Some(character) if self.program.utf => {
                buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => buffer.push(value as u8),
        }
    }

    fn literal(&mut self, value: u32) -> Result<(), TooLarge> {
        let mut bytes = Vec::with_capacity(4);
        self.bytes_of(value, &mut bytes);
        self.bytes(&bytes)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if let [byte] = bytes {
            return self.emit(Inst::Byte(*byte)).map(drop);
        }
        let from = self.program.pool.len();
        if from + bytes.len() > MAX_BYTES {
            return Err(TooLarge);
        }
        self.program.pool.extend_from_slice(bytes);
        self.emit(Inst::Bytes { from: from as u32, length: bytes.len() as u32 }).map(drop)
    }

    fn concat(&mut self, nodes: &[Node]) -> Result<(), TooLarge> {
        let mut bytes = Vec::new();
        for node in nodes {
            if let Node::Literal(value) = node {
                self.bytes_of(*value, &mut bytes);
                continue;
            }
            if !bytes.is_empty() {
                self.bytes(&bytes)?;
                bytes.clear();
            }
            self.node(node)?;
        }
        if bytes.is_empty() { Ok(()) } else { self.bytes(&bytes) }
    }

    fn capture(&mut self, group: u32, node: &Node) -> Result<(), TooLarge> {
        if self.referred[group as usize] {
            // References inside of the group see its previous match.
            let begun = self.slot();
            self.emit(Inst::Save(begun))?;
            self.node(node)?;
            return self.emit(Inst::Close { group, begun }).map(drop);
        }
        self.emit(Inst::Save(group * 2))?;
        self.node(node)?;
        self.emit(Inst::Save(group * 2 + 1)).map(drop)
    }

    /// Alternatives that each begin by moving back by their width.
    fn alternate<'n>(&mut self, nodes: impl ExactSizeIterator<Item = (&'n Node, u32)>) -> Result<(), TooLarge> {
        let last = nodes.len() - 1;
        let mut ends = Vec::new();
        for (index, (node, back)) in nodes.enumerate() {
            let split = match index < last {
                true => Some(self.emit(Inst::Split { first: self.here() + 1, second: 0 })?),
                false => None,
            };
            if back > 0 {
                self.emit(Inst::BackBy(back))?;
            }
            self.node(node)?;
            if let Some(split) = split {
                ends.push(self.emit(Inst::Jump(0))?);
                let next = self.here();
                self.program.insts[split] = Inst::Split { first: split as Pc + 1, second: next };
            }
        }
        let here = self.here();
        ends.into_iter().for_each(|end| self.program.insts[end] = Inst::Jump(here));
        Ok(())
    }

    fn atomic(&mut self, body: impl FnOnce(&mut Self) -> Result<(), TooLarge>) -> Result<(), TooLarge> {
        let mark = self.slot();
        self.emit(Inst::Mark(mark))?;
        body(self)?;
        self.emit(Inst::Cut(mark)).map(drop)
    }

    fn look(&mut self, node: &Node, behind: bool, negative: bool) -> Result<(), TooLarge> {
        let body = |compiler: &mut Self| {
            // The parser ensures that each of these has a width.
            let width = |node: &Node| if behind { node.width().unwrap_or(0) } else { 0 };
            match node {
                Node::Alternate(nodes) => compiler.alternate(nodes.iter().map(|node| (node, width(node)))),
                node => compiler.alternate(std::iter::once((node, width(node)))),
            }
        };
        if negative {
            let mark = self.slot();
            let not = self.emit(Inst::Not { mark, after: 0 })?;
            body(self)?;
            self.emit(Inst::Refuse(mark))?;
            self.program.insts[not] = Inst::Not { mark, after: self.here() };
            return Ok(());
        }
        let slot = self.slot();
        self.emit(Inst::Save(slot))?;
        self.atomic(body)?;
        self.emit(Inst::Return(slot)).map(drop)
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, greediness: Greediness) -> Result<(), TooLarge> {
        let single = match node {
            Node::Set(set) => Some(self.set(set)),
            Node::Literal(value) => {
                let make = || Rc::new(Set::new(vec![(*value, *value)]));
                Some(self.known_set(Known::Literal(*value), make))
            }
            _ => None,
        };
        if let Some(set) = single {
            return self.emit(Inst::Run { set, min, max: max.unwrap_or(u32::MAX), greediness }).map(drop);
        }
        match greediness {
            Greediness::Possessive => self.atomic(|compiler| compiler.copies(node, min, max, false)),
            greediness => self.copies(node, min, max, greediness == Greediness::Lazy),
        }
    }

    fn copies(&mut self, node: &Node, min: u32, max: Option<u32>, lazy: bool) -> Result<(), TooLarge> {
        for _ in 0..min {
            let before = self.here();
            self.node(node)?;
            if self.here() == before {
                // The empty string, however often it is repeated.
                break;
            }
        }
        let Some(max) = max else { return self.endless(node, lazy) };
        let mut splits = Vec::new();
        for _ in min..max {
            splits.push(self.emit(Inst::Jump(0))?);
            self.node(node)?;
        }
        let out = self.here();
        splits.into_iter().for_each(|split| self.program.insts[split] = fork(split as Pc + 1, out, lazy));
        Ok(())
    }

    fn endless(&mut self, node: &Node, lazy: bool) -> Result<(), TooLarge> {
        let split = self.emit(Inst::Jump(0))?;
        let begun = node.may_be_empty().then(|| self.slot());
        if let Some(begun) = begun {
            self.emit(Inst::Save(begun))?;
        }
        self.node(node)?;
        let turn = begun.map(|begun| self.emit(Inst::Turn { begun, out: 0 }).map(|turn| (turn, begun))).transpose()?;
        self.emit(Inst::Jump(split as Pc))?;
        let out = self.here();
        self.program.insts[split] = fork(split as Pc + 1, out, lazy);
        if let Some((turn, begun)) = turn {
            self.program.insts[turn] = Inst::Turn { begun, out };
        }
        Ok(())
    }
}

fn fork(into: Pc, out: Pc, lazy: bool) -> Inst {
    match lazy {
        true => Inst::Split { first: out, second: into },
        false => Inst::Split { first: into, second: out },
    }
}
