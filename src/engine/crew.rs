//! Makes one worker's state machines from the plan and its layout.

use crate::clock::Nanos;
use crate::plan::{Confirms, Layout, Plan};
use crate::record::recorder::MeasureWindows;
use crate::schedule::Schedule;

use super::consumer::{self, Consumer, Subscription};
use super::pacer::{Fleet, Pacer, Source};
use super::producer::{self, Producer};
use super::worker::{Crew, Seat};

/// The crew of worker `number`, whose load starts at `start`.
pub(super) fn crew(
    plan: &Plan,
    layout: &Layout,
    number: usize,
    start: Nanos,
    windows: MeasureWindows,
) -> Crew {
    let worker = &layout.workers[number];
    let slot_of = |stream: usize| {
        worker
            .slots
            .iter()
            .position(|(s, _)| *s == stream)
            .unwrap_or(0)
    };
    let mut fleets = Vec::new();
    let mut producer_at = vec![(0, 0); worker.producers.len()];
    for fleet_index in 0..plan.producers.len() {
        let members: Vec<usize> = (0..worker.producers.len())
            .filter(|p| layout.producers[worker.producers[*p]].fleet == fleet_index)
            .collect();
        if members.is_empty() {
            continue;
        }
        for (position, member) in members.iter().enumerate() {
            producer_at[*member] = (fleets.len(), position);
        }
        let producers = members.iter().map(|member| {
            let index = worker.producers[*member];
            Producer::new(traits(
                plan,
                fleet_index,
                index,
                *member,
                layout.producers[index].scheduled,
            ))
        });
        fleets.push(Fleet {
            slot: slot_of(fleet_index),
            stream: fleet_index,
            source: source(plan, fleet_index, members.len(), start, windows),
            producers: producers.collect(),
            burst_max: 0,
        });
    }
    let mut producers_on = vec![Vec::new(); worker.spec.connections.len()];
    for (member, spec) in worker.spec.producers.iter().enumerate() {
        producers_on[spec.connection as usize].push(member as u32);
    }
    let (seats, subscriptions) = seats(plan, layout, number, slot_of);
    Crew {
        fleets,
        producer_at,
        connections: connections(plan, layout, number),
        producers_on,
        seats,
        subscriptions,
        scheduled: layout
            .producers
            .iter()
            .map(|producer| producer.scheduled)
            .collect(),
        windows,
        overload: plan.timing.overload,
    }
}

/// What each connection of the worker is called when something happens to it.
fn connections(plan: &Plan, layout: &Layout, number: usize) -> Vec<String> {
    let worker = &layout.workers[number];
    let fleet_of = |connection: u32| {
        let producer = worker
            .spec
            .producers
            .iter()
            .position(|spec| spec.connection == connection);
        let consumer = worker
            .spec
            .consumers
            .iter()
            .position(|spec| spec.connection == connection);
        match (producer, consumer) {
            (Some(member), _) => plan.producers[layout.producers[worker.producers[member]].fleet]
                .name
                .as_str(),
            (None, Some(member)) => plan.consumers[worker.consumers[member].2].name.as_str(),
            (None, None) => "nobody",
        }
    };
    let label = |(connection, spec): (usize, &crate::driver::ConnectionSpec)| {
        let fleet = fleet_of(connection as u32);
        match plan.connection.addresses.get(spec.address) {
            Some(address) => format!("a connection of {fleet} to {address}"),
            None => format!("a connection of {fleet}"),
        }
    };
    worker
        .spec
        .connections
        .iter()
        .enumerate()
        .map(label)
        .collect()
}

fn traits(
    plan: &Plan,
    fleet: usize,
    index: usize,
    member: usize,
    scheduled: bool,
) -> producer::Traits {
    let fleet = &plan.producers[fleet];
    producer::Traits {
        index: index as u32,
        port_index: member as u32,
        run: plan.run,
        size: fleet.size.as_bytes(),
        window: match fleet.confirms {
            Confirms::Window(window) => Some(window),
            Confirms::Off | Confirms::Unbounded => None,
        },
        confirms: fleet.confirms != Confirms::Off,
        scheduled,
    }
}

fn source(
    plan: &Plan,
    fleet_index: usize,
    producers: usize,
    start: Nanos,
    windows: MeasureWindows,
) -> Source {
    let fleet = &plan.producers[fleet_index];
    match fleet.rate {
        Some(rate) => {
            let schedule = Schedule {
                rate,
                arrivals: fleet.arrivals,
                seed: plan.seed,
                fleet: fleet_index as u64,
            };
            let span = windows.end.saturating_since(start);
            Source::Paced(Pacer::new(
                &schedule,
                start,
                span,
                producers as u64,
                fleet.messages,
            ))
        }
        None => Source::Pulled {
            start,
            end: windows.end,
            left: fleet.messages.unwrap_or(u64::MAX),
            turn: 0,
        },
    }
}

fn seats(
    plan: &Plan,
    layout: &Layout,
    number: usize,
    slot_of: impl Fn(usize) -> usize,
) -> (Vec<Seat>, Vec<Subscription>) {
    let worker = &layout.workers[number];
    let mut subscriptions: Vec<Subscription> = Vec::new();
    let mut seats = Vec::new();
    for (port_index, (stream, subscription, fleet)) in worker.consumers.iter().enumerate() {
        let known = subscriptions
            .iter()
            .position(|known| known.index == *subscription);
        let position = known.unwrap_or_else(|| {
            let received = layout.producers.iter().map(|producer| {
                producer
                    .reaches
                    .contains(subscription)
                    .then(crate::record::ledger::Tally::new)
            });
            subscriptions.push(Subscription {
                index: *subscription,
                received: received.collect(),
            });
            subscriptions.len() - 1
        });
        let fleet = &plan.consumers[*fleet];
        let traits = consumer::Traits {
            port_index: port_index as u32,
            run: plan.run,
            ack: fleet.ack,
            think: fleet.think,
        };
        seats.push(Seat {
            consumer: Consumer::new(traits, layout.producers.len()),
            slot: slot_of(*stream),
            subscription: position,
            label: format!("{} on queue {}", fleet.name, fleet.queue),
        });
    }
    (seats, subscriptions)
}
