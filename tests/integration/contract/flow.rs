//! Publishing, confirming, delivering, settling.

use std::collections::BTreeMap;

use mqbench::clock::{Clock, Monotonic, Nanos};
use mqbench::driver::{Admin, Answer, Event, Port, ProducerSpec, Settlement};
use mqbench::topology::{Binding, Exchange, ExchangeKind, QueueKind, Target, Topology, Value};
use mqbench::units::Span;

use super::scene::{QUIET, Scene, Subject, confirmed, queue, sent, unique};

pub(super) fn every_message_is_delivered_once_with_its_stamp_intact<S: Subject>() {
    const COUNT: u64 = 2_000;
    let scene = Scene::<S>::new();
    let consumer = scene.consumer();
    let mut rig = scene.open(vec![scene.producer()], vec![]);
    let mut sink = scene.open(vec![], vec![consumer]);
    rig.publish(0, COUNT, 100);
    rig.wait_for_confirms(0, COUNT);
    let mut acked = 0;
    sink.pump_until("all deliveries", |sink| {
        let tags: Vec<u64> = sink.deliveries().map(|(_, one)| one.tag).collect();
        for tag in &tags[acked..] {
            sink.port.settle(0, *tag, false, Settlement::Ack);
        }
        acked = tags.len();
        acked as u64 >= COUNT
    });
    sink.pump_for(QUIET);
    let mut times: Vec<Nanos> = Vec::new();
    for (messages, at) in sent(&rig.events, 0) {
        times.extend(std::iter::repeat_n(at, messages as usize));
    }
    let delivered: Vec<_> = sink.deliveries().map(|(_, delivery)| delivery).collect();
    assert_eq!(delivered.len() as u64, COUNT);
    for (index, delivery) in delivered.iter().enumerate() {
        let stamp = delivery.stamp.unwrap();
        assert_eq!((stamp.run, stamp.producer), (77, 0));
        assert_eq!(stamp.sequence, index as u64);
        assert_eq!(delivery.body_len, 100);
        assert_eq!(delivery.tag, index as u64 + 1);
        assert!(!delivery.redelivered);
        assert!(stamp.sent >= stamp.due, "{stamp:?}");
        assert!(delivery.at >= stamp.sent, "{delivery:?}");
        assert_eq!(stamp.sent, times[index], "the stamp and the event agree");
    }
    sink.close();
    scene.wait_for_depth(0);
}

pub(super) fn sent_events_cover_exactly_what_was_taken_in_order<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut rig = scene.open(vec![scene.producer(), scene.producer()], vec![]);
    let before = Monotonic.now();
    for round in 1..=5 {
        rig.publish(0, round * 10, 64);
        rig.publish(1, 3, 64);
    }
    rig.wait_for_confirms(0, 150);
    rig.wait_for_confirms(1, 15);
    for (producer, count) in [(0, 150), (1, 15)] {
        let sent = sent(&rig.events, producer);
        let messages: u32 = sent.iter().map(|(messages, _)| *messages).sum();
        assert_eq!(messages, count);
        assert!(sent.is_sorted_by_key(|(_, at)| *at));
        assert!(sent.iter().all(|(_, at)| *at >= before));
        // No answer comes to what was not sent.
        let mut out = 0;
        for event in &rig.events {
            match event {
                Event::Sent {
                    producer: of,
                    messages,
                    ..
                } if *of == producer => out += u64::from(*messages),
                Event::Settled {
                    producer: of, tag, ..
                } if *of == producer => assert!(*tag <= out, "{tag} of {out}"),
                _ => {}
            }
        }
    }
}

pub(super) fn every_tag_is_confirmed_exactly_once<S: Subject>() {
    const COUNT: u64 = 3_000;
    let scene = Scene::<S>::new();
    let persistent = ProducerSpec {
        persistent: true,
        ..scene.producer()
    };
    let mut rig = scene.open(vec![persistent, scene.producer()], vec![]);
    rig.publish(0, COUNT, 200);
    rig.publish(1, COUNT, 200);
    for producer in [0, 1] {
        rig.wait_for_confirms(producer, COUNT);
    }
    rig.pump_for(QUIET);
    for producer in [0, 1] {
        let mut tags = confirmed(&rig.events, producer);
        tags.sort_unstable();
        assert_eq!(tags, (1..=COUNT).collect::<Vec<_>>());
    }
    let is_nack =
        |event: &Event| matches!(event, Event::Settled { answer, .. } if *answer == Answer::Nack);
    assert!(!rig.events.iter().any(is_nack));
    let sent = sent(&rig.events, 0);
    for event in &rig.events {
        if let Event::Settled {
            producer: 0, at, ..
        } = event
        {
            assert!(*at >= sent[0].1);
        }
    }
}

fn nowhere() -> String {
    unique("nowhere")
}

/// For each message of producer 0: where its return stands among the events, and where its confirm.
fn returns_and_confirms(events: &[Event]) -> BTreeMap<u64, (Option<usize>, Option<usize>)> {
    let mut found: BTreeMap<u64, (Option<usize>, Option<usize>)> = BTreeMap::new();
    let mut known = 0;
    for (position, event) in events.iter().enumerate() {
        match event {
            Event::Returned {
                producer: 0,
                stamp,
                code,
                ..
            } => {
                assert_eq!(*code, 312);
                let entry = found.entry(stamp.unwrap().sequence).or_default();
                assert_eq!(entry.0.replace(position), None, "returned twice");
            }
            Event::Settled {
                producer: 0,
                tag,
                multiple,
                ..
            } => {
                let first = if *multiple { known + 1 } else { *tag };
                for tag in first..=*tag {
                    let entry = found.entry(tag - 1).or_default();
                    entry.1.get_or_insert(position);
                }
                if *multiple {
                    known = *tag;
                }
            }
            _ => {}
        }
    }
    found
}

pub(super) fn a_message_that_nobody_takes_is_returned_before_its_confirm<S: Subject>() {
    let scene = Scene::<S>::new();
    let spec = ProducerSpec {
        mandatory: true,
        key: nowhere(),
        ..scene.producer()
    };
    let mut rig = scene.open(vec![spec], vec![]);
    // Enough for the broker to confirm many at once.
    rig.publish(0, 2_000, 60);
    rig.wait_for_confirms(0, 2_000);
    let found = returns_and_confirms(&rig.events);
    assert_eq!(found.len(), 2_000);
    for (sequence, (returned, settled)) in found {
        let (returned, settled) = (returned.unwrap(), settled.unwrap());
        assert!(returned < settled, "{sequence}: {returned} {settled}");
    }
}

pub(super) fn returns_among_routed_messages_come_before_their_own_confirms<S: Subject>() {
    // Another producer's routed messages are confirmed late, for they are persistent, and nothing of it is returned.
    let scene = Scene::<S>::new();
    let exchange = Exchange {
        name: "x".into(),
        broker_name: unique("x"),
        kind: ExchangeKind::Direct,
        durable: true,
        auto_delete: false,
        arguments: Vec::new(),
        existing: false,
    };
    let topology = Topology {
        bindings: vec![Binding {
            exchange: "x".into(),
            queue: "q".into(),
            key: "there".into(),
            arguments: Vec::new(),
        }],
        exchanges: vec![exchange],
        ..scene.topology.clone()
    };
    scene.admin().apply(&topology).unwrap();
    let on = |key: &str| ProducerSpec {
        exchange: topology.exchanges[0].broker_name.clone(),
        key: key.into(),
        persistent: true,
        mandatory: true,
        ..scene.producer()
    };
    let mut rig = scene.open(vec![on("elsewhere"), on("there")], vec![]);
    for _ in 0..200 {
        rig.publish(0, 2, 60);
        rig.publish(1, 3, 60);
    }
    rig.wait_for_confirms(0, 400);
    rig.wait_for_confirms(1, 600);
    let found = returns_and_confirms(&rig.events);
    assert_eq!(found.len(), 400);
    for (sequence, (returned, settled)) in found {
        assert!(returned.unwrap() < settled.unwrap(), "{sequence}");
    }
    let is_second = |event: &Event| matches!(event, Event::Returned { producer: 1, .. });
    assert!(!rig.events.iter().any(is_second));
    scene.admin().remove(&topology).unwrap();
}

pub(super) fn a_message_that_nobody_takes_is_returned_without_confirms_too<S: Subject>() {
    let scene = Scene::<S>::new();
    let spec = ProducerSpec {
        mandatory: true,
        confirms: false,
        key: nowhere(),
        ..scene.producer()
    };
    let mut rig = scene.open(vec![spec], vec![]);
    rig.publish(0, 10, 60);
    rig.pump_until("10 returns", |rig| {
        returns_and_confirms(&rig.events).len() == 10
    });
}

pub(super) fn a_requeued_message_comes_back_marked_as_redelivered<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut rig = scene.open(vec![scene.producer()], vec![scene.consumer()]);
    rig.publish(0, 1, 60);
    rig.wait_for_deliveries(1);
    let (_, first) = rig.deliveries().next().unwrap();
    assert!(!first.redelivered);
    rig.port.settle(0, first.tag, false, Settlement::Requeue);
    rig.port.flush(&mut rig.events);
    rig.wait_for_deliveries(2);
    let (_, second) = rig.deliveries().nth(1).unwrap();
    assert!(second.redelivered);
    assert_eq!(second.stamp, first.stamp);
    assert_ne!(second.tag, first.tag);
}

pub(super) fn a_discarded_message_does_not_come_back<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut rig = scene.open(vec![scene.producer()], vec![scene.consumer()]);
    rig.publish(0, 1, 60);
    rig.wait_for_deliveries(1);
    let (_, first) = rig.deliveries().next().unwrap();
    rig.port.settle(0, first.tag, false, Settlement::Discard);
    rig.pump_for(QUIET);
    assert_eq!(rig.deliveries().count(), 1);
    rig.close();
    scene.wait_for_depth(0);
    assert_eq!(scene.admin().depth(scene.queue()).unwrap().ready, 0);
}

pub(super) fn no_more_than_the_prefetch_is_outstanding<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut consumer = scene.consumer();
    consumer.prefetch = 7;
    let mut rig = scene.open(vec![scene.producer()], vec![consumer]);
    rig.publish(0, 20, 60);
    rig.wait_for_deliveries(7);
    rig.pump_for(QUIET);
    assert_eq!(rig.deliveries().count(), 7);
    rig.port.settle(0, 3, true, Settlement::Ack);
    rig.port.flush(&mut rig.events);
    rig.wait_for_deliveries(10);
    rig.pump_for(QUIET);
    assert_eq!(rig.deliveries().count(), 10);
}

pub(super) fn one_answer_with_multiple_settles_all_up_to_its_tag<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut rig = scene.open(vec![scene.producer()], vec![scene.consumer()]);
    rig.publish(0, 10, 60);
    rig.wait_for_deliveries(10);
    rig.port.settle(0, 4, true, Settlement::Ack);
    rig.port.settle(0, 9, true, Settlement::Discard);
    rig.pump_for(QUIET);
    rig.close();
    // Only the tenth was left.
    scene.wait_for_depth(1);
}

pub(super) fn without_acknowledgements_nothing_is_held_back<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut consumer = scene.consumer();
    consumer.auto_ack = true;
    consumer.prefetch = 0;
    let mut rig = scene.open(vec![scene.producer()], vec![consumer]);
    rig.publish(0, 500, 60);
    rig.wait_for_deliveries(500);
    rig.close();
    scene.wait_for_depth(0);
}

pub(super) fn what_is_unsettled_goes_back_at_close<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut rig = scene.open(vec![scene.producer()], vec![scene.consumer()]);
    rig.publish(0, 5, 60);
    rig.wait_for_deliveries(5);
    rig.port.settle(0, 1, false, Settlement::Ack);
    rig.port.flush(&mut rig.events);
    rig.close();
    scene.wait_for_depth(4);
    let mut again = scene.open(vec![], vec![scene.consumer()]);
    again.wait_for_deliveries(4);
    assert!(again.deliveries().all(|(_, one)| one.redelivered));
    let sequences = again
        .deliveries()
        .map(|(_, one)| one.stamp.unwrap().sequence);
    assert_eq!(sequences.collect::<Vec<_>>(), [1, 2, 3, 4]);
}

fn many<S: Subject>(connection_of: impl Fn(u32) -> u32) {
    const EACH: u64 = 200;
    const MEMBERS: u32 = 5;
    let scene = Scene::<S>::new();
    let producers = (0..MEMBERS).map(|index| ProducerSpec {
        connection: connection_of(index),
        ..scene.producer()
    });
    let consumers = (0..MEMBERS).map(|index| {
        let mut consumer = scene.consumer();
        consumer.connection = connection_of(index);
        consumer.auto_ack = true;
        consumer
    });
    let mut rig = scene.open(producers.collect(), consumers.collect());
    for producer in 0..MEMBERS {
        rig.publish(producer, EACH, 300);
    }
    rig.wait_for_deliveries((EACH * u64::from(MEMBERS)) as usize);
    rig.pump_for(QUIET);
    for producer in 0..MEMBERS {
        rig.wait_for_confirms(producer, EACH);
        let of = |sequence: &_| {
            let (who, sequence): &(u32, u64) = sequence;
            (*who == producer).then_some(*sequence)
        };
        let stamps = rig.deliveries().map(|(_, one)| one.stamp.unwrap());
        let all: Vec<(u32, u64)> = stamps.map(|one| (one.producer, one.sequence)).collect();
        let mut sequences: Vec<u64> = all.iter().filter_map(of).collect();
        sequences.sort_unstable();
        assert_eq!(sequences, (0..EACH).collect::<Vec<_>>());
    }
    for consumer in 0..MEMBERS {
        let mine = rig.deliveries().filter(|(who, _)| *who == consumer);
        let tags: Vec<u64> = mine.map(|(_, one)| one.tag).collect();
        assert!(!tags.is_empty(), "consumer {consumer} had nothing");
        assert_eq!(tags, (1..=tags.len() as u64).collect::<Vec<_>>());
    }
}

pub(super) fn many_producers_and_consumers_share_a_connection<S: Subject>() {
    many::<S>(|_| 0);
}

pub(super) fn many_producers_and_consumers_use_a_connection_each<S: Subject>() {
    many::<S>(|index| index);
}

fn text(key: &str, value: &str) -> (String, Value) {
    (key.to_owned(), Value::Text(value.into()))
}

/// Three queues behind an exchange of each type, bound in every way that the types know.
fn four_exchanges() -> Topology {
    let kinds = [
        ExchangeKind::Direct,
        ExchangeKind::Fanout,
        ExchangeKind::Topic,
        ExchangeKind::Headers,
    ];
    let queues: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|name| {
            let mut queue = queue(QueueKind::Classic);
            queue.name = (*name).into();
            queue
        })
        .collect();
    let exchanges = kinds.map(|kind| Exchange {
        name: kind.as_str().into(),
        broker_name: unique(kind.as_str()),
        kind,
        durable: false,
        auto_delete: false,
        arguments: Vec::new(),
        existing: false,
    });
    let bind = |exchange: &str, queue: &str, key: &str, arguments| Binding {
        exchange: exchange.into(),
        queue: queue.into(),
        key: key.into(),
        arguments,
    };
    let both = vec![text("format", "pdf"), text("type", "report")];
    let mut any = both.clone();
    any.push(text("x-match", "any"));
    Topology {
        queues,
        exchanges: exchanges.to_vec(),
        bindings: vec![
            bind("direct", "a", "k", vec![]),
            bind("direct", "b", "k", vec![]),
            bind("direct", "c", "other", vec![]),
            bind("fanout", "a", "", vec![]),
            bind("fanout", "c", "ignored", vec![]),
            bind("topic", "a", "user.*", vec![]),
            bind("topic", "b", "user.#", vec![]),
            bind("topic", "b", "#", vec![]),
            bind("topic", "c", "*.created", vec![]),
            bind("headers", "a", "", both),
            bind("headers", "b", "", any),
        ],
    }
}

pub(super) fn exchanges_of_every_type_route_as_the_topology_says<S: Subject>() {
    let scene = Scene::<S>::with(four_exchanges());
    let mut targets = vec![(String::new(), "a", vec![])];
    for key in ["k", "other", "user.created", "user", "user.created.eu", ""] {
        for exchange in ["direct", "fanout", "topic"] {
            targets.push((exchange.into(), key, vec![]));
        }
    }
    for headers in [
        vec![],
        vec![text("format", "pdf")],
        vec![text("format", "pdf"), text("type", "report")],
        vec![text("format", "doc"), text("type", "report")],
    ] {
        targets.push(("headers".into(), "", headers));
    }
    let mut expected = Vec::new();
    let mut producers = Vec::new();
    for (index, (exchange, key, headers)) in targets.into_iter().enumerate() {
        let target = Target {
            exchange,
            key: key.into(),
        };
        for queue in scene.topology.routes(&target, &headers) {
            expected.push((queue as u32, index as u32));
        }
        let (exchange, key) = scene.topology.on_broker(&target);
        producers.push(ProducerSpec {
            exchange,
            key,
            headers,
            ..scene.producer()
        });
    }
    let count = producers.len() as u32;
    let consumers = (0..3).map(|index| {
        let mut consumer = scene.consumer();
        consumer
            .queue
            .clone_from(&scene.topology.queues[index].broker_name);
        consumer.auto_ack = true;
        consumer
    });
    let mut rig = scene.open(producers, consumers.collect());
    for producer in 0..count {
        rig.publish(producer, 1, 60);
        rig.wait_for_confirms(producer, 1);
    }
    rig.wait_for_deliveries(expected.len());
    rig.pump_for(QUIET);
    let mut found: Vec<(u32, u32)> = rig
        .deliveries()
        .map(|(consumer, one)| (consumer, one.stamp.unwrap().producer))
        .collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

pub(super) fn a_pump_returns_at_its_time_when_nothing_happens<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut rig = scene.open(vec![scene.producer()], vec![scene.consumer()]);
    rig.pump_for(QUIET);
    for span in [0, 1, 300, 2_000, 30_000].map(|us| Span::from_ns(us * 1_000)) {
        let until = Monotonic.now() + span;
        // A driver may come back early with nothing, but not for ever.
        let mut returns = 0;
        while Monotonic.now() < until {
            rig.port.pump(until, &mut rig.events);
            returns += 1;
            assert!(returns < 100, "it does not wait");
        }
    }
    rig.port.pump(Nanos::ZERO, &mut rig.events);
    assert_eq!(rig.events, []);
}

pub(super) fn a_closed_port_has_nothing_unwritten<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut rig = scene.open(vec![scene.producer()], vec![]);
    let stamp = rig.next_stamp(0);
    assert_eq!(rig.port.unwritten(), 0);
    rig.port.queue(0, &stamp, 1_000);
    assert!(rig.port.unwritten() >= 1_000);
    rig.port.flush(&mut rig.events);
    rig.wait_for_confirms(0, 1);
    assert_eq!(rig.port.unwritten(), 0);
    rig.publish(0, 100, 1_000);
    rig.close();
    assert_eq!(rig.port.unwritten(), 0);
}

pub(super) fn depth_counts_what_is_ready_and_who_consumes<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut rig = scene.open(vec![scene.producer()], vec![]);
    rig.publish(0, 12, 60);
    rig.wait_for_confirms(0, 12);
    scene.wait_for_depth(12);
    assert_eq!(scene.admin().depth(scene.queue()).unwrap().consumers, 0);
    let mut sink = scene.open(vec![], vec![scene.consumer(), scene.consumer()]);
    sink.wait_for_deliveries(12);
    scene.wait_for_depth(0);
    assert_eq!(scene.admin().depth(scene.queue()).unwrap().consumers, 2);
}

pub(super) fn removing_twice_is_no_error_and_leaves_nothing<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut admin = scene.admin();
    admin.remove(&scene.topology).unwrap();
    admin.remove(&scene.topology).unwrap();
    assert!(admin.depth(scene.queue()).is_err());
    // What is marked as existing stays.
    let mut kept = scene.topology.clone();
    admin.apply(&kept).unwrap();
    kept.queues[0].existing = true;
    admin.apply(&kept).unwrap();
    admin.remove(&kept).unwrap();
    assert_eq!(admin.depth(scene.queue()).unwrap().ready, 0);
}
