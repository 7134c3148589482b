//! One run from set-up to teardown: opens the workers, walks through the phases, collects intervals, and balances.
//!
//! Off the load path: it wakes some forty times a second and takes each worker's lock for a moment.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::clock::{Clock, Monotonic, Nanos};
use crate::driver::{Admin, Driver, DriverError, Port};
use crate::host::{HiccupMeter, sleep_until};
use crate::plan::{Confirms, Layout, Plan};
use crate::record::recorder::{Collector, Gauges, MeasureWindows, Recorder, SheetShape, histogram};
use crate::record::{Counts, Interval, Observer, Phase, RunEvent, Series, SeriesInterval};
use crate::results::{Censored, LimitWindows, Measured, OfferedWindows, Stop, TimeAccount};
use crate::units::Span;

use super::control::{Alert, Control, Stage, StopSignal};
use super::crew::crew;
use super::worker::{Worker, WorkerEnd};
use super::{Outcome, balance};

const TICK: Span = Span::from_ms(25);
/// Between the moment when all workers are ready and the start of the load.
const LEAD: Span = Span::from_ms(50);
/// Length of a window for exact counts.
const WINDOW: Span = Span::from_secs(1);
/// Most time for saying goodbye.
const CLOSING: Span = Span::from_secs(5);

/// Runs one plan and gives its account. Never fails: what goes wrong stands in the outcome, with what was measured until
/// then.
pub fn run<D: Driver>(
    driver: &D,
    plan: &Plan,
    stop: &StopSignal,
    observer: &mut dyn Observer,
) -> Outcome {
    observer.observe(&RunEvent::Phase(Phase::Setup, None));
    let layout = plan.layout();
    let mut outcome = Outcome {
        stop: Stop::Unfinished,
        broker: None,
        capabilities: driver.capabilities(),
        totals: balance::totals(&Counts::default(), 0, &[]),
        measured: Measured::default(),
        time_account: Vec::new(),
        subscriptions: Vec::new(),
        censored: Vec::new(),
        limits: Vec::new(),
        offered: OfferedWindows::default(),
        left_behind: None,
    };
    let mut admin = match driver.admin() {
        Ok(admin) => admin,
        Err(error) => {
            outcome.stop = failed(&error);
            return outcome;
        }
    };
    outcome.broker = Some(admin.broker().clone());
    match admin.apply(&plan.topology) {
        Ok(()) => load(
            driver,
            plan,
            &layout,
            stop,
            observer,
            &mut admin,
            &mut outcome,
        ),
        Err(error) => outcome.stop = failed(&error),
    }
    observer.observe(&RunEvent::Phase(Phase::Teardown, None));
    outcome.left_behind = admin
        .remove(&plan.topology)
        .err()
        .map(|error| error.to_string());
    if outcome.left_behind.is_some() {
        // The administrator's connection may have gone with the broker's node; a fresh one may do.
        let again = driver
            .admin()
            .and_then(|mut admin| admin.remove(&plan.topology));
        outcome.left_behind = again.err().map(|error| error.to_string());
    }
    outcome
}

fn failed(error: &DriverError) -> Stop {
    match error {
        DriverError::System { .. } => Stop::SystemFailed {
            detail: error.to_string(),
        },
        _ => Stop::BrokerFailed {
            detail: error.to_string(),
        },
    }
}

/// From the first connection to the balanced ledger.
fn load<D: Driver>(
    driver: &D,
    plan: &Plan,
    layout: &Layout,
    stop: &StopSignal,
    observer: &mut dyn Observer,
    admin: &mut D::Admin,
    outcome: &mut Outcome,
) {
    let control = Arc::new(Control::default());
    let ends = std::thread::scope(|scope| {
        let (ready_sender, ready) = channel();
        let mut collectors = Vec::new();
        let mut starts = Vec::new();
        let mut threads = Vec::new();
        for number in 0..layout.workers.len() {
            let (recorder, collector) = Recorder::new(&shape(plan, layout, number));
            let (start_sender, start) = channel();
            let job = Job {
                plan,
                layout,
                number,
                recorder,
                control: Arc::clone(&control),
            };
            let ready = ready_sender.clone();
            collectors.push(collector);
            starts.push(start_sender);
            threads.push(scope.spawn(move || job.run(driver, &ready, &start)));
        }
        drop(ready_sender);
        match await_ready(&ready, layout.workers.len(), stop) {
            Ok(()) => {
                let start = Monotonic.now() + LEAD;
                for sender in &starts {
                    let _ = sender.send(start);
                }
                let mut watch = Watch::new(
                    plan,
                    layout,
                    start,
                    collectors,
                    Arc::clone(&control),
                    observer,
                );
                outcome.stop = watch.run(stop);
                control.advance(Stage::Finish);
                let ends: Vec<WorkerEnd> = threads
                    .into_iter()
                    .filter_map(|t| t.join().ok().flatten())
                    .collect();
                watch.settle(plan, layout, &ends, outcome);
                Some(ends)
            }
            Err(reason) => {
                control.advance(Stage::Abort);
                outcome.stop = reason;
                None
            }
        }
    });
    if let Some(ends) = ends {
        account(layout, ends, admin, outcome);
    }
}

fn shape(plan: &Plan, layout: &Layout, worker: usize) -> SheetShape {
    let windows = plan.timing.measure.as_ns().div_ceil(WINDOW.as_ns()) as usize;
    SheetShape {
        slots: layout.workers[worker].slots.clone(),
        limits: plan.time_limits(),
        windows,
    }
}

/// Waits until every worker has its connections open, or one cannot, or the user gives up.
fn await_ready(
    ready: &Receiver<Result<(), DriverError>>,
    workers: usize,
    stop: &StopSignal,
) -> Result<(), Stop> {
    let mut waiting = workers;
    while waiting > 0 {
        match ready.recv_timeout(TICK.as_duration()) {
            Ok(Ok(())) => waiting -= 1,
            Ok(Err(error)) => return Err(failed(&error)),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if stop.asked() > 0 => {
                return Err(Stop::Interrupted);
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                return Err(Stop::SystemFailed {
                    detail: "a worker ended before it was ready".into(),
                });
            }
        }
    }
    Ok(())
}

/// What one worker thread has to do.
struct Job<'a> {
    plan: &'a Plan,
    layout: &'a Layout,
    number: usize,
    recorder: Recorder,
    control: Arc<Control>,
}

impl Job<'_> {
    fn run<D: Driver>(
        self,
        driver: &D,
        ready: &Sender<Result<(), DriverError>>,
        start: &Receiver<Nanos>,
    ) -> Option<WorkerEnd> {
        let mut port = match self.open(driver) {
            Ok(port) => port,
            Err(error) => {
                let _ = ready.send(Err(error));
                return None;
            }
        };
        let _ = ready.send(Ok(()));
        let mut early = Vec::new();
        let start = loop {
            if let Ok(start) = start.try_recv() {
                break start;
            }
            if self.control.stage() >= Stage::Finish {
                port.close(Monotonic.now() + CLOSING);
                return None;
            }
            port.pump(Monotonic.now() + TICK, &mut early);
        };
        let windows = measure_windows(self.plan, start);
        let crew = crew(self.plan, self.layout, self.number, start, windows);
        let worker =
            Worker::new(port, Monotonic, crew, self.recorder, self.control).with_events(early);
        Some(worker.run(CLOSING))
    }

    /// Opens the worker's connections, evenly over the time that the plan gives.
    fn open<D: Driver>(&self, driver: &D) -> Result<D::Port, DriverError> {
        let worker = &self.layout.workers[self.number];
        let connections = worker.spec.connections.len() as u64;
        let mut port = driver.port(worker.spec.clone())?;
        let begun = Monotonic.now();
        let mut early = Vec::new();
        for connection in 0..connections {
            let share = u128::from(self.plan.timing.start_over.as_ns()) * u128::from(connection);
            let at = begun + Span::from_ns((share / u128::from(connections.max(1))) as u64);
            while Monotonic.now() < at && self.control.stage() == Stage::Load {
                port.pump(at.min(Monotonic.now() + TICK), &mut early);
            }
            if self.control.stage() != Stage::Load {
                break;
            }
            port.open(
                connection as u32,
                Monotonic.now() + self.plan.connection.timeout,
            )?;
        }
        Ok(port)
    }
}

fn measure_windows(plan: &Plan, start: Nanos) -> MeasureWindows {
    let measure = start + plan.timing.warmup;
    MeasureWindows {
        start: measure,
        end: measure + plan.timing.measure,
        window: WINDOW,
    }
}

/// The coordinator's watch over a running load.
struct Watch<'a> {
    plan: &'a Plan,
    control: Arc<Control>,
    collectors: Vec<Collector>,
    observer: &'a mut dyn Observer,
    meter: Option<HiccupMeter>,
    start: Nanos,
    measure: MeasureWindows,
    /// For each producer fleet: copies owed for each of its messages, over consumed subscriptions.
    reach: Vec<u64>,
    /// For each consumer fleet: its source keeps what it delivered.
    keeps: Vec<bool>,
    /// Sums of all collected intervals, by stream.
    sums: Vec<StreamSum>,
    limits: Vec<LimitWindows>,
    offered: OfferedWindows,
    interval: u32,
    interval_start: Nanos,
    phase: Phase,
    /// When the load ended, once it has.
    ceased: Option<Nanos>,
    /// Counts that fell into intervals of the measure phase, and how long those were.
    in_measure: (Counts, Span),
}

/// What one stream came to.
#[derive(Debug, Clone, Copy, Default)]
struct StreamSum {
    counts: Counts,
    planned_measured: u64,
    sent_measured: u64,
    confirmed_measured: u64,
    delivered_measured: u64,
}

impl<'a> Watch<'a> {
    fn new(
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
    fn run(&mut self, stop: &StopSignal) -> Stop {
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
            let settled =
                status.gauges.held == 0 && status.gauges.unconfirmed == 0 && status.in_flight == 0;
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
            gauges: Gauges {
                exhausted: true,
                ..Gauges::default()
            },
            ..Status::default()
        };
        let fleets = self.plan.producers.len();
        let add = |status: &mut Status, stream: usize, counts: &Counts| {
            if stream < fleets {
                let reach = self.reach[stream];
                status.owed += (counts.sent - counts.returned) * reach;
                status.sent_bytes += counts.sent_bytes * reach.max(1);
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
            status.gauges.exhausted &= gauges.exhausted || !publishes;
        }
        status.gauges.exhausted &= fleets > 0;
        status.in_flight = status.owed.saturating_sub(status.delivered);
        status
    }

    fn backlog_full(&self, status: &Status) -> Option<Stop> {
        let waiting = status.sent_bytes.saturating_sub(status.delivered_bytes);
        let most = self.plan.max_backlog;
        (waiting > most.as_bytes()).then(|| Stop::BacklogFull {
            detail: format!(
                "{:.1} MiB of bodies waited on the broker, max_backlog is {most}",
                waiting as f64 / f64::from(1 << 20)
            ),
        })
    }

    /// Ends the interval: takes the workers' sheets, adds them up, and tells the observer.
    fn collect(&mut self, now: Nanos) {
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

    /// After the workers have ended: takes the last sheets and fills in everything but the balance.
    fn settle(&mut self, plan: &Plan, layout: &Layout, ends: &[WorkerEnd], outcome: &mut Outcome) {
        self.collect(Monotonic.now());
        outcome.limits = std::mem::take(&mut self.limits);
        outcome.offered = std::mem::take(&mut self.offered);
        outcome.measured = self.measured(plan);
        outcome.censored = self.censored(plan, layout, ends);
        let mut counts = Counts::default();
        for sum in &self.sums {
            counts += sum.counts;
        }
        let asked = self.sums[..plan.producers.len()]
            .iter()
            .zip(&plan.producers)
            .filter(|(_, fleet)| fleet.confirms != Confirms::Off)
            .map(|(sum, _)| sum.counts.sent)
            .sum();
        outcome.totals = balance::totals(&counts, asked, &[]);
        outcome.time_account = time_account(plan, layout, ends);
    }

    fn measured(&self, plan: &Plan) -> Measured {
        let (counts, length) = self.in_measure;
        let seconds = length.as_secs_f64();
        let rate = |count: u64| {
            if seconds > 0.0 {
                count as f64 / seconds
            } else {
                0.0
            }
        };
        let sum = |field: fn(&StreamSum) -> u64| self.sums.iter().map(field).sum::<u64>();
        let owed = self
            .sums
            .iter()
            .zip(&self.reach)
            .map(|(sum, reach)| sum.sent_measured * reach)
            .sum();
        let planned = sum(|s| s.planned_measured);
        // What was due was due until the load ended, wherever the last interval did.
        let ended = self
            .ceased
            .unwrap_or(self.measure.end)
            .min(self.measure.end);
        let offering = ended.saturating_since(self.measure.start).as_secs_f64();
        let paced =
            plan.producers.iter().all(|fleet| fleet.rate.is_some()) && !plan.producers.is_empty();
        Measured {
            seconds,
            planned,
            sent: sum(|s| s.sent_measured),
            confirmed: sum(|s| s.confirmed_measured),
            owed,
            delivered: sum(|s| s.delivered_measured),
            offered_rate: (paced && offering > 0.0).then_some(planned as f64 / offering),
            sent_rate: rate(counts.sent),
            confirmed_rate: rate(counts.confirmed),
            delivered_rate: rate(counts.delivered),
            delivered_bytes_rate: rate(counts.delivered_bytes),
        }
    }

    /// Messages of the measure phase that were sent and whose answer never came. What was due and never sent is known
    /// from the measured counts.
    fn censored(&self, plan: &Plan, layout: &Layout, ends: &[WorkerEnd]) -> Vec<Censored> {
        let fleets = plan.producers.len();
        let mut censored = Vec::new();
        let mut push = |stream, series, count| {
            if count > 0 {
                censored.push(Censored {
                    stream,
                    series,
                    count,
                });
            }
        };
        for (index, fleet) in plan
            .producers
            .iter()
            .enumerate()
            .filter(|(_, f)| f.confirms != Confirms::Off)
        {
            let unanswered: u64 = ends
                .iter()
                .flat_map(|end| &end.producers)
                .filter(|producer| layout.producers[producer.index as usize].fleet == index)
                .map(|producer| producer.unanswered_measured)
                .sum();
            push(index, Series::ConfirmService, unanswered);
            if fleet.loop_kind().has_schedule() {
                push(index, Series::ConfirmResponse, unanswered);
            }
        }
        // Several consumer fleets of one queue share what it owes; what is missing stands with the first of them.
        let mut queues_done: Vec<&str> = Vec::new();
        for (position, consumers) in plan.consumers.iter().enumerate() {
            if queues_done.contains(&consumers.queue.as_str()) {
                continue;
            }
            queues_done.push(&consumers.queue);
            let sharing = plan
                .consumers
                .iter()
                .enumerate()
                .filter(|(_, other)| other.queue == consumers.queue);
            let delivered: u64 = sharing
                .map(|(at, _)| self.sums[fleets + at].delivered_measured)
                .sum();
            let owed: u64 = (0..fleets)
                .map(|fleet| {
                    copies_to(layout, fleet, &consumers.queue) * self.sums[fleet].sent_measured
                })
                .sum();
            let missing = owed.saturating_sub(delivered);
            push(fleets + position, Series::DeliveryService, missing);
            if plan
                .producers
                .iter()
                .all(|fleet| fleet.loop_kind().has_schedule())
            {
                push(fleets + position, Series::DeliveryResponse, missing);
            }
        }
        censored
    }
}

/// Copies of each message of a fleet that a queue's subscriptions get.
fn copies_to(layout: &Layout, fleet: usize, queue: &str) -> u64 {
    let Some(producer) = layout
        .producers
        .iter()
        .find(|producer| producer.fleet == fleet)
    else {
        return 0;
    };
    let is_of = |index: &&usize| layout.subscriptions[**index].queue == queue;
    producer.reaches.iter().filter(is_of).count() as u64
}

fn add_up(sums: &mut [u64], more: &[u64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

fn add_windows(
    limits: &mut [LimitWindows],
    slot: &crate::record::recorder::Slot,
    reach: u64,
    asks: bool,
) {
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

fn time_account(plan: &Plan, layout: &Layout, ends: &[WorkerEnd]) -> Vec<TimeAccount> {
    let mut accounts: Vec<TimeAccount> = plan
        .producers
        .iter()
        .map(|fleet| TimeAccount {
            fleet: fleet.name.clone(),
            ..TimeAccount::default()
        })
        .collect();
    for end in ends {
        for producer in &end.producers {
            let account = &mut accounts[layout.producers[producer.index as usize].fleet];
            account.window_ns += producer.account.window_ns;
            account.socket_ns += producer.account.socket_ns;
            account.blocked_ns += producer.account.blocked_ns;
            account.unsent_hold_ns += producer.account.unsent_hold_ns;
        }
        for (stream, burst) in &end.bursts {
            accounts[*stream].burst_max = accounts[*stream].burst_max.max(*burst);
        }
    }
    accounts
}

/// Balances the ledger, reading what was left in queues where something is missing.
fn account<A: Admin>(layout: &Layout, ends: Vec<WorkerEnd>, admin: &mut A, outcome: &mut Outcome) {
    let mut producers = Vec::new();
    let mut received = Vec::new();
    for end in ends {
        producers.extend(end.producers);
        received.extend(end.subscriptions);
    }
    let alive = !matches!(
        outcome.stop,
        Stop::BrokerFailed { .. } | Stop::SystemFailed { .. }
    );
    for (index, subscription) in layout.subscriptions.iter().enumerate() {
        let tallies = received.iter().find(|tallies| tallies.index == index);
        let first = balance::subscription(index, subscription, layout, &producers, tallies, None);
        let ready =
            if first.owed > first.delivered && alive && subscription.own && !subscription.keeps {
                settled_depth(admin, &subscription.broker_name)
            } else {
                None
            };
        let balanced =
            balance::subscription(index, subscription, layout, &producers, tallies, ready);
        outcome.subscriptions.push(balanced);
    }
    let sum = |field: fn(&crate::results::Subscription) -> u64| {
        outcome.subscriptions.iter().map(field).sum::<u64>()
    };
    outcome.totals.owed = sum(|s| s.owed);
    outcome.totals.undelivered = sum(|s| s.undelivered);
    outcome.totals.dropped_by_design = sum(|s| s.dropped_by_design);
    outcome.totals.lost_confirmed = sum(|s| s.lost_confirmed);
    outcome.totals.lost_unconfirmed = sum(|s| s.lost_unconfirmed);
}

/// Ready messages once the last consumer is gone: what it left unsettled is back by then.
fn settled_depth<A: Admin>(admin: &mut A, queue: &str) -> Option<u64> {
    let mut last = None;
    for _ in 0..40 {
        let depth = admin.depth(queue).ok()?;
        if depth.consumers == 0 && last == Some(depth.ready) {
            return last;
        }
        last = Some(depth.ready);
        sleep_until(Monotonic.now() + TICK);
    }
    None
}

/// What is under way.
#[derive(Debug, Clone, Copy, Default)]
struct Status {
    gauges: Gauges,
    owed: u64,
    delivered: u64,
    in_flight: u64,
    sent_bytes: u64,
    delivered_bytes: u64,
}
