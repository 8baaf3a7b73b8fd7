//! The log phase: the plan of each transaction, and the workers that run it. It does not depend on inputs.

mod asks;
mod breaker;
mod changes;
mod fit;
mod full;
mod heartbeat;
mod identity;
mod intake;
mod known;
mod last_transactions;
mod loaded;
mod ordered;
mod plan;
mod program;
mod reservation;
mod run;
mod scopes;
mod snippets;
mod tap;
mod turns;
mod unlogged;
mod wake;
mod worker;

pub use asks::{Ask, Asker, Asks, WINDOW};
pub use breaker::{Breaker, Suspension};
pub use changes::{Change, ChangedBy, Changes};
pub use fit::{Fit, Unlogged};
pub use heartbeat::Heartbeat;
pub(crate) use identity::mask as protocol_mask;
pub use intake::{Batch, BatchResult, FairBy, Intake, IntakeError, Reply};
pub(crate) use known::KnownSteps;
pub use last_transactions::LastTransactions;
pub use ordered::{Fence, OrderedIntake};
pub use plan::{Plan, Planner};
pub use program::{Compiled, Program, Step};
pub use run::{Observer, Part, Runner};
pub use snippets::{SnippetKey, SnippetRegistry, SnippetTotals};
pub use tap::{
    Condition, LineOutput, MessageOutcome, Sample, Source, Subscription, TapFilter, Taps, Text, TooManyTaps,
};
pub use turns::{BatchReceiver, BatchSender, Share, batch_channel};
pub use unlogged::UnloggedCounts;
pub use wake::wake_workers;
pub use worker::{Generation, Live, WorkerStats, Workers};

#[cfg(test)]
mod tests;
