//! What goes wrong, and what is said then.

use std::net::TcpListener;

use mqbench::address::Address;
use mqbench::clock::{Clock, Monotonic};
use mqbench::driver::{
    Admin, Admission, ConnectionSpec, Driver, DriverError, Event, Port, PortSpec, ProducerSpec,
};
use mqbench::topology::{QueueKind, Topology, Value};
use mqbench::units::Span;

use super::scene::{LIMIT, Scene, Subject, options, queue, unique};
use crate::broker;

pub(super) fn an_existing_queue_with_other_arguments_is_refused<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut other = scene.topology.clone();
    other.queues[0].arguments = vec![("x-max-length".into(), Value::Int(5))];
    let mut admin = scene.admin();
    let error = admin.apply(&other).unwrap_err();
    let DriverError::Refused { step, said, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(said.starts_with("406 PRECONDITION_FAILED"), "{said}");
    assert!(step.contains(scene.queue()), "{step}");
    // The admin goes on.
    assert_eq!(admin.depth(scene.queue()).unwrap().ready, 0);
}

pub(super) fn what_should_exist_and_does_not_is_refused<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut missing = queue(QueueKind::Classic);
    missing.existing = true;
    let name = missing.broker_name.clone();
    let topology = Topology {
        queues: vec![missing],
        ..Topology::default()
    };
    let error = scene.admin().apply(&topology).unwrap_err();
    let DriverError::Refused { said, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(said.starts_with("404 NOT_FOUND"), "{said}");
    assert!(error.to_string().contains(&name), "{error}");
}

pub(super) fn a_deleted_queue_cancels_its_consumer<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut rig = scene.open(vec![], vec![scene.consumer()]);
    let before = Monotonic.now();
    scene.admin().remove(&scene.topology).unwrap();
    rig.pump_until("cancel", |rig| !rig.events.is_empty());
    assert!(
        matches!(rig.events[..], [Event::Cancelled { consumer: 0, at }] if at >= before),
        "{:?}",
        rig.events
    );
}

pub(super) fn a_missing_exchange_ends_the_connection_with_its_reason<S: Subject>() {
    let scene = Scene::<S>::new();
    let name = unique("missing");
    let spec = ProducerSpec {
        exchange: name.clone(),
        ..scene.producer()
    };
    let mut rig = scene.open(vec![spec], vec![]);
    rig.publish(0, 1, 60);
    let is_closed = |event: &Event| matches!(event, Event::Closed { .. });
    rig.pump_until("end", |rig| rig.events.iter().any(is_closed));
    let Some(Event::Closed {
        connection: 0,
        cause,
        ..
    }) = rig.events.last()
    else {
        panic!("{:?}", rig.events);
    };
    assert!(cause.starts_with("404 NOT_FOUND"), "{cause}");
    assert!(cause.contains(&name), "{cause}");
    let stamp = rig.next_stamp(0);
    assert_eq!(rig.port.queue(0, &stamp, 60), Admission::Busy);
    let count = rig.events.len();
    rig.pump_for(super::scene::QUIET);
    assert_eq!(rig.events.len(), count, "{:?}", rig.events);
}

pub(super) fn a_missing_queue_is_refused_when_its_consumer_opens<S: Subject>() {
    let scene = Scene::<S>::new();
    let mut consumer = scene.consumer();
    consumer.queue = unique("missing");
    let spec = PortSpec {
        connections: vec![connection()],
        producers: vec![],
        consumers: vec![consumer.clone()],
    };
    let mut port = scene.driver.port(spec).unwrap();
    let error = port.open(0, Monotonic.now() + LIMIT).unwrap_err();
    let DriverError::Refused { said, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(said.starts_with("404 NOT_FOUND"), "{said}");
    assert!(error.to_string().contains(&consumer.queue), "{error}");
}

fn connection() -> ConnectionSpec {
    ConnectionSpec {
        address: 0,
        name: "contract".into(),
    }
}

/// What opening says, from the admin and from a port, which have to agree.
fn opening_error<S: Subject>(address: Address) -> DriverError {
    let password = address.password.clone();
    let mut options = options(address);
    options.timeout = Span::from_secs(5);
    let driver = S::driver(options);
    let since = Monotonic.now();
    let Err(of_admin) = driver.admin() else {
        panic!("the admin was let in");
    };
    let spec = PortSpec {
        connections: vec![connection()],
        ..PortSpec::default()
    };
    let mut port = driver.port(spec).unwrap();
    let of_port = port.open(0, Monotonic.now() + LIMIT).unwrap_err();
    let took = Monotonic.now().saturating_since(since);
    // Two attempts, each of which may have used its timeout.
    assert!(took < Span::from_secs(15), "{took}");
    assert_eq!(of_admin, of_port);
    for text in [of_port.to_string(), format!("{of_port:?}")] {
        assert!(!text.contains(&password), "{text}");
    }
    of_port
}

pub(super) fn a_wrong_password_is_refused_without_being_shown<S: Subject>() {
    let mut address = S::address();
    address.password = "not-the-passw0rd".into();
    let error = opening_error::<S>(address);
    let DriverError::Refused { said, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(said.starts_with("403 ACCESS_REFUSED"), "{said}");
}

pub(super) fn an_unknown_virtual_host_is_refused<S: Subject>() {
    let mut address = S::address();
    address.vhost = "no-such-vhost".into();
    // So that the check for the password means something where it is also the user's name.
    let error = {
        let mut options = options(address);
        options.timeout = Span::from_secs(5);
        S::driver(options).admin().err().unwrap()
    };
    let DriverError::Refused { said, step, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(said.starts_with("530 NOT_ALLOWED"), "{said}");
    assert!(step.contains("no-such-vhost"), "{step}");
}

pub(super) fn an_address_where_nobody_listens_is_unreachable<S: Subject>() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut address = Address::local(port);
    address.password = "s3cret".into();
    let error = opening_error::<S>(address);
    let DriverError::Unreachable { address, reason } = &error else {
        panic!("{error:?}");
    };
    assert!(address.contains(&port.to_string()), "{address}");
    assert!(reason.contains("refused"), "{reason}");
}

pub(super) fn a_server_that_says_nothing_is_given_up_in_time<S: Subject>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = options(Address::local(listener.local_addr().unwrap().port()));
    options.timeout = Span::from_ms(500);
    let driver = S::driver(options);
    let since = Monotonic.now();
    let error = driver.admin().err().unwrap();
    assert!(matches!(error, DriverError::TimedOut { .. }), "{error:?}");
    let took = Monotonic.now().saturating_since(since);
    assert!(took >= Span::from_ms(500) && took < LIMIT, "{took}");
    // The caller's deadline binds too.
    let spec = PortSpec {
        connections: vec![connection()],
        ..PortSpec::default()
    };
    let mut port = driver.port(spec).unwrap();
    let error = port
        .open(0, Monotonic.now() + Span::from_ms(50))
        .unwrap_err();
    assert!(matches!(error, DriverError::TimedOut { .. }), "{error:?}");
}

pub(super) fn a_user_without_permission_is_refused<S: Subject>() {
    let node = broker::disturbed();
    let user = unique("user");
    node.control(&["add_user", &user, "pa55word"]);
    let mut address = node.address();
    address.user.clone_from(&user);
    address.password = "pa55word".into();
    // Not even for the virtual host.
    let error = S::driver(options(address.clone())).admin().err().unwrap();
    let DriverError::Refused { said, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(said.starts_with("530 NOT_ALLOWED"), "{said}");
    // For the virtual host, but for nothing in it.
    node.control(&["set_permissions", &user, "^$", "^$", "^$"]);
    let mut admin = S::driver(options(address)).admin().unwrap();
    let topology = Topology {
        queues: vec![queue(QueueKind::Classic)],
        ..Topology::default()
    };
    let error = admin.apply(&topology).unwrap_err();
    let DriverError::Refused { said, step, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(said.starts_with("403 ACCESS_REFUSED"), "{said}");
    assert!(step.contains("declare queue"), "{step}");
    assert!(!error.to_string().contains("pa55word"), "{error}");
    drop(admin);
    node.control(&["delete_user", &user]);
}

pub(super) fn a_connection_closed_by_the_broker_is_reported_with_its_reason<S: Subject>() {
    let node = broker::disturbed();
    let topology = Topology {
        queues: vec![queue(QueueKind::Classic)],
        ..Topology::default()
    };
    let scene = Scene::<S>::at(node.address(), topology);
    let mut consumer = scene.consumer();
    consumer.connection = 1;
    let mut rig = scene.open(vec![scene.producer()], vec![consumer]);
    rig.publish(0, 10, 60);
    rig.wait_for_confirms(0, 10);
    rig.wait_for_deliveries(10);
    let before = rig.events.len();
    node.control(&["close_all_connections", "the operator said so"]);
    let ends = |events: &[Event]| {
        let mut ends: Vec<(u32, String)> = events
            .iter()
            .filter_map(|event| match event {
                Event::Closed {
                    connection, cause, ..
                } => Some((*connection, cause.to_string())),
                _ => None,
            })
            .collect();
        ends.sort();
        ends
    };
    rig.pump_until("two ends", |rig| ends(&rig.events).len() == 2);
    rig.pump_for(super::scene::QUIET);
    let found = ends(&rig.events);
    assert_eq!([found[0].0, found[1].0], [0, 1]);
    for (_, cause) in &found {
        assert!(cause.starts_with("320 CONNECTION_FORCED"), "{cause}");
        assert!(cause.contains("the operator said so"), "{cause}");
    }
    // Nothing else: no cancel for a consumer whose connection is gone.
    assert_eq!(rig.events.len() - before, 2, "{:?}", &rig.events[before..]);
    rig.close();
}

pub(super) fn a_blocked_connection_is_reported_and_hangs_nothing<S: Subject>() {
    /// Puts the node back however the test ends.
    struct Restore<'a>(&'a broker::Disturbed);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            self.0.control(&["set_vm_memory_high_watermark", "0.8"]);
        }
    }
    let node = broker::disturbed();
    let topology = Topology {
        queues: vec![queue(QueueKind::Classic)],
        ..Topology::default()
    };
    let scene = Scene::<S>::at(node.address(), topology);
    let mut rig = scene.open(vec![scene.producer()], vec![]);
    let mut other = scene.open(vec![scene.producer()], vec![]);
    rig.publish(0, 1, 60);
    rig.wait_for_confirms(0, 1);
    other.publish(0, 1, 60);
    other.wait_for_confirms(0, 1);
    let restore = Restore(&node);
    node.control(&["set_vm_memory_high_watermark", "0"]);
    // The broker blocks a connection when it publishes.
    rig.publish(0, 1, 60);
    other.publish(0, 1, 60);
    let is_blocked = |event: &Event| matches!(event, Event::Blocked { connection: 0, .. });
    rig.pump_until("block", |rig| rig.events.iter().any(is_blocked));
    other.pump_until("block", |rig| rig.events.iter().any(is_blocked));
    // More than any buffer holds: turned away at last, and pump still keeps its time.
    let mut turned_away = false;
    for _ in 0..100 {
        let stamp = rig.next_stamp(0);
        turned_away |= rig.port.queue(0, &stamp, 1 << 20) == Admission::Busy;
        rig.port.flush(&mut rig.events);
    }
    assert!(turned_away);
    let since = Monotonic.now();
    let until = since + Span::from_ms(50);
    while Monotonic.now() < until {
        rig.port.pump(until, &mut rig.events);
    }
    other.port.close(Monotonic.now() + Span::from_ms(500));
    let took = Monotonic.now().saturating_since(since);
    assert!(took < Span::from_secs(10), "{took}");
    drop(restore);
    let is_unblocked = |event: &Event| matches!(event, Event::Unblocked { connection: 0, .. });
    rig.pump_until("unblock", |rig| rig.events.iter().any(is_unblocked));
    // What was taken before goes out now, and the port works on.
    let taken = |rig: &super::scene::Rig<_>| {
        let sent = super::scene::sent(&rig.events, 0);
        sent.iter().map(|(messages, _)| u64::from(*messages)).sum()
    };
    rig.pump_until("the rest", |rig| {
        let sent: u64 = taken(rig);
        rig.port.unwritten() == 0 && super::scene::confirmed(&rig.events, 0).len() as u64 == sent
    });
    rig.close();
}
