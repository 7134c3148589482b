//! What a user can write, as types: one struct a table, each setting absent, bad or given with its place.
//!
//! Nothing is filled in here (that is `plan::resolve`) and nothing is held against anything else (that is `check`).

use super::document::{Place, Table};
use super::reader::{Located, Reader, Setting};
use crate::address::Address;
use crate::diagnostic::Problems;
use crate::driver::Properties;
use crate::schedule::Arrivals;
use crate::topology::{Arguments, ExchangeKind, QueueKind};
use crate::units::{ByteSize, Rate, Span};

/// Every table of the format with its keys, for messages, for paths, and for the test that the reference has them all.
pub(crate) const TABLES: &[(&str, &[&str])] = &[
    ("", ROOT),
    ("exchange", EXCHANGE),
    ("queue", QUEUE),
    ("queue.bind", BIND),
    ("producers", PRODUCERS),
    ("producers.to", TO),
    ("producers.confirms", CONFIRMS),
    ("producers.properties", PROPERTIES),
    ("consumers", CONSUMERS),
    ("consumers.ack", ACK),
    ("timing", TIMING),
    ("connection", CONNECTION),
    ("connection.tls", TLS),
    ("claims", CLAIM),
];

pub(super) const ROOT: &[&str] = &[
    "title",
    "about",
    "claims",
    "exchange",
    "queue",
    "producers",
    "consumers",
    "timing",
    "connection",
    "max_backlog",
    "driver",
    "matrix",
];
pub(super) const EXCHANGE: &[&str] = &[
    "name",
    "kind",
    "durable",
    "auto_delete",
    "arguments",
    "existing",
];
pub(super) const QUEUE: &[&str] = &[
    "name",
    "kind",
    "durable",
    "auto_delete",
    "arguments",
    "existing",
    "bind",
];
pub(super) const BIND: &[&str] = &["exchange", "key", "arguments"];
pub(super) const PRODUCERS: &[&str] = &[
    "name",
    "count",
    "connections",
    "to",
    "rate",
    "arrivals",
    "size",
    "persistent",
    "mandatory",
    "confirms",
    "properties",
    "headers",
    "messages",
];
pub(super) const TO: &[&str] = &["exchange", "key", "queue"];
pub(super) const CONFIRMS: &[&str] = &["window"];
pub(super) const PROPERTIES: &[&str] = &[
    "content_type",
    "content_encoding",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "type",
    "user_id",
    "app_id",
];
pub(super) const CONSUMERS: &[&str] = &[
    "name",
    "count",
    "connections",
    "from",
    "prefetch",
    "ack",
    "think",
    "arguments",
];
pub(super) const ACK: &[&str] = &["every"];
pub(super) const TIMING: &[&str] = &[
    "warmup",
    "measure",
    "drain",
    "start_over",
    "interval",
    "overload",
];
pub(super) const CONNECTION: &[&str] = &["uris", "tls", "heartbeat", "frame_max", "timeout"];
pub(super) const TLS: &[&str] = &["ca", "certificate", "key", "verify"];
pub(super) const CLAIM: &[&str] = &["claim", "where"];

/// Everything of a scenario that a run depends on, for one combination of the matrix.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) exchanges: Vec<ExchangeSettings>,
    pub(crate) queues: Vec<QueueSettings>,
    pub(crate) producers: Vec<ProducersSettings>,
    pub(crate) consumers: Vec<ConsumersSettings>,
    pub(crate) timing: TimingSettings,
    pub(crate) connection: ConnectionSettings,
    pub(crate) max_backlog: Setting<ByteSize>,
    pub(crate) driver: Setting<DriverSetting>,
}

/// `[[exchange]]`.
#[derive(Debug, Clone)]
pub(crate) struct ExchangeSettings {
    pub(crate) at: Place,
    pub(crate) name: Setting<String>,
    pub(crate) kind: Setting<ExchangeKind>,
    pub(crate) durable: Setting<bool>,
    pub(crate) auto_delete: Setting<bool>,
    pub(crate) arguments: Arguments,
    pub(crate) existing: Setting<bool>,
}

/// `[[queue]]`.
#[derive(Debug, Clone)]
pub(crate) struct QueueSettings {
    pub(crate) at: Place,
    pub(crate) name: Setting<String>,
    pub(crate) kind: Setting<QueueKind>,
    pub(crate) durable: Setting<bool>,
    pub(crate) auto_delete: Setting<bool>,
    pub(crate) arguments: Arguments,
    pub(crate) existing: Setting<bool>,
    pub(crate) bind: Vec<BindSettings>,
}

/// One element of `bind`.
#[derive(Debug, Clone)]
pub(crate) struct BindSettings {
    pub(crate) at: Place,
    pub(crate) exchange: Setting<String>,
    pub(crate) key: Setting<String>,
    pub(crate) arguments: Arguments,
}

/// `[[producers]]`.
#[derive(Debug, Clone)]
pub(crate) struct ProducersSettings {
    pub(crate) at: Place,
    pub(crate) name: Setting<String>,
    pub(crate) count: Setting<u32>,
    pub(crate) connections: Setting<u32>,
    pub(crate) to: Setting<ToSettings>,
    pub(crate) rate: Setting<RateSetting>,
    pub(crate) arrivals: Setting<Arrivals>,
    pub(crate) size: Setting<ByteSize>,
    pub(crate) persistent: Setting<bool>,
    pub(crate) mandatory: Setting<bool>,
    pub(crate) confirms: Setting<ConfirmsSetting>,
    pub(crate) properties: Properties,
    pub(crate) headers: Arguments,
    pub(crate) messages: Setting<u64>,
}

/// `to`.
#[derive(Debug, Clone)]
pub(crate) enum ToSettings {
    /// Straight to a queue, through the default exchange.
    Queue(Located<String>),
    /// Through an exchange.
    Exchange {
        /// Its name.
        exchange: Located<String>,
        /// The routing key, absent where the exchange has no use for one.
        key: Option<Located<String>>,
    },
}

/// `rate`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RateSetting {
    /// `"max"`: as fast as the loop allows, as when it is left out.
    Max,
    /// Of the whole fleet.
    Rate(Rate),
}

/// `confirms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConfirmsSetting {
    Off,
    Unbounded,
    Window(u32),
}

/// `[[consumers]]`.
#[derive(Debug, Clone)]
pub(crate) struct ConsumersSettings {
    pub(crate) at: Place,
    pub(crate) name: Setting<String>,
    pub(crate) count: Setting<u32>,
    pub(crate) connections: Setting<u32>,
    pub(crate) from: Setting<String>,
    pub(crate) prefetch: Setting<u16>,
    pub(crate) ack: Setting<AckSetting>,
    pub(crate) think: Setting<Span>,
    pub(crate) arguments: Arguments,
}

/// `ack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckSetting {
    Auto,
    Every(u32),
}

/// `[timing]`.
#[derive(Debug, Clone)]
pub(crate) struct TimingSettings {
    pub(crate) at: Place,
    pub(crate) warmup: Setting<Span>,
    pub(crate) measure: Setting<Span>,
    pub(crate) drain: Setting<Span>,
    pub(crate) start_over: Setting<Span>,
    pub(crate) interval: Setting<Span>,
    pub(crate) overload: Setting<Span>,
}

/// `[connection]`.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionSettings {
    pub(crate) uris: Vec<Located<Address>>,
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) heartbeat: Setting<Span>,
    pub(crate) frame_max: Setting<u32>,
    pub(crate) timeout: Setting<Span>,
}

/// `[connection.tls]`.
#[derive(Debug, Clone)]
pub(crate) struct TlsSettings {
    pub(crate) at: Place,
    pub(crate) ca: Setting<String>,
    pub(crate) certificate: Setting<String>,
    pub(crate) key: Setting<String>,
    pub(crate) verify: Setting<bool>,
}

/// `driver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DriverSetting {
    Amqp,
    Lapin,
}

/// Reads everything but title, about, claims and matrix out of the root table.
pub(super) fn read(root: &Table, at: &Place, problems: &mut Problems) -> Settings {
    let mut reader = Reader::new("a scenario", root, at, ROOT, problems);
    let max_backlog = reader.quantity("max_backlog");
    let driver = reader.word(
        "driver",
        &[
            ("amqp", DriverSetting::Amqp),
            ("lapin", DriverSetting::Lapin),
        ],
    );
    let exchanges = reader.tables("exchange");
    let queues = reader.tables("queue");
    let producers = reader.tables("producers");
    let consumers = reader.tables("consumers");
    let timing = reader.subtable("timing");
    let connection = reader.subtable("connection");
    Settings {
        exchanges: exchanges
            .into_iter()
            .map(|(table, at)| super::broker::exchange(table, &at, problems))
            .collect(),
        queues: queues
            .into_iter()
            .map(|(table, at)| super::broker::queue(table, &at, problems))
            .collect(),
        producers: producers
            .into_iter()
            .map(|(table, at)| super::fleet::producers(table, &at, problems))
            .collect(),
        consumers: consumers
            .into_iter()
            .map(|(table, at)| super::fleet::consumers(table, &at, problems))
            .collect(),
        timing: super::broker::timing(timing, at, problems),
        connection: super::broker::connection(connection, at, problems),
        max_backlog,
        driver,
    }
}
