//! The loop that drives many producers and consumers over one port.
//!
//! A turn handles what happened, notices what is due, hands over what may go, and says when it wants to be woken; the
//! wait itself is the port's. Nothing here blocks, allocates or looks up a name for each message. The same loop runs
//! over real sockets in a thread and over the simulator's port on a scripted clock.

use std::sync::Arc;

use crate::clock::{Clock, Nanos};
use crate::driver::{Event, Port};
use crate::record::recorder::{MeasureWindows, Recorder, Sheet};
use crate::units::Span;

use super::consumer::{Consumer, Scheduled, Subscription};
use super::control::{Alert, Control, Stage};
use super::pacer::{Fleet, Source};
use super::producer::{Answered, Producer, ProducerEnd};

/// Longest sleep: how soon a worker notices a change of stage.
const NOTICE: Span = Span::from_ms(100);
/// Shortest time between two looks at the schedules. Above 20,000 messages a second it makes small bursts of a wake-up
/// for each message, at the price of a lag of at most this much, which is on record; a wake-up costs a shared machine
/// more than a message does.
const PACE: Span = Span::from_ns(50_000);
/// How often lateness is held against the limit.
const OVERLOAD_CHECK: Span = Span::from_ms(50);
/// How often the gauges are read; not each turn, for that looks at every producer.
const GAUGE: Span = Span::from_ms(5);
/// Most messages that one producer without a schedule sends in a turn, so that answers are read in between.
const PULL_BATCH: u64 = 256;

/// A consumer with where its records go.
#[derive(Debug)]
pub(super) struct Seat {
    /// The state machine.
    pub(super) consumer: Consumer,
    /// Index of its stream in the worker's sheet.
    pub(super) slot: usize,
    /// Index into the worker's subscriptions.
    pub(super) subscription: usize,
    /// For a person: its fleet and its source.
    pub(super) label: String,
}

/// Everything that one worker drives.
#[derive(Debug)]
pub(super) struct Crew {
    /// Producer fleets.
    pub(super) fleets: Vec<Fleet>,
    /// For each producer of the port: its fleet, and its position in it.
    pub(super) producer_at: Vec<(usize, usize)>,
    /// For each connection of the port, for a person: whose it is, and where it goes.
    pub(super) connections: Vec<String>,
    /// For each connection of the port: its producers' port indices.
    pub(super) producers_on: Vec<Vec<u32>>,
    /// For each consumer of the port.
    pub(super) seats: Vec<Seat>,
    /// Subscriptions of this worker.
    pub(super) subscriptions: Vec<Subscription>,
    /// For each producer of the run: whether it has a schedule.
    pub(super) scheduled: Vec<bool>,
    /// The measure phase.
    pub(super) windows: MeasureWindows,
    /// A message later than this ends the run.
    pub(super) overload: Span,
}

/// A worker.
#[derive(Debug)]
pub(super) struct Worker<P, C> {
    port: P,
    clock: C,
    crew: Crew,
    recorder: Recorder,
    control: Arc<Control>,
    events: Vec<Event>,
    /// For each fleet: positions of the producers that have something waiting.
    waiting: Vec<Waiting>,
    blocked: Vec<bool>,
    /// Seats whose consumers take time over a message.
    thinking: Vec<usize>,
    gauged: Nanos,
    checked: Nanos,
    ceased: bool,
}

#[derive(Debug)]
struct Waiting {
    list: Vec<usize>,
    is_listed: Vec<bool>,
}

/// What a worker leaves behind.
#[derive(Debug)]
pub(super) struct WorkerEnd {
    /// Its producers.
    pub(super) producers: Vec<ProducerEnd>,
    /// For each of its fleets: its stream in the run, and its greatest burst.
    pub(super) bursts: Vec<(usize, u64)>,
    /// Its subscriptions.
    pub(super) subscriptions: Vec<Subscription>,
}

impl<P: Port, C: Clock> Worker<P, C> {
    /// A worker over a port whose connections are open.
    pub(super) fn new(
        port: P,
        clock: C,
        crew: Crew,
        recorder: Recorder,
        control: Arc<Control>,
    ) -> Self {
        let waiting = crew
            .fleets
            .iter()
            .map(|fleet| Waiting {
                list: Vec::with_capacity(fleet.producers.len()),
                is_listed: vec![false; fleet.producers.len()],
            })
            .collect();
        let blocked = vec![false; crew.producers_on.len()];
        let thinking = (0..crew.seats.len())
            .filter(|seat| crew.seats[*seat].consumer.thinks())
            .collect();
        Self {
            port,
            clock,
            crew,
            recorder,
            control,
            events: Vec::with_capacity(4096),
            waiting,
            blocked,
            thinking,
            gauged: Nanos::ZERO,
            checked: Nanos::ZERO,
            ceased: false,
        }
    }

    /// Starts with what happened before it was made.
    pub(super) fn with_events(mut self, events: Vec<Event>) -> Self {
        self.events.extend(events);
        self
    }

    /// Runs until told to finish; closes the port by `closing` after that.
    pub(super) fn run(mut self, closing: Span) -> WorkerEnd {
        while self.control.stage() < Stage::Finish {
            let until = self.turn();
            self.wait(until);
        }
        self.finish(closing)
    }

    /// Waits for what happens, at most until `until`.
    pub(super) fn wait(&mut self, until: Nanos) {
        self.port.pump(until, &mut self.events);
    }

    /// One turn; returns when the next one is wanted at the latest.
    pub(super) fn turn(&mut self) -> Nanos {
        let now = self.clock.now();
        if self.control.stage() >= Stage::Cease && !self.ceased {
            self.cease(now);
        }
        let recorder = self.recorder.clone();
        let mut sheet = recorder.lock();
        self.handle_events(&mut sheet);
        let mut wake = now + NOTICE;
        self.notice_due(now, &mut sheet);
        wake = wake.min(self.send(now, &mut sheet));
        for seat in &self.thinking {
            if let Some(next) = self.crew.seats[*seat].consumer.step(now, &mut self.port) {
                wake = wake.min(next);
            }
        }
        self.port.flush(&mut self.events);
        self.handle_events(&mut sheet);
        // Fresh before each longer sleep too: the coordinator ends a run by what it reads here.
        if now.saturating_since(self.gauged) >= GAUGE || wake > now + GAUGE {
            self.gauged = now;
            self.update_gauges(now, &mut sheet);
        }
        drop(sheet);
        if now.saturating_since(self.checked) >= OVERLOAD_CHECK {
            self.checked = now;
            self.check_lateness(now);
        }
        wake
    }

    fn cease(&mut self, now: Nanos) {
        self.ceased = true;
        let windows = self.crew.windows;
        for (fleet, waiting) in self.crew.fleets.iter_mut().zip(&mut self.waiting) {
            fleet.source.stop();
            for producer in &mut fleet.producers {
                producer.abandon(now, &windows);
            }
            waiting.list.clear();
            waiting.is_listed.fill(false);
        }
    }

    /// Notices what is due and puts the producers concerned on the waiting lists.
    fn notice_due(&mut self, now: Nanos, sheet: &mut Sheet) {
        for (fleet, waiting) in self.crew.fleets.iter_mut().zip(&mut self.waiting) {
            let Fleet {
                slot,
                source,
                producers,
                burst_max,
                ..
            } = fleet;
            if let Source::Paced(pacer) = source {
                let noticed = pacer.notice(
                    now,
                    &self.crew.windows,
                    &mut sheet.slots[*slot],
                    |position, due| {
                        producers[position].notice(due, now);
                        if !waiting.is_listed[position] {
                            waiting.is_listed[position] = true;
                            waiting.list.push(position);
                        }
                    },
                );
                *burst_max = (*burst_max).max(noticed);
            }
        }
    }

    /// Hands over what may go; returns when the next message is due, or now where a loop could go on at once.
    fn send(&mut self, now: Nanos, sheet: &mut Sheet) -> Nanos {
        let mut wake = Nanos::NEVER;
        for (fleet, waiting) in self.crew.fleets.iter_mut().zip(&mut self.waiting) {
            match &mut fleet.source {
                Source::Paced(pacer) => {
                    let Waiting { list, is_listed } = waiting;
                    list.retain(|position| {
                        let waits = fleet.producers[*position].advance(now, &mut self.port);
                        is_listed[*position] = waits;
                        waits
                    });
                    wake = wake.min(pacer.next_due().max(now + PACE));
                }
                Source::Pulled { start, .. } if now < *start => wake = wake.min(*start),
                Source::Pulled {
                    end, left, turn, ..
                } if now < *end && *left > 0 => {
                    let mut could_go_on = false;
                    let count = fleet.producers.len();
                    let slot = &mut sheet.slots[fleet.slot];
                    for step in 0..count {
                        let producer = &mut fleet.producers[(*turn + step) % count];
                        let most = PULL_BATCH.min(*left);
                        let taken = producer.pull(now, most, &mut self.port);
                        *left -= taken;
                        could_go_on |= taken == most && most > 0;
                        slot.counts.planned += taken;
                        if let Some(window) = self.crew.windows.index(now) {
                            slot.planned_measured += taken;
                            if let Some(due) = slot.due_in_window.get_mut(window) {
                                *due += taken;
                            }
                        }
                        fleet.burst_max = fleet.burst_max.max(taken);
                    }
                    *turn = (*turn + 1) % count;
                    if *left == 0 {
                        rest(&mut fleet.producers, now);
                    } else if could_go_on {
                        wake = now;
                    }
                }
                Source::Pulled { left, .. } if *left > 0 => {
                    *left = 0;
                    rest(&mut fleet.producers, now);
                }
                Source::Pulled { .. } => {}
            }
        }
        wake
    }

    fn handle_events(&mut self, sheet: &mut Sheet) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            self.handle(event, sheet);
        }
        self.events = events;
    }

    fn handle(&mut self, event: Event, sheet: &mut Sheet) {
        match event {
            Event::Delivered { consumer, delivery } => {
                let Some(seat) = self.crew.seats.get_mut(consumer as usize) else {
                    return;
                };
                let windows = Scheduled {
                    measure: &self.crew.windows,
                    producers: &self.crew.scheduled,
                };
                seat.consumer.on_delivered(
                    &delivery,
                    &mut self.crew.subscriptions[seat.subscription],
                    &windows,
                    &mut sheet.slots[seat.slot],
                    &mut self.port,
                );
            }
            Event::Sent {
                producer,
                messages,
                at,
            } => {
                let windows = self.crew.windows;
                if let Some((producer, slot)) = self.producer(producer) {
                    producer.on_sent(messages, at, &windows, &mut sheet.slots[slot]);
                }
            }
            Event::Settled {
                producer,
                tag,
                multiple,
                answer,
                at,
            } => {
                let windows = self.crew.windows;
                if let Some((producer, slot)) = self.producer(producer) {
                    let answered = Answered {
                        tag,
                        multiple,
                        answer,
                        at,
                    };
                    producer.on_settled(answered, &windows, &mut sheet.slots[slot]);
                }
            }
            Event::Returned {
                producer, stamp, ..
            } => {
                if let (Some((producer, slot)), Ok(stamp)) = (self.producer(producer), stamp) {
                    producer.on_returned(stamp.sequence, &mut sheet.slots[slot]);
                }
            }
            Event::Blocked { connection, .. } => self.on_blocked(connection, Blocking::Begins),
            Event::Unblocked { connection, .. } => self.on_blocked(connection, Blocking::Ends),
            Event::Cancelled { consumer, .. } => {
                let label = self
                    .crew
                    .seats
                    .get(consumer as usize)
                    .map_or("?", |seat| &seat.label);
                self.control.alert(Alert::Failed(format!(
                    "the broker cancelled a consumer of {label} during the run (basic.cancel): the queue was deleted \
                     or became unavailable"
                )));
            }
            Event::Closed {
                connection, cause, ..
            } => {
                let label = self.connection_label(connection);
                self.control.alert(Alert::Failed(format!(
                    "{label} ended during the run: {cause}"
                )));
            }
        }
    }

    fn connection_label(&self, connection: u32) -> &str {
        self.crew
            .connections
            .get(connection as usize)
            .map_or("a connection", String::as_str)
    }

    fn producer(&mut self, port_index: u32) -> Option<(&mut Producer, usize)> {
        let (fleet, position) = *self.crew.producer_at.get(port_index as usize)?;
        let fleet = self.crew.fleets.get_mut(fleet)?;
        Some((fleet.producers.get_mut(position)?, fleet.slot))
    }

    fn on_blocked(&mut self, connection: u32, blocking: Blocking) {
        let Some(state) = self.blocked.get_mut(connection as usize) else {
            return;
        };
        *state = blocking == Blocking::Begins;
        // An alarm blocks all that publish: the first and the last of many say it.
        match (
            blocking,
            self.blocked.iter().filter(|blocked| **blocked).count(),
        ) {
            (Blocking::Begins, 1) => self.control.alert(Alert::Note(format!(
                "the broker blocked {} (connection.blocked); others that publish may follow",
                self.connection_label(connection)
            ))),
            (Blocking::Ends, 0) => self.control.alert(Alert::Note(
                "the broker unblocked all connections".to_owned(),
            )),
            _ => {}
        }
        for producer in self.crew.producers_on[connection as usize].clone() {
            let Some((producer, _)) = self.producer(producer) else {
                continue;
            };
            match blocking {
                Blocking::Begins => producer.block(),
                Blocking::Ends => producer.unblock(),
            }
        }
    }

    fn update_gauges(&self, now: Nanos, sheet: &mut Sheet) {
        let producers = self.crew.fleets.iter().flat_map(|fleet| &fleet.producers);
        let gauges = &mut sheet.gauges;
        (gauges.held, gauges.unconfirmed) = (0, 0);
        for producer in producers {
            gauges.held += producer.held() + producer.unsent();
            gauges.unconfirmed += producer.unanswered();
        }
        let blocked = self
            .blocked
            .iter()
            .zip(&self.crew.producers_on)
            .filter(|(blocked, _)| **blocked);
        gauges.blocked = blocked.map(|(_, producers)| producers.len() as u32).sum();
        gauges.exhausted = gauges.held == 0
            && self
                .crew
                .fleets
                .iter()
                .all(|fleet| fleet.source.is_exhausted(now));
    }

    fn check_lateness(&mut self, now: Nanos) {
        for (fleet, waiting) in self.crew.fleets.iter().zip(&self.waiting) {
            let oldest = waiting
                .list
                .iter()
                .filter_map(|position| fleet.producers[*position].oldest_held())
                .min();
            let late = oldest.map_or(Span::ZERO, |due| now.saturating_since(due));
            if late > self.crew.overload {
                self.control.alert(Alert::Overloaded(format!(
                    "the oldest waiting message was {:.1} s late, the limit is {}",
                    late.as_secs_f64(),
                    self.crew.overload
                )));
            }
        }
    }

    /// Settles up, closes the port and gives an account.
    pub(super) fn finish(mut self, closing: Span) -> WorkerEnd {
        let now = self.clock.now();
        let recorder = self.recorder.clone();
        let mut sheet = recorder.lock();
        self.handle_events(&mut sheet);
        for seat in &mut self.crew.seats {
            seat.consumer.finish(&mut self.port);
        }
        self.port.flush(&mut self.events);
        self.handle_events(&mut sheet);
        drop(sheet);
        let deadline = if self.control.stage() == Stage::Abort {
            now
        } else {
            now + closing
        };
        self.port.close(deadline);
        let windows = self.crew.windows;
        let bursts = self
            .crew
            .fleets
            .iter()
            .map(|fleet| (fleet.stream, fleet.burst_max))
            .collect();
        let producers = self
            .crew
            .fleets
            .into_iter()
            .flat_map(|fleet| fleet.producers);
        WorkerEnd {
            producers: producers
                .map(|producer| producer.finish(now, &windows))
                .collect(),
            bursts,
            subscriptions: self.crew.subscriptions,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocking {
    Begins,
    Ends,
}

/// Producers without a schedule have sent their last message: whatever they still wait for, it is not to send.
fn rest(producers: &mut [Producer], now: Nanos) {
    for producer in producers {
        producer.rest(now);
    }
}
