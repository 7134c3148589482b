//! What a driver reports: events as plain values, and errors that name the step.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::stamp::{Stamp, StampError};

/// Something that happened on a port. `producer`, `consumer` and `connection` are positions in its spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The next so many messages of this producer, in the order queued, had their first byte handed over at `at`.
    Sent {
        /// Whose.
        producer: u32,
        /// How many.
        messages: u32,
        /// Just before the system call.
        at: Nanos,
    },
    /// The broker answered a publish, or with `multiple` all unanswered ones up to it. Tags count a producer's
    /// messages from 1, in the order queued.
    Settled {
        /// Whose.
        producer: u32,
        /// The delivery tag.
        tag: u64,
        /// All up to the tag.
        multiple: bool,
        /// Ack or nack.
        answer: Answer,
        /// Right after the read that brought it.
        at: Nanos,
    },
    /// The broker returned an unroutable message; its ack comes later.
    Returned {
        /// Whose.
        producer: u32,
        /// Which message.
        stamp: Result<Stamp, StampError>,
        /// The reply code, e.g. 312.
        code: u16,
        /// Right after the read that brought it.
        at: Nanos,
    },
    /// A message arrived.
    Delivered {
        /// At whom.
        consumer: u32,
        /// The message.
        delivery: Delivery,
    },
    /// The broker ended a consumer (`basic.cancel`): its queue is gone.
    Cancelled {
        /// Which.
        consumer: u32,
        /// Right after the read that brought it.
        at: Nanos,
    },
    /// The broker stopped reading from a connection (`connection.blocked`).
    Blocked {
        /// Which.
        connection: u32,
        /// Right after the read that brought it.
        at: Nanos,
    },
    /// The broker reads again.
    Unblocked {
        /// Which.
        connection: u32,
        /// Right after the read that brought it.
        at: Nanos,
    },
    /// A connection or one of its channels ended although nobody here closed it. Nothing more comes from it.
    Closed {
        /// Which.
        connection: u32,
        /// What the broker or the system said.
        cause: Box<str>,
        /// When it was noticed.
        at: Nanos,
    },
}

/// A message as a consumer got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The consumer's channel's delivery tag.
    pub tag: u64,
    /// The broker says that it may have been delivered before.
    pub redelivered: bool,
    /// Length of the whole body in bytes.
    pub body_len: u64,
    /// The head of the body.
    pub stamp: Result<Stamp, StampError>,
    /// Right after the read that brought its first byte.
    pub at: Nanos,
}

/// The broker's answer to a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `basic.ack`.
    Ack,
    /// `basic.nack`.
    Nack,
}

/// A consumer's answer to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// `basic.ack`.
    Ack,
    /// `basic.nack` with requeue.
    Requeue,
    /// `basic.nack` without requeue.
    Discard,
}

/// What a passive declare says of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Messages ready for delivery. Says nothing of those that a consumer holds.
    pub ready: u64,
    /// Consumers.
    pub consumers: u64,
}

/// Who answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerIdentity {
    /// E.g. `RabbitMQ`.
    pub product: String,
    /// E.g. `4.3.6`.
    pub version: String,
    /// E.g. `Erlang/OTP 27`.
    pub platform: String,
    /// The cluster's name, where it tells.
    pub cluster: Option<String>,
}

/// Why a driver could not do what it was asked. Addresses are printed without their password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// Nobody answers there.
    #[error(
        "cannot reach the broker at {address}: {reason}; is it running, and is the address right?"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// TLS was not agreed on.
    #[error("TLS with {address} failed: {reason}")]
    Tls {
        /// Where.
        address: String,
        /// What the library said.
        reason: String,
    },
    /// The broker said no.
    #[error("{address} refused to {step}: {said}")]
    Refused {
        /// Where.
        address: String,
        /// What was asked, e.g. `declare queue send.email`.
        step: String,
        /// The broker's reply text, with its code.
        said: String,
    },
    /// The broker did not answer in time.
    #[error("{address} did not answer in time: {step} took more than {limit}")]
    TimedOut {
        /// Where.
        address: String,
        /// What was asked.
        step: String,
        /// The limit.
        limit: crate::units::Span,
    },
    /// The connection ended.
    #[error("the connection to {address} ended while trying to {step}: {cause}")]
    Lost {
        /// Where.
        address: String,
        /// What was being done.
        step: String,
        /// What the broker or the system said.
        cause: String,
    },
    /// The other side does not speak AMQP 0-9-1 as agreed.
    #[error("{address} broke the protocol: {found}, expected {expected}")]
    Protocol {
        /// Where.
        address: String,
        /// What came.
        found: String,
        /// What should have come.
        expected: String,
    },
    /// This machine refused something.
    #[error("this machine refused {what}: {reason}")]
    System {
        /// What was asked of it.
        what: String,
        /// What it said.
        reason: String,
    },
}
