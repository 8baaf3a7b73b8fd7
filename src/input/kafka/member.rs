//! The thread that is a member of the consumer group: it polls the client, hands records to the lane of their partition,
//! answers rebalances and commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::lane::LaneHandle;
use super::owned::{Flow, Owned};
use super::stats::ConsumerStats;
use crate::decode::Decode;
use crate::input::Context;
use crate::log::limit::{Limiter, Policy};
use logphase_kafka::consumer::{ClientError, Consumer, Event, Record, TopicPartition, advice};
use logphase_kafka::oauthbearer::TokenSupplier;
use logphase_kafka::settings::Settings;

/// Events that are handled before commits and rooms are looked after.
const EVENTS: usize = 1024;
/// The longest pause while nothing happens.
const PAUSE: Duration = Duration::from_millis(100);
/// The least room of a partition, in bytes.
const MIN_ROOM: usize = 64 << 10;
/// How long a partition that the group takes away may go on, so that fewer records are consumed twice.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between two looks at what has become safe. The client commits what was found.
const STORE_PAUSE: Duration = Duration::from_millis(50);
/// The pause between two publications of the state.
const STATE_PAUSE: Duration = Duration::from_millis(250);
/// The pause before a client that has failed is replaced.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// What the input tells the thread.
#[derive(Debug, Default)]
pub(super) struct Control {
    stop: AtomicBool,
    abort: AtomicBool,
}

impl Control {
    /// Finish what was consumed, commit, and end.
    pub(super) fn stop(&self, thread: &Thread) {
        self.stop.store(true, Ordering::Release);
        thread.unpark();
    }

    /// End at once.
    pub(super) fn abort(&self, thread: &Thread) {
        self.abort.store(true, Ordering::Release);
        self.stop(thread);
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn is_aborted(&self) -> bool {
        self.abort.load(Ordering::Acquire)
    }
}

/// What a member is made from.
pub(super) struct Membership<D> {
    pub(super) context: Context,
    pub(super) decoder: D,
    pub(super) runtime: Handle,
    pub(super) settings: Settings,
    pub(super) tokens: Option<TokenSupplier>,
    pub(super) topics: Vec<String>,
    /// For messages.
    pub(super) addresses: String,
    pub(super) from_start: bool,
    /// Bytes of the records, of all partitions, that are not safe.
    pub(super) max_held_bytes: usize,
    pub(super) control: Arc<Control>,
    pub(super) stats: Arc<ConsumerStats>,
}

impl<D: Decode> Membership<D> {
    /// Consumes until the input stops. A client that fails for good is replaced.
    pub(super) fn run(&self) {
        let _runtime = self.runtime.enter();
        let errors = Limiter::new(Policy::ONE);
        while !self.control.is_stopping() {
            let thread = thread::current();
            let started = Consumer::start(&self.settings, self.tokens.as_ref(), &self.topics, move || thread.unpark());
            let ended = match started {
                Ok(consumer) => {
                    let ended = Member::new(self, &errors).run(&consumer);
                    consumer.close();
                    ended
                }
                Err(error) => Err(error.to_string()),
            };
            self.stats.set_partitions(Vec::new());
            let Err(reason) = ended else { return };
            self.fail(&errors, format!("{reason}; the client is replaced, so that some records may be consumed twice"));
            let until = Instant::now() + RESTART_PAUSE;
            while !self.control.is_stopping() && Instant::now() < until {
                thread::park_timeout(until.saturating_duration_since(Instant::now()));
            }
        }
    }

    fn fail(&self, errors: &Limiter, message: String) {
        if let Some(suppressed) = errors.admit_message(&message) {
            tracing::warn!(input = self.context.input(), suppressed, "{message}");
        }
        self.stats.set_error(message);
    }
}

/// The state of a member.
struct Member<'a, D> {
    membership: &'a Membership<D>,
    errors: &'a Limiter,
    partitions: Vec<Owned>,
    /// The partition of the last record.
    current: usize,
    /// What the group takes away and this member still has.
    leaving: Vec<TopicPartition>,
    store_at: Instant,
    publish_at: Instant,
    looked_at: Instant,
    /// Whether the last thing that is known of the cluster is that it cannot be reached.
    unreachable: bool,
    stopping: bool,
}

impl<'a, D: Decode> Member<'a, D> {
    fn new(membership: &'a Membership<D>, errors: &'a Limiter) -> Self {
        let now = Instant::now();
        Self {
            membership,
            errors,
            partitions: Vec::new(),
            current: 0,
            leaving: Vec::new(),
            store_at: now,
            publish_at: now,
            looked_at: now,
            unreachable: false,
            stopping: false,
        }
    }

    /// Consumes until the input stops.
    ///
    /// # Errors
    /// Why the client can do nothing more.
    fn run(mut self, consumer: &Consumer) -> Result<(), String> {
        while !self.membership.control.is_aborted() {
            let now = Instant::now();
            if self.membership.control.is_stopping() && !self.stopping {
                self.stopping = true;
                self.partitions.iter_mut().for_each(|owned| owned.leave(consumer, None));
            }
            let drained = if self.look_after_rooms(consumer, now) { self.poll(consumer)? } else { true };
            self.partitions.iter_mut().for_each(Owned::send);
            self.finish_leaving(consumer, now);
            self.publish(now);
            if self.stopping && self.partitions.iter().all(Owned::is_idle) {
                self.finish(consumer);
                return Ok(());
            }
            self.store(consumer, now);
            if self.partitions.iter().any(Owned::has_failed) && !self.membership.context.is_stopping() {
                return Err("the task of a partition ended by a bug of its own; please report it".to_owned());
            }
            if drained {
                thread::park_timeout(PAUSE);
            }
        }
        Ok(())
    }

    /// The bytes that one partition may hold. One record more may follow, of any size.
    fn room(&self) -> usize {
        (self.membership.max_held_bytes / self.partitions.len().max(1)).max(MIN_ROOM)
    }

    /// Pauses partitions that are stuck and resumes those that have room again. Returns whether to poll: not while a
    /// partition that is fetched has no room.
    fn look_after_rooms(&mut self, consumer: &Consumer, now: Instant) -> bool {
        let room = self.room();
        let others_wait = self.partitions.iter().any(|owned| owned.flow == Flow::Open && owned.is_idle());
        let passed = now.saturating_duration_since(self.looked_at);
        self.looked_at = now;
        let mut may_poll = true;
        for owned in &mut self.partitions {
            may_poll &= owned.look_after_room(consumer, room, passed, others_wait);
        }
        may_poll
    }

    /// Handles events until none is left, or a partition has no room. Returns whether none was left.
    fn poll(&mut self, consumer: &Consumer) -> Result<bool, String> {
        let room = self.room();
        let mut records = false;
        let mut drained = false;
        for _ in 0..EVENTS {
            let Some(event) = consumer.poll() else {
                drained = true;
                break;
            };
            let Event::Record(record) = event else {
                self.handle(consumer, event)?;
                continue;
            };
            records = true;
            if !self.take(&record, room) {
                break;
            }
        }
        if records {
            self.goes_on();
        }
        Ok(drained)
    }

    /// Adds a record to the chunk of its partition. Returns whether the partition has room for more.
    fn take(&mut self, record: &Record<'_>, room: usize) -> bool {
        let is = |owned: &Owned| owned.is(record.topic(), record.partition());
        if !self.partitions.get(self.current).is_some_and(is) {
            // Given up already: its next owner consumes it.
            let Some(at) = self.partitions.iter().position(is) else { return true };
            self.current = at;
        }
        self.partitions[self.current].take(record.offset(), record.value(), room)
    }

    fn handle(&mut self, consumer: &Consumer, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Record(_) => {}
            Event::Assigned(partitions) => self.assigned(consumer, partitions)?,
            Event::Revoked { partitions, lost } => self.revoked(consumer, partitions, lost),
            Event::Committed(result) => self.committed(result.err()),
            Event::Error(error) => self.failed(error)?,
            Event::Statistics(statistics) => {
                for known in statistics {
                    let is = |owned: &&mut Owned| owned.id == known.partition;
                    if let Some(owned) = self.partitions.iter_mut().find(is) {
                        owned.learn(&known, self.membership.from_start);
                    }
                }
            }
        }
        Ok(())
    }

    fn assigned(&mut self, consumer: &Consumer, partitions: Vec<TopicPartition>) -> Result<(), String> {
        let Membership { context, decoder, stats, .. } = self.membership;
        stats.count_rebalance();
        self.goes_on();
        consumer.assign(&partitions).map_err(|error| format!("cannot take over partitions: {error}"))?;
        tracing::info!(input = context.input(), "partitions assigned: {}", named(&partitions));
        for id in partitions {
            let lane = LaneHandle::start(context.clone(), decoder.clone(), id.clone(), thread::current());
            let mut owned = Owned::new(id, lane);
            if self.stopping {
                owned.leave(consumer, None);
            }
            self.partitions.push(owned);
        }
        Ok(())
    }

    fn revoked(&mut self, consumer: &Consumer, partitions: Vec<TopicPartition>, lost: bool) {
        self.membership.stats.count_rebalance();
        if !self.leaving.is_empty() {
            self.give_up_leaving(consumer, lost);
        }
        let how = if lost { "lost" } else { "revoked" };
        tracing::info!(input = self.membership.context.input(), "partitions {how}: {}", named(&partitions));
        self.leaving = partitions;
        if lost || self.leaving.is_empty() {
            return self.give_up_leaving(consumer, lost);
        }
        let until = Instant::now() + LEAVE_TIMEOUT;
        for owned in self.partitions.iter_mut().filter(|owned| self.leaving.contains(&owned.id)) {
            owned.leave(consumer, Some(until));
        }
    }

    /// Gives up what the group takes away, once that is done.
    fn finish_leaving(&mut self, consumer: &Consumer, now: Instant) {
        if self.leaving.is_empty() {
            return;
        }
        let leaving = self.partitions.iter().filter(|owned| self.leaving.contains(&owned.id));
        if leaving.into_iter().all(|owned| owned.may_leave(now)) {
            self.give_up_leaving(consumer, false);
        }
    }

    /// Commits what is safe of the partitions that leave, unless they are lost, and gives them up.
    fn give_up_leaving(&mut self, consumer: &Consumer, lost: bool) {
        let leaving = std::mem::take(&mut self.leaving);
        if !lost {
            self.commit(consumer, |owned| leaving.contains(&owned.id));
        }
        self.partitions.retain(|owned| !leaving.contains(&owned.id));
        self.current = 0;
        if let Err(error) = consumer.unassign(&leaving) {
            tracing::debug!("cannot give up partitions: {error}");
        }
        self.publish_at = Instant::now();
    }

    /// Stores what has become safe, for the next commit.
    fn store(&mut self, consumer: &Consumer, now: Instant) {
        if now < self.store_at {
            return;
        }
        self.store_at = now + STORE_PAUSE;
        let offsets: Vec<_> = self.partitions.iter_mut().filter_map(Owned::take_unstored).collect();
        if !offsets.is_empty() {
            consumer.store(&offsets);
        }
    }

    /// The cluster has answered.
    fn goes_on(&mut self) {
        self.unreachable = false;
        self.membership.stats.clear_error();
    }

    /// Commits what is safe of some partitions, and waits for the answer.
    fn commit(&mut self, consumer: &Consumer, of: impl Fn(&&Owned) -> bool) {
        let offsets: Vec<_> = self.partitions.iter().filter(of).filter_map(Owned::safe_offset).collect();
        if !offsets.is_empty() {
            self.committed(consumer.commit(&offsets).err());
        }
    }

    fn committed(&mut self, error: Option<RDKafkaErrorCode>) {
        self.membership.stats.count_commit(error.is_some());
        match error {
            None => self.goes_on(),
            Some(code) => {
                let advice = advice(code);
                let message = format!(
                    "cannot commit offsets: {code}; records since the last commit may be consumed twice; {advice}"
                );
                self.membership.fail(self.errors, message);
            }
        }
    }

    fn failed(&mut self, error: ClientError) -> Result<(), String> {
        let advice = advice(error.code);
        let ClientError { reason, code } = &error;
        if error.is_fatal() {
            return Err(format!("the Kafka client has failed: {reason}; {advice}"));
        }
        let addresses = &self.membership.addresses;
        let outage = matches!(
            code,
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL
        );
        self.unreachable |= outage;
        let message = if outage {
            format!("cannot reach the Kafka cluster at {addresses}: {reason}; trying again; {advice}")
        } else {
            format!("{reason}; trying again; {advice}")
        };
        self.membership.fail(self.errors, message);
        Ok(())
    }

    fn publish(&mut self, now: Instant) {
        if now >= self.publish_at {
            self.publish_at = now + STATE_PAUSE;
            self.membership.stats.set_partitions(self.partitions.iter().map(Owned::state).collect());
        }
    }

    /// Commits what is safe before the end.
    fn finish(&mut self, consumer: &Consumer) {
        if self.unreachable {
            // The answer would be waited for.
            let input = self.membership.context.input();
            tracing::warn!(
                input,
                "the cluster cannot be reached to commit offsets: some records may be consumed twice"
            );
        } else {
            self.commit(consumer, |_| true);
        }
    }
}

/// The first of these partitions, and how many there are.
fn named(partitions: &[TopicPartition]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = partitions.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = partitions.len().saturating_sub(SHOWN);
    match (shown.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}
