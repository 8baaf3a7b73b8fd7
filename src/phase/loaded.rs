//! The snippets of a program that a VM has.

use std::rc::Rc;

use super::program::Program;
use logphase_script::{SnippetId, Vm};

/// The snippets that are loaded into a VM, by the steps of its program.
pub(super) struct Loaded {
    steps: Vec<Option<LoadedStep>>,
    /// Bytes of the VM when no snippet was loaded; `None` before the first.
    empty: Option<usize>,
}

/// The loaded snippets of a step.
pub(super) struct LoadedStep {
    snippets: Vec<SnippetId>,
    /// The plugin's label for log lines.
    pub(super) name: Rc<str>,
    /// The plugin's identifier.
    pub(super) id: Rc<str>,
}

impl Loaded {
    /// Nothing of `program`.
    pub(super) fn none_of(program: &Program) -> Self {
        Self { steps: program.steps.iter().map(|_| None).collect(), empty: None }
    }

    /// Whether the snippets of a step are loaded.
    pub(super) fn has(&self, step: usize) -> bool {
        self.steps[step].is_some()
    }

    /// Whether they take so much of the VM that transactions could miss it.
    pub(super) fn is_much(&self, vm: &Vm) -> bool {
        self.empty.is_some_and(|empty| vm.loaded_bytes() - empty > vm.memory_limit() / 4)
    }

    /// The loaded snippets of a step of `program`; loads them into `vm` if they are not.
    ///
    /// # Errors
    /// They do not fit `vm`.
    pub(super) fn step(&mut self, vm: &mut Vm, program: &Program, at: usize) -> Result<&LoadedStep, String> {
        if self.steps[at].is_none() {
            self.empty.get_or_insert_with(|| vm.loaded_bytes());
            let step = &program.steps[at];
            let snippets: Result<Vec<_>, _> = step.parts.iter().map(|part| vm.load(&part.code)).collect();
            let snippets = snippets.map_err(|error| too_small(program, &error))?;
            let (name, id) = (Rc::from(&*step.label), Rc::from(&*step.id));
            self.steps[at] = Some(LoadedStep { snippets, name, id });
        }
        Ok(self.steps[at].as_ref().expect("the step is loaded by now"))
    }

    /// A snippet of a step that is loaded.
    pub(super) fn snippet(&self, step: usize, part: usize) -> SnippetId {
        self.steps[step].as_ref().expect("a step is loaded before its snippets run").snippets[part]
    }
}

/// The error of snippets that do not fit a VM.
pub(super) fn too_small(program: &Program, error: &impl std::fmt::Display) -> String {
    let limit = program.options.limits.memory;
    format!("the snippets do not fit a Lua VM of {limit} bytes: raise the setting lua.memory_limit ({error})")
}
