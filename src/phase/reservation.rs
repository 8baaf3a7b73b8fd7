//! The reservations of a batch in the queues, and its messages until they are appended.
//!
//! An output is that of a step, by the index of the step, or one of the meshes, by its index behind those of all steps.

use std::collections::VecDeque;

use bytes::Bytes;

use super::intake::IntakeError;
use super::plan::Plan;
use super::worker::Generation;
use crate::mesh::Line;
use logphase_queue::{DropReason, Queue, Receipt, ReserveError};

/// What a transaction needs of the queues.
pub(super) struct Needs {
    /// The plugins that run.
    pub(super) plan: Plan,
    /// Bytes of the transaction.
    pub(super) size: usize,
    /// Lines of the access logs of meshes, by the index of the output.
    pub(super) lines: Vec<Line>,
}

impl Needs {
    /// The outputs that it needs room of, with the bytes, in the order in which it appends to them.
    fn outputs(&self, generation: &Generation) -> impl Iterator<Item = (usize, usize)> {
        let first = generation.program.steps.len();
        let steps = self.plan.iter().filter(|step| generation.queues[**step].is_some());
        let lines = self.lines.iter().map(move |line| (first + line.output, line.text.len()));
        steps.map(|step| (*step, self.size)).chain(lines)
    }
}

/// The reservations and messages of a batch. The cost depends on the plans of the batch, not on the number of plugins.
#[derive(Default)]
pub(super) struct Reservations {
    steps: Vec<StepReservation>,
    /// The steps that have a reservation, or that were refused one and are not required, in order.
    listed: VecDeque<usize>,
}

#[derive(Default)]
struct StepReservation {
    entries: Vec<Bytes>,
    /// Reserved entries and bytes that are not appended yet.
    reserved: (usize, usize),
    is_listed: bool,
    /// What is being requested.
    request: Request,
    /// Messages for which room was reserved: the first of the batch.
    granted: usize,
    /// Messages of the batch so far, those that are dropped included.
    seen: usize,
    /// Why the queue has no room for the others. They are dropped, since the plugin is not required.
    refusal: Option<ReserveError>,
    /// Messages without room so far.
    without_room: usize,
}

#[derive(Default, Clone, Copy)]
struct Request {
    entries: usize,
    bytes: usize,
    refusal: Option<ReserveError>,
}

impl StepReservation {
    /// Whether the next message has room.
    fn has_room(&mut self) -> bool {
        self.seen += 1;
        let has_room = self.seen <= self.granted;
        self.without_room += usize::from(!has_room);
        has_room
    }
}

/// Why no room was reserved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    step: usize,
    error: ReserveError,
    /// Transactions that needed room.
    transactions: usize,
}

impl Refusal {
    /// The error for the input.
    pub(super) fn into_error(self, generation: &Generation) -> IntakeError {
        let plugin = generation.output_label(self.step);
        IntakeError::refused(self.error, plugin, self.transactions)
    }

    /// The output whose queue is full, or whose disk fails.
    pub(super) fn full_step(self) -> Option<usize> {
        matches!(self.error, ReserveError::Full(_) | ReserveError::Failing).then_some(self.step)
    }

    /// Counts it in the queue, once the input gets it.
    pub(super) fn count(&self, generation: &Generation) {
        if let Some(queue) = self.full_step().and_then(|step| generation.queues[step].as_ref()) {
            queue.count_refusal(self.error, 0);
        }
    }
}

impl Reservations {
    /// Reserves room for all of the transactions in the queues of their plans, or for none. A plugin that is not required
    /// gets room for the first of the batch that fit, perhaps for none; its other messages will be dropped.
    pub(super) fn reserve(&mut self, generation: &Generation, needs: &[Needs]) -> Result<(), Refusal> {
        self.steps.resize_with(generation.queues.len(), StepReservation::default);
        let requests = self.add_up_requests(generation, needs);
        let failed = requests.iter().enumerate().find_map(|(at, &step)| {
            let error = self.request(generation, step, needs).err()?;
            Some((at, Refusal { step, error, transactions: needs.len() }))
        });
        for (at, step) in requests.into_iter().enumerate() {
            let reservation = &mut self.steps[step];
            let Request { entries, bytes, refusal } = std::mem::take(&mut reservation.request);
            match (&failed, &generation.queues[step]) {
                (Some((first, _)), Some(queue)) if at < *first => queue.release(entries, bytes),
                (Some(_), _) => {}
                (None, _) => {
                    if !std::mem::replace(&mut reservation.is_listed, true) {
                        self.listed.push_back(step);
                    }
                    reservation.reserved.0 += entries;
                    reservation.reserved.1 += bytes;
                    reservation.granted += entries;
                    reservation.refusal = reservation.refusal.or(refusal);
                }
            }
        }
        failed.map_or(Ok(()), |(_, refusal)| Err(refusal))
    }

    /// Adds up the room that the transactions need in the queue of each step. Returns the steps.
    fn add_up_requests(&mut self, generation: &Generation, needs: &[Needs]) -> Vec<usize> {
        let mut requests = Vec::new();
        for needs in needs {
            for (step, size) in needs.outputs(generation) {
                let request = &mut self.steps[step].request;
                if request.entries == 0 {
                    requests.push(step);
                }
                request.entries += 1;
                request.bytes += size;
            }
        }
        requests
    }

    /// Reserves what is requested for `step`. If it is not required, reserves what fits and changes the request to that.
    fn request(&mut self, generation: &Generation, step: usize, needs: &[Needs]) -> Result<(), ReserveError> {
        let StepReservation { request, refusal, .. } = &mut self.steps[step];
        let Some(queue) = &generation.queues[step] else { return Ok(()) };
        if refusal.is_some() {
            // The messages with room are the first of the batch.
            *request = Request::default();
            return Ok(());
        }
        match queue.reserve(request.entries, request.bytes) {
            Ok(()) => Ok(()),
            // Another queue may have replaced it, which has room.
            Err(error) if generation.required[step] || error == ReserveError::Closed => Err(error),
            Err(error) => {
                let all = needs.iter().flat_map(|needs| needs.outputs(generation));
                let of_step = all.filter(|(output, _)| *output == step).map(|(_, size)| size);
                *request = reserve_first(queue.as_ref(), request.entries, of_step);
                request.refusal.get_or_insert(error);
                Ok(())
            }
        }
    }

    /// Adds a message of `step`. Drops it if there is no room for it.
    pub(super) fn push(&mut self, step: usize, message: Bytes) {
        let reservation = &mut self.steps[step];
        if reservation.has_room() {
            reservation.entries.push(message);
        }
    }

    /// Releases the reservation of `size` bytes for a message of `step` that is dropped for `reason`.
    pub(super) fn drop_message(&mut self, generation: &Generation, step: usize, size: usize, reason: DropReason) {
        let Some(queue) = &generation.queues[step] else { return };
        let reservation = &mut self.steps[step];
        if reservation.has_room() {
            queue.release_dropped(1, size, reason);
            reservation.reserved.0 -= 1;
            reservation.reserved.1 -= size;
        }
    }

    /// Appends the messages to the queues.
    pub(super) fn append(&mut self, generation: &Generation, receipt: &Receipt) {
        // One by one: after a panic the remaining reservations can still be released.
        while let Some(step) = self.listed.pop_front() {
            let StepReservation { entries, reserved: (_, bytes), refusal, without_room, .. } =
                std::mem::take(&mut self.steps[step]);
            let Some(queue) = &generation.queues[step] else { continue };
            if !entries.is_empty() {
                queue.append(entries, bytes, receipt);
            } else if bytes > 0 {
                queue.release(0, bytes);
            }
            if let Some(error) = refusal.filter(|_| without_room > 0) {
                queue.count_refusal(error, without_room);
            }
        }
    }

    /// Releases all reservations.
    pub(super) fn release(&mut self, generation: &Generation) {
        while let Some(step) = self.listed.pop_front() {
            let StepReservation { reserved: (entries, bytes), .. } = std::mem::take(&mut self.steps[step]);
            if let Some(queue) = generation.queues[step].as_ref().filter(|_| entries > 0) {
                queue.release(entries, bytes);
            }
        }
    }
}

/// Reserves room for the first of `entries` entries with these `sizes`, as many as fit one by one.
fn reserve_first(queue: &dyn Queue, entries: usize, sizes: impl Iterator<Item = usize>) -> Request {
    let mut granted = Request::default();
    for size in sizes.take(entries).take_while(|_| entries > 1) {
        if let Err(error) = queue.reserve(1, size) {
            granted.refusal = Some(error);
            break;
        }
        granted.entries += 1;
        granted.bytes += size;
    }
    granted
}
