//! One worker's connections through lapin, polled from the worker's own thread.

use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroU64;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::{Channel, Confirmation};

use super::bell::{Bell, Clapper, Key};
use super::fault;
use super::flight::{self, Flights, Outlet, State};
use super::link::{self, Bounds, Link};
use super::runtime::Runtime;
use super::value::{properties, short, table};
use crate::clock::{Clock, Monotonic, Nanos};
use crate::driver::{
    Admission, Answer, ConnectOptions, Delivery, DriverError, Event, Port, PortSpec, Settlement,
};
use crate::stamp::{STAMP_LEN, Stamp, StampError, patch_sent};
use crate::units::Span;

/// Bytes of a connection that lapin has not written yet, above which no more are taken: what lapin's own buffer holds
/// at the usual `frame_max`, so that its thread never waits for the worker.
const UNWRITTEN_MAX: u64 = 4 * 1024 * 1024;
/// Most deliveries taken from one consumer before the others have their turn.
const TURN_MAX: usize = 256;
/// How often returns are looked for where lapin does not announce them: on a channel without confirms.
const RETURNS_EVERY: Span = Span::from_ms(5);
/// How late the kernel may wake this thread, in nanoseconds. The default is 50 us.
const TIMER_SLACK_NS: u64 = 1_000;

/// A connection's place.
#[derive(Default)]
struct Line {
    link: Option<Link>,
    clapper: Option<(Arc<Clapper>, Waker)>,
    unwritten: u64,
    /// It turned a message away since it last had room.
    owes_room: bool,
}

/// A producer's place.
#[derive(Default)]
struct Producer {
    outlet: Option<Arc<Outlet>>,
    published: u64,
}

/// A consumer's place.
struct Consumer {
    channel: Channel,
    deliveries: lapin::Consumer,
    clapper: Arc<Clapper>,
    waker: Waker,
}

/// A message that was taken and not flushed.
struct Taken {
    producer: u32,
    sequence: u64,
    body: Vec<u8>,
    check: u32,
}

/// An answer that was taken and not flushed.
struct Settling {
    consumer: u32,
    tag: u64,
    multiple: bool,
    settlement: Settlement,
}

/// See the module.
pub struct LapinPort {
    options: Arc<ConnectOptions>,
    spec: PortSpec,
    lines: Vec<Line>,
    producers: Vec<Producer>,
    consumers: Vec<Option<Consumer>>,
    taken: VecDeque<Taken>,
    settling: Vec<Settling>,
    flights: Flights,
    /// Bodies to be used again.
    bodies: Vec<Vec<u8>>,
    bell: Arc<Bell>,
    rung: Vec<Key>,
    /// Settlements of mandatory messages, held until the returns among the same lot are out.
    held: Vec<Event>,
    /// Channels on which a confirm brought another message's return.
    mixed_up: Vec<u32>,
    /// Connections that ended in this turn, and why.
    ended: Vec<(u32, lapin::Error)>,
    has_silent_returns: bool,
    // Last: what is above needs it to end.
    runtime: Runtime,
}

impl LapinPort {
    pub(super) fn new(options: Arc<ConnectOptions>, spec: PortSpec) -> Result<Self, DriverError> {
        // Where this is refused the pacer is less exact, which it measures itself.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(TIMER_SLACK_NS));
        Ok(Self {
            lines: spec.connections.iter().map(|_| Line::default()).collect(),
            producers: spec.producers.iter().map(|_| Producer::default()).collect(),
            consumers: spec.consumers.iter().map(|_| None).collect(),
            has_silent_returns: spec.producers.iter().any(|p| p.mandatory && !p.confirms),
            options,
            spec,
            taken: VecDeque::new(),
            settling: Vec::new(),
            flights: Flights::default(),
            bodies: Vec::new(),
            bell: Arc::new(Bell::default()),
            rung: Vec::new(),
            held: Vec::new(),
            mixed_up: Vec::new(),
            ended: Vec::new(),
            runtime: Runtime::start()?,
        })
    }

    fn open_producer(
        &self,
        index: usize,
        link: &Link,
        bounds: Bounds,
    ) -> Result<Producer, DriverError> {
        let spec = &self.spec.producers[index];
        let step = |step, future| bounds.step(&self.runtime, &link.address, step, future);
        let channel = bounds.step(
            &self.runtime,
            &link.address,
            "open a channel",
            link.connection.create_channel(),
        )?;
        if spec.confirms {
            step(
                "turn on confirms",
                Box::pin(channel.confirm_select(ConfirmSelectOptions::default())),
            )?;
        }
        let outlet = Outlet {
            channel,
            exchange: short("the exchange", &spec.exchange)?,
            key: short("the routing key", &spec.key)?,
            options: BasicPublishOptions {
                mandatory: spec.mandatory,
                immediate: false,
            },
            properties: properties(spec)?,
        };
        Ok(Producer {
            outlet: Some(Arc::new(outlet)),
            published: 0,
        })
    }

    fn open_consumer(
        &self,
        index: usize,
        link: &Link,
        bounds: Bounds,
    ) -> Result<Consumer, DriverError> {
        let spec = &self.spec.consumers[index];
        let address = &link.address;
        let channel = bounds.step(
            &self.runtime,
            address,
            "open a channel",
            link.connection.create_channel(),
        )?;
        if spec.prefetch != 0 {
            let qos = channel.basic_qos(spec.prefetch, BasicQosOptions::default());
            bounds.step(&self.runtime, address, "set the prefetch", qos)?;
        }
        let options = BasicConsumeOptions {
            no_ack: spec.auto_ack,
            ..BasicConsumeOptions::default()
        };
        let consume = channel.basic_consume(
            short("the queue", &spec.queue)?,
            index.to_string().as_str().into(),
            options,
            table(&spec.arguments)?,
        );
        let step = format!("consume from queue {}", spec.queue);
        let deliveries = bounds.step(&self.runtime, address, &step, consume)?;
        let (clapper, waker) = Clapper::new(&self.bell, Key::Consumer(index as u32));
        // For what came before anybody looked.
        clapper.pull();
        Ok(Consumer {
            channel,
            deliveries,
            clapper,
            waker,
        })
    }

    /// Looks wherever lapin has something.
    fn turn(&mut self, events: &mut Vec<Event>) {
        self.look(events);
        while let Some(producer) = self.mixed_up.pop() {
            self.wait_for_lot(producer);
            self.look(events);
        }
        events.append(&mut self.held);
        if self.has_silent_returns {
            self.look_for_returns(events);
        }
        if !self.ended.is_empty() {
            self.report_ended(events);
        }
    }

    fn look(&mut self, events: &mut Vec<Event>) {
        let mut rung = std::mem::take(&mut self.rung);
        self.bell.take(&mut rung);
        for key in rung.drain(..) {
            match key {
                Key::Flight(index) => self.look_at_flight(index, events),
                Key::Consumer(index) => self.look_at_consumer(index, events),
                Key::Connection(index) => self.look_at_connection(index, events),
            }
        }
        self.rung = rung;
    }

    fn look_at_flight(&mut self, index: u32, events: &mut Vec<Event>) {
        let flight = self.flights.get(index);
        flight.clapper.lift();
        let producer = flight.producer;
        let spec = &self.spec.producers[producer as usize];
        let mut context = Context::from_waker(&flight.waker);
        if let State::Writing(writing) = &mut flight.state {
            let Poll::Ready((body, written)) = writing.as_mut().poll(&mut context) else {
                return;
            };
            let line = &mut self.lines[spec.connection as usize];
            line.unwritten = line.unwritten.saturating_sub(flight.size);
            self.bodies.push(body);
            match written {
                Ok(confirm) if spec.confirms => flight.state = State::Confirming(confirm),
                Ok(_) => return self.flights.land(index),
                Err(error) => {
                    self.ended.push((spec.connection, error));
                    return self.flights.land(index);
                }
            }
        }
        let State::Confirming(confirm) = &mut flight.state else {
            return;
        };
        let Poll::Ready(confirmed) = Pin::new(confirm).poll(&mut context) else {
            return;
        };
        let at = Monotonic.now();
        let (tag, sequence) = (flight.tag, flight.sequence);
        let (answer, returned) = match confirmed {
            Ok(Confirmation::Ack(returned)) => (Answer::Ack, returned),
            Ok(Confirmation::Nack(returned)) => (Answer::Nack, returned),
            // Cannot be on a channel with confirms.
            Ok(Confirmation::NotRequested) => return self.flights.land(index),
            Err(error) => {
                self.ended.push((spec.connection, error));
                return self.flights.land(index);
            }
        };
        if let Some(returned) = returned {
            let stamp = stamp_of(&returned.delivery.data);
            if stamp.map(|stamp| stamp.sequence) != Ok(sequence) {
                self.mixed_up.push(producer);
            }
            events.push(Event::Returned {
                producer,
                stamp,
                code: returned.reply_code,
                at,
            });
        }
        let settled = Event::Settled {
            producer,
            tag,
            multiple: false,
            answer,
            at,
        };
        if spec.mandatory {
            self.held.push(settled);
        } else {
            events.push(settled);
        }
        self.flights.land(index);
    }

    /// A return that came inside another message's confirm: lapin deals them out in whatever order it resolves the
    /// confirms of one `multiple`, so the rightful owner's confirm may be among those without one. lapin resolves such a
    /// lot under one lock; taking that lock once means that the whole lot is out, and the returns in it can be reported
    /// before the settlements.
    fn wait_for_lot(&self, producer: u32) {
        if let Some(outlet) = &self.producers[producer as usize].outlet {
            let mut context = Context::from_waker(Waker::noop());
            let _ = pin!(outlet.channel.wait_for_confirms()).poll(&mut context);
        }
    }

    fn look_for_returns(&mut self, events: &mut Vec<Event>) {
        for (index, spec) in self.spec.producers.iter().enumerate() {
            let Some(outlet) = &self.producers[index].outlet else {
                continue;
            };
            if !spec.mandatory || spec.confirms {
                continue;
            }
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(Ok(returned)) =
                pin!(outlet.channel.wait_for_confirms()).poll(&mut context)
            else {
                continue;
            };
            let at = Monotonic.now();
            events.extend(returned.iter().map(|returned| Event::Returned {
                producer: index as u32,
                stamp: stamp_of(&returned.delivery.data),
                code: returned.reply_code,
                at,
            }));
        }
    }

    fn look_at_consumer(&mut self, index: u32, events: &mut Vec<Event>) {
        let Some(consumer) = &mut self.consumers[index as usize] else {
            return;
        };
        consumer.clapper.lift();
        let mut context = Context::from_waker(&consumer.waker);
        for _ in 0..TURN_MAX {
            match Pin::new(&mut consumer.deliveries).poll_next(&mut context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(delivery))) => events.push(Event::Delivered {
                    consumer: index,
                    delivery: Delivery {
                        tag: delivery.delivery_tag,
                        redelivered: delivery.redelivered,
                        body_len: delivery.data.len() as u64,
                        stamp: stamp_of(&delivery.data),
                        at: Monotonic.now(),
                    },
                }),
                Poll::Ready(Some(Err(error))) => {
                    let connection = self.spec.consumers[index as usize].connection;
                    self.ended.push((connection, error));
                    self.consumers[index as usize] = None;
                    return;
                }
                Poll::Ready(None) => {
                    events.push(Event::Cancelled {
                        consumer: index,
                        at: Monotonic.now(),
                    });
                    self.consumers[index as usize] = None;
                    return;
                }
            }
        }
        // There may be more.
        consumer.clapper.pull();
    }

    fn look_at_connection(&mut self, index: u32, events: &mut Vec<Event>) {
        let line = &mut self.lines[index as usize];
        let (Some(link), Some((clapper, waker))) = (&mut line.link, &line.clapper) else {
            return;
        };
        clapper.lift();
        let mut context = Context::from_waker(waker);
        while let Poll::Ready(event) = link.events.as_mut().poll_next(&mut context) {
            let at = Monotonic.now();
            match event {
                Some(lapin::Event::ConnectionBlocked(_)) => events.push(Event::Blocked {
                    connection: index,
                    at,
                }),
                Some(lapin::Event::ConnectionUnblocked) => events.push(Event::Unblocked {
                    connection: index,
                    at,
                }),
                Some(lapin::Event::Error(error)) => self.ended.push((index, error)),
                Some(_) => {}
                None => return,
            }
        }
    }

    /// Reports each connection that ended, once, with the broker's own words where there are any, and forgets
    /// everything that was on it.
    fn report_ended(&mut self, events: &mut Vec<Event>) {
        let mut ended = std::mem::take(&mut self.ended);
        // Stable: the first of each kind stays first.
        ended.sort_by_key(|(connection, error)| (*connection, fault::said(error).is_none()));
        for (connection, error) in ended.drain(..) {
            if self.lines[connection as usize].link.is_none() {
                continue;
            }
            self.forget(connection);
            events.push(Event::Closed {
                connection,
                cause: fault::cause(&error).into(),
                at: Monotonic.now(),
            });
        }
        self.ended = ended;
    }

    fn forget(&mut self, connection: u32) {
        let line = &mut self.lines[connection as usize];
        line.unwritten = 0;
        if let Some(link) = line.link.take() {
            link.cut();
        }
        let producers = &self.spec.producers;
        let is_on = |producer: u32| producers[producer as usize].connection == connection;
        self.flights.ground(is_on);
        self.taken.retain(|taken| !is_on(taken.producer));
        for (index, producer) in self.producers.iter_mut().enumerate() {
            if is_on(index as u32) {
                producer.outlet = None;
            }
        }
        for (spec, consumer) in self.spec.consumers.iter().zip(&mut self.consumers) {
            if spec.connection == connection {
                *consumer = None;
            }
        }
    }

    /// Whether a connection that turned a message away has room again; says so once.
    fn has_room_again(&mut self) -> bool {
        let mut has = false;
        for line in &mut self.lines {
            if line.owes_room && (line.unwritten < UNWRITTEN_MAX || line.link.is_none()) {
                line.owes_room = false;
                has = true;
            }
        }
        has
    }

    fn answer(&mut self, settling: &Settling) {
        let Some(consumer) = &self.consumers[settling.consumer as usize] else {
            return;
        };
        // One poll hands the frame to lapin; what follows is only the news that it was written.
        let mut context = Context::from_waker(Waker::noop());
        let Settling { tag, multiple, .. } = *settling;
        let done = match settling.settlement {
            Settlement::Ack => pin!(
                consumer
                    .channel
                    .basic_ack(tag, BasicAckOptions { multiple })
            )
            .poll(&mut context),
            Settlement::Requeue | Settlement::Discard => {
                let requeue = settling.settlement == Settlement::Requeue;
                let options = BasicNackOptions { multiple, requeue };
                pin!(consumer.channel.basic_nack(tag, options)).poll(&mut context)
            }
        };
        if let Poll::Ready(Err(error)) = done {
            let connection = self.spec.consumers[settling.consumer as usize].connection;
            self.ended.push((connection, error));
        }
    }
}

fn stamp_of(body: &[u8]) -> Result<Stamp, StampError> {
    Stamp::decode(body, body.len() as u64)
}

impl Port for LapinPort {
    fn open(&mut self, connection: u32, deadline: Nanos) -> Result<(), DriverError> {
        let Some(spec) = self.spec.connections.get(connection as usize) else {
            return Err(DriverError::System {
                what: format!("connection {connection}"),
                reason: "the port has none of that number".into(),
            });
        };
        let (link, _) = link::open(
            &self.options,
            &self.runtime,
            spec.address,
            &spec.name,
            self.options.heartbeat,
            deadline,
        )?;
        let bounds = Bounds {
            timeout: self.options.timeout,
            deadline,
        };
        let opened = (|| {
            for index in 0..self.spec.producers.len() {
                if self.spec.producers[index].connection == connection {
                    self.producers[index] = self.open_producer(index, &link, bounds)?;
                }
            }
            for index in 0..self.spec.consumers.len() {
                if self.spec.consumers[index].connection == connection {
                    self.consumers[index] = Some(self.open_consumer(index, &link, bounds)?);
                }
            }
            Ok(())
        })();
        let (clapper, waker) = Clapper::new(&self.bell, Key::Connection(connection));
        clapper.pull();
        let line = &mut self.lines[connection as usize];
        line.link = Some(link);
        line.clapper = Some((clapper, waker));
        if opened.is_err() {
            self.forget(connection);
        }
        opened
    }

    fn queue(&mut self, producer: u32, stamp: &Stamp, size: u64) -> Admission {
        let connection = self.spec.producers[producer as usize].connection;
        let line = &mut self.lines[connection as usize];
        if line.link.is_none() {
            return Admission::Busy;
        }
        if line.unwritten >= UNWRITTEN_MAX {
            line.owes_room = true;
            return Admission::Busy;
        }
        line.unwritten += size;
        let (head, check) = stamp.encode(size);
        let mut body = self.bodies.pop().unwrap_or_default();
        body.resize(size as usize, 0);
        body[..STAMP_LEN].copy_from_slice(&head);
        self.taken.push_back(Taken {
            producer,
            sequence: stamp.sequence,
            body,
            check,
        });
        Admission::Taken
    }

    fn settle(&mut self, consumer: u32, tag: u64, multiple: bool, settlement: Settlement) {
        self.settling.push(Settling {
            consumer,
            tag,
            multiple,
            settlement,
        });
    }

    fn flush(&mut self, events: &mut Vec<Event>) {
        let mut settling = std::mem::take(&mut self.settling);
        settling.drain(..).for_each(|one| self.answer(&one));
        self.settling = settling;
        while let Some(mut taken) = self.taken.pop_front() {
            let producer = &mut self.producers[taken.producer as usize];
            let Some(outlet) = &producer.outlet else {
                continue;
            };
            producer.published += 1;
            let (index, flight) = self.flights.launch(&self.bell);
            flight.producer = taken.producer;
            flight.tag = producer.published;
            flight.sequence = taken.sequence;
            flight.size = taken.body.len() as u64;
            let at = Monotonic.now();
            patch_sent(&mut taken.body[..STAMP_LEN], taken.check, at);
            flight.state = State::Writing(flight::write(outlet, taken.body));
            events.push(Event::Sent {
                producer: taken.producer,
                messages: 1,
                at,
            });
            self.look_at_flight(index, events);
        }
    }

    fn pump(&mut self, until: Nanos, events: &mut Vec<Event>) {
        let before = events.len();
        loop {
            self.turn(events);
            if self.has_room_again() || events.len() > before {
                return;
            }
            let now = Monotonic.now();
            if now >= until {
                return;
            }
            self.bell.wait(if self.has_silent_returns {
                until.min(now + RETURNS_EVERY)
            } else {
                until
            });
        }
    }

    fn close(&mut self, deadline: Nanos) {
        let mut goodbyes = Vec::new();
        for line in &self.lines {
            // On a blocked connection lapin writes nothing, a goodbye neither.
            if let Some(link) = &line.link
                && !link.connection.status().blocked()
            {
                goodbyes.push(Box::pin(link.connection.close(200, "goodbye".into())));
            }
        }
        let bounds = Bounds {
            timeout: deadline.saturating_since(Monotonic.now()),
            deadline,
        };
        bounds.wait(&self.runtime, async {
            // All are said before the first answer is waited for.
            let mut context = Context::from_waker(Waker::noop());
            goodbyes.retain_mut(|goodbye| goodbye.as_mut().poll(&mut context).is_pending());
            for goodbye in goodbyes {
                let _ = goodbye.await;
            }
        });
        for connection in 0..self.lines.len() as u32 {
            self.forget(connection);
        }
        self.settling.clear();
        self.ended.clear();
        self.rung.clear();
        self.bell.take(&mut self.rung);
        self.rung.clear();
    }

    fn unwritten(&self) -> u64 {
        self.lines.iter().map(|line| line.unwritten).sum()
    }
}

impl Drop for LapinPort {
    fn drop(&mut self) {
        for connection in 0..self.lines.len() as u32 {
            self.forget(connection);
        }
    }
}
