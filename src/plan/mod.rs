//! What will be done: everything filled in, nothing contradictory.
//!
//! A [`Plan`] is one run on one broker; a scenario with a matrix becomes many. Plain values throughout: a plan can be
//! printed, compared, stored in the record and made by hand in a test. Made by [`resolve`], driven by `engine`, read by
//! everyone right of the record.

mod layout;
mod matrix;
mod outlook;
mod resolve;

use serde::{Deserialize, Serialize};

pub use layout::{Layout, ProducerPlan, SubscriptionPlan, WorkerPlan, time_series};
pub use outlook::{Outlook, outlook};
pub use resolve::{Choices, ManyRuns, resolve, suffix};

use crate::address::{Address, Tls};
use crate::claim::Claim;
use crate::driver::Properties;
use crate::schedule::Arrivals;
use crate::topology::{Arguments, Target, Topology};
use crate::units::{ByteSize, Rate, Span};

/// One run, fully resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The scenario's name: its file's stem, as in the results' path.
    pub scenario: String,
    /// The scenario's title.
    pub title: String,
    /// Which combination of the matrix this is.
    pub variant: Variant,
    /// The run's number: in every stamp, and in hexadecimal in the suffix of every name on the broker.
    pub run: u32,
    /// From which all that is random is drawn.
    pub seed: u64,
    /// Who carries the load.
    pub driver: DriverKind,
    /// How to reach the broker.
    pub connection: Connection,
    /// What is needed on the broker.
    pub topology: Topology,
    /// The fleets that publish.
    pub producers: Vec<ProducerFleet>,
    /// The fleets that consume.
    pub consumers: Vec<ConsumerFleet>,
    /// How long each phase takes.
    pub timing: Timing,
    /// Most bytes that may wait on the broker before the run is ended.
    pub max_backlog: ByteSize,
    /// The promises that bind this variant.
    pub claims: Vec<Claim>,
}

/// One combination of a matrix; the only one where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Position in the matrix, from 0.
    pub index: usize,
    /// Short, unique and usable as a folder: `persistent=true,size=1KiB`; `base` for the scenario as written.
    pub name: String,
    /// The settings that differ from variant to variant, each with its value as text.
    pub settings: Vec<(String, String)>,
    /// The scenario as written.
    pub base: bool,
}

/// The drivers for RabbitMQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriverKind {
    /// Our own data path.
    Amqp,
    /// The reference client.
    Lapin,
}

impl DriverKind {
    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::Lapin => "lapin",
        }
    }
}

/// How to reach the broker. The addresses are not kept in records: their passwords must not be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// The nodes; connections are spread over them in turn.
    #[serde(skip)]
    pub addresses: Vec<Address>,
    /// For `amqps`.
    pub tls: Tls,
    /// Asked-for heartbeat.
    pub heartbeat: Span,
    /// Largest frame asked for, in bytes.
    pub frame_max: u32,
    /// Limit for each step of opening.
    pub timeout: Span,
}

/// A group of like producers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProducerFleet {
    /// Its name in the scenario.
    pub name: String,
    /// How many producers.
    pub count: u32,
    /// How many connections they share.
    pub connections: u32,
    /// Where they publish.
    pub target: Target,
    /// Of the whole fleet; none for as fast as the loop allows.
    pub rate: Option<Rate>,
    /// How due times are spread.
    pub arrivals: Arrivals,
    /// Bytes of each body.
    pub size: ByteSize,
    /// Delivery mode 2.
    pub persistent: bool,
    /// Unroutable messages are returned.
    pub mandatory: bool,
    /// Whether and how many confirms may be outstanding.
    pub confirms: Confirms,
    /// Message properties.
    pub properties: Properties,
    /// Message headers.
    pub headers: Arguments,
    /// Most messages of the whole fleet; none for until the time is over.
    pub messages: Option<u64>,
}

impl ProducerFleet {
    /// Which of the four loops this is.
    pub fn loop_kind(&self) -> LoopKind {
        match (self.rate, self.confirms) {
            (Some(_), Confirms::Off | Confirms::Unbounded) => LoopKind::Open,
            (Some(_), Confirms::Window(_)) => LoopKind::Windowed,
            (None, Confirms::Window(_)) => LoopKind::Closed,
            (None, Confirms::Off | Confirms::Unbounded) => LoopKind::Flood,
        }
    }
}

/// Publisher confirms of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirms {
    /// Not asked for.
    Off,
    /// Asked for, and never waited for.
    Unbounded,
    /// At most so many outstanding for each producer.
    Window(u32),
}

/// What decides when the next message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoopKind {
    /// The schedule alone.
    Open,
    /// The schedule, but at most a window unconfirmed.
    Windowed,
    /// As fast as settles allow.
    Closed,
    /// No rate and no bound.
    Flood,
}

impl LoopKind {
    /// Has due times, and so response times.
    pub const fn has_schedule(self) -> bool {
        matches!(self, Self::Open | Self::Windowed)
    }

    /// The word used in every rendering.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Windowed => "windowed",
            Self::Closed => "closed",
            Self::Flood => "flood",
        }
    }
}

/// A group of like consumers of one queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsumerFleet {
    /// Its name in the scenario.
    pub name: String,
    /// How many consumers.
    pub count: u32,
    /// How many connections they share.
    pub connections: u32,
    /// The queue's name in the scenario.
    pub queue: String,
    /// Most unsettled deliveries of each; 0 for no limit.
    pub prefetch: u16,
    /// When deliveries are acknowledged.
    pub ack: AckPolicy,
    /// How long each consumer works on a message, one after the other.
    pub think: Span,
    /// Arguments of `basic.consume`.
    pub arguments: Arguments,
}

/// When a consumer acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AckPolicy {
    /// The broker takes a message as settled when it was sent.
    Auto,
    /// One `basic.ack` with `multiple` for so many messages; 1 acks each.
    Every(u32),
}

/// How long each phase takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Load that is not measured.
    pub warmup: Span,
    /// Load that is measured. With `messages` on every fleet, the most it may take.
    pub measure: Span,
    /// Most time to wait for what is still owed.
    pub drain: Span,
    /// Connections are opened evenly over this time, before the warm-up.
    pub start_over: Span,
    /// Length of an interval.
    pub interval: Span,
    /// A message later than this (lag and hold together) ends the run as overloaded.
    pub overload: Span,
}
