//! The event loop of one worker: its connections on one epoll, and an exact wait for the next due time.
//!
//! The only place where the load path waits. One read per readable socket and turn, so that no connection starves the
//! others; level-triggered, so that what one read left behind is not forgotten.

use std::num::NonZeroU64;
use std::sync::Arc;

use amq_protocol::protocol::{AMQPClass, basic, confirm};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;

use super::connection::{Connection, End, Patience, READ_WAIT, Role, Scratch};
use super::encode::{self, Template};
use super::handshake::{Wire, goodbye, timespec};
use super::{Shared, Wish};
use crate::clock::{Clock, Monotonic, Nanos};
use crate::driver::{Admission, DriverError, Event, Port, PortSpec, Settlement};
use crate::stamp::{STAMP_LEN, Stamp};
use crate::units::Span;

/// Read at once, over all connections.
const SCRATCH: usize = 256 * 1024;
/// The end of a wait that is timed finer than `epoll_wait` can.
const FINE: Span = Span::from_ms(2);
/// How late the kernel may wake this thread, in nanoseconds. The default is 50 us.
const TIMER_SLACK_NS: u64 = 1_000;
const NO_WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// A producer's place: its connection and what its messages begin with, once that is open.
#[derive(Debug)]
struct Producer {
    connection: usize,
    template: Option<Template>,
}

/// A consumer's place.
#[derive(Debug, Clone, Copy)]
struct Consumer {
    connection: usize,
    channel: u16,
}

/// See the module.
pub struct AmqpPort {
    shared: Arc<Shared>,
    spec: PortSpec,
    connections: Vec<Option<Connection>>,
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
    /// Connections with something to write.
    dirty: Vec<u32>,
    /// Connections that turned a message away since they last had room.
    turned_away: Vec<u32>,
    /// What happened while connections were being opened.
    early: Vec<Event>,
    scratch: Scratch,
    epoll: OwnedFd,
    /// When heartbeats are looked after next.
    next_beat: Nanos,
    ready: Vec<epoll::Event>,
    /// The only open connection, if there is just one.
    sole: Option<u32>,
}

impl AmqpPort {
    pub(super) fn new(shared: Arc<Shared>, spec: PortSpec) -> Result<Self, DriverError> {
        let refused = |what: &str| {
            let what = what.to_owned();
            move |errno: rustix::io::Errno| DriverError::System {
                what,
                reason: errno.to_string(),
            }
        };
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(refused("an epoll"))?;
        // Where this is refused the pacer is less exact, which it measures itself.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(TIMER_SLACK_NS));
        let mut channels = vec![0_u16; spec.connections.len()];
        let mut next = |connection: u32| {
            let channel = channels.get_mut(connection as usize)?;
            *channel = channel.checked_add(1)?;
            Some(*channel)
        };
        let no_place = || DriverError::System {
            what: "a producer's or consumer's channel".into(),
            reason: "no such connection, or more than 65,535 channels on one".into(),
        };
        let mut producers = Vec::with_capacity(spec.producers.len());
        for producer in &spec.producers {
            next(producer.connection).ok_or_else(no_place)?;
            producers.push(Producer {
                connection: producer.connection as usize,
                template: None,
            });
        }
        let mut consumers = Vec::with_capacity(spec.consumers.len());
        for consumer in &spec.consumers {
            let channel = next(consumer.connection).ok_or_else(no_place)?;
            consumers.push(Consumer {
                connection: consumer.connection as usize,
                channel,
            });
        }
        Ok(Self {
            connections: spec.connections.iter().map(|_| None).collect(),
            producers,
            consumers,
            dirty: Vec::with_capacity(spec.connections.len()),
            turned_away: Vec::with_capacity(spec.connections.len()),
            early: Vec::new(),
            scratch: Scratch {
                plain: vec![0; SCRATCH],
                cipher: Vec::new(),
            },
            epoll,
            next_beat: Nanos::NEVER,
            ready: Vec::with_capacity(spec.connections.len().clamp(64, 4096)),
            sole: None,
            shared,
            spec,
        })
    }

    /// Opens the channels of producers and consumers in the order of their numbers, and prepares the templates.
    fn open_channels(&mut self, index: usize, wire: &mut Wire) -> Result<Vec<Role>, DriverError> {
        let mut roles = Vec::new();
        for (position, spec) in self.spec.producers.iter().enumerate() {
            if spec.connection as usize != index {
                continue;
            }
            roles.push(Role::Producer(position as u32));
            let channel = roles.len() as u16;
            let template = Template::new(spec, channel, wire.frame_max)?;
            wire.open_channel(channel)?;
            if spec.confirms {
                let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
                match wire.ask(channel, AMQPClass::Confirm(select), "ask for confirms")? {
                    AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_)) => {}
                    other => return Err(wire.surprised(&other, "confirm.select-ok")),
                }
            }
            self.producers[position].template = Some(template);
        }
        for (position, spec) in self.spec.consumers.iter().enumerate() {
            if spec.connection as usize != index {
                continue;
            }
            roles.push(Role::Consumer(position as u32));
            let channel = roles.len() as u16;
            wire.open_channel(channel)?;
            if spec.prefetch > 0 {
                let qos = basic::AMQPMethod::Qos(basic::Qos {
                    prefetch_count: spec.prefetch,
                    global: false,
                });
                match wire.ask(channel, AMQPClass::Basic(qos), "set the prefetch")? {
                    AMQPClass::Basic(basic::AMQPMethod::QosOk(_)) => {}
                    other => return Err(wire.surprised(&other, "basic.qos-ok")),
                }
            }
        }
        Ok(roles)
    }

    /// Starts the consumers of a connection that already runs: deliveries come before the last one is confirmed.
    fn start_consumers(
        &mut self,
        connection: &mut Connection,
        index: usize,
        deadline: Nanos,
    ) -> Result<(), DriverError> {
        let mut wanted = 0;
        for (position, spec) in self.spec.consumers.iter().enumerate() {
            if spec.connection as usize != index {
                continue;
            }
            wanted += 1;
            let consume = basic::AMQPMethod::Consume(basic::Consume {
                queue: encode::short("the queue", &spec.queue)?,
                consumer_tag: format!("{position}").as_str().into(),
                no_local: false,
                no_ack: spec.auto_ack,
                exclusive: false,
                nowait: false,
                arguments: encode::table(&spec.arguments)?,
            });
            let channel = self.consumers[position].channel;
            connection
                .outbox
                .append(|out| encode::method(out, channel, AMQPClass::Basic(consume)))?;
        }
        let address = self.shared.address(self.spec.connections[index].address);
        let step = "start the consumers";
        let ended = |end| match end {
            End::Said(said) => DriverError::Refused {
                address: address.clone(),
                step: step.into(),
                said,
            },
            End::Broke(cause) => DriverError::Lost {
                address: address.clone(),
                step: step.into(),
                cause,
            },
        };
        let since = Monotonic.now();
        let until = deadline.min(since + self.shared.options.timeout);
        let mut events = Vec::new();
        connection
            .parse_leftover(&mut self.scratch, &mut events)
            .map_err(ended)?;
        while connection.consumers_started < wanted || connection.wants_write() {
            connection
                .write(&self.shared.pool, &mut events)
                .map_err(ended)?;
            if connection.consumers_started >= wanted && !connection.wants_write() {
                break;
            }
            let now = Monotonic.now();
            if now >= until {
                return Err(DriverError::TimedOut {
                    address: address.clone(),
                    step: step.into(),
                    limit: until.saturating_since(since),
                });
            }
            let flags = if connection.wants_write() {
                PollFlags::IN | PollFlags::OUT
            } else {
                PollFlags::IN
            };
            let left = timespec(until.0 - now.0);
            let _ = poll(
                &mut [PollFd::new(&connection.transport, flags)],
                Some(&left),
            );
            connection
                .read(Patience::None, &mut self.scratch, &mut events)
                .map_err(ended)?;
        }
        self.early.append(&mut events);
        Ok(())
    }

    /// Asks epoll for room where a socket is full, and no longer where it is not.
    fn watch(epoll: &OwnedFd, connection: &mut Connection, index: u32) {
        if connection.is_full == connection.is_watched_for_room {
            return;
        }
        connection.is_watched_for_room = connection.is_full;
        let flags = if connection.is_full {
            EventFlags::IN | EventFlags::OUT
        } else {
            EventFlags::IN
        };
        let data = EventData::new_u64(u64::from(index));
        // Fails only for a descriptor that is not there, and this one is.
        let _ = epoll::modify(epoll, &connection.transport, data, flags);
    }

    /// Writes what a connection has. Returns whether anything is left.
    fn write(&mut self, index: u32, events: &mut Vec<Event>) -> bool {
        let Some(connection) = &mut self.connections[index as usize] else {
            return false;
        };
        match connection.write(&self.shared.pool, events) {
            Ok(()) => {
                Self::watch(&self.epoll, connection, index);
                connection.wants_write()
            }
            Err(end) => {
                // What the broker said before it closed the socket tells more than a broken pipe.
                let end = match connection.read(Patience::None, &mut self.scratch, events) {
                    Err(said @ End::Said(_)) => said,
                    _ => end,
                };
                self.end(index, end, events);
                false
            }
        }
    }

    /// Reads once. Returns whether that brought anything, be it the connection's end.
    fn read(&mut self, index: u32, patience: Patience, events: &mut Vec<Event>) -> bool {
        let Some(connection) = &mut self.connections[index as usize] else {
            return false;
        };
        match connection.read(patience, &mut self.scratch, events) {
            Ok(brought) => {
                if connection.wants_write() && !connection.is_full {
                    self.mark_dirty(index);
                }
                brought
            }
            Err(end) => {
                self.end(index, end, events);
                true
            }
        }
    }

    /// The only open connection, where waiting for it alone is as good as waiting for all.
    fn sole(&self) -> Option<u32> {
        let index = self.sole?;
        let connection = self.connections[index as usize].as_ref()?;
        (connection.can_wait && !connection.is_full).then_some(index)
    }

    fn find_sole(&mut self) {
        let mut open = (0..)
            .zip(&self.connections)
            .filter(|(_, slot)| slot.is_some());
        self.sole = match (open.next(), open.next()) {
            (Some((index, _)), None) => Some(index),
            _ => None,
        };
    }

    /// Waits inside the read of a sole connection as long as `until` is well away, which spares a system call for each
    /// wait. Returns whether something came; where not, `until` is near and wants the timer.
    fn wait_in_read(&mut self, index: u32, until: Nanos, events: &mut Vec<Event>) -> bool {
        // The kernel counts this wait in ticks of up to 10 ms and adds one.
        let margin = READ_WAIT
            .saturating_add(READ_WAIT)
            .saturating_add(READ_WAIT);
        while Monotonic.now() + margin < until {
            if self.read(index, Patience::Some, events) {
                return true;
            }
        }
        false
    }

    #[inline]
    fn mark_dirty(&mut self, index: u32) {
        if let Some(connection) = &mut self.connections[index as usize]
            && !connection.is_dirty
        {
            connection.is_dirty = true;
            self.dirty.push(index);
        }
    }

    /// Lets a connection go, with a last word if the socket takes it, and reports it.
    fn end(&mut self, index: u32, end: End, events: &mut Vec<Event>) {
        let Some(mut connection) = self.connections[index as usize].take() else {
            return;
        };
        self.find_sole();
        if let End::Said(_) = end
            && !connection.is_full
        {
            // The answer to the broker's close, behind what was queued before it.
            let _ = connection.write(&self.shared.pool, events);
        }
        events.push(Event::Closed {
            connection: index,
            cause: end.cause().into(),
            at: Monotonic.now(),
        });
    }

    /// Whether a connection that turned a message away has room again; says so once.
    fn has_room_again(&mut self) -> bool {
        if self.turned_away.is_empty() {
            return false;
        }
        let before = self.turned_away.len();
        let connections = &mut self.connections;
        self.turned_away
            .retain(|&index| match &mut connections[index as usize] {
                Some(connection) if !connection.has_room() => true,
                Some(connection) => {
                    connection.owes_room = false;
                    false
                }
                None => false,
            });
        self.turned_away.len() < before
    }

    /// Waits for any socket until `until`, to the nanosecond that the kernel's timer slack allows, and does what is to be
    /// done. A long wait is one system call; the last two milliseconds are a poll of the epoll itself, which takes
    /// nanoseconds where `epoll_wait` takes milliseconds.
    fn wait(&mut self, until: Nanos, events: &mut Vec<Event>) {
        let left = until.saturating_since(Monotonic.now());
        if left >= FINE {
            let coarse = Span::from_ms((left.as_ns() - FINE.as_ns()) / 1_000_000 + 1);
            if self.turn(Some(&timespec(coarse.as_ns())), events) {
                return;
            }
        }
        let left = until.saturating_since(Monotonic.now());
        let mut sockets = [PollFd::new(&self.epoll, PollFlags::IN)];
        // Interrupted by a signal: the caller looks at what it means.
        if poll(&mut sockets, Some(&timespec(left.as_ns()))).is_ok_and(|ready| ready > 0) {
            self.turn(Some(&NO_WAIT), events);
        }
    }

    fn beat(&mut self, now: Nanos, events: &mut Vec<Event>) {
        let mut soonest = Span::ZERO;
        for index in 0..self.connections.len() as u32 {
            let Some(connection) = &mut self.connections[index as usize] else {
                continue;
            };
            let heartbeat = connection.heartbeat();
            if heartbeat != Span::ZERO && (soonest == Span::ZERO || heartbeat < soonest) {
                soonest = heartbeat;
            }
            match connection.beat(now) {
                Ok(()) if connection.wants_write() && !connection.is_full => {
                    self.mark_dirty(index);
                }
                Ok(()) => {}
                Err(end) => self.end(index, end, events),
            }
        }
        self.next_beat = next_beat(now, soonest);
    }

    /// Waits once for sockets, in whole milliseconds, and does what is to be done. Returns whether there was anything.
    fn turn(&mut self, timeout: Option<&Timespec>, events: &mut Vec<Event>) -> bool {
        let mut ready = std::mem::take(&mut self.ready);
        // Interrupted by a signal: the caller looks at what it means.
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut ready), timeout);
        let anything = !ready.is_empty();
        for event in ready.drain(..) {
            let (index, flags) = (event.data.u64() as u32, event.flags);
            if flags.contains(EventFlags::OUT) {
                // Where nothing is left, the next flush takes it out of the list.
                self.write(index, events);
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                self.read(index, Patience::None, events);
            }
        }
        self.ready = ready;
        anything
    }

    /// A connection is done: nothing left to write and the broker has answered our goodbye.
    fn forget_closed(&mut self) {
        for slot in &mut self.connections {
            if slot.as_ref().is_some_and(|c| c.said_goodbye) {
                *slot = None;
            }
        }
    }
}

/// How often heartbeats are looked after: often enough to be sent in time.
fn next_beat(now: Nanos, heartbeat: Span) -> Nanos {
    if heartbeat == Span::ZERO {
        return Nanos::NEVER;
    }
    now + Span::from_ns(heartbeat.as_ns() / 4)
}

impl Port for AmqpPort {
    fn open(&mut self, connection: u32, deadline: Nanos) -> Result<(), DriverError> {
        let index = connection as usize;
        let shared = Arc::clone(&self.shared);
        let Some(spec) = self.spec.connections.get(index) else {
            return Err(DriverError::System {
                what: format!("connection {connection}"),
                reason: "the port has none of that number".into(),
            });
        };
        let here = |of: &u32| *of == connection;
        let channels = self.spec.producers.iter().map(|p| &p.connection);
        let channels = channels.chain(self.spec.consumers.iter().map(|c| &c.connection));
        let mut wire = shared.connect(Wish {
            first: spec.address,
            name: &spec.name,
            heartbeat: shared.options.heartbeat,
            channels: channels.filter(|of| here(of)).count(),
            deadline,
        })?;
        let roles = match self.open_channels(index, &mut wire) {
            Ok(roles) => roles,
            Err(error) => {
                wire.say(0, goodbye());
                return Err(error);
            }
        };
        let mut opened = Connection::new(connection, wire.into_opened(), roles);
        self.start_consumers(&mut opened, index, deadline)?;
        let data = EventData::new_u64(u64::from(connection));
        epoll::add(&self.epoll, &opened.transport, data, EventFlags::IN).map_err(|errno| {
            DriverError::System {
                what: "a socket in an epoll".into(),
                reason: errno.to_string(),
            }
        })?;
        let beat = next_beat(Monotonic.now(), opened.heartbeat());
        self.next_beat = self.next_beat.min(beat);
        self.connections[index] = Some(opened);
        self.find_sole();
        Ok(())
    }

    #[inline]
    fn queue(&mut self, producer: u32, stamp: &Stamp, size: u64) -> Admission {
        debug_assert!(size >= STAMP_LEN as u64, "a body of {size} bytes");
        let at = &self.producers[producer as usize];
        let index = at.connection;
        let (Some(connection), Some(template)) = (&mut self.connections[index], &at.template)
        else {
            return Admission::Busy;
        };
        if !connection.has_room() {
            if !connection.owes_room {
                connection.owes_room = true;
                self.turned_away.push(index as u32);
            }
            return Admission::Busy;
        }
        let size = size.max(STAMP_LEN as u64);
        connection
            .outbox
            .publish(template, producer, stamp, size, &self.shared.pool);
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(index as u32);
        }
        Admission::Taken
    }

    #[inline]
    fn settle(&mut self, consumer: u32, tag: u64, multiple: bool, settlement: Settlement) {
        let at = self.consumers[consumer as usize];
        let Some(connection) = &mut self.connections[at.connection] else {
            return;
        };
        connection
            .outbox
            .append(|out| encode::settle(out, at.channel, tag, multiple, settlement));
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(at.connection as u32);
        }
    }

    fn flush(&mut self, events: &mut Vec<Event>) {
        let mut position = 0;
        while let Some(&index) = self.dirty.get(position) {
            let is_full = self.connections[index as usize]
                .as_ref()
                .is_some_and(|connection| connection.is_full);
            if is_full || self.write(index, events) {
                position += 1;
                continue;
            }
            self.dirty.swap_remove(position);
            if let Some(connection) = &mut self.connections[index as usize] {
                connection.is_dirty = false;
            }
        }
    }

    fn pump(&mut self, until: Nanos, events: &mut Vec<Event>) {
        let before = events.len();
        events.append(&mut self.early);
        let now = Monotonic.now();
        let has_room = self.has_room_again();
        if has_room || events.len() > before || until <= now || self.next_beat <= now {
            self.turn(Some(&NO_WAIT), events);
        } else {
            let until = until.min(self.next_beat);
            let came = match self.sole() {
                Some(index) => self.wait_in_read(index, until, events),
                None => false,
            };
            if !came {
                self.wait(until, events);
            }
        }
        if self.next_beat <= now {
            self.beat(now, events);
            self.flush(events);
        }
        self.has_room_again();
    }

    fn close(&mut self, deadline: Nanos) {
        let mut ignored = Vec::new();
        for index in 0..self.connections.len() as u32 {
            if let Some(connection) = &mut self.connections[index as usize] {
                let goodbye = goodbye();
                let _ = connection
                    .outbox
                    .append(|out| encode::method(out, 0, goodbye));
                self.mark_dirty(index);
            }
        }
        while self.connections.iter().any(Option::is_some) && Monotonic.now() < deadline {
            self.flush(&mut ignored);
            self.wait(deadline, &mut ignored);
            self.forget_closed();
            ignored.clear();
        }
        self.connections.iter_mut().for_each(|slot| *slot = None);
        self.dirty.clear();
        self.turned_away.clear();
    }

    fn unwritten(&self) -> u64 {
        self.dirty
            .iter()
            .filter_map(|&index| self.connections[index as usize].as_ref())
            .map(|connection| connection.outbox.len())
            .sum()
    }
}
