//! The boundary between the engine and whatever speaks to a broker.
//!
//! A driver moves bytes and reports what happened. It never paces, never records a time but the edge stamps, never
//! decides when to stop; it waits only inside [`Port::pump`]. The engine calls a [`Port`] from one worker thread, over
//! many connections, statically dispatched; the coordinator calls [`Admin`] before and after.
//!
//! Drivers: [`amqp`] (our own data path, the default), [`lapin`] (the reference client), [`memory`] (a queue in this
//! process, for tests and for the core's own ceiling). One contract suite holds all three.

pub mod amqp;
pub mod lapin;
pub mod memory;
mod outcome;

use serde::{Deserialize, Serialize};

pub use outcome::{Answer, BrokerIdentity, Delivery, Depth, DriverError, Event, Settlement};

use crate::address::{Address, Tls};
use crate::clock::Nanos;
use crate::stamp::Stamp;
use crate::topology::{Arguments, Topology};
use crate::units::Span;

/// Opens ports and admins on one broker.
pub trait Driver: Sync {
    /// What moves messages for one worker.
    type Port: Port;
    /// What sets up and takes down.
    type Admin: Admin;

    /// Connects for administration.
    ///
    /// # Errors
    /// Whatever keeps a connection from being opened: address, TLS, credentials, virtual host.
    fn admin(&self) -> Result<Self::Admin, DriverError>;

    /// Prepares a port for one worker. Called in the worker's own thread; nothing is connected until [`Port::open`].
    ///
    /// # Errors
    /// Where the system refuses what the port needs (descriptors, timers, threads).
    fn port(&self, spec: PortSpec) -> Result<Self::Port, DriverError>;

    /// What this driver can and cannot tell.
    fn capabilities(&self) -> Capabilities;
}

/// Sets up, inspects and takes down what a run needs on the broker. Blocking, off the load path.
pub trait Admin {
    /// Who answered, from its `server-properties`.
    fn broker(&self) -> &BrokerIdentity;

    /// Declares exchanges, queues and bindings, in this order; those marked existing are only checked to be there.
    ///
    /// # Errors
    /// The step that failed and what the broker said, e.g. `PRECONDITION_FAILED - inequivalent arg`.
    fn apply(&mut self, topology: &Topology) -> Result<(), DriverError>;

    /// Messages ready and consumers of a queue, by its name on the broker (a passive declare).
    ///
    /// # Errors
    /// Where the queue is not there or the connection is lost.
    fn depth(&mut self, queue: &str) -> Result<Depth, DriverError>;

    /// Deletes whatever of `topology` is not marked existing. What is already gone is no error.
    ///
    /// # Errors
    /// The first thing that could not be removed; the rest is still tried.
    fn remove(&mut self, topology: &Topology) -> Result<(), DriverError>;
}

/// Moves messages for one worker over its connections. Indices are positions in the [`PortSpec`].
pub trait Port {
    /// Opens one connection with its channels, and starts its consumers. Blocks until the broker has confirmed all of
    /// it or `deadline` has passed.
    ///
    /// # Errors
    /// The step that failed and what the broker said.
    fn open(&mut self, connection: u32, deadline: Nanos) -> Result<(), DriverError>;

    /// Takes one message of `producer` for sending: a body of `size` bytes that starts with `stamp`. Nothing is
    /// written before [`Port::flush`]. `size` is at least [`crate::stamp::STAMP_LEN`].
    ///
    /// [`Admission::Busy`] says that the producer's connection has more unwritten bytes than it should: the message was
    /// not taken; try again after the next [`Port::pump`], which returns when there is room.
    fn queue(&mut self, producer: u32, stamp: &Stamp, size: u64) -> Admission;

    /// Takes a consumer's answer to one delivery, or with `multiple` to all up to `tag`. Written by [`Port::flush`].
    fn settle(&mut self, consumer: u32, tag: u64, multiple: bool, settlement: Settlement);

    /// Writes what was taken, as far as the sockets accept it, and reports an [`Event::Sent`] for each producer whose
    /// messages had their first byte handed over.
    fn flush(&mut self, events: &mut Vec<Event>);

    /// Waits until something happened or `until` has come, whichever is first, and appends what happened. Also writes
    /// on when a full socket has room again. With `until` in the past: looks without waiting.
    fn pump(&mut self, until: Nanos, events: &mut Vec<Event>);

    /// Cancels nothing, waits for nothing but the broker's goodbye: closes all connections in order, at the latest at
    /// `deadline`. What consumers left unsettled goes back to its queue.
    fn close(&mut self, deadline: Nanos);

    /// Bytes taken but not yet handed to the kernel, over all connections.
    fn unwritten(&self) -> u64;
}

/// Whether a port took a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It did.
    Taken,
    /// It did not: the socket is full.
    Busy,
}

/// Where a driver's `sent` and `received` stamps are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edge {
    /// Beside the system call.
    Socket,
    /// At a client library's own interface: its internal queueing is part of the numbers.
    Api,
}

/// What a driver can and cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Where its edge stamps are taken.
    pub edge: Edge,
    /// Confirms arrive as the broker sent them, `multiple` and all.
    pub confirm_batches: bool,
}

/// How to reach the broker.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// The nodes; connection `i` of a port starts at the address that its spec names.
    pub addresses: Vec<Address>,
    /// Used by `amqps` addresses.
    pub tls: Tls,
    /// Asked-for heartbeat; zero turns it off.
    pub heartbeat: Span,
    /// Largest frame asked for; the broker may lower it. Never below 8192.
    pub frame_max: u32,
    /// Limit for each step of opening a connection.
    pub timeout: Span,
}

/// Everything one worker's port has to do with the broker.
#[derive(Debug, Clone, Default)]
pub struct PortSpec {
    /// Its connections.
    pub connections: Vec<ConnectionSpec>,
    /// Its producers, each on a channel of its own.
    pub producers: Vec<ProducerSpec>,
    /// Its consumers, each on a channel of its own.
    pub consumers: Vec<ConsumerSpec>,
}

/// One connection.
#[derive(Debug, Clone)]
pub struct ConnectionSpec {
    /// Index into [`ConnectOptions::addresses`].
    pub address: usize,
    /// Shown by the broker as `connection_name`.
    pub name: String,
}

/// One producer: everything about its messages that does not change.
#[derive(Debug, Clone)]
pub struct ProducerSpec {
    /// Index of its connection.
    pub connection: u32,
    /// The exchange on the broker; empty for the default exchange.
    pub exchange: String,
    /// The routing key on the broker.
    pub key: String,
    /// Ask for unroutable messages to be returned.
    pub mandatory: bool,
    /// Delivery mode 2 instead of 1.
    pub persistent: bool,
    /// Put the channel into confirm mode.
    pub confirms: bool,
    /// The largest body it will send, in bytes.
    pub size_max: u64,
    /// Message properties.
    pub properties: Properties,
    /// Message headers.
    pub headers: Arguments,
}

/// One consumer.
#[derive(Debug, Clone)]
pub struct ConsumerSpec {
    /// Index of its connection.
    pub connection: u32,
    /// The queue on the broker.
    pub queue: String,
    /// Most unsettled deliveries at once; 0 for no limit.
    pub prefetch: u16,
    /// The broker counts a message as settled when it was sent (`no-ack`).
    pub auto_ack: bool,
    /// Arguments of `basic.consume`, e.g. `x-stream-offset`.
    pub arguments: Arguments,
}

/// The properties of AMQP 0-9-1's `basic` class that a user may set, besides delivery mode and headers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Properties {
    /// MIME type of the body.
    pub content_type: Option<String>,
    /// Encoding of the body.
    pub content_encoding: Option<String>,
    /// 0 to 255, where the queue has priorities.
    pub priority: Option<u8>,
    /// For applications.
    pub correlation_id: Option<String>,
    /// For applications.
    pub reply_to: Option<String>,
    /// Time to live in milliseconds, as text (as the protocol has it).
    pub expiration: Option<String>,
    /// For applications.
    pub message_id: Option<String>,
    /// For applications: `type`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Must equal the connection's user, if set.
    pub user_id: Option<String>,
    /// For applications.
    pub app_id: Option<String>,
}
