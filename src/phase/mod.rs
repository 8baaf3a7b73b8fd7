//! The log phase: which plugins run for a transaction, and the workers that run them.

mod fault;
mod fields;
mod identity;
mod intake;
mod lane;
mod plan;
mod program;
mod pulse;
mod run;
mod tap;
mod worker;

pub use fault::{Fault, Faults, Suspension};
pub use fields::{Field, Fields, Totals};
pub use intake::{Batch, Intake, Outcome, Refusal};
pub use lane::{Gate, Lane};
pub use plan::{Plan, Planner};
pub use program::{Compiled, Program, Step};
pub use pulse::Pulse;
pub use run::{Observer, Part, Runner};
pub use tap::{After, Condition, Sample, Taps, TooMany, Watching, Wish};
pub use worker::{Generation, Live, Tally, Workers};

#[cfg(test)]
mod tests;
