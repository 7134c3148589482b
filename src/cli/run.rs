//! `mqbench run`: from scenario files to verdicts.

use std::path::PathBuf;

use clap::Args;

use mqbench::campaign::{self, Campaign, Finished};
use mqbench::plan::{self, Choices, DriverKind, Plan};
use mqbench::provision::Provisioned;
use mqbench::render;
use mqbench::scenario::{Override, Scenario};
use mqbench::units::Span;

use super::exit::{Exit, Failure};
use super::options::{BrokerOptions, DriverChoice, Format};
use super::progress::{Progress, Style};
use super::{check, report, signal, talk};

const AFTER_HELP: &str = "\
Examples:
  mqbench run scenarios/quick.toml
  mqbench run scenarios/adr-003.toml --broker local=/opt/rabbitmq
  mqbench run scenarios/quick.toml --driver lapin --set producers.rate=2k/s --set timing.measure=30s
  MQBENCH_BROKER=amqp://me:secret@rabbit.example/ mqbench run scenarios/quick.toml --format json | jq .verdict

Exit codes: 0 passed, 1 failed, 2 wrong scenario or command line, 3 broker or machine failed, 4 invalid,
5 inconclusive, 130 interrupted; where several apply, the first of 130, 2, 3, 1, 4, 5, 0.";

/// Run scenarios and judge their claims.
///
/// All files are read before the first run starts. Each leaves a folder DIR/<scenario>/<UTC time>/ that holds all that
/// was measured and report.html; nothing ever deletes results. The report is printed on stdout, progress on stderr.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Scenario files (TOML), or folders of them. scenarios/README.md explains the format.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Replace a setting of the scenarios, e.g. `producers.api.rate=5k/s`. Units and defaults are the format's. Can be given
    /// several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<Override>,

    #[command(flatten)]
    run: RunOptions,
}

/// How a run is made and shown. Shared with `load`.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) broker: BrokerOptions,

    /// Who carries the load [default: the scenario's, or amqp].
    #[arg(long, value_name = "DRIVER")]
    driver: Option<DriverChoice>,

    /// The folder below which results are left.
    #[arg(long, short = 'o', value_name = "DIR", default_value = "results")]
    out: PathBuf,

    /// The number from which all that is random is drawn: the same number, the same due times and payloads.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// The length of a sample period, e.g. `500ms` or `1s` [default: the scenario's, or 1s].
    #[arg(long, value_name = "TIME")]
    interval: Option<Span>,

    /// What the report on stdout is printed as.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let scenarios = check::read_all(&arguments.paths, &arguments.overrides)?;
    run_scenarios(&scenarios, &arguments.run)
}

/// Runs what was read, one scenario after the other, on one broker for each set of addresses.
pub(crate) fn run_scenarios(scenarios: &[Scenario], options: &RunOptions) -> Result<Exit, Failure> {
    let mut campaigns = Vec::new();
    let mut problems = mqbench::diagnostic::Problems::new();
    for scenario in scenarios {
        match plan::resolve(scenario, &options.choices()) {
            Ok(plans) => campaigns.push((scenario, plans)),
            Err(found) => problems.extend(found),
        }
    }
    problems
        .or(())
        .map_err(|problems| check::failure(&problems))?;
    signal::listen()?;
    let mut progress = Progress::new(Style::for_stderr(options.broker.quiet));
    let mut exit = Exit::Passed;
    for (scenario, mut plans) in campaigns {
        // The scenario's own addresses, where it has any.
        let named = plans
            .first()
            .map(|plan| plan.connection.addresses.clone())
            .unwrap_or_default();
        let broker = options.broker.obtain(&named, &signal::interrupted)?;
        for plan in &mut plans {
            plan.connection.addresses.clone_from(&broker.addresses);
        }
        options.announce(scenario, &plans);
        exit = exit.max(carry_out(
            scenario,
            &plans,
            &broker,
            options,
            &mut progress,
        )?);
        progress.end();
        if let Err(error) = broker.take_down() {
            talk::error(&error.to_string());
            exit = exit.max(Exit::Broken);
        }
        if signal::interrupted() {
            return Ok(Exit::Interrupted);
        }
    }
    Ok(exit)
}

/// One campaign: runs its plans, saves, assesses, prints the report. The exit code is that of its verdict.
fn carry_out(
    scenario: &Scenario,
    plans: &[Plan],
    broker: &Provisioned,
    options: &RunOptions,
    progress: &mut Progress,
) -> Result<Exit, Failure> {
    let campaign = Campaign {
        plans,
        about: scenario.about.as_deref(),
        origin: &broker.origin,
        out: &options.out,
        allocator: super::ALLOCATOR,
    };
    let finished = campaign::run(&campaign, &signal::STOP, progress).map_err(Failure::broken)?;
    progress.end();
    let Finished {
        record,
        store,
        unsaved,
    } = finished;
    report::print(&record, Some(store.folder()), options.format)?;
    if let Some(error) = unsaved {
        return Err(Failure::broken(error));
    }
    // Last, for the numbers are saved and printed by now: a chart that cannot be drawn must not take them away.
    let files = render::files(&record).map_err(Failure::broken)?;
    store.finish(&record.run, &files).map_err(Failure::broken)?;
    Ok(report::exit(&record))
}

impl RunOptions {
    fn choices(&self) -> Choices {
        Choices {
            seed: self.seed,
            run: run_number(),
            driver: self.driver.map(DriverKind::from),
            addresses: Vec::new(),
            interval: self.interval,
            many_runs: check::many_runs(self.broker.yes),
        }
    }

    fn announce(&self, scenario: &Scenario, plans: &[Plan]) {
        if self.broker.quiet {
            return;
        }
        let outlook = plan::outlook(plans);
        let runs = if outlook.runs == 1 {
            "1 run".to_owned()
        } else {
            format!("{} runs", outlook.runs)
        };
        talk::say(&format!(
            "{}: {runs}, at most {}",
            scenario.title,
            check::rough(outlook.duration)
        ));
    }
}

impl From<DriverChoice> for DriverKind {
    fn from(choice: DriverChoice) -> Self {
        match choice {
            DriverChoice::Amqp => Self::Amqp,
            DriverChoice::Lapin => Self::Lapin,
        }
    }
}

/// A number that no other run on the same broker is likely to have: it tells our messages and names from theirs. Not
/// drawn from the seed, which is the same for many runs; the low bits are left free for the variants.
fn run_number() -> u32 {
    let now = mqbench::clock::wall().as_nanosecond();
    fastrand::Rng::with_seed(now as u64 ^ (u64::from(std::process::id()) << 32)).u32(1..0xffff_0000)
}
