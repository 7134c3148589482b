//! What every assertion of the contract needs: a driver, names of its own on the broker, and loops with a limit.

use std::sync::atomic::{AtomicU32, Ordering};

use mqbench::address::{Address, Tls};
use mqbench::clock::{Clock, Monotonic, Nanos};
use mqbench::driver::amqp::Amqp;
use mqbench::driver::lapin::Lapin;
use mqbench::driver::memory::Memory;
use mqbench::driver::{
    Admin, Admission, ConnectOptions, ConnectionSpec, ConsumerSpec, Delivery, Driver, Event, Port,
    PortSpec, ProducerSpec, Properties,
};
use mqbench::stamp::Stamp;
use mqbench::topology::{Arguments, Queue, QueueKind, Topology};
use mqbench::units::Span;

use crate::broker;

/// How long anything may take on a machine that is busy with other things.
pub(super) const LIMIT: Span = Span::from_secs(30);
/// How long nothing must happen where nothing is expected.
pub(super) const QUIET: Span = Span::from_ms(150);

/// A driver under test.
pub(super) trait Subject {
    type Driver: Driver;

    fn driver(options: ConnectOptions) -> Self::Driver;

    /// Where its broker is.
    fn address() -> Address {
        broker::shared()
    }
}

impl Subject for Memory {
    type Driver = Memory;

    fn driver(_: ConnectOptions) -> Memory {
        Memory::default()
    }

    fn address() -> Address {
        Address::local(0)
    }
}

impl Subject for Lapin {
    type Driver = Self;

    fn driver(options: ConnectOptions) -> Self {
        Self::new(options)
    }
}

impl Subject for Amqp {
    type Driver = Self;

    fn driver(options: ConnectOptions) -> Self {
        Self::new(options)
    }
}

pub(super) fn options(address: Address) -> ConnectOptions {
    ConnectOptions {
        addresses: vec![address],
        tls: Tls::default(),
        heartbeat: Span::from_secs(60),
        frame_max: 131_072,
        timeout: Span::from_secs(10),
    }
}

/// A name that no other test and no other run of the tests uses.
pub(super) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("contract.{what}.{}.{number}", std::process::id())
}

pub(super) fn queue(kind: QueueKind) -> Queue {
    Queue {
        name: "q".into(),
        broker_name: unique("q"),
        kind,
        durable: true,
        auto_delete: false,
        arguments: Vec::new(),
        existing: false,
    }
}

/// A topology on a broker, removed at the end, and the driver that made it.
pub(super) struct Scene<S: Subject> {
    pub(super) driver: S::Driver,
    pub(super) topology: Topology,
}

impl<S: Subject> Scene<S> {
    pub(super) fn with(topology: Topology) -> Self {
        Self::at(S::address(), topology)
    }

    pub(super) fn at(address: Address, topology: Topology) -> Self {
        let driver = S::driver(options(address));
        driver.admin().unwrap().apply(&topology).unwrap();
        Self { driver, topology }
    }

    /// One classic queue.
    pub(super) fn new() -> Self {
        Self::with(Topology {
            queues: vec![queue(QueueKind::Classic)],
            ..Topology::default()
        })
    }

    /// The first queue's name.
    pub(super) fn queue(&self) -> &str {
        &self.topology.queues[0].broker_name
    }

    /// A producer to the first queue.
    pub(super) fn producer(&self) -> ProducerSpec {
        ProducerSpec {
            connection: 0,
            exchange: String::new(),
            key: self.queue().to_owned(),
            mandatory: false,
            persistent: false,
            confirms: true,
            size_max: 8 << 20,
            properties: Properties::default(),
            headers: Vec::new(),
        }
    }

    /// A consumer of the first queue.
    pub(super) fn consumer(&self) -> ConsumerSpec {
        ConsumerSpec {
            connection: 0,
            queue: self.queue().to_owned(),
            prefetch: 100,
            auto_ack: false,
            arguments: Arguments::new(),
        }
    }

    /// A port whose connections are open: as many as the specs speak of.
    pub(super) fn open(
        &self,
        producers: Vec<ProducerSpec>,
        consumers: Vec<ConsumerSpec>,
    ) -> Rig<<S::Driver as Driver>::Port> {
        let on_producers = producers.iter().map(|spec| spec.connection);
        let on_consumers = consumers.iter().map(|spec| spec.connection);
        let last = on_producers.chain(on_consumers).max().unwrap_or(0);
        let connections = (0..=last).map(|index| ConnectionSpec {
            address: 0,
            name: format!("contract {index}"),
        });
        let spec = PortSpec {
            connections: connections.collect(),
            producers,
            consumers,
        };
        let mut port = self.driver.port(spec).unwrap();
        for connection in 0..=last {
            port.open(connection, Monotonic.now() + LIMIT).unwrap();
        }
        Rig::of(port)
    }

    pub(super) fn admin(&self) -> <S::Driver as Driver>::Admin {
        self.driver.admin().unwrap()
    }

    /// Waits until the first queue holds as many ready messages.
    pub(super) fn wait_for_depth(&self, ready: u64) {
        let mut admin = self.admin();
        let end = Monotonic.now() + LIMIT;
        loop {
            let depth = admin.depth(self.queue()).unwrap();
            if depth.ready == ready {
                return;
            }
            assert!(Monotonic.now() < end, "{depth:?}, expected {ready} ready");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl<S: Subject> Drop for Scene<S> {
    fn drop(&mut self) {
        if let Ok(mut admin) = self.driver.admin() {
            let _ = admin.remove(&self.topology);
        }
    }
}

/// A port and all that it reported.
pub(super) struct Rig<P: Port> {
    pub(super) port: P,
    pub(super) events: Vec<Event>,
    sequences: Vec<u64>,
}

impl<P: Port> Rig<P> {
    pub(super) fn of(port: P) -> Self {
        Self {
            port,
            events: Vec::new(),
            sequences: Vec::new(),
        }
    }

    /// Publishes `count` messages of one size, each with the next sequence number of its producer.
    pub(super) fn publish(&mut self, producer: u32, count: u64, size: u64) {
        let end = Monotonic.now() + LIMIT;
        for _ in 0..count {
            let stamp = self.next_stamp(producer);
            while self.port.queue(producer, &stamp, size) == Admission::Busy {
                assert!(Monotonic.now() < end, "busy for ever");
                self.port.flush(&mut self.events);
                let soon = Monotonic.now() + Span::from_ms(20);
                self.port.pump(soon, &mut self.events);
            }
        }
        self.port.flush(&mut self.events);
    }

    pub(super) fn next_stamp(&mut self, producer: u32) -> Stamp {
        let index = producer as usize;
        if self.sequences.len() <= index {
            self.sequences.resize(index + 1, 0);
        }
        self.sequences[index] += 1;
        Stamp {
            run: 77,
            producer,
            sequence: self.sequences[index] - 1,
            due: Monotonic.now(),
            sent: Nanos::ZERO,
        }
    }

    /// Pumps until `is_done` says so of all events so far.
    pub(super) fn pump_until(&mut self, what: &str, mut is_done: impl FnMut(&mut Self) -> bool) {
        let end = Monotonic.now() + LIMIT;
        while !is_done(self) {
            assert!(
                Monotonic.now() < end,
                "no {what} within {LIMIT}; the last of {} events: {:?}",
                self.events.len(),
                self.events.iter().rev().take(5).collect::<Vec<_>>()
            );
            let soon = Monotonic.now() + Span::from_ms(100);
            self.port.pump(soon, &mut self.events);
            self.port.flush(&mut self.events);
        }
    }

    pub(super) fn pump_for(&mut self, span: Span) {
        let end = Monotonic.now() + span;
        while Monotonic.now() < end {
            self.port.pump(end, &mut self.events);
            self.port.flush(&mut self.events);
        }
    }

    pub(super) fn deliveries(&self) -> impl Iterator<Item = (u32, Delivery)> + '_ {
        self.events.iter().filter_map(|event| match event {
            Event::Delivered { consumer, delivery } => Some((*consumer, *delivery)),
            _ => None,
        })
    }

    pub(super) fn wait_for_deliveries(&mut self, count: usize) {
        self.pump_until(&format!("{count} deliveries"), |rig| {
            rig.deliveries().count() >= count
        });
    }

    /// As many as were settled, whether one by one or many at once.
    pub(super) fn wait_for_confirms(&mut self, producer: u32, count: u64) {
        self.pump_until(&format!("{count} confirms"), |rig| {
            confirmed(&rig.events, producer).len() as u64 >= count
        });
    }

    pub(super) fn close(&mut self) {
        self.port.close(Monotonic.now() + Span::from_secs(5));
    }
}

/// The tags of a producer that were answered, each as often as it was, in the order of the answers.
pub(super) fn confirmed(events: &[Event], of: u32) -> Vec<u64> {
    let mut tags = Vec::new();
    let mut open = std::collections::BTreeSet::new();
    let mut known = 0;
    for event in events {
        let Event::Settled {
            producer,
            tag,
            multiple,
            ..
        } = event
        else {
            continue;
        };
        if *producer != of {
            continue;
        }
        open.extend(known + 1..=*tag);
        known = known.max(*tag);
        if *multiple {
            let later = open.split_off(&(tag + 1));
            tags.extend(std::mem::replace(&mut open, later));
        } else {
            open.remove(tag);
            tags.push(*tag);
        }
    }
    tags
}

pub(super) fn sent(events: &[Event], of: u32) -> Vec<(u32, Nanos)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Sent {
                producer,
                messages,
                at,
            } if *producer == of => Some((*messages, *at)),
            _ => None,
        })
        .collect()
}
