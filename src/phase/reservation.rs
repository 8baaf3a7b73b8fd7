//! The reservations of a batch in the queues, and its messages until they are appended.

use std::collections::VecDeque;

use bytes::Bytes;

use super::intake::IntakeError;
use super::plan::Plan;
use super::worker::Generation;
use logphase_queue::{DropReason, Receipt, ReserveError};

/// The reservations and messages of a batch. The cost depends on the plans of the batch, not on the number of plugins.
#[derive(Default)]
pub(super) struct Reservations {
    steps: Vec<StepReservation>,
    /// The steps with a reservation, in order of reservation.
    reserved: VecDeque<usize>,
}

#[derive(Default)]
struct StepReservation {
    entries: Vec<Bytes>,
    /// Reserved entries and bytes that are not appended yet.
    reserved: (usize, usize),
    /// Entries and bytes that are being requested.
    requested: (usize, usize),
}

impl Reservations {
    /// Reserves room for all of the transactions in the queues of their plans, or for none.
    pub(super) fn reserve(
        &mut self,
        generation: &Generation,
        plans: &[Plan],
        sizes: &[usize],
    ) -> Result<(), IntakeError> {
        self.steps.resize_with(generation.program.steps.len(), StepReservation::default);
        let requests = self.add_up_requests(generation, plans, sizes);
        let failed = requests.iter().enumerate().find_map(|(at, &step)| {
            let (entries, bytes) = self.steps[step].requested;
            let error = generation.queues[step].as_ref()?.reserve(entries, bytes).err()?;
            Some((at, step, error))
        });
        for (at, step) in requests.into_iter().enumerate() {
            let reservation = &mut self.steps[step];
            let (entries, bytes) = std::mem::take(&mut reservation.requested);
            match (&failed, &generation.queues[step]) {
                (Some((first, ..)), Some(queue)) if at < *first => queue.release(entries, bytes),
                (Some(_), _) => {}
                (None, _) => {
                    if reservation.reserved.0 == 0 {
                        self.reserved.push_back(step);
                    }
                    reservation.reserved.0 += entries;
                    reservation.reserved.1 += bytes;
                }
            }
        }
        let Some((_, step, error)) = failed else { return Ok(()) };
        let plugin = generation.program.steps[step].label.to_string();
        Err(match error {
            ReserveError::Full => IntakeError::Full { plugin },
            ReserveError::Failing => IntakeError::Failing { plugin },
            ReserveError::TooLarge => IntakeError::TooMany { plugin, transactions: plans.len() },
        })
    }

    /// Adds up the room that the transactions need in the queue of each step. Returns the steps.
    fn add_up_requests(&mut self, generation: &Generation, plans: &[Plan], sizes: &[usize]) -> Vec<usize> {
        let mut requests = Vec::new();
        for (plan, size) in plans.iter().zip(sizes) {
            for &step in plan.iter().filter(|step| generation.queues[**step].is_some()) {
                let requested = &mut self.steps[step].requested;
                if requested.0 == 0 {
                    requests.push(step);
                }
                requested.0 += 1;
                requested.1 += size;
            }
        }
        requests
    }

    /// Adds a message of `step`, which has a reservation.
    pub(super) fn push(&mut self, step: usize, message: Bytes) {
        self.steps[step].entries.push(message);
    }

    /// Releases the reservation of `size` bytes for a message of `step` that is dropped for `reason`.
    pub(super) fn drop_message(&mut self, generation: &Generation, step: usize, size: usize, reason: DropReason) {
        if let Some(queue) = &generation.queues[step] {
            queue.release_dropped(1, size, reason);
            let reserved = &mut self.steps[step].reserved;
            reserved.0 -= 1;
            reserved.1 -= size;
        }
    }

    /// Appends the messages to the queues.
    pub(super) fn append(&mut self, generation: &Generation, receipt: &Receipt) {
        // One by one: after a panic the remaining reservations can still be released.
        while let Some(step) = self.reserved.pop_front() {
            let StepReservation { entries, reserved: (_, bytes), .. } = std::mem::take(&mut self.steps[step]);
            let Some(queue) = &generation.queues[step] else { continue };
            if !entries.is_empty() {
                queue.append(entries, bytes, receipt);
            } else if bytes > 0 {
                queue.release(0, bytes);
            }
        }
    }

    /// Releases all reservations.
    pub(super) fn release(&mut self, generation: &Generation) {
        while let Some(step) = self.reserved.pop_front() {
            let StepReservation { reserved: (entries, bytes), .. } = std::mem::take(&mut self.steps[step]);
            if let Some(queue) = generation.queues[step].as_ref().filter(|_| entries > 0) {
                queue.release(entries, bytes);
            }
        }
    }
}
