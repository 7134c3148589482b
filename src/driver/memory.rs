//! A broker that is a value in this process: no sockets, no bytes, no latency of its own.
//!
//! For unit tests of the engine, and for the ceiling of everything but the driver. Exchanges route by
//! [`Topology::routes`]; queues are classic ones, first in first out, shared in turn by their consumers. Nothing
//! survives it, nothing expires, and streams are refused. Clones share the same queues, and so do their ports, on
//! whatever threads these are.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::clock::{Clock, Monotonic, Nanos};
use crate::driver::{
    Admin, Admission, Answer, BrokerIdentity, Capabilities, Delivery, Depth, Driver, DriverError,
    Edge, Event, Port, PortSpec, Settlement,
};
use crate::stamp::Stamp;
use crate::topology::{QueueKind, Target, Topology};

/// The driver, and the broker.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    happened: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names in `topology` are those on the broker. `queues` has the same order.
#[derive(Debug, Default)]
struct State {
    topology: Topology,
    queues: Vec<Queue>,
    consumers: BTreeMap<Place, Consumer>,
    inboxes: Vec<Vec<Event>>,
}

/// A consumer: its port and its position there.
type Place = (usize, u32);

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    /// In turn: the next one is first.
    consumers: VecDeque<Place>,
    arrived: u64,
}

#[derive(Debug, Clone, Copy)]
struct Message {
    /// Its position in the queue's history, to which it goes back.
    order: u64,
    stamp: Stamp,
    body_len: u64,
    redelivered: bool,
}

#[derive(Debug)]
struct Consumer {
    queue: String,
    prefetch: usize,
    auto_ack: bool,
    next_tag: u64,
    unsettled: BTreeMap<u64, Message>,
}

impl State {
    fn queue(&mut self, name: &str) -> Option<&mut Queue> {
        let (index, _) = self.topology.queue(name)?;
        self.queues.get_mut(index)
    }

    /// Hands out what a queue has, as far as its consumers take it.
    fn dispatch(&mut self, index: usize) {
        let queue = &mut self.queues[index];
        let mut full = 0;
        while full < queue.consumers.len() && !queue.messages.is_empty() {
            let Some(place) = queue.consumers.pop_front() else {
                return;
            };
            queue.consumers.push_back(place);
            let Some(consumer) = self.consumers.get_mut(&place) else {
                return;
            };
            if consumer.prefetch != 0 && consumer.unsettled.len() >= consumer.prefetch {
                full += 1;
                continue;
            }
            full = 0;
            let Some(message) = queue.messages.pop_front() else {
                return;
            };
            let tag = consumer.next_tag;
            consumer.next_tag += 1;
            if !consumer.auto_ack {
                consumer.unsettled.insert(tag, message);
            }
            self.inboxes[place.0].push(Event::Delivered {
                consumer: place.1,
                delivery: Delivery {
                    tag,
                    redelivered: message.redelivered,
                    body_len: message.body_len,
                    stamp: Ok(message.stamp),
                    at: Monotonic.now(),
                },
            });
        }
    }

    fn dispatch_named(&mut self, name: &str) {
        if let Some((index, _)) = self.topology.queue(name) {
            self.dispatch(index);
        }
    }

    /// Puts messages back where they were.
    fn requeue(&mut self, name: &str, messages: impl IntoIterator<Item = Message>) {
        let Some(queue) = self.queue(name) else {
            return;
        };
        for message in messages {
            let at = queue.messages.partition_point(|m| m.order < message.order);
            let back = Message {
                redelivered: true,
                ..message
            };
            queue.messages.insert(at, back);
        }
        self.dispatch_named(name);
    }

    fn settle(&mut self, place: Place, tag: u64, multiple: bool, settlement: Settlement) {
        let Some(consumer) = self.consumers.get_mut(&place) else {
            return;
        };
        let settled: Vec<Message> = if multiple {
            let later = consumer.unsettled.split_off(&(tag + 1));
            std::mem::replace(&mut consumer.unsettled, later)
                .into_values()
                .collect()
        } else {
            consumer.unsettled.remove(&tag).into_iter().collect()
        };
        let name = consumer.queue.clone();
        match settlement {
            Settlement::Requeue => self.requeue(&name, settled),
            Settlement::Ack | Settlement::Discard => self.dispatch_named(&name),
        }
    }

    fn leave(&mut self, place: Place) {
        let Some(consumer) = self.consumers.remove(&place) else {
            return;
        };
        if let Some(queue) = self.queue(&consumer.queue) {
            queue.consumers.retain(|other| *other != place);
        }
        self.requeue(&consumer.queue, consumer.unsettled.into_values());
    }

    fn delete_queue(&mut self, name: &str) {
        let Some((index, _)) = self.topology.queue(name) else {
            return;
        };
        self.topology.queues.remove(index);
        self.topology
            .bindings
            .retain(|binding| binding.queue != name);
        for place in self.queues.remove(index).consumers {
            self.consumers.remove(&place);
            self.inboxes[place.0].push(Event::Cancelled {
                consumer: place.1,
                at: Monotonic.now(),
            });
        }
    }
}

fn refused(step: String, said: String) -> DriverError {
    DriverError::Refused {
        address: "memory".into(),
        step,
        said,
    }
}

impl Driver for Memory {
    type Port = MemoryPort;
    type Admin = MemoryAdmin;

    fn admin(&self) -> Result<MemoryAdmin, DriverError> {
        Ok(MemoryAdmin {
            shared: Arc::clone(&self.shared),
            identity: BrokerIdentity {
                product: "memory".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                ..BrokerIdentity::default()
            },
        })
    }

    fn port(&self, spec: PortSpec) -> Result<MemoryPort, DriverError> {
        let mut state = self.shared.lock();
        state.inboxes.push(Vec::new());
        Ok(MemoryPort {
            number: state.inboxes.len() - 1,
            shared: Arc::clone(&self.shared),
            targets: spec
                .producers
                .iter()
                .map(|producer| Target {
                    exchange: producer.exchange.clone(),
                    key: producer.key.clone(),
                })
                .collect(),
            is_open: vec![false; spec.connections.len()],
            published: vec![0; spec.producers.len()],
            spec,
            taken: Vec::new(),
            settling: Vec::new(),
            unwritten: 0,
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            edge: Edge::Api,
            confirm_batches: false,
        }
    }
}

/// Sets up and takes down in memory.
#[derive(Debug)]
pub struct MemoryAdmin {
    shared: Arc<Shared>,
    identity: BrokerIdentity,
}

impl Admin for MemoryAdmin {
    fn broker(&self) -> &BrokerIdentity {
        &self.identity
    }

    fn apply(&mut self, wanted: &Topology) -> Result<(), DriverError> {
        let mut state = self.shared.lock();
        for exchange in &wanted.exchanges {
            let mut exchange = exchange.clone();
            exchange.name.clone_from(&exchange.broker_name);
            let step = format!("declare exchange {}", exchange.name);
            match state.topology.exchange(&exchange.name) {
                Some(found) if !exchange.existing && found.kind != exchange.kind => {
                    let said = "406 PRECONDITION_FAILED - inequivalent arg 'type'";
                    return Err(refused(step, said.into()));
                }
                Some(_) => {}
                None if exchange.existing => {
                    let said = format!("404 NOT_FOUND - no exchange '{}'", exchange.name);
                    return Err(refused(step, said));
                }
                None => state.topology.exchanges.push(exchange),
            }
        }
        for queue in &wanted.queues {
            let mut queue = queue.clone();
            queue.name.clone_from(&queue.broker_name);
            let step = format!("declare queue {}", queue.name);
            let same = |found: &crate::topology::Queue| {
                (found.kind, found.durable, &found.arguments)
                    == (queue.kind, queue.durable, &queue.arguments)
            };
            match state.topology.queue(&queue.name) {
                Some((_, found)) if !queue.existing && !same(found) => {
                    let said = "406 PRECONDITION_FAILED - inequivalent arg";
                    return Err(refused(step, said.into()));
                }
                Some(_) => {}
                None if queue.existing => {
                    let said = format!("404 NOT_FOUND - no queue '{}'", queue.name);
                    return Err(refused(step, said));
                }
                None if queue.kind == QueueKind::Stream => {
                    let said = "540 NOT_IMPLEMENTED - no streams in memory";
                    return Err(refused(step, said.into()));
                }
                None => {
                    state.topology.queues.push(queue);
                    state.queues.push(Queue::default());
                }
            }
        }
        for binding in &wanted.bindings {
            let mut binding = binding.clone();
            if let Some(exchange) = wanted.exchange(&binding.exchange) {
                binding.exchange.clone_from(&exchange.broker_name);
            }
            if let Some((_, queue)) = wanted.queue(&binding.queue) {
                binding.queue.clone_from(&queue.broker_name);
            }
            state.topology.bindings.push(binding);
        }
        Ok(())
    }

    fn depth(&mut self, queue: &str) -> Result<Depth, DriverError> {
        let mut state = self.shared.lock();
        let found = state.queue(queue).ok_or_else(|| {
            let said = format!("404 NOT_FOUND - no queue '{queue}'");
            refused(format!("find queue {queue}"), said)
        })?;
        Ok(Depth {
            ready: found.messages.len() as u64,
            consumers: found.consumers.len() as u64,
        })
    }

    fn remove(&mut self, topology: &Topology) -> Result<(), DriverError> {
        let mut state = self.shared.lock();
        for queue in topology.queues.iter().filter(|queue| !queue.existing) {
            state.delete_queue(&queue.broker_name);
        }
        for exchange in topology.exchanges.iter().filter(|one| !one.existing) {
            let name = &exchange.broker_name;
            state.topology.exchanges.retain(|one| one.name != *name);
            state.topology.bindings.retain(|one| one.exchange != *name);
        }
        self.shared.happened.notify_all();
        Ok(())
    }
}

/// Moves messages in memory.
#[derive(Debug)]
pub struct MemoryPort {
    number: usize,
    shared: Arc<Shared>,
    spec: PortSpec,
    targets: Vec<Target>,
    is_open: Vec<bool>,
    published: Vec<u64>,
    taken: Vec<(u32, Stamp, u64)>,
    settling: Vec<(u32, u64, bool, Settlement)>,
    unwritten: u64,
}

impl MemoryPort {
    fn publish(
        &mut self,
        state: &mut State,
        (index, mut stamp, size): (u32, Stamp, u64),
        events: &mut Vec<Event>,
    ) {
        let spec = &self.spec.producers[index as usize];
        let target = &self.targets[index as usize];
        let connection = spec.connection;
        if !self.is_open[connection as usize] {
            return;
        }
        let at = Monotonic.now();
        events.push(Event::Sent {
            producer: index,
            messages: 1,
            at,
        });
        if !target.exchange.is_empty() && state.topology.exchange(&target.exchange).is_none() {
            let cause = format!("404 NOT_FOUND - no exchange '{}'", target.exchange);
            self.is_open[connection as usize] = false;
            for (consumer, spec) in self.spec.consumers.iter().enumerate() {
                if spec.connection == connection {
                    state.leave((self.number, consumer as u32));
                }
            }
            state.inboxes[self.number].push(Event::Closed {
                connection,
                cause: cause.into(),
                at,
            });
            return;
        }
        self.published[index as usize] += 1;
        stamp.sent = at;
        let reached = state.topology.routes(target, &spec.headers);
        if reached.is_empty() && spec.mandatory {
            state.inboxes[self.number].push(Event::Returned {
                producer: index,
                stamp: Ok(stamp),
                code: 312,
                at,
            });
        }
        for queue in reached {
            let store = &mut state.queues[queue];
            store.messages.push_back(Message {
                order: store.arrived,
                stamp,
                body_len: size,
                redelivered: false,
            });
            store.arrived += 1;
            state.dispatch(queue);
        }
        if spec.confirms {
            state.inboxes[self.number].push(Event::Settled {
                producer: index,
                tag: self.published[index as usize],
                multiple: false,
                answer: Answer::Ack,
                at: Monotonic.now(),
            });
        }
    }
}

impl Port for MemoryPort {
    fn open(&mut self, connection: u32, _deadline: Nanos) -> Result<(), DriverError> {
        let mut state = self.shared.lock();
        let consumers = self.spec.consumers.iter().enumerate();
        for (index, spec) in consumers.filter(|(_, spec)| spec.connection == connection) {
            let place = (self.number, index as u32);
            let Some(queue) = state.queue(&spec.queue) else {
                let said = format!("404 NOT_FOUND - no queue '{}'", spec.queue);
                return Err(refused(format!("consume from queue {}", spec.queue), said));
            };
            queue.consumers.push_back(place);
            let consumer = Consumer {
                queue: spec.queue.clone(),
                prefetch: spec.prefetch.into(),
                auto_ack: spec.auto_ack,
                next_tag: 1,
                unsettled: BTreeMap::new(),
            };
            state.consumers.insert(place, consumer);
            state.dispatch_named(&spec.queue);
        }
        self.is_open[connection as usize] = true;
        Ok(())
    }

    fn queue(&mut self, producer: u32, stamp: &Stamp, size: u64) -> Admission {
        let connection = self.spec.producers[producer as usize].connection;
        if !self.is_open[connection as usize] {
            return Admission::Busy;
        }
        self.taken.push((producer, *stamp, size));
        self.unwritten += size;
        Admission::Taken
    }

    fn settle(&mut self, consumer: u32, tag: u64, multiple: bool, settlement: Settlement) {
        self.settling.push((consumer, tag, multiple, settlement));
    }

    fn flush(&mut self, events: &mut Vec<Event>) {
        if self.taken.is_empty() && self.settling.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        for (consumer, tag, multiple, settlement) in self.settling.drain(..) {
            state.settle((self.number, consumer), tag, multiple, settlement);
        }
        let mut taken = std::mem::take(&mut self.taken);
        for message in taken.drain(..) {
            self.publish(&mut state, message, events);
        }
        self.taken = taken;
        self.unwritten = 0;
        shared.happened.notify_all();
    }

    fn pump(&mut self, until: Nanos, events: &mut Vec<Event>) {
        let mut state = self.shared.lock();
        loop {
            let inbox = &mut state.inboxes[self.number];
            let now = Monotonic.now();
            if !inbox.is_empty() || now >= until {
                events.append(inbox);
                return;
            }
            let left = until.saturating_since(now).as_duration();
            let woken = self.shared.happened.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn close(&mut self, _deadline: Nanos) {
        let mut state = self.shared.lock();
        for consumer in 0..self.spec.consumers.len() as u32 {
            state.leave((self.number, consumer));
        }
        state.inboxes[self.number].clear();
        self.is_open.fill(false);
        self.taken.clear();
        self.settling.clear();
        self.unwritten = 0;
        self.shared.happened.notify_all();
    }

    fn unwritten(&self) -> u64 {
        self.unwritten
    }
}

impl Drop for MemoryPort {
    fn drop(&mut self) {
        self.close(Nanos::ZERO);
    }
}
