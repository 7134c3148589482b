//! The coordinator's watch over a running load: phases, intervals, and when it is over.
//!
//! Wakes some forty times a second and takes each worker's lock for a moment.

use std::sync::Arc;

use crate::clock::{Clock, Monotonic, Nanos};
use crate::host::{HiccupMeter, sleep_until};
use crate::plan::{Confirms, Layout, Plan};
use crate::record::recorder::{Collector, Gauges, MeasureWindows, Slot, histogram};
use crate::record::{Counts, Interval, Observer, Phase, RunEvent, Series, SeriesInterval};
use crate::results::{LimitWindows, OfferedWindows, Stop};
use crate::units::Span;

use super::control::{Alert, Control, Stage, StopSignal};
use super::coordinator::{TICK, measure_windows};

/// The coordinator's watch over a running load.
pub(super) struct Watch<'a> {
    plan: &'a Plan,
    control: Arc<Control>,
    collectors: Vec<Collector>,
    observer: &'a mut dyn Observer,
    meter: Option<HiccupMeter>,
    start: Nanos,
    pub(super) measure: MeasureWindows,
    /// For each producer fleet: copies owed for each of its messages, over consumed subscriptions.
    pub(super) reach: Vec<u64>,
    /// For each producer fleet: how many times the broker stores each of its messages, as far as the plan knows.
    stored: Vec<u64>,
    /// For each consumer fleet: its source keeps what it delivered.
    keeps: Vec<bool>,
    /// Sums of all collected intervals, by stream.
    pub(super) sums: Vec<StreamSum>,
    pub(super) limits: Vec<LimitWindows>,
    pub(super) offered: OfferedWindows,
    interval: u32,
    interval_start: Nanos,
    phase: Phase,
    /// When the load ended, once it has.
    pub(super) ceased: Option<Nanos>,
    /// Counts that fell into intervals of the measure phase, and how long those were.
    pub(super) in_measure: (Counts, Span),
}

/// What one stream came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StreamSum {
    pub(super) counts: Counts,
    pub(super) planned_measured: u64,
    pub(super) sent_measured: u64,
    pub(super) confirmed_measured: u64,
    pub(super) delivered_measured: u64,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        layout: &Layout,
        start: Nanos,
        collectors: Vec<Collector>,
        control: Arc<Control>,
        observer: &'a mut dyn Observer,
    ) -> Self {
        let reach = (0..plan.producers.len())
            .map(|fleet| {
                let producer = layout
                    .producers
                    .iter()
                    .find(|producer| producer.fleet == fleet);
                let reaches = producer.map_or(&[][..], |producer| &producer.reaches[..]);
                reaches
                    .iter()
                    .filter(|index| layout.subscriptions[**index].consumed)
                    .count() as u64
            })
            .collect();
        let measure = measure_windows(plan, start);
        let limits = plan
            .time_limits()
            .into_iter()
            .map(|limit| LimitWindows {
                series: limit.series,
                limit_ns: limit.limit_ns,
                due: vec![0; measure.count()],
                above: vec![0; measure.count()],
            })
            .collect();
        Self {
            plan,
            control,
            collectors,
            observer,
            meter: HiccupMeter::start(histogram()).ok(),
            start,
            measure,
            reach,
            stored: (0..plan.producers.len())
                .map(|fleet| stored(plan, layout, fleet))
                .collect(),
            keeps: plan
                .consumers
                .iter()
                .map(|fleet| {
                    let mut of_it = layout
                        .subscriptions
                        .iter()
                        .filter(|s| s.queue == fleet.queue);
                    of_it.any(|subscription| subscription.keeps)
                })
                .collect(),
            sums: vec![StreamSum::default(); layout.streams.len()],
            limits,
            offered: OfferedWindows {
                planned: vec![0; measure.count()],
                sent: vec![0; measure.count()],
            },
            interval: 0,
            interval_start: start,
            phase: Phase::Setup,
            ceased: None,
            in_measure: (Counts::default(), Span::ZERO),
        }
    }

    /// Watches until nothing more is to come; returns why the run ended.
    pub(super) fn run(&mut self, stop: &StopSignal) -> Stop {
        let mut reason = None;
        self.enter(if self.plan.timing.warmup > Span::ZERO {
            Phase::Warmup
        } else {
            Phase::Measure
        });
        loop {
            let boundary = self.interval_end();
            sleep_until(boundary.min(Monotonic.now() + TICK));
            let now = Monotonic.now();
            if let Some(fatal) = self.hear(&mut reason, now) {
                self.end_load(now);
                return fatal;
            }
            if stop.asked() > 1 {
                self.control.advance(Stage::Abort);
                self.end_load(now);
                return Stop::Interrupted;
            }
            if stop.asked() == 1 && !matches!(reason, Some(Stop::Interrupted)) {
                reason = Some(Stop::Interrupted);
                self.cease(now);
            }
            if now >= boundary {
                self.collect(now);
            }
            let status = self.status();
            if self.ceased.is_none() {
                if let Some(full) = self.backlog_full(&status) {
                    reason = Some(full);
                    self.cease(now);
                } else if now >= self.measure.end {
                    self.ceased = Some(self.measure.end);
                } else if status.gauges.exhausted {
                    reason.get_or_insert(Stop::MessagesSent);
                    self.ceased = Some(now);
                }
            }
            let Some(ceased) = self.ceased else { continue };
            // Only once the publishing worker itself has noticed the last of its schedule: a stalled one has due messages
            // that no gauge knows of yet.
            let settled = status.has_noticed_all
                && status.gauges.held == 0
                && status.gauges.unconfirmed == 0
                && status.in_flight == 0;
            if (settled && now >= ceased + TICK) || now >= ceased + self.plan.timing.drain {
                self.end_load(now);
                return reason.unwrap_or(Stop::Completed);
            }
        }
    }

    /// Ends the interval in which the load was cut off. One of the drain goes on until the workers have closed.
    fn end_load(&mut self, now: Nanos) {
        self.ceased.get_or_insert(now);
        if self.phase != Phase::Drain {
            self.collect(now);
        }
    }

    /// Hears the workers' alerts; returns the reason where one of them ends the run at once.
    fn hear(&mut self, reason: &mut Option<Stop>, now: Nanos) -> Option<Stop> {
        for alert in self.control.alerts() {
            match alert {
                Alert::Note(text) => self.observer.observe(&RunEvent::Note(text)),
                Alert::Failed(detail) => return Some(Stop::BrokerFailed { detail }),
                Alert::Overloaded(detail) if reason.is_none() => {
                    self.observer
                        .observe(&RunEvent::Note(format!("overloaded: {detail}")));
                    *reason = Some(Stop::Overloaded { detail });
                    self.cease(now);
                }
                Alert::Overloaded(_) => {}
            }
        }
        None
    }

    /// No new load from now on.
    fn cease(&mut self, now: Nanos) {
        self.control.advance(Stage::Cease);
        self.ceased.get_or_insert(now);
    }

    fn enter(&mut self, phase: Phase) {
        if self.phase == phase {
            return;
        }
        self.phase = phase;
        let length = match phase {
            Phase::Warmup => Some(self.plan.timing.warmup),
            Phase::Measure => Some(self.plan.timing.measure),
            Phase::Drain => Some(self.plan.timing.drain),
            Phase::Setup | Phase::Teardown => None,
        };
        self.observer
            .observe(&RunEvent::Phase(phase, length.map(Span::as_ns)));
    }

    /// When the current interval ends: its length after its start, or where the phase ends.
    fn interval_end(&self) -> Nanos {
        let whole = self.interval_start + self.plan.timing.interval;
        let phase_end = match self.phase {
            Phase::Warmup => self.measure.start,
            Phase::Measure => self.ceased.unwrap_or(self.measure.end),
            _ => Nanos::NEVER,
        };
        whole.min(phase_end.max(self.interval_start))
    }

    /// What is under way, including what was not yet collected.
    fn status(&self) -> Status {
        let mut status = Status {
            has_noticed_all: true,
            ..Status::default()
        };
        let fleets = self.plan.producers.len();
        let add = |status: &mut Status, stream: usize, counts: &Counts| {
            if stream < fleets {
                let reach = self.reach[stream];
                // Apart, for a message is often returned in a later interval than it was sent in.
                status.owed += counts.sent * reach;
                // What was nacked may still come; it is not waited for.
                let refused = counts.returned + counts.nacked;
                status.refused += refused * reach;
                status.sent_bytes += counts.sent_bytes * self.stored[stream];
                status.refused_bytes +=
                    refused * self.plan.producers[stream].size.as_bytes() * self.stored[stream];
            } else {
                status.delivered += counts.delivered;
                // A stream keeps what it delivered.
                if !self.keeps[stream - fleets] {
                    status.delivered_bytes += counts.delivered_bytes;
                }
            }
        };
        for (stream, sum) in self.sums.iter().enumerate() {
            add(&mut status, stream, &sum.counts);
        }
        for (number, collector) in self.collectors.iter().enumerate() {
            let gauges = collector.peek(|stream, counts| add(&mut status, stream, counts));
            status.gauges.held += gauges.held;
            status.gauges.unconfirmed += gauges.unconfirmed;
            status.gauges.blocked += gauges.blocked;
            let publishes = number == 0 && fleets > 0;
            status.has_noticed_all &= gauges.exhausted || !publishes;
        }
        // A schedule that has come to its last message is not yet over: only a number of messages ends a load early.
        let numbered = self
            .plan
            .producers
            .iter()
            .all(|fleet| fleet.messages.is_some());
        status.gauges.exhausted = status.has_noticed_all && fleets > 0 && numbered;
        status.in_flight = status
            .owed
            .saturating_sub(status.refused + status.delivered);
        status
    }

    fn backlog_full(&self, status: &Status) -> Option<Stop> {
        let gone = status.delivered_bytes + status.refused_bytes;
        let waiting = status.sent_bytes.saturating_sub(gone);
        let most = self.plan.max_backlog;
        (waiting > most.as_bytes()).then(|| Stop::BacklogFull {
            detail: format!(
                "{:.1} MiB of bodies waited on the broker, max_backlog is {most}",
                waiting as f64 / f64::from(1 << 20)
            ),
        })
    }

    /// Ends the interval: takes the workers' sheets, adds them up, and tells the observer.
    pub(super) fn collect(&mut self, now: Nanos) {
        let mut series: Vec<SeriesInterval> = Vec::new();
        let mut counts = vec![Counts::default(); self.sums.len()];
        let fleets = self.plan.producers.len();
        for collector in &mut self.collectors {
            for slot in &collector.collect().slots {
                let sum = &mut self.sums[slot.stream];
                counts[slot.stream] += slot.counts;
                sum.counts += slot.counts;
                sum.planned_measured += slot.planned_measured;
                sum.sent_measured += slot.sent_measured;
                for part in slot.intervals().filter(|part| part.measured) {
                    match part.series {
                        Series::ConfirmService => sum.confirmed_measured += part.histogram.len(),
                        Series::DeliveryService => sum.delivered_measured += part.histogram.len(),
                        _ => {}
                    }
                }
                series.extend(slot.intervals());
                let reach = self.reach.get(slot.stream).copied().unwrap_or(0);
                let asks = slot.stream < fleets
                    && self.plan.producers[slot.stream].confirms != Confirms::Off;
                add_up(&mut self.offered.planned, &slot.due_in_window);
                add_up(&mut self.offered.sent, &slot.sent_in_window);
                add_windows(&mut self.limits, slot, reach, asks);
            }
        }
        if let Some(meter) = &self.meter {
            let hiccups = meter.take(histogram());
            if !hiccups.is_empty() {
                let measured = self.phase == Phase::Measure;
                series.push(SeriesInterval {
                    stream: None,
                    series: Series::Hiccup,
                    measured,
                    histogram: hiccups,
                });
            }
        }
        if self.phase == Phase::Measure {
            for stream in &counts {
                self.in_measure.0 += *stream;
            }
            let length = now.saturating_since(self.interval_start);
            self.in_measure.1 = self.in_measure.1.saturating_add(length);
        }
        let status = self.status();
        let interval = Interval {
            index: self.interval,
            start_ns: self.interval_start.saturating_since(self.start).as_ns(),
            end_ns: now.saturating_since(self.start).as_ns(),
            phase: self.phase,
            counts,
            series,
            in_flight: status.in_flight,
            unconfirmed: status.gauges.unconfirmed,
            blocked: status.gauges.blocked,
            held: status.gauges.held,
        };
        self.observer
            .observe(&RunEvent::Interval(Arc::new(interval)));
        self.interval += 1;
        self.interval_start = now;
        match (self.phase, self.ceased) {
            (Phase::Warmup | Phase::Measure, Some(_)) => self.enter(Phase::Drain),
            (Phase::Measure, None) if now >= self.measure.end => self.enter(Phase::Drain),
            (Phase::Warmup, None) if now >= self.measure.start => self.enter(Phase::Measure),
            _ => {}
        }
    }
}

/// Distinct queues that keep a fleet's messages until they are taken. One that drops by itself bounds its own backlog; an
/// exchange that was there before may have bindings that nobody here knows: it counts as one.
fn stored(plan: &Plan, layout: &Layout, fleet: usize) -> u64 {
    let producer = layout
        .producers
        .iter()
        .find(|producer| producer.fleet == fleet);
    let reached: Vec<_> = producer
        .map_or(&[][..], |p| &p.reaches[..])
        .iter()
        .map(|index| &layout.subscriptions[*index])
        .collect();
    if reached.is_empty() {
        let exchange = plan
            .topology
            .exchange(&plan.producers[fleet].target.exchange);
        return u64::from(exchange.is_some_and(|exchange| exchange.existing));
    }
    let mut queues: Vec<&str> = reached
        .iter()
        .filter(|s| s.drops_by.is_none())
        .map(|s| s.queue.as_str())
        .collect();
    queues.dedup();
    queues.len() as u64
}

fn add_up(sums: &mut [u64], more: &[u64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

fn add_windows(limits: &mut [LimitWindows], slot: &Slot, reach: u64, asks: bool) {
    for limit in limits {
        let copies = match limit.series {
            Series::ConfirmResponse | Series::ConfirmService => u64::from(asks),
            _ => reach,
        };
        for (due, planned) in limit.due.iter_mut().zip(&slot.due_in_window) {
            *due += planned * copies;
        }
        let found = slot
            .exceeding()
            .iter()
            .find(|e| e.limit.series == limit.series && e.limit.limit_ns == limit.limit_ns);
        for (above, more) in limit
            .above
            .iter_mut()
            .zip(found.map_or(&[][..], |found| &found.above[..]))
        {
            *above += more;
        }
    }
}

/// What is under way.
#[derive(Debug, Clone, Copy, Default)]
struct Status {
    gauges: Gauges,
    has_noticed_all: bool,
    owed: u64,
    refused: u64,
    delivered: u64,
    in_flight: u64,
    sent_bytes: u64,
    refused_bytes: u64,
    delivered_bytes: u64,
}
