//! Bytes in, meaning out: recorded from RabbitMQ 4.3.6 by a client that shares no code with this one, in every split,
//! and what no broker sends.

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::{AMQPClass, basic, connection};
use std::io::IoSlice;

use super::decode::{Fault, Inbound, Incoming, first_frame};
use super::encode::{self, Template};
use super::outbox::{Outbox, Pool, SLICES};
use crate::clock::Nanos;
use crate::driver::{Answer, Delivery, Event, ProducerSpec, Properties, Settlement};
use crate::stamp::{Stamp, StampError};
use crate::topology::Value;

const TUNE: &str = "0100000000000c000a001e07ff00020000003cce";
const ACKS: &str = "0100010000000d003c0050000000000000000501ce";
const RETURN: &str = "0100010000001c003c00320138084e4f5f524f555445000b6e6f77686572652e726563ce0200010000000f003c00000000000000000040100002ce030001000000404d51423107000000030000000900000000000000e803000000000000d007000000000000431b7b725a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5ace0100010000000d003c0050000000000000000600ce";
const DELIVERIES: &str = "0100020000000b003c001506637461672d31ce0100020000001b003c003c06637461672d3100000000000000010000057265632e71ce0200020000000f003c00000000000000000040100002ce030002000000404d51423107000000030000000900000000000000e803000000000000d007000000000000431b7b725a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5ace0100020000001b003c003c06637461672d3100000000000000020000057265632e71ce0200020000000f003c00000000000000000040100002ce030002000000404d51423107000000030000000900000000000000e803000000000000d007000000000000431b7b725a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5ace";
const CANCEL: &str = "0100020000000c003c001e06637461672d3101ce";
const BLOCKED: &str = "01000000000012000a003c0d6c6f77206f6e206d656d6f7279ce";
const UNBLOCKED: &str = "01000000000004000a003dce";
const CHANNEL_CLOSE: &str = "010002000000370014002801942c4e4f545f464f554e44202d206e6f20717565756520277265632e6e6f6e652720696e2076686f737420272f270032000ace";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

fn recorded() -> Vec<u8> {
    let heartbeat = "08000000000000ce";
    let all = [
        ACKS,
        RETURN,
        heartbeat,
        DELIVERIES,
        CANCEL,
        BLOCKED,
        UNBLOCKED,
        CHANNEL_CLOSE,
    ];
    bytes(&all.concat())
}

/// Feeds pieces as reads at times 1, 2, 3 ..
fn feed<'a>(
    inbound: &mut Inbound,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<(u16, Incoming)>, Fault> {
    let mut scratch = vec![0; 384 * 1024];
    let mut found = Vec::new();
    for (read, piece) in pieces.enumerate() {
        let prefix = inbound.prefix(&mut scratch);
        scratch[prefix..prefix + piece.len()].copy_from_slice(piece);
        let at = Nanos(read as u64 + 1);
        inbound.accept(&scratch[..prefix + piece.len()], at, |channel, incoming| {
            found.push((channel, incoming));
            Ok(())
        })?;
    }
    Ok(found)
}

fn inbound() -> Inbound {
    Inbound::new(2, 131_072, Vec::new(), Nanos::ZERO)
}

fn without_times(mut found: Vec<(u16, Incoming)>) -> Vec<(u16, Incoming)> {
    for (_, incoming) in &mut found {
        match incoming {
            Incoming::Settled { at, .. }
            | Incoming::Returned { at, .. }
            | Incoming::Method { at, .. } => *at = Nanos::ZERO,
            Incoming::Delivered(delivery) => delivery.at = Nanos::ZERO,
        }
    }
    found
}

fn stamp() -> Stamp {
    Stamp {
        run: 7,
        producer: 3,
        sequence: 9,
        due: Nanos(1000),
        sent: Nanos(2000),
    }
}

#[test]
fn what_rabbitmq_sent_means_what_it_said() {
    let all = recorded();
    let found = feed(&mut inbound(), [&all[..]].into_iter()).unwrap();
    let at = Nanos(1);
    let delivered = |tag| {
        let stamp = Ok(stamp());
        let delivery = Delivery {
            tag,
            redelivered: false,
            body_len: 64,
            stamp,
            at,
        };
        (2, Incoming::Delivered(delivery))
    };
    let settled = |tag, multiple| {
        let answer = Answer::Ack;
        (
            1,
            Incoming::Settled {
                tag,
                multiple,
                answer,
                at,
            },
        )
    };
    let returned = Incoming::Returned {
        code: 312,
        stamp: Ok(stamp()),
        at,
    };
    assert_eq!(found[0], settled(5, true));
    assert_eq!(found[1], (1, returned));
    assert_eq!(found[2], settled(6, false));
    assert!(matches!(&found[3], (2, Incoming::Method { method, .. })
        if matches!(**method, AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(_)))));
    assert_eq!(found[4..6], [delivered(1), delivered(2)]);
    let names: Vec<String> = found[6..]
        .iter()
        .map(|(channel, incoming)| format!("{channel} {incoming:?}"))
        .collect();
    for (name, part) in names.iter().zip([
        "Cancel(",
        "low on memory",
        "Unblocked",
        "no queue 'rec.none'",
    ]) {
        assert!(name.contains(part), "{name} should have {part}");
    }
    assert_eq!(names.len(), 4);
}

#[test]
fn the_same_is_read_however_reads_split_the_bytes() {
    let all = recorded();
    let whole = without_times(feed(&mut inbound(), [&all[..]].into_iter()).unwrap());
    for size in 1..all.len() {
        let found = feed(&mut inbound(), all.chunks(size)).unwrap();
        assert_eq!(without_times(found), whole, "in reads of {size} bytes");
    }
    for first in 0..all.len() {
        let (a, b) = all.split_at(first);
        let found = feed(&mut inbound(), [a, b].into_iter()).unwrap();
        assert_eq!(without_times(found), whole, "cut at {first}");
    }
}

#[test]
fn a_delivery_was_received_when_its_first_byte_was_read() {
    let all = bytes(DELIVERIES);
    let consume_ok = 19;
    let one = 35 + 23 + 72;
    for cut in consume_ok + 1..consume_ok + one {
        let (a, b) = all.split_at(cut);
        let found = feed(&mut inbound(), [a, b].into_iter()).unwrap();
        let times: Vec<_> = found
            .iter()
            .filter_map(|(_, incoming)| match incoming {
                Incoming::Delivered(delivery) => Some(delivery.at),
                _ => None,
            })
            .collect();
        assert_eq!(times, [Nanos(1), Nanos(2)], "cut at {cut}");
    }
}

#[test]
fn bodies_in_many_frames_are_counted_and_not_kept() {
    let mut message = bytes(DELIVERIES)[19..19 + 35].to_vec();
    let body_len = 3_000_000_u64;
    let (head, _) = stamp().encode(body_len);
    message.extend_from_slice(&[2, 0, 2, 0, 0, 0, 14, 0, 60, 0, 0]);
    message.extend_from_slice(&body_len.to_be_bytes());
    message.extend_from_slice(&[0, 0, 0xce]);
    let mut body = vec![9; body_len as usize];
    body[..40].copy_from_slice(&head);
    for (index, frame) in body.chunks(100_000).enumerate() {
        // A first frame that is shorter than a stamp.
        let (short, long) = frame.split_at(if index == 0 { 13 } else { 0 });
        for part in [short, long] {
            encode::body_frame_head(&mut message, 2, part.len());
            message.extend_from_slice(part);
            message.push(0xce);
        }
    }
    for size in [7, 1000, 65_536, 250_000] {
        let mut inbound = inbound();
        let found = feed(&mut inbound, message.chunks(size)).unwrap();
        let [(2, Incoming::Delivered(delivery))] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!((delivery.body_len, delivery.stamp), (body_len, Ok(stamp())));
        assert!(inbound.carried() <= 64, "{} carried", inbound.carried());
    }
}

#[test]
fn an_empty_body_has_no_stamp() {
    let mut message = bytes(DELIVERIES)[19..19 + 35].to_vec();
    message.extend_from_slice(&[2, 0, 2, 0, 0, 0, 14, 0, 60, 0, 0]);
    message.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xce]);
    let found = feed(&mut inbound(), [&message[..]].into_iter()).unwrap();
    let [(2, Incoming::Delivered(delivery))] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (delivery.body_len, delivery.stamp),
        (0, Err(StampError::Absent))
    );
}

#[test]
fn what_no_broker_sends_is_a_fault() {
    let too_long = [1, 0, 1, 0, 2, 0, 0];
    let deliver = bytes(DELIVERIES)[19..19 + 35].to_vec();
    let mut bad_end = deliver.clone();
    *bad_end.last_mut().unwrap() = 0;
    let twice = [deliver.clone(), deliver.clone()].concat();
    let mut unknown_channel = deliver.clone();
    unknown_channel[2] = 3;
    let nested = [
        &[1, 0, 0, 0, 0, 0, 8][..],
        &bytes("000a000a00090000"),
        &[0xce],
    ]
    .concat();
    for (name, wrong) in [
        ("a frame longer than frame_max", &too_long[..]),
        ("a frame without its end", &bad_end),
        ("a method inside a content", &twice),
        ("an unknown channel", &unknown_channel),
        ("another protocol version", b"AMQP\x01\x01\x00\x0a"),
        ("plain text", b"HTTP/1.1 400 Bad Request\r\n"),
        ("connection.start once open", &nested),
        ("a body without a header", &[3, 0, 1, 0, 0, 0, 1, 0, 0xce]),
        ("a header without a method", &bytes(RETURN)[36..36 + 23]),
        ("a short method", &[1, 0, 1, 0, 0, 0, 2, 0, 60, 0xce]),
        (
            "a heartbeat with a payload",
            &[8, 0, 0, 0, 0, 0, 1, 0, 0xce],
        ),
    ] {
        let result = feed(&mut inbound(), [wrong].into_iter());
        assert!(result.is_err(), "{name}: {result:?}");
    }
}

#[test]
fn no_garbage_makes_the_reader_panic_or_hoard() {
    let good = recorded();
    let mut rng = fastrand::Rng::with_seed(3);
    let mut faults = 0;
    for _ in 0..4_000 {
        let mut wild = good.clone();
        match rng.u8(0..3) {
            0 => rng.fill(&mut wild),
            1 => {
                for _ in 0..rng.usize(1..6) {
                    let at = rng.usize(..wild.len());
                    wild[at] = rng.u8(..);
                }
            }
            _ => {
                let at = rng.usize(..wild.len());
                wild.drain(at..(at + rng.usize(1..40)).min(good.len()));
            }
        }
        let mut inbound = inbound();
        let size = rng.usize(1..200);
        faults += u32::from(feed(&mut inbound, wild.chunks(size)).is_err());
        assert!(inbound.carried() < 131_072);
        let _ = first_frame(&wild, 131_072);
    }
    assert!(faults > 2_000, "only {faults} faults");
}

#[test]
fn deeply_nested_server_properties_are_refused_before_they_are_followed() {
    let mut table = Vec::new();
    for _ in 0..10_000 {
        let mut outer = vec![1, b'a', b'F'];
        outer.extend_from_slice(&(table.len() as u32).to_be_bytes());
        outer.extend_from_slice(&table);
        table = outer;
    }
    let mut frame = vec![1, 0, 0];
    frame.extend_from_slice(&(table.len() as u32 + 18).to_be_bytes());
    frame.extend_from_slice(&[0, 10, 0, 10, 0, 9]);
    frame.extend_from_slice(&(table.len() as u32).to_be_bytes());
    frame.extend_from_slice(&table);
    frame.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0xce]);
    assert!(first_frame(&frame, 1 << 20).is_err());
}

#[test]
fn tune_is_read_by_way_of_the_codec() {
    let tune = bytes(TUNE);
    for cut in 0..tune.len() {
        assert_eq!(first_frame(&tune[..cut], 4096), Ok(None));
    }
    let Ok(Some((
        20,
        AMQPFrame::Method(0, AMQPClass::Connection(connection::AMQPMethod::Tune(tune))),
    ))) = first_frame(&tune, 4096)
    else {
        panic!("not a tune");
    };
    assert_eq!(
        (tune.channel_max, tune.frame_max, tune.heartbeat),
        (2047, 131_072, 60)
    );
}

fn producer() -> ProducerSpec {
    ProducerSpec {
        connection: 0,
        exchange: "tasks".into(),
        key: "send.email".into(),
        mandatory: true,
        persistent: true,
        confirms: true,
        size_max: 1 << 30,
        properties: Properties {
            content_type: Some("text/plain".into()),
            priority: Some(3),
            kind: Some("job".into()),
            ..Properties::default()
        },
        headers: vec![("format".into(), Value::Text("pdf".into()))],
    }
}

/// Writes all of an outbox through writes of at most `limit` bytes, at times 1, 2, 3 ..
fn write_all(outbox: &mut Outbox, pool: &Pool, limit: usize) -> (Vec<u8>, Vec<Event>) {
    let mut wire = Vec::new();
    let mut events = Vec::new();
    let mut at = Nanos(0);
    while !outbox.is_empty() {
        at.0 += 1;
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = outbox.offer(at, usize::MAX, pool, &mut slices);
        let offered: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
        assert!(!offered.is_empty());
        let accepted = offered.len().min(limit);
        wire.extend_from_slice(&offered[..accepted]);
        outbox.accept(accepted, at, &mut events);
    }
    (wire, events)
}

fn frames(mut wire: &[u8]) -> Vec<AMQPFrame> {
    let mut found = Vec::new();
    while !wire.is_empty() {
        let (rest, frame) = parse_frame(wire).unwrap();
        found.push(frame);
        wire = rest;
    }
    found
}

#[test]
fn published_messages_are_what_the_codec_reads_whatever_the_socket_accepts() {
    let pool = Pool::new();
    let template = Template::new(&producer(), 5, 8192).unwrap();
    let sizes = [40, 64, 1024, 8184, 8185, 20_000, 200_000];
    for limit in [100, 1000, 4097, usize::MAX] {
        let mut outbox = Outbox::default();
        for (sequence, &size) in sizes.iter().enumerate() {
            let stamp = Stamp {
                sequence: sequence as u64,
                ..stamp()
            };
            outbox.publish(&template, 4, &stamp, size, &pool);
        }
        let queued = outbox.len();
        let (wire, events) = write_all(&mut outbox, &pool, limit);
        assert_eq!((wire.len() as u64, outbox.len()), (queued, 0));
        let mut sent = Vec::new();
        for event in events {
            let Event::Sent {
                producer: 4,
                messages,
                at,
            } = event
            else {
                panic!("{event:?}");
            };
            sent.extend((0..messages).map(|_| at));
        }
        assert_eq!(sent.len(), sizes.len());
        let mut parsed = frames(&wire).into_iter();
        for (sequence, &size) in sizes.iter().enumerate() {
            let Some(AMQPFrame::Method(5, AMQPClass::Basic(basic::AMQPMethod::Publish(publish)))) =
                parsed.next()
            else {
                panic!("no publish");
            };
            assert_eq!(
                (publish.exchange.as_str(), publish.routing_key.as_str()),
                ("tasks", "send.email")
            );
            assert!(publish.mandatory && !publish.immediate);
            let Some(AMQPFrame::Header(5, header)) = parsed.next() else {
                panic!("no header");
            };
            assert_eq!((header.class_id, header.body_size), (60, size));
            let properties = header.properties;
            assert_eq!(*properties.delivery_mode(), Some(2));
            assert_eq!(*properties.priority(), Some(3));
            assert_eq!(properties.kind().as_ref().unwrap().as_str(), "job");
            assert!(
                properties
                    .headers()
                    .as_ref()
                    .unwrap()
                    .contains_key("format")
            );
            let mut body = Vec::new();
            while body.len() < size as usize {
                let Some(AMQPFrame::Body(5, part)) = parsed.next() else {
                    panic!("no body");
                };
                assert!(part.len() + 8 <= 8192);
                body.extend_from_slice(&part);
            }
            let expected = Stamp {
                sequence: sequence as u64,
                sent: sent[sequence],
                ..stamp()
            };
            assert_eq!(
                Stamp::decode(&body, size),
                Ok(expected),
                "{size} at {limit}"
            );
        }
        assert!(parsed.next().is_none());
    }
}

#[test]
fn a_message_counts_as_sent_with_its_first_byte_and_not_before() {
    let pool = Pool::new();
    let template = Template::new(&producer(), 1, 8192).unwrap();
    let mut outbox = Outbox::default();
    for producer in [0, 0, 1] {
        outbox.publish(&template, producer, &stamp(), 64, &pool);
    }
    let one = outbox.len() as usize / 3;
    let mut events = Vec::new();
    for (at, accepted) in [(1, one), (2, 1), (3, one)] {
        let mut slices = [IoSlice::new(&[]); SLICES];
        outbox.offer(Nanos(at), usize::MAX, &pool, &mut slices);
        outbox.accept(accepted, Nanos(at), &mut events);
    }
    let sent = |producer, at| Event::Sent {
        producer,
        messages: 1,
        at: Nanos(at),
    };
    assert_eq!(events, [sent(0, 1), sent(0, 2), sent(1, 3)]);
}

#[test]
fn settlements_are_what_the_codec_reads() {
    for (settlement, multiple) in [
        (Settlement::Ack, true),
        (Settlement::Ack, false),
        (Settlement::Requeue, true),
        (Settlement::Discard, false),
    ] {
        let mut out = Vec::new();
        encode::settle(&mut out, 300, 1 << 40, multiple, settlement);
        let method = match settlement {
            Settlement::Ack => basic::AMQPMethod::Ack(basic::Ack {
                delivery_tag: 1 << 40,
                multiple,
            }),
            other => basic::AMQPMethod::Nack(basic::Nack {
                delivery_tag: 1 << 40,
                multiple,
                requeue: other == Settlement::Requeue,
            }),
        };
        assert_eq!(
            frames(&out),
            [AMQPFrame::Method(300, AMQPClass::Basic(method))]
        );
    }
    let mut out = Vec::new();
    encode::heartbeat(&mut out);
    assert_eq!(frames(&out), [AMQPFrame::Heartbeat]);
}

#[test]
fn names_that_the_protocol_cannot_carry_are_refused_by_name() {
    let mut spec = producer();
    spec.key = "k".repeat(256);
    let error = Template::new(&spec, 1, 8192).unwrap_err().to_string();
    assert!(
        error.contains("routing key") && error.contains("255"),
        "{error}"
    );
}

#[test]
fn nothing_is_allocated_for_a_message_once_buffers_have_grown() {
    let pool = Pool::new();
    let template = Template::new(&producer(), 1, 131_072).unwrap();
    let mut outbox = Outbox::default();
    let mut inbound = inbound();
    let consume_ok = 19;
    let deliveries = bytes(DELIVERIES).split_off(consume_ok);
    let mut scratch = vec![0; 4096];
    let mut events = Vec::with_capacity(1000);
    let mut round = || {
        for _ in 0..100 {
            outbox.publish(&template, 0, &stamp(), 1024, &pool);
            outbox.append(|out| encode::settle(out, 1, 9, true, Settlement::Ack));
        }
        outbox.publish(&template, 0, &stamp(), 500_000, &pool);
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = outbox.offer(Nanos(1), usize::MAX, &pool, &mut slices);
            let offered = slices[..count].iter().map(|slice| slice.len()).sum();
            outbox.accept(usize::min(offered, 50_000), Nanos(1), &mut events);
        }
        for piece in deliveries.chunks(50) {
            let prefix = inbound.prefix(&mut scratch);
            scratch[prefix..prefix + piece.len()].copy_from_slice(piece);
            let result = inbound.accept(&scratch[..prefix + piece.len()], Nanos(2), |_, _| Ok(()));
            assert_eq!(result, Ok(()));
        }
        events.clear();
    };
    (0..3).for_each(|_| round());
    let counted = allocation_counter::measure(|| (0..10).for_each(|_| round()));
    assert_eq!(counted.count_total, 0);
}
