//! One connection of a port once it is open: what it has to write, what it was left with reading, whose its channels
//! are. Turns frames into events. Waits for nothing; called by `port`.

use std::io::{self, ErrorKind, IoSlice};

use amq_protocol::protocol::{AMQPClass, basic, channel, connection};

use super::decode::{Fault, Inbound, Incoming};
use super::encode;
use super::handshake::{Opened, goodbye};
use super::outbox::{Outbox, Pool, SLICES};
use super::transport::Transport;
use crate::clock::{Clock, Monotonic, Nanos};
use crate::driver::Event;
use crate::units::Span;

/// Unwritten bytes above which a connection takes no more messages: several writes' worth, and far less than the
/// kernel holds.
pub(super) const UNWRITTEN_MAX: u64 = 128 * 1024;

/// Whose a channel is: an index into the port's producers or consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Producer(u32),
    Consumer(u32),
}

/// Why nothing more comes from a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The broker closed it or one of its channels, saying this.
    Said(String),
    /// Anything else.
    Broke(String),
}

impl End {
    /// The words for it.
    pub(super) fn cause(self) -> String {
        match self {
            Self::Said(cause) | Self::Broke(cause) => cause,
        }
    }
}

/// Whether a read waits for something to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// It only looks.
    None,
    /// It waits as long as one wait may take.
    Some,
}

/// Longest single wait inside a read.
pub(super) const READ_WAIT: Span = Span::from_ms(10);

/// Room for reading, shared by all connections of a port.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) plain: Vec<u8>,
    pub(super) cipher: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    index: u32,
    pub(super) transport: Transport,
    pub(super) outbox: Outbox,
    inbound: Inbound,
    /// By channel number less one.
    roles: Vec<Role>,
    heartbeat: Span,
    pub(super) last_read: Nanos,
    pub(super) last_written: Nanos,
    /// The socket took less than it was offered.
    pub(super) is_full: bool,
    /// `EPOLLOUT` is asked for.
    pub(super) is_watched_for_room: bool,
    /// A message was turned away and nobody was told yet that there is room again.
    pub(super) owes_room: bool,
    /// In the port's list of connections with something to write.
    pub(super) is_dirty: bool,
    /// Consumers that the broker has confirmed.
    pub(super) consumers_started: usize,
    /// The broker answered our goodbye.
    pub(super) said_goodbye: bool,
    /// Its reads can wait.
    pub(super) can_wait: bool,
}

impl Connection {
    /// Takes an opened connection over.
    pub(super) fn new(index: u32, mut opened: Opened, roles: Vec<Role>) -> Self {
        let now = Monotonic.now();
        let can_wait = opened.transport.allow_waiting(READ_WAIT.as_duration());
        Self {
            index,
            transport: opened.transport,
            outbox: Outbox::default(),
            inbound: Inbound::new(roles.len(), opened.frame_max, opened.leftover, now),
            roles,
            heartbeat: opened.heartbeat,
            last_read: now,
            last_written: now,
            is_full: false,
            is_watched_for_room: false,
            owes_room: false,
            is_dirty: false,
            consumers_started: 0,
            said_goodbye: false,
            can_wait,
        }
    }

    /// Whether a producer may queue another message.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        !self.is_full && self.outbox.len() < UNWRITTEN_MAX
    }

    /// Something waits for the socket.
    pub(super) fn wants_write(&self) -> bool {
        !self.outbox.is_empty() || self.transport.has_pending()
    }

    /// Writes until nothing is left or the socket is full.
    pub(super) fn write(&mut self, pool: &Pool, events: &mut Vec<Event>) -> Result<(), End> {
        self.is_full = false;
        while !self.outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let at = Monotonic.now();
            let limit = self.transport.write_max();
            let count = self.outbox.offer(at, limit, pool, &mut slices);
            let offered: usize = slices[..count].iter().map(|slice| slice.len()).sum();
            match self.transport.write(&slices[..count]) {
                Ok(accepted) => {
                    self.last_written = at;
                    self.outbox.accept(accepted, at, events);
                    if accepted < offered {
                        self.is_full = true;
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_full = true;
                    return Ok(());
                }
                Err(error) => return Err(cause(&error)),
            }
        }
        if self.transport.has_pending() {
            match self.transport.write_pending() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_full = true,
                Err(error) => return Err(cause(&error)),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Reads once and reports what it brought. Returns whether that was anything.
    ///
    /// # Errors
    /// Why nothing more will come.
    pub(super) fn read(
        &mut self,
        patience: Patience,
        scratch: &mut Scratch,
        events: &mut Vec<Event>,
    ) -> Result<bool, End> {
        let prefix = self.inbound.prefix(&mut scratch.plain);
        let room = &mut scratch.plain[prefix..];
        let result = match patience {
            Patience::None => self.transport.read(room, &mut scratch.cipher),
            Patience::Some => self.transport.read_waiting(room),
        };
        let at = Monotonic.now();
        let got = match result {
            Ok(0) => return Err(End::Broke("the broker closed the socket".into())),
            Ok(got) => got,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(cause(&error)),
        };
        self.last_read = at;
        self.parse(&scratch.plain[..prefix + got], at, events)?;
        Ok(true)
    }

    /// Reads what came together with the end of the handshake.
    pub(super) fn parse_leftover(
        &mut self,
        scratch: &mut Scratch,
        events: &mut Vec<Event>,
    ) -> Result<(), End> {
        let prefix = self.inbound.prefix(&mut scratch.plain);
        self.parse(&scratch.plain[..prefix], self.last_read, events)
    }

    fn parse(&mut self, bytes: &[u8], at: Nanos, events: &mut Vec<Event>) -> Result<(), End> {
        let Self {
            inbound,
            index,
            roles,
            outbox,
            consumers_started,
            said_goodbye,
            ..
        } = self;
        let mut ended = None;
        let result = inbound.accept(bytes, at, |number, incoming| {
            let role = match number {
                0 => None,
                _ => roles.get(usize::from(number) - 1).copied(),
            };
            match (incoming, role) {
                (Incoming::Delivered(delivery), Some(Role::Consumer(consumer))) => {
                    events.push(Event::Delivered { consumer, delivery });
                }
                (
                    Incoming::Settled {
                        tag,
                        multiple,
                        answer,
                        at,
                    },
                    Some(Role::Producer(producer)),
                ) => events.push(Event::Settled {
                    producer,
                    tag,
                    multiple,
                    answer,
                    at,
                }),
                (Incoming::Returned { code, stamp, at }, Some(Role::Producer(producer))) => {
                    events.push(Event::Returned {
                        producer,
                        stamp,
                        code,
                        at,
                    });
                }
                (Incoming::Method { method, at }, role) => {
                    let mut cold = Cold {
                        connection: *index,
                        outbox,
                        consumers_started,
                        said_goodbye,
                        ended: &mut ended,
                    };
                    cold.method(*method, number, role, at, events)?;
                }
                (other, _) => {
                    return Err(Fault {
                        found: format!("{} on channel {number}", name(&other)),
                        expected: "it on the channel of a producer or consumer that asked for it",
                    });
                }
            }
            Ok(())
        });
        match (ended, result) {
            (Some(cause), _) => Err(End::Said(cause)),
            (None, Err(fault)) => Err(End::Broke(format!(
                "the broker broke the protocol: {}, expected {}",
                fault.found, fault.expected
            ))),
            (None, Ok(())) => Ok(()),
        }
    }

    /// Sends a heartbeat where one is due, and notices where the broker has been silent for too long.
    ///
    /// # Errors
    /// That it has.
    pub(super) fn beat(&mut self, now: Nanos) -> Result<(), End> {
        if self.heartbeat == Span::ZERO {
            return Ok(());
        }
        let interval = self.heartbeat.as_ns();
        if now.saturating_since(self.last_read).as_ns() > 2 * interval {
            return Err(End::Broke(format!(
                "nothing came for two heartbeat intervals of {}",
                self.heartbeat
            )));
        }
        if now.saturating_since(self.last_written).as_ns() >= interval / 2 {
            self.last_written = now;
            if self.outbox.is_empty() {
                self.outbox.release();
                self.inbound.release();
                self.outbox.append(encode::heartbeat);
            }
        }
        Ok(())
    }

    /// The agreed heartbeat interval; zero where there is none.
    pub(super) fn heartbeat(&self) -> Span {
        self.heartbeat
    }
}

/// What the methods off the load path act on.
struct Cold<'a> {
    connection: u32,
    outbox: &'a mut Outbox,
    consumers_started: &'a mut usize,
    said_goodbye: &'a mut bool,
    ended: &'a mut Option<String>,
}

impl Cold<'_> {
    fn method(
        &mut self,
        method: AMQPClass,
        number: u16,
        role: Option<Role>,
        at: Nanos,
        events: &mut Vec<Event>,
    ) -> Result<(), Fault> {
        let connection = self.connection;
        match (method, role) {
            (AMQPClass::Connection(connection::AMQPMethod::Blocked(_)), _) => {
                events.push(Event::Blocked { connection, at });
            }
            (AMQPClass::Connection(connection::AMQPMethod::Unblocked(_)), _) => {
                events.push(Event::Unblocked { connection, at });
            }
            (AMQPClass::Connection(connection::AMQPMethod::CloseOk(_)), _) => {
                *self.said_goodbye = true;
            }
            (AMQPClass::Connection(connection::AMQPMethod::Close(close)), _) => {
                let method =
                    AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}));
                self.reply(0, method);
                self.end(said(
                    close.reply_code,
                    close.reply_text.as_str(),
                    close.class_id,
                    close.method_id,
                ));
            }
            (AMQPClass::Channel(channel::AMQPMethod::Close(close)), _) => {
                let method = AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}));
                self.reply(number, method);
                // A channel that failed takes its connection with it, for the engine knows no smaller unit.
                self.reply(0, goodbye());
                self.end(said(
                    close.reply_code,
                    close.reply_text.as_str(),
                    close.class_id,
                    close.method_id,
                ));
            }
            (
                AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)),
                Some(Role::Consumer(consumer)),
            ) => {
                if !cancel.nowait {
                    let consumer_tag = cancel.consumer_tag;
                    let ok = basic::AMQPMethod::CancelOk(basic::CancelOk { consumer_tag });
                    self.reply(number, AMQPClass::Basic(ok));
                }
                events.push(Event::Cancelled { consumer, at });
            }
            (AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(_)), Some(Role::Consumer(_))) => {
                *self.consumers_started += 1;
            }
            (AMQPClass::Channel(channel::AMQPMethod::Flow(flow)), Some(_)) => {
                let active = flow.active;
                let ok = channel::AMQPMethod::FlowOk(channel::FlowOk { active });
                self.reply(number, AMQPClass::Channel(ok));
            }
            (other, _) => {
                return Err(Fault {
                    found: format!("{} on channel {number}", method_name(&other)),
                    expected: "nothing that was not asked for",
                });
            }
        }
        Ok(())
    }

    fn reply(&mut self, number: u16, method: AMQPClass) {
        // These methods have nothing in them that cannot be encoded.
        let _ = self
            .outbox
            .append(|out| encode::method(out, number, method));
    }

    fn end(&mut self, cause: String) {
        self.ended.get_or_insert(cause);
    }
}

/// A reply text with its code and the method it is about, as `320 CONNECTION_FORCED - .. (0.0)`.
pub(super) fn said(code: u16, text: &str, class: u16, method: u16) -> String {
    if class == 0 && method == 0 {
        format!("{code} {text}")
    } else {
        format!("{code} {text} ({class}.{method})")
    }
}

/// What the system or the TLS library said.
fn cause(error: &io::Error) -> End {
    End::Broke(error.to_string())
}

fn name(incoming: &Incoming) -> &'static str {
    match incoming {
        Incoming::Settled { .. } => "basic.ack or basic.nack",
        Incoming::Delivered(_) => "basic.deliver",
        Incoming::Returned { .. } => "basic.return",
        Incoming::Method { .. } => "a method",
    }
}

/// The class of a method: enough to know what came, without its contents.
pub(super) fn method_name(method: &AMQPClass) -> String {
    let debug = format!("{method:?}");
    debug.chars().take(80).collect()
}
