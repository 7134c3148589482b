//! What is written down while a run lasts: recorders (one a worker), intervals, the ledger, and the events that observers
//! get.
//!
//! Knows producers and sources only by number. Filled by the engine's state machines, collected by its coordinator.

pub mod ledger;
pub mod recorder;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::driver::BrokerIdentity;

/// A kind of time that is recorded. Its tag stands in file names, `.hlog` tags and CSV columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Series {
    /// Due to confirm.
    ConfirmResponse,
    /// Sent to confirm.
    ConfirmService,
    /// Due to delivery.
    DeliveryResponse,
    /// Sent to delivery.
    DeliveryService,
    /// Due to noticed by the engine.
    PacerLag,
    /// Noticed to sent.
    Hold,
    /// How late a thread that only sleeps wakes up.
    Hiccup,
}

impl Series {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::DeliveryResponse,
        Self::DeliveryService,
        Self::ConfirmResponse,
        Self::ConfirmService,
        Self::PacerLag,
        Self::Hold,
        Self::Hiccup,
    ];

    /// The tag.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::ConfirmResponse => "confirm-response",
            Self::ConfirmService => "confirm-service",
            Self::DeliveryResponse => "delivery-response",
            Self::DeliveryService => "delivery-service",
            Self::PacerLag => "pacer-lag",
            Self::Hold => "hold",
            Self::Hiccup => "hiccup",
        }
    }
}

/// Where in a run something belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Connecting and declaring.
    Setup,
    /// Load, not measured.
    Warmup,
    /// Load, measured.
    Measure,
    /// No new load; waiting for what is owed.
    Drain,
    /// Closing and removing.
    Teardown,
}

impl Phase {
    /// The word used in every rendering.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Warmup => "warm-up",
            Self::Measure => "measure",
            Self::Drain => "drain",
            Self::Teardown => "teardown",
        }
    }
}

/// What happened in one interval, as counts. Totals are sums of these, and nothing else is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Messages that fell due (with a schedule) or were taken up (without).
    pub planned: u64,
    /// Messages handed to the kernel.
    pub sent: u64,
    /// Publishes that ended as acked.
    pub confirmed: u64,
    /// Publishes that ended as nacked.
    pub nacked: u64,
    /// Publishes that ended as returned.
    pub returned: u64,
    /// Publishes without confirms.
    pub unasked: u64,
    /// First copies delivered.
    pub delivered: u64,
    /// Second and later copies.
    pub duplicated: u64,
    /// Deliveries marked as redelivered.
    pub redelivered: u64,
    /// Deliveries behind a later message of the same producer at the same consumer.
    pub reordered: u64,
    /// Deliveries with a damaged stamp.
    pub corrupt: u64,
    /// Deliveries that are not of this run.
    pub foreign: u64,
    /// Values below zero or above the histograms' range: on record, never clamped unseen.
    pub out_of_range: u64,
    /// Body bytes sent.
    pub sent_bytes: u64,
    /// Body bytes delivered.
    pub delivered_bytes: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.planned += other.planned;
        self.sent += other.sent;
        self.confirmed += other.confirmed;
        self.nacked += other.nacked;
        self.returned += other.returned;
        self.unasked += other.unasked;
        self.delivered += other.delivered;
        self.duplicated += other.duplicated;
        self.redelivered += other.redelivered;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
        self.foreign += other.foreign;
        self.out_of_range += other.out_of_range;
        self.sent_bytes += other.sent_bytes;
        self.delivered_bytes += other.delivered_bytes;
    }
}

/// A group of times and counts that is kept apart: one producer fleet, or one consumer fleet on its queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stream {
    /// The fleet's name in the scenario.
    pub fleet: String,
    /// Its queue, for a consumer fleet.
    pub queue: Option<String>,
}

/// Histograms of one series in one interval.
#[derive(Debug, Clone)]
pub struct SeriesInterval {
    /// Which stream, as an index into the run's streams; `None` where the series belongs to the run (hiccups).
    pub stream: Option<usize>,
    /// What kind of time.
    pub series: Series,
    /// Messages due in the measure phase only (warm-up and drain phases show up as `measured = false`).
    pub measured: bool,
    /// Nanoseconds.
    pub histogram: Histogram<u64>,
}

/// One sample period with its histograms.
#[derive(Debug, Clone)]
pub struct Interval {
    /// From 0.
    pub index: u32,
    /// Its start, in ns after the start of the load.
    pub start_ns: u64,
    /// Its end, in ns after the start of the load.
    pub end_ns: u64,
    /// The phase in which it began.
    pub phase: Phase,
    /// Counts for each stream, by index.
    pub counts: Vec<Counts>,
    /// Only series that have values.
    pub series: Vec<SeriesInterval>,
    /// Messages sent and not yet delivered everywhere, at its end.
    pub in_flight: u64,
    /// Publishes not yet answered, at its end.
    pub unconfirmed: u64,
    /// Producers whose connection the broker blocks, at its end.
    pub blocked: u32,
    /// Messages due and not yet sent, at its end.
    pub held: u64,
}

/// What observers of a run (progress, store) are told.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// A run begins; the text tells it from the others.
    Begin(String),
    /// A broker answered.
    Broker(BrokerIdentity),
    /// A phase began; it is expected to last so many ns, where that is known.
    Phase(Phase, Option<u64>),
    /// An interval is complete.
    Interval(std::sync::Arc<Interval>),
    /// Something a person should read, e.g. that the broker blocked a connection.
    Note(String),
}

/// Gets told what happens. Must not block: it is called from the coordinator between two collections.
pub trait Observer {
    /// Something happened.
    fn observe(&mut self, event: &RunEvent);
}
