//! A lot: returned messages that are all confirmed at once, with `multiple`. RabbitMQ seldom does that to returned ones,
//! so here a scripted server does.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection};
use mqbench::address::Address;
use mqbench::clock::{Clock, Monotonic};
use mqbench::driver::{ConnectionSpec, Driver, Event, Port, PortSpec, ProducerSpec, Properties};
use mqbench::stamp::Stamp;

use super::scene::{LIMIT, Rig, Subject, confirmed, options};

const LOT: u64 = 40;

pub(super) fn all_returns_of_a_lot_come_before_its_confirms<S: Subject>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::local(listener.local_addr().unwrap().port());
    let server = std::thread::spawn(move || serve(listener.accept().unwrap().0));
    let driver = S::driver(options(address));
    let spec = PortSpec {
        connections: vec![ConnectionSpec {
            address: 0,
            name: "lot".into(),
        }],
        producers: vec![ProducerSpec {
            connection: 0,
            exchange: String::new(),
            key: "nowhere".into(),
            mandatory: true,
            persistent: false,
            confirms: true,
            size_max: 64,
            properties: Properties::default(),
            headers: vec![],
        }],
        consumers: vec![],
    };
    let mut port = driver.port(spec).unwrap();
    port.open(0, Monotonic.now() + LIMIT).unwrap();
    let mut rig = Rig::of(port);
    for lot in 1..=25 {
        rig.publish(0, LOT, 64);
        rig.wait_for_confirms(0, lot * LOT);
    }
    let mut returned = Vec::new();
    for (position, event) in rig.events.iter().enumerate() {
        match event {
            Event::Returned { stamp, .. } => returned.push(stamp.unwrap().sequence),
            Event::Settled { .. } => {
                for tag in confirmed(&rig.events[..=position], 0) {
                    assert!(
                        returned.contains(&(tag - 1)),
                        "{tag} came before its return"
                    );
                }
            }
            _ => {}
        }
    }
    returned.sort_unstable();
    assert_eq!(returned, (0..25 * LOT).collect::<Vec<_>>());
    rig.close();
    server.join().unwrap();
}

/// Returns every message, and confirms each lot by one ack.
fn serve(mut socket: TcpStream) {
    let mut hello = [0; 8];
    socket.read_exact(&mut hello).unwrap();
    let start = connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: amq_protocol::types::FieldTable::default(),
        mechanisms: "PLAIN".into(),
        locales: "en_US".into(),
    };
    let start = AMQPClass::Connection(connection::AMQPMethod::Start(start));
    send(&mut socket, &[AMQPFrame::Method(0, start)]);
    let mut inbox = Vec::new();
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    let mut confirmed = 0;
    let mut part = [0; 65_536];
    loop {
        let count = socket.read(&mut part).unwrap();
        if count == 0 {
            return;
        }
        inbox.extend_from_slice(&part[..count]);
        let mut used = 0;
        while let Ok((rest, frame)) = parse_frame(&inbox[used..]) {
            used = inbox.len() - rest.len();
            match frame {
                AMQPFrame::Method(number, method) => {
                    if let Some(answer) = answer(&method) {
                        send(&mut socket, &[AMQPFrame::Method(number, answer)]);
                    }
                }
                AMQPFrame::Body(_, body) => bodies.push(body),
                _ => {}
            }
        }
        inbox.drain(..used);
        while bodies.len() as u64 >= LOT {
            let lot: Vec<_> = bodies.drain(..LOT as usize).collect();
            confirmed += LOT;
            settle(&mut socket, lot, confirmed);
        }
    }
}

fn answer(method: &AMQPClass) -> Option<AMQPClass> {
    use connection::AMQPMethod as Connection;
    Some(match method {
        AMQPClass::Connection(Connection::StartOk(_)) => {
            AMQPClass::Connection(Connection::Tune(connection::Tune {
                channel_max: 2047,
                frame_max: 131_072,
                heartbeat: 0,
            }))
        }
        AMQPClass::Connection(Connection::Open(_)) => {
            AMQPClass::Connection(Connection::OpenOk(connection::OpenOk {}))
        }
        AMQPClass::Connection(Connection::Close(_)) => {
            AMQPClass::Connection(Connection::CloseOk(connection::CloseOk {}))
        }
        AMQPClass::Channel(channel::AMQPMethod::Open(_)) => {
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {}))
        }
        AMQPClass::Confirm(confirm::AMQPMethod::Select(_)) => {
            AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {}))
        }
        _ => return None,
    })
}

fn settle(socket: &mut TcpStream, lot: Vec<Vec<u8>>, tag: u64) {
    let mut frames = Vec::new();
    for body in lot {
        assert!(Stamp::decode(&body, body.len() as u64).is_ok());
        let returned = basic::AMQPMethod::Return(basic::Return {
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
            exchange: "".into(),
            routing_key: "nowhere".into(),
        });
        frames.push(AMQPFrame::Method(1, AMQPClass::Basic(returned)));
        let header = AMQPContentHeader {
            class_id: 60,
            body_size: body.len() as u64,
            properties: basic::AMQPProperties::default(),
        };
        frames.push(AMQPFrame::Header(1, header));
        frames.push(AMQPFrame::Body(1, body));
    }
    let ack = basic::AMQPMethod::Ack(basic::Ack {
        delivery_tag: tag,
        multiple: true,
    });
    frames.push(AMQPFrame::Method(1, AMQPClass::Basic(ack)));
    send(socket, &frames);
}

fn send(socket: &mut TcpStream, frames: &[AMQPFrame]) {
    let mut bytes = Vec::new();
    for frame in frames {
        let written = gen_frame(frame)(WriteContext::from(Vec::new())).unwrap();
        bytes.extend(written.into_inner().0);
    }
    socket.write_all(&bytes).unwrap();
}
