//! `run.json` and what goes with it, as plain values. Versioned: a field that changes its meaning raises [`VERSION`].

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::driver::{BrokerIdentity, Capabilities};
use crate::plan::{LoopKind, Plan};
use crate::record::{Counts, Phase, Series, Stream};

/// The `format` field of every `run.json`.
pub const FORMAT: &str = "mqbench run";
/// The version of the format that this build writes.
pub const VERSION: u32 = 1;

/// Everything about one invocation of a scenario, in memory.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// What stands in `run.json`.
    pub run: Run,
    /// For each variant in `run.variants`, by index: what stands in its `intervals.csv` and `times.hlog`.
    pub series: Vec<VariantSeries>,
}

/// Interval rows and whole-run histograms of one variant.
#[derive(Debug, Clone, Default)]
pub struct VariantSeries {
    /// One row for each interval.
    pub intervals: Vec<IntervalRow>,
    /// Sums of the interval histograms of the measure phase.
    pub histograms: Vec<SeriesHistogram>,
}

/// The sum over all intervals of one series.
#[derive(Debug, Clone)]
pub struct SeriesHistogram {
    /// Index into the variant's streams; `None` for all of them together, or for a series of the run itself.
    pub stream: Option<usize>,
    /// What kind of time.
    pub series: Series,
    /// Nanoseconds.
    pub histogram: Histogram<u64>,
}

/// One interval without its histograms: counts over all streams, and percentiles of all messages that ended in it,
/// measured or not, in ns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntervalRow {
    /// From 0.
    pub interval: u32,
    /// Start, in seconds after the start of the load.
    pub start_s: f64,
    /// End, likewise.
    pub end_s: f64,
    /// The phase in which it began.
    pub phase: Phase,
    /// Counts over all streams.
    pub counts: Counts,
    /// Messages sent and not yet delivered, at the end.
    pub in_flight: u64,
    /// Publishes not yet answered, at the end.
    pub unconfirmed: u64,
    /// Blocked producers, at the end.
    pub blocked: u32,
    /// Due and not yet sent, at the end.
    pub held: u64,
    /// For each series with values: percentiles in ns.
    pub quantiles: Vec<IntervalQuantiles>,
}

/// Percentiles of one series in one interval, over all streams, in ns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IntervalQuantiles {
    /// What kind of time.
    pub series: Series,
    /// How many values.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 95th percentile.
    pub p95: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Greatest.
    pub max: u64,
}

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Always [`FORMAT`].
    pub format: String,
    /// Version of the format.
    pub version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// What it says about itself.
    pub about: Option<String>,
    /// When the run began, UTC.
    pub started: String,
    /// When it ended, UTC; absent while it lasts or where it was killed.
    pub ended: Option<String>,
    /// From which all that is random was drawn.
    pub seed: u64,
    /// Over all claims; absent until assessed.
    pub verdict: Option<Verdict>,
    /// The claims of all variants.
    pub claims: Vec<ClaimResult>,
    /// What measured.
    pub harness: Harness,
    /// On what.
    pub environment: Environment,
    /// Against what.
    pub broker: Broker,
    /// What was measured.
    pub variants: Vec<VariantRun>,
    /// Things a reader should know, in order of time.
    pub notes: Vec<String>,
}

/// What measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Harness {
    /// Version of mqbench.
    pub version: String,
    /// `debug` or `release`.
    pub profile: String,
    /// The driver's name.
    pub driver: String,
    /// What the driver can tell.
    pub capabilities: Capabilities,
    /// The allocator in use.
    pub allocator: String,
}

/// The machine that made the load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Host name.
    pub host: String,
    /// Operating system.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Processor model.
    pub cpu: String,
    /// Logical processors that this process may use.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// The kernel's clock source, e.g. `tsc`.
    pub clocksource: String,
    /// Resolution of the monotonic clock in ns.
    pub clock_resolution_ns: u64,
    /// Cost of one reading of the clock in ns (median).
    pub clock_read_ns: u64,
}

/// The broker that was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Broker {
    /// Who answered.
    #[serde(flatten)]
    pub identity: BrokerIdentity,
    /// Its addresses, without passwords.
    pub addresses: Vec<String>,
    /// Where it came from, and why it was taken.
    pub origin: String,
}

/// One variant's run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantRun {
    /// The variant's name; its files stand in the folder of this name, or at the top where there is one variant only.
    pub name: String,
    /// The folder, relative to `run.json`; empty for the top.
    pub folder: String,
    /// What was done.
    pub plan: Plan,
    /// The producer fleets and the (consumer fleet, queue) pairs, in the order of the plan.
    pub streams: Vec<Stream>,
    /// For each producer fleet, which loop it ran.
    pub loops: Vec<LoopKind>,
    /// When it began, UTC.
    pub started: String,
    /// Why it ended.
    pub stop: Stop,
    /// The ledger over all phases. Absent while the variant runs.
    pub totals: Option<Totals>,
    /// The measure phase alone.
    pub measured: Option<Measured>,
    /// Where each producer fleet's time went while messages waited.
    pub time_account: Vec<TimeAccount>,
    /// For each (consumer fleet, queue): what was owed and what came.
    pub subscriptions: Vec<Subscription>,
    /// Messages of the measure phase that were sent and whose answer had not come when the drain ended.
    pub censored: Vec<Censored>,
    /// Messages due and messages sent, in each second of the measure phase.
    #[serde(default)]
    pub offered: OfferedWindows,
    /// Exact counts against the limits of this variant's claims on percentiles.
    #[serde(default)]
    pub limits: Vec<LimitWindows>,
    /// The summary of each series: all streams together first.
    pub series: Vec<SeriesSummary>,
    /// The gates that this variant went through.
    pub gates: Vec<Gate>,
    /// The verdict over this variant's claims; absent where it has none.
    pub verdict: Option<Verdict>,
}

/// Why a variant's run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Stop {
    /// Not yet ended: still running, or killed.
    Unfinished,
    /// All phases done.
    Completed,
    /// Every fleet sent its `messages`.
    MessagesSent,
    /// The user asked.
    Interrupted,
    /// Messages were later than the limit.
    Overloaded {
        /// What was found.
        detail: String,
    },
    /// More bytes waited on the broker than `max_backlog`.
    BacklogFull {
        /// What was found.
        detail: String,
    },
    /// The broker or the connection failed.
    BrokerFailed {
        /// The step and what the broker said.
        detail: String,
    },
    /// This machine failed.
    SystemFailed {
        /// What failed.
        detail: String,
    },
}

impl Stop {
    /// The word in `run.json` and `summary.csv`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::Completed => "completed",
            Self::MessagesSent => "messages-sent",
            Self::Interrupted => "interrupted",
            Self::Overloaded { .. } => "overloaded",
            Self::BacklogFull { .. } => "backlog-full",
            Self::BrokerFailed { .. } => "broker-failed",
            Self::SystemFailed { .. } => "system-failed",
        }
    }
}

/// The ledger of one variant over all phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Due by the schedule, or taken up where there is none.
    pub planned: u64,
    /// Handed to the kernel.
    pub sent: u64,
    /// Due but not sent.
    pub unsent: u64,
    /// Acked.
    pub confirmed: u64,
    /// Nacked.
    pub nacked: u64,
    /// Returned as unroutable.
    pub returned: u64,
    /// Sent with confirms on, never answered.
    pub unconfirmed: u64,
    /// Sent without asking for a confirm.
    pub unasked: u64,
    /// Copies owed: sent messages times the distinct queues they reach.
    pub owed: u64,
    /// Copies delivered, each counted once.
    pub delivered: u64,
    /// Owed and not delivered when the run ended, the queue not proved empty.
    pub undelivered: u64,
    /// Explained by topology or policy.
    pub dropped_by_design: u64,
    /// Missing from a queue proved empty, although confirmed.
    pub lost_confirmed: u64,
    /// Missing from a queue proved empty, never confirmed.
    pub lost_unconfirmed: u64,
    /// Second and later copies.
    pub duplicated: u64,
    /// Marked as redelivered.
    pub redelivered: u64,
    /// Behind a later message of the same producer at the same consumer.
    pub reordered: u64,
    /// Damaged stamps.
    pub corrupt: u64,
    /// Not of this run.
    pub foreign: u64,
    /// Times below zero or above the histograms' range.
    pub out_of_range: u64,
}

/// The measure phase alone: messages by when they were due, rates by when their events happened.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Length of the measure phase in seconds, as it came out.
    pub seconds: f64,
    /// Messages of the plan that were due in it.
    pub planned: u64,
    /// Of those, sent.
    pub sent: u64,
    /// Of those, confirmed.
    pub confirmed: u64,
    /// Copies owed of those.
    pub owed: u64,
    /// Copies of those delivered within the drain limit.
    pub delivered: u64,
    /// Planned messages a second; absent where a fleet has no rate.
    pub offered_rate: Option<f64>,
    /// Messages sent a second, in the measure phase.
    pub sent_rate: f64,
    /// Messages confirmed a second, in the measure phase.
    pub confirmed_rate: f64,
    /// Copies delivered a second, in the measure phase.
    pub delivered_rate: f64,
    /// Body bytes delivered a second, in the measure phase.
    pub delivered_bytes_rate: f64,
}

/// Where one producer fleet's time went while it had messages waiting, in nanoseconds summed over its producers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TimeAccount {
    /// The fleet.
    pub fleet: String,
    /// Waiting for a confirm to free the window.
    pub window_ns: u64,
    /// Waiting for the socket.
    pub socket_ns: u64,
    /// Blocked by the broker.
    pub blocked_ns: u64,
    /// Sum over the messages of the measure phase that were never sent: how long each was held until it was given up.
    pub unsent_hold_ns: u64,
    /// Greatest number of messages sent on one wake-up.
    pub burst_max: u64,
}

/// What one subscription was owed and got, over all phases.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Subscription {
    /// The queue (and, for a stream, the consumer).
    pub name: String,
    /// Copies owed.
    pub owed: u64,
    /// Copies delivered, each once.
    pub delivered: u64,
    /// Not delivered, the queue not proved empty.
    pub undelivered: u64,
    /// Explained by topology or policy.
    pub dropped_by_design: u64,
    /// Lost although confirmed.
    pub lost_confirmed: u64,
    /// Lost, never confirmed.
    pub lost_unconfirmed: u64,
    /// Messages left ready in the queue after its consumers were gone; absent where it was not read.
    pub ready_at_end: Option<u64>,
}

/// The load that was offered, over all fleets, in windows of one second of the measure phase.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedWindows {
    /// Messages that fell due in each window: the schedule's own count.
    pub planned: Vec<u64>,
    /// Messages sent in each window, whenever they were due.
    pub sent: Vec<u64>,
}

/// How many times were above a claim's limit, exactly, in windows of one second of the time when messages were due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitWindows {
    /// What kind of time, over all streams.
    pub series: Series,
    /// A time above it, in ns, violates.
    pub limit_ns: u64,
    /// Answers owed for the messages due in each window.
    pub due: Vec<u64>,
    /// Answers later than the limit, of the messages due in each window; those that never came are not in it.
    pub above: Vec<u64>,
}

/// Messages due in the measure phase that were sent and enter a series as infinitely late, for their answer never came.
/// Unsent ones are not in here: they are known from [`Measured`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Censored {
    /// Index into the variant's streams.
    pub stream: usize,
    /// What kind of time.
    pub series: Series,
    /// How many.
    pub count: u64,
}

/// The numbers of one series over the measure phase, in ns. Messages without an answer count as infinitely late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesSummary {
    /// Index into the variant's streams; absent for all together.
    pub stream: Option<usize>,
    /// What kind of time.
    pub series: Series,
    /// Values.
    pub count: u64,
    /// Messages without an answer when the drain ended; over all streams, unsent ones are among them.
    pub censored: u64,
    /// Mean of the values; censored ones are not in it.
    pub mean: f64,
    /// Least.
    pub min: u64,
    /// Percentiles, from the median up, and the greatest.
    pub p50: Quantile,
    /// 90th.
    pub p90: Quantile,
    /// 95th.
    pub p95: Quantile,
    /// 99th.
    pub p99: Quantile,
    /// 99.9th.
    pub p999: Quantile,
    /// Greatest.
    pub max: Quantile,
}

/// A value of a distribution in ns, or the bound that it exceeds where its rank fell on an unanswered message.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantile {
    /// Measured, ns.
    Ns(u64),
    /// Greater than this many ns: the answer never came.
    Above(u64),
    /// No values.
    None,
}

/// The four verdicts, and what a claim without enough to judge it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Kept.
    Pass,
    /// Broken.
    Fail,
    /// The run cannot tell.
    Inconclusive,
    /// The harness or the machine was at fault: not a number.
    Invalid,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimResult {
    /// The claim.
    pub text: String,
    /// The variant that it was judged on.
    pub variant: String,
    /// What became of it.
    pub verdict: Verdict,
    /// The measured value with its unit, as printed: `9.41 ms`, `> 3 s`, `20997/s`, `0`.
    pub measured: String,
    /// The measured value in the metric's unit (ns, messages a second, messages); absent where censored or unmeasured.
    pub value: Option<f64>,
    /// The limit as printed.
    pub limit: String,
    /// Why, in a sentence.
    pub reason: String,
}

/// A condition on the run itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Short name, e.g. `conservation`, `offered-load`.
    pub name: String,
    /// What a failure does.
    pub kind: GateKind,
    /// It held.
    pub held: bool,
    /// The measured figure.
    pub measured: String,
    /// The limit.
    pub limit: String,
    /// What to do where it did not hold.
    pub remedy: String,
}

/// What a failed gate does to a verdict (FIDELITY section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateKind {
    /// Voids any verdict.
    Truth,
    /// No PASS.
    OfferedLoad,
    /// Turns a FAIL that the noise could have caused into INVALID.
    Health,
}
