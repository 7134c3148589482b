//! One run from set-up to teardown: opens the workers, has the load watched, and has the ledger balanced.
//!
//! Off the load path.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::clock::{Clock, Monotonic, Nanos};
use crate::driver::{Admin, Driver, DriverError, Port};
use crate::plan::{Layout, Plan};
use crate::record::recorder::{MeasureWindows, Recorder, SheetShape};
use crate::record::{Counts, Observer, Phase, RunEvent};
use crate::results::{Measured, OfferedWindows, Stop};
use crate::units::Span;

use super::account::account;
use super::control::{Control, Stage, StopSignal};
use super::crew::crew;
use super::watch::Watch;
use super::worker::{Worker, WorkerEnd};
use super::{Outcome, balance};

/// Between the moment when all workers are ready and the start of the load.
const LEAD: Span = Span::from_ms(50);
/// How often the coordinator looks.
pub(super) const TICK: Span = Span::from_ms(25);
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
        totals: balance::totals(&Counts::default(), 0, 0, &[]),
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
    observer.observe(&RunEvent::Broker(admin.broker().clone()));
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

pub(super) fn measure_windows(plan: &Plan, start: Nanos) -> MeasureWindows {
    let measure = start + plan.timing.warmup;
    MeasureWindows {
        start: measure,
        end: measure + plan.timing.measure,
        window: WINDOW,
    }
}
