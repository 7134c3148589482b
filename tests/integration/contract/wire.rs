//! What only a broker with a network in between shows.

use lapin::options::BasicGetOptions;
use lapin::types::{AMQPValue, LongString};
use mqbench::driver::{Admin, Port, ProducerSpec, Properties, Settlement};
use mqbench::topology::{QueueKind, Topology, Value};

use super::scene::{QUIET, Scene, Subject, queue};
use crate::broker;

pub(super) fn bodies_of_every_size_arrive_whole<S: Subject>() {
    // Around the least, a page, and one, two and three frames of 128 KiB less their 8 bytes.
    const FRAME: u64 = 131_072 - 8;
    let mut sizes = vec![40, 41, 64, 1_000, 4_095, 4_096, 4_097];
    for frames in 1..=3 {
        sizes.extend([frames * FRAME - 1, frames * FRAME, frames * FRAME + 1]);
    }
    sizes.push(5 << 20);
    let scene = Scene::<S>::new();
    let mut rig = scene.open(vec![scene.producer()], vec![scene.consumer()]);
    for size in &sizes {
        rig.publish(0, 1, *size);
    }
    rig.wait_for_deliveries(sizes.len());
    rig.wait_for_confirms(0, sizes.len() as u64);
    rig.pump_for(QUIET);
    let found: Vec<u64> = rig.deliveries().map(|(_, one)| one.body_len).collect();
    assert_eq!(found, sizes);
    for (index, (_, delivery)) in rig.deliveries().enumerate() {
        // The check in the stamp covers the length.
        assert_eq!(delivery.stamp.unwrap().sequence, index as u64);
    }
}

/// One message of a queue, through a client that is none of the drivers' code of ours.
fn get(queue: &str) -> lapin::message::Delivery {
    let address = broker::shared();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let uri = lapin::uri::AMQPUri {
        authority: lapin::uri::AMQPAuthority {
            userinfo: lapin::uri::AMQPUserInfo {
                username: address.user,
                password: address.password,
            },
            host: address.host,
            port: address.port,
        },
        vhost: address.vhost,
        ..lapin::uri::AMQPUri::default()
    };
    runtime.block_on(async {
        let properties = lapin::ConnectionProperties::default();
        let connection = lapin::Connection::connect_uri(uri, properties)
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        let options = BasicGetOptions { no_ack: true };
        let message = channel.basic_get(queue.into(), options).await.unwrap();
        let delivery = message.expect("a message").delivery;
        connection.close(200, "".into()).await.unwrap();
        delivery
    })
}

pub(super) fn properties_and_headers_arrive<S: Subject>() {
    let scene = Scene::<S>::new();
    let text = |text: &str| Some(text.to_owned());
    let producer = ProducerSpec {
        persistent: true,
        properties: Properties {
            content_type: text("application/json"),
            content_encoding: text("gzip"),
            priority: Some(3),
            correlation_id: text("correlation"),
            reply_to: text("reply"),
            expiration: text("600000"),
            message_id: text("message"),
            kind: text("kind"),
            user_id: Some(broker::shared().user),
            app_id: text("app"),
        },
        headers: vec![
            ("truth".into(), Value::Bool(true)),
            ("number".into(), Value::Int(-5_000_000_000)),
            ("real".into(), Value::Float(1.5)),
            ("text".into(), Value::Text("wörds".into())),
            (
                "list".into(),
                Value::List(vec![Value::Int(1), Value::Text("two".into())]),
            ),
        ],
        ..scene.producer()
    };
    let bare = scene.producer();
    let mut rig = scene.open(vec![producer, bare], vec![]);
    rig.publish(0, 1, 60);
    rig.wait_for_confirms(0, 1);
    rig.publish(1, 1, 60);
    rig.wait_for_confirms(1, 1);
    let first = get(scene.queue()).properties;
    let shown = |text: &Option<lapin::types::ShortString>| text.as_ref().map(ToString::to_string);
    assert_eq!(*first.delivery_mode(), Some(2));
    assert_eq!(*first.priority(), Some(3));
    assert_eq!(shown(first.content_type()), text("application/json"));
    assert_eq!(shown(first.content_encoding()), text("gzip"));
    assert_eq!(shown(first.correlation_id()), text("correlation"));
    assert_eq!(shown(first.reply_to()), text("reply"));
    assert_eq!(shown(first.expiration()), text("600000"));
    assert_eq!(shown(first.message_id()), text("message"));
    assert_eq!(shown(first.kind()), text("kind"));
    assert_eq!(shown(first.user_id()), Some(broker::shared().user));
    assert_eq!(shown(first.app_id()), text("app"));
    let headers = first.headers().clone().unwrap();
    let header = |key: &str| headers.inner().get(key).cloned().unwrap();
    assert_eq!(header("truth"), AMQPValue::Boolean(true));
    assert_eq!(header("number"), AMQPValue::LongLongInt(-5_000_000_000));
    assert_eq!(header("real"), AMQPValue::Double(1.5));
    assert_eq!(
        header("text"),
        AMQPValue::LongString(LongString::from("wörds"))
    );
    let AMQPValue::FieldArray(list) = header("list") else {
        panic!("{:?}", header("list"));
    };
    assert_eq!(
        list.as_slice(),
        [
            AMQPValue::LongLongInt(1),
            AMQPValue::LongString(LongString::from("two"))
        ]
    );
    let second = get(scene.queue()).properties;
    assert_eq!(*second.delivery_mode(), Some(1));
    assert_eq!(shown(second.content_type()), None);
}

fn durable(kind: QueueKind) -> Topology {
    Topology {
        queues: vec![queue(kind)],
        ..Topology::default()
    }
}

pub(super) fn a_quorum_queue_confirms_and_delivers<S: Subject>() {
    let scene = Scene::<S>::with(durable(QueueKind::Quorum));
    let producer = ProducerSpec {
        persistent: true,
        ..scene.producer()
    };
    let mut rig = scene.open(vec![producer], vec![scene.consumer()]);
    rig.publish(0, 50, 100);
    rig.wait_for_confirms(0, 50);
    rig.wait_for_deliveries(50);
    rig.port.settle(0, 50, true, Settlement::Ack);
    rig.pump_for(QUIET);
    rig.close();
    scene.wait_for_depth(0);
}

pub(super) fn a_stream_delivers_from_the_offset_asked_for<S: Subject>() {
    let scene = Scene::<S>::with(durable(QueueKind::Stream));
    let producer = ProducerSpec {
        persistent: true,
        ..scene.producer()
    };
    let mut rig = scene.open(vec![producer], vec![]);
    rig.publish(0, 40, 100);
    rig.wait_for_confirms(0, 40);
    let from = |offset: Value| {
        let mut consumer = scene.consumer();
        consumer.prefetch = 10;
        consumer.arguments = vec![("x-stream-offset".into(), offset)];
        consumer
    };
    let consumers = vec![from(Value::Text("first".into())), from(Value::Int(25))];
    let mut sink = scene.open(vec![], consumers);
    let mut acked = 0;
    sink.pump_until("40 and 15 deliveries", |sink| {
        let all: Vec<_> = sink.deliveries().collect();
        for (consumer, delivery) in &all[acked..] {
            sink.port
                .settle(*consumer, delivery.tag, false, Settlement::Ack);
        }
        acked = all.len();
        acked >= 55
    });
    sink.pump_for(QUIET);
    for (consumer, first) in [(0, 0), (1, 25)] {
        let mine = sink.deliveries().filter(|(who, _)| *who == consumer);
        let sequences: Vec<u64> = mine.map(|(_, one)| one.stamp.unwrap().sequence).collect();
        assert_eq!(sequences, (first..40).collect::<Vec<_>>());
    }
}

pub(super) fn the_broker_says_who_it_is<S: Subject>() {
    let scene = Scene::<S>::new();
    let admin = scene.admin();
    let identity = admin.broker();
    assert_eq!(identity.product, "RabbitMQ");
    assert!(identity.version.starts_with(|c: char| c.is_ascii_digit()));
    assert!(identity.platform.contains("Erlang"), "{identity:?}");
    assert!(identity.cluster.is_some(), "{identity:?}");
}

pub(super) fn the_connection_carries_its_name<S: Subject>() {
    let node = broker::disturbed();
    let scene = Scene::<S>::at(node.address(), durable(QueueKind::Classic));
    let mut rig = scene.open(vec![scene.producer()], vec![]);
    rig.publish(0, 1, 60);
    rig.wait_for_confirms(0, 1);
    let list = node.control(&["list_connections", "client_properties"]);
    assert!(list.contains("contract 0"), "{list}");
    rig.close();
}
