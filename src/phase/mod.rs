//! The log phase: which plugins run for a transaction, and the workers that run them.

mod breaker;
mod fields;
mod heartbeat;
mod identity;
mod intake;
mod ordered;
mod plan;
mod program;
mod run;
mod tap;
mod worker;

pub use breaker::{Breaker, Breakers, Suspension};
pub use fields::{Field, Fields, Totals};
pub use heartbeat::Heartbeat;
pub use intake::{Batch, Intake, Outcome, Refusal};
pub use ordered::{Gate, OrderedIntake};
pub use plan::{Plan, Planner};
pub use program::{Compiled, Program, Step};
pub use run::{Observer, Part, Runner};
pub use tap::{After, Condition, Sample, Taps, TooMany, Watching, Wish};
pub use worker::{Generation, Live, WorkerStats, Workers};

#[cfg(test)]
mod tests;
