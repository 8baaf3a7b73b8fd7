//! The log phase: which plugins run for a transaction, and the workers that run them.

mod intake;

pub use intake::{Batch, Intake, Outcome, Refusal};
