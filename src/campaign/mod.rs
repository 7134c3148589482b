//! Many runs as one: the variants of a scenario, one after the other, on one broker, into one results folder.
//!
//! Saves as it goes, so that a kill at any moment leaves what was measured up to the last interval. Does not print, and
//! does not render: it hands the assessed record back. Called by the command line.

use std::path::Path;

use crate::analysis;
use crate::clock;
use crate::driver::amqp::Amqp;
use crate::driver::lapin::Lapin;
use crate::driver::{Capabilities, ConnectOptions, Driver};
use crate::engine::{self, Outcome, StopSignal};
use crate::plan::{DriverKind, Plan};
use crate::record::{Observer, RunEvent};
use crate::results::{
    self, Broker, FORMAT, Harness, Run, RunRecord, Stop, Store, StoreError, VERSION, VariantRun,
    VariantSeries, VariantWriter,
};

/// What to run and where to leave it.
#[derive(Debug, Clone, Copy)]
pub struct Campaign<'a> {
    /// The runs, in their order; all of one scenario and driver.
    pub plans: &'a [Plan],
    /// What the scenario says about itself.
    pub about: Option<&'a str>,
    /// Where the broker came from, and why it was taken.
    pub origin: &'a str,
    /// The folder below which results are left.
    pub out: &'a Path,
    /// The allocator of this process.
    pub allocator: &'a str,
}

/// A campaign that is over, assessed and saved.
#[derive(Debug)]
pub struct Finished {
    /// Everything about it.
    pub record: RunRecord,
    /// Where it is.
    pub store: Store,
    /// Why the record on disk is an earlier one than this, if it is.
    pub unsaved: Option<StoreError>,
}

/// Runs all plans, or as many as the user and the broker let it, and assesses what was measured.
///
/// Once something was measured it is handed back, even where the disk is full and it can no longer be saved.
///
/// # Errors
/// Where the results cannot be stored, found before the load starts.
pub fn run(
    campaign: &Campaign<'_>,
    stop: &StopSignal,
    observer: &mut dyn Observer,
) -> Result<Finished, StoreError> {
    let mut run = empty_run(campaign);
    let store = Store::create(campaign.out, &run)?;
    let mut series = Vec::new();
    let mut unsaved = None;
    for index in 0..campaign.plans.len() {
        if stop.asked() > 0 {
            break;
        }
        observer.observe(&RunEvent::Begin(headline(campaign.plans, index)));
        match run_one(campaign, index, stop, observer, &store, &mut run) {
            Ok(measured) => series.push(measured),
            Err(error) if index == 0 => return Err(error),
            Err(error) => {
                let detail = error.to_string();
                observer.observe(&RunEvent::Note(detail.clone()));
                run.variants[index].stop = Stop::SystemFailed { detail };
            }
        }
        unsaved = store.save(&run).err();
        let failed = matches!(
            run.variants[index].stop,
            Stop::BrokerFailed { .. } | Stop::SystemFailed { .. }
        );
        if failed || unsaved.is_some() {
            break;
        }
    }
    series.resize_with(run.variants.len(), VariantSeries::default);
    run.ended = Some(clock::wall().to_string());
    let mut record = RunRecord { run, series };
    analysis::assess(&mut record);
    unsaved = store.save(&record.run).err().or(unsaved);
    Ok(Finished {
        record,
        store,
        unsaved,
    })
}

/// Fails only before the load.
fn run_one(
    campaign: &Campaign<'_>,
    index: usize,
    stop: &StopSignal,
    observer: &mut dyn Observer,
    store: &Store,
    run: &mut Run,
) -> Result<VariantSeries, StoreError> {
    let plan = &campaign.plans[index];
    run.variants[index].started = clock::wall().to_string();
    store.save(run)?;
    let writer = store.begin_variant(run, index)?;
    store.declare(plan.run, &plan.topology, &plan.connection.addresses)?;
    let mut scribe = Scribe {
        writer,
        store,
        run,
        observer,
        stop,
        notes: Vec::new(),
        failed: None,
    };
    let outcome = match plan.driver {
        DriverKind::Amqp => engine::run(&Amqp::new(options(plan)), plan, stop, &mut scribe),
        DriverKind::Lapin => engine::run(&Lapin::new(options(plan)), plan, stop, &mut scribe),
    };
    let Scribe {
        writer,
        notes,
        failed,
        ..
    } = scribe;
    match &outcome.left_behind {
        None => {
            if let Err(error) = store.removed(plan.run) {
                run.notes.push(format!("{}: {error}", plan.variant.name));
            }
        }
        Some(reason) => run.notes.push(format!(
            "{}: not everything could be removed from the broker ({reason}); `mqbench clean` does it later",
            plan.variant.name
        )),
    }
    run.notes.extend(
        notes
            .into_iter()
            .map(|note| format!("{}: {note}", plan.variant.name)),
    );
    fill_in(run, index, outcome);
    if let Stop::BrokerFailed { detail } | Stop::SystemFailed { detail } = &run.variants[index].stop
    {
        observer.observe(&RunEvent::Note(detail.clone()));
    }
    if let Some(error) = failed {
        // Told when it happened; and it was not the user who asked.
        stop.retract();
        run.variants[index].stop = Stop::SystemFailed {
            detail: error.to_string(),
        };
    }
    Ok(writer.finish())
}

fn options(plan: &Plan) -> ConnectOptions {
    let connection = &plan.connection;
    ConnectOptions {
        addresses: connection.addresses.clone(),
        tls: connection.tls.clone(),
        heartbeat: connection.heartbeat,
        frame_max: connection.frame_max,
        timeout: connection.timeout,
    }
}

/// Writes each interval down before it is shown.
struct Scribe<'a> {
    writer: VariantWriter,
    store: &'a Store,
    run: &'a mut Run,
    observer: &'a mut dyn Observer,
    stop: &'a StopSignal,
    notes: Vec<String>,
    failed: Option<StoreError>,
}

impl Scribe<'_> {
    /// What cannot be kept need not be measured: ends the load as a user would.
    fn keep_going(&mut self, stored: Result<(), StoreError>) {
        if let Err(error) = stored {
            self.observer.observe(&RunEvent::Note(error.to_string()));
            self.failed = Some(error);
            self.stop.ask();
        }
    }
}

impl Observer for Scribe<'_> {
    fn observe(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Interval(interval) if self.failed.is_none() => {
                let appended = self.writer.append(interval);
                self.keep_going(appended);
            }
            // Written down at once: a run that is killed shall still say what it was made against.
            RunEvent::Broker(identity) if self.run.broker.identity != *identity => {
                self.run.broker.identity = identity.clone();
                let saved = self.store.save(self.run);
                self.keep_going(saved);
            }
            RunEvent::Note(note) => self.notes.push(note.clone()),
            _ => {}
        }
        self.observer.observe(event);
    }
}

fn fill_in(run: &mut Run, index: usize, outcome: Outcome) {
    if let Some(identity) = outcome.broker {
        run.broker.identity = identity;
    }
    let variant = &mut run.variants[index];
    variant.stop = outcome.stop;
    variant.totals = Some(outcome.totals);
    variant.measured = Some(outcome.measured);
    variant.time_account = outcome.time_account;
    variant.subscriptions = outcome.subscriptions;
    variant.censored = outcome.censored;
    variant.limits = outcome.limits;
    variant.offered = outcome.offered;
}

fn headline(plans: &[Plan], index: usize) -> String {
    let plan = &plans[index];
    let which = match plans.len() {
        1 => String::new(),
        all => format!(" [{} of {all}: {}]", index + 1, plan.variant.name),
    };
    let loops: Vec<String> = plan
        .producers
        .iter()
        .map(|fleet| {
            let rate = fleet
                .rate
                .map_or_else(|| "as fast as it goes".to_owned(), |rate| rate.to_string());
            format!(
                "{} {rate}, {}, {} loop",
                fleet.name,
                fleet.size,
                fleet.loop_kind().as_str()
            )
        })
        .collect();
    format!("{}{which}  {}", plan.scenario, loops.join("; "))
}

fn capabilities(plan: &Plan) -> Capabilities {
    match plan.driver {
        DriverKind::Amqp => Amqp::new(options(plan)).capabilities(),
        DriverKind::Lapin => Lapin::new(options(plan)).capabilities(),
    }
}

fn empty_run(campaign: &Campaign<'_>) -> Run {
    let first = &campaign.plans[0];
    let variants = campaign
        .plans
        .iter()
        .map(|plan| empty_variant(plan, campaign.plans.len()))
        .collect();
    Run {
        format: FORMAT.to_owned(),
        version: VERSION,
        scenario: first.scenario.clone(),
        title: first.title.clone(),
        about: campaign.about.map(str::to_owned),
        started: clock::wall().to_string(),
        ended: None,
        seed: first.seed,
        verdict: None,
        claims: Vec::new(),
        harness: Harness {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            }
            .to_owned(),
            driver: first.driver.as_str().to_owned(),
            capabilities: capabilities(first),
            allocator: campaign.allocator.to_owned(),
        },
        environment: results::environment(),
        broker: Broker {
            addresses: first
                .connection
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect(),
            origin: campaign.origin.to_owned(),
            ..Broker::default()
        },
        variants,
        notes: Vec::new(),
    }
}

fn empty_variant(plan: &Plan, variants: usize) -> VariantRun {
    VariantRun {
        name: plan.variant.name.clone(),
        folder: results::variant_folder(variants, plan.variant.index, &plan.variant.name),
        streams: plan.layout().streams,
        loops: plan
            .producers
            .iter()
            .map(|fleet| fleet.loop_kind())
            .collect(),
        plan: plan.clone(),
        started: String::new(),
        stop: Stop::Unfinished,
        totals: None,
        measured: None,
        time_account: Vec::new(),
        subscriptions: Vec::new(),
        censored: Vec::new(),
        limits: Vec::new(),
        offered: results::OfferedWindows::default(),
        series: Vec::new(),
        gates: Vec::new(),
        verdict: None,
    }
}
