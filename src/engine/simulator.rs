//! The engine's own state machines and loop on a virtual clock, against a broker whose truth is known.
//!
//! Single-threaded, seeded, without sockets: the same plan gives the same bytes every time, at about a million messages
//! a second. The broker is one FIFO server for all messages, with faults by message and by time. Not a model of
//! RabbitMQ: a ruler. For tests.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use hdrhistogram::Histogram;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use crate::clock::{Clock, Nanos, Scripted};
use crate::driver::{Admission, Answer, Delivery, DriverError, Event, Port, Settlement};
use crate::plan::{AckPolicy, Confirms, Layout, Plan};
use crate::record::recorder::{Collector, MeasureWindows, Recorder, SheetShape};
use crate::record::{Counts, Series};
use crate::results::{Subscription, Totals};
use crate::stamp::{Stamp, StampError};
use crate::units::Span;

use super::balance;
use super::control::Control;
use super::crew::crew;
use super::worker::{Worker, WorkerEnd};

/// What one message takes of the server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Service {
    /// Always the same.
    Fixed(Span),
    /// Exponential with this mean: an M/M/1 queue where arrivals are Poisson.
    Exponential(Span),
}

/// What happens to single messages, by (producer, sequence).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Confirmed, never delivered.
    Drop,
    /// Delivered twice.
    Duplicate,
    /// Nacked, and delivered all the same.
    Nack,
    /// Returned, then acked, as RabbitMQ does; never delivered.
    Return,
    /// Delivered with a damaged stamp.
    Corrupt,
    /// Delivered after the next message.
    Swap,
    /// Delivered, never confirmed.
    Withhold,
}

/// The truth about the simulated broker. Times of day count from the start of the load.
#[derive(Debug, Clone)]
pub struct Truth {
    /// Of the FIFO server.
    pub service: Service,
    /// From the server to the client, for deliveries and confirms alike.
    pub delay: Span,
    /// The server stands still: (from, length).
    pub stalls: Vec<(Span, Span)>,
    /// Confirms wait until the end: (from, length).
    pub withheld: Vec<(Span, Span)>,
    /// Confirms are sent for every so many messages at once.
    pub confirm_every: u64,
    /// What becomes of single messages.
    pub fates: HashMap<(u32, u64), Fate>,
    /// From which service times are drawn.
    pub seed: u64,
}

impl Default for Truth {
    fn default() -> Self {
        Self {
            service: Service::Fixed(Span::ZERO),
            delay: Span::ZERO,
            stalls: Vec::new(),
            withheld: Vec::new(),
            confirm_every: 1,
            fates: HashMap::new(),
            seed: 1,
        }
    }
}

/// What the engine reported of a simulated run.
#[derive(Debug)]
pub struct Simulated {
    /// The ledger.
    pub totals: Totals,
    /// Each subscription's balance.
    pub subscriptions: Vec<Subscription>,
    /// Times of messages due in the measure phase, all streams together.
    pub times: HashMap<Series, Histogram<u64>>,
    /// Publishes of the measure phase that nobody answered.
    pub unanswered_measured: u64,
    /// Greatest number of messages noticed on one wake-up.
    pub burst_max: u64,
    /// Time that producers waited: for the window, for the socket, blocked; in ns.
    pub waited_ns: (u64, u64, u64),
}

impl Simulated {
    /// The percentile of a series in ns; 0 where it has no values.
    pub fn percentile(&self, series: Series, percentile: f64) -> u64 {
        self.times
            .get(&series)
            .map_or(0, |times| times.value_at_percentile(percentile))
    }
}

/// Runs a plan against the truth. Queues are taken as proved empty at the end.
pub fn simulate(plan: &Plan, truth: &Truth) -> Simulated {
    let layout = plan.layout();
    let start = Nanos(1_000_000_000);
    let clock = Scripted::at(start);
    let server = Rc::new(RefCell::new(Server::new(truth.clone(), &layout, start)));
    let measure = start + plan.timing.warmup;
    let windows = MeasureWindows {
        start: measure,
        end: measure + plan.timing.measure,
        window: Span::from_secs(1),
    };
    let control = Arc::new(Control::default());
    let mut workers = Vec::new();
    let mut collectors = Vec::new();
    for (number, worker) in layout.workers.iter().enumerate() {
        let shape = SheetShape {
            slots: worker.slots.clone(),
            limits: plan.time_limits(),
            windows: windows.count(),
        };
        let (recorder, collector) = Recorder::new(&shape);
        let port = SimulatedPort::new(number, &layout, plan, Rc::clone(&server), clock.clone());
        let crew = crew(plan, &layout, number, start, windows);
        workers.push(Worker::new(
            port,
            clock.clone(),
            crew,
            recorder,
            Arc::clone(&control),
        ));
        collectors.push(collector);
    }
    let end = windows.end + plan.timing.drain;
    let mut wakes = vec![start; workers.len()];
    while clock.now() < end {
        for (worker, wake) in workers.iter_mut().zip(&mut wakes) {
            worker.wait(clock.now());
            *wake = worker.turn();
        }
        let next = wakes
            .iter()
            .copied()
            .min()
            .unwrap_or(end)
            .min(server.borrow().next_event())
            .min(end);
        clock.set(next.max(clock.now()));
        if clock.now() > windows.end
            && server.borrow().is_idle()
            && collectors.iter().all(|c| c.gauges().held == 0)
        {
            break;
        }
    }
    let ends = workers
        .into_iter()
        .map(|worker| worker.finish(Span::ZERO))
        .collect();
    report(plan, &layout, &mut collectors, ends)
}

/// What the engine's own books say at the end.
fn report(
    plan: &Plan,
    layout: &Layout,
    collectors: &mut [Collector],
    ends: Vec<WorkerEnd>,
) -> Simulated {
    let mut counts = Counts::default();
    let mut asked = 0;
    let mut times: HashMap<Series, Histogram<u64>> = HashMap::new();
    for collector in collectors {
        for slot in &collector.collect().slots {
            counts += slot.counts;
            let confirms = plan
                .producers
                .get(slot.stream)
                .is_some_and(|fleet| fleet.confirms != Confirms::Off);
            asked += if confirms { slot.counts.sent } else { 0 };
            for part in slot.intervals().filter(|part| part.measured) {
                let sum = times
                    .entry(part.series)
                    .or_insert_with(crate::record::recorder::histogram);
                // The bounds are the same for all.
                let _ = sum.add(&part.histogram);
            }
        }
    }
    let burst_max = ends
        .iter()
        .flat_map(|end| &end.bursts)
        .map(|(_, burst)| *burst)
        .max()
        .unwrap_or(0);
    let mut producers = Vec::new();
    let mut received = Vec::new();
    for end in ends {
        producers.extend(end.producers);
        received.extend(end.subscriptions);
    }
    let subscriptions: Vec<Subscription> = layout
        .subscriptions
        .iter()
        .enumerate()
        .map(|(index, subscription)| {
            let tallies = received.iter().find(|tallies| tallies.index == index);
            balance::subscription(index, subscription, layout, &producers, tallies, Some(0))
        })
        .collect();
    let waited = producers
        .iter()
        .map(|p| p.account)
        .fold((0, 0, 0), |sum, account| {
            (
                sum.0 + account.window_ns,
                sum.1 + account.socket_ns,
                sum.2 + account.blocked_ns,
            )
        });
    Simulated {
        totals: balance::totals(
            &counts,
            asked,
            balance::returned_unasked(plan, layout, producers.iter()),
            &subscriptions,
        ),
        subscriptions,
        times,
        unanswered_measured: producers
            .iter()
            .map(|producer| producer.unanswered_measured)
            .sum(),
        burst_max,
        waited_ns: waited,
    }
}

/// An event on its way to a port: (when, order, worker).
type Due = Reverse<(Nanos, u64, usize)>;

/// The one server, and what is on its way back to the ports.
#[derive(Debug)]
struct Server {
    truth: Truth,
    start: Nanos,
    free_at: Nanos,
    random: ChaCha8Rng,
    order: u64,
    due: BinaryHeap<Due>,
    events: HashMap<u64, Event>,
    /// For each subscription: (worker, the port's consumers), and whose turn is next.
    consumers: Vec<(Option<usize>, Vec<u32>, usize)>,
    tags: HashMap<(usize, u32), u64>,
    /// For each producer of the run: subscriptions reached.
    reaches: Vec<Vec<usize>>,
    /// A message that waits for the next one to overtake it: (producer's subscriptions, body length, stamp).
    swapped: Option<(u32, u64, Stamp)>,
}

impl Server {
    fn new(truth: Truth, layout: &Layout, start: Nanos) -> Self {
        let mut consumers = vec![(None, Vec::new(), 0); layout.subscriptions.len()];
        for (number, worker) in layout.workers.iter().enumerate() {
            for (port_index, (_, subscription, _)) in worker.consumers.iter().enumerate() {
                consumers[*subscription].0 = Some(number);
                consumers[*subscription].1.push(port_index as u32);
            }
        }
        Self {
            random: ChaCha8Rng::seed_from_u64(truth.seed),
            truth,
            start,
            free_at: start,
            order: 0,
            due: BinaryHeap::new(),
            events: HashMap::new(),
            consumers,
            tags: HashMap::new(),
            reaches: layout
                .producers
                .iter()
                .map(|producer| producer.reaches.clone())
                .collect(),
            swapped: None,
        }
    }

    fn next_event(&self) -> Nanos {
        self.due
            .peek()
            .map_or(Nanos::NEVER, |Reverse((at, _, _))| *at)
    }

    fn is_idle(&self) -> bool {
        self.due.is_empty()
    }

    /// When the server is done with a message that came at `now`.
    fn serve(&mut self, now: Nanos) -> Nanos {
        let service = match self.truth.service {
            Service::Fixed(span) => span,
            Service::Exponential(mean) => {
                let uniform = ((self.random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
                Span::from_ns((-uniform.ln() * mean.as_ns() as f64) as u64)
            }
        };
        let mut done = self.free_at.max(now) + service;
        let mut begun = self.free_at.max(now);
        for (from, length) in &self.truth.stalls {
            let (from, until) = (self.start + *from, self.start + *from + *length);
            // What is being served, or comes, while the server stands still takes up where it left off.
            if done > from && begun < until {
                done = done + until.saturating_since(begun.max(from));
                begun = until;
            }
        }
        self.free_at = done;
        done
    }

    fn push(&mut self, at: Nanos, worker: usize, event: Event) {
        self.order += 1;
        self.due.push(Reverse((at, self.order, worker)));
        self.events.insert(self.order, event);
    }

    /// A message arrives from `worker`'s producer with this tag.
    fn publish(&mut self, now: Nanos, worker: usize, publish: &Publish) {
        let done = self.serve(now);
        let at = done + self.truth.delay;
        let stamp = publish.stamp;
        let fate = self
            .truth
            .fates
            .get(&(stamp.producer, stamp.sequence))
            .copied();
        if fate == Some(Fate::Return) {
            let returned = Event::Returned {
                producer: publish.port_index,
                stamp: Ok(stamp),
                code: 312,
                at,
            };
            self.push(at, worker, returned);
        }
        if publish.confirms && fate != Some(Fate::Withhold) {
            self.confirm(at, worker, publish, fate);
        }
        match fate {
            Some(Fate::Drop | Fate::Return) => {}
            Some(Fate::Swap) => self.swapped = Some((publish.port_index, publish.size, stamp)),
            _ => {
                self.deliver(at, stamp, publish.size, fate == Some(Fate::Corrupt));
                if fate == Some(Fate::Duplicate) {
                    self.deliver(at, stamp, publish.size, false);
                }
                if let Some((_, size, late)) = self.swapped.take() {
                    self.deliver(at, late, size, false);
                }
            }
        }
    }

    fn confirm(&mut self, at: Nanos, worker: usize, publish: &Publish, fate: Option<Fate>) {
        let withheld =
            self.truth.withheld.iter().find(|(from, length)| {
                at >= self.start + *from && at < self.start + *from + *length
            });
        let at = withheld.map_or(at, |(from, length)| self.start + *from + *length);
        let every = self.truth.confirm_every.max(1);
        let nacked = fate == Some(Fate::Nack);
        if !publish.tag.is_multiple_of(every) && !nacked && fate != Some(Fate::Return) {
            return;
        }
        let answer = if nacked { Answer::Nack } else { Answer::Ack };
        let multiple = every > 1 && !nacked && fate != Some(Fate::Return);
        let settled = Event::Settled {
            producer: publish.port_index,
            tag: publish.tag,
            multiple,
            answer,
            at,
        };
        self.push(at, worker, settled);
    }

    fn deliver(&mut self, at: Nanos, stamp: Stamp, size: u64, is_corrupt: bool) {
        for subscription in self.reaches[stamp.producer as usize].clone() {
            let (Some(worker), consumers, turn) = &mut self.consumers[subscription] else {
                continue;
            };
            let (worker, consumer) = (*worker, consumers[*turn % consumers.len()]);
            *turn += 1;
            let tag = self.tags.entry((worker, consumer)).or_insert(0);
            *tag += 1;
            let delivery = Delivery {
                tag: *tag,
                redelivered: false,
                body_len: size,
                stamp: if is_corrupt {
                    Err(StampError::Corrupt)
                } else {
                    Ok(stamp)
                },
                at,
            };
            self.push(at, worker, Event::Delivered { consumer, delivery });
        }
    }
}

#[derive(Debug)]
struct Publish {
    port_index: u32,
    tag: u64,
    size: u64,
    confirms: bool,
    stamp: Stamp,
}

/// One worker's port on the simulated server.
#[derive(Debug)]
struct SimulatedPort {
    worker: usize,
    server: Rc<RefCell<Server>>,
    clock: Scripted,
    queued: Vec<Publish>,
    tags: Vec<u64>,
    confirms: Vec<bool>,
    prefetch_is_kept: bool,
}

impl SimulatedPort {
    fn new(
        worker: usize,
        layout: &Layout,
        plan: &Plan,
        server: Rc<RefCell<Server>>,
        clock: Scripted,
    ) -> Self {
        let confirms: Vec<bool> = layout.workers[worker]
            .spec
            .producers
            .iter()
            .map(|p| p.confirms)
            .collect();
        Self {
            worker,
            server,
            clock,
            queued: Vec::new(),
            tags: vec![0; confirms.len()],
            confirms,
            prefetch_is_kept: plan
                .consumers
                .iter()
                .all(|fleet| fleet.ack == AckPolicy::Auto),
        }
    }
}

impl Port for SimulatedPort {
    fn open(&mut self, _: u32, _: Nanos) -> Result<(), DriverError> {
        Ok(())
    }

    fn queue(&mut self, producer: u32, stamp: &Stamp, size: u64) -> Admission {
        let tag = &mut self.tags[producer as usize];
        *tag += 1;
        let confirms = self.confirms[producer as usize];
        self.queued.push(Publish {
            port_index: producer,
            tag: *tag,
            size,
            confirms,
            stamp: *stamp,
        });
        Admission::Taken
    }

    fn settle(&mut self, _: u32, _: u64, _: bool, _: Settlement) {
        // The simulated server delivers without bound: prefetch is a matter for real brokers.
        debug_assert!(!self.prefetch_is_kept);
    }

    fn flush(&mut self, events: &mut Vec<Event>) {
        let now = self.clock.now();
        for mut publish in std::mem::take(&mut self.queued) {
            publish.stamp.sent = now;
            events.push(Event::Sent {
                producer: publish.port_index,
                messages: 1,
                at: now,
            });
            self.server.borrow_mut().publish(now, self.worker, &publish);
        }
    }

    fn pump(&mut self, _: Nanos, events: &mut Vec<Event>) {
        let now = self.clock.now();
        let mut server = self.server.borrow_mut();
        let mut others = Vec::new();
        while let Some(Reverse((at, order, worker))) = server.due.peek().copied() {
            if at > now {
                break;
            }
            server.due.pop();
            if worker == self.worker {
                events.extend(server.events.remove(&order));
            } else {
                others.push(Reverse((at, order, worker)));
            }
        }
        server.due.extend(others);
    }

    fn close(&mut self, _: Nanos) {}

    fn unwritten(&self) -> u64 {
        0
    }
}
