//! Brokers for tests.
//!
//! | which | where it comes from |
//! |---|---|
//! | [`shared`] | `$MQBENCH_TEST_BROKER` (an AMQP address whose user may do everything), else a private node of the installed RabbitMQ (`$MQBENCH_TEST_RABBITMQ` names another installation's folder) |
//! | [`disturbed`] | always a private node, for one test at a time: blocked, closed, given users |
//!
//! Private nodes are ended by their watchdog when this process ends, however it ends. Where none can be had the test
//! fails and says why; nothing is skipped.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use mqbench::address::Address;
use mqbench::provision::{LocalNodes, NodeSpec, Unattended};

use crate::provision::{host, installation};

fn node() -> LocalNodes {
    LocalNodes::start(
        &installation(),
        &host(),
        &[NodeSpec::default()],
        &mut Unattended,
    )
    .expect("the installed RabbitMQ starts; or name a broker in MQBENCH_TEST_BROKER")
}

/// A broker that many tests use at once, each with names of its own.
pub(crate) fn shared() -> Address {
    static NODE: OnceLock<LocalNodes> = OnceLock::new();
    match std::env::var("MQBENCH_TEST_BROKER") {
        Ok(address) => address
            .parse()
            .expect("MQBENCH_TEST_BROKER holds an AMQP address"),
        Err(_) => NODE.get_or_init(node).addresses()[0].clone(),
    }
}

/// A broker that a test has to itself while it holds this.
pub(crate) struct Disturbed(MutexGuard<'static, LocalNodes>);

impl Disturbed {
    pub(crate) fn address(&self) -> Address {
        self.0.addresses()[0].clone()
    }

    /// Runs `rabbitmqctl`.
    pub(crate) fn control(&self, arguments: &[&str]) -> String {
        self.0.control(0, arguments).expect("rabbitmqctl succeeds")
    }

    /// The same for what puts the node back in a guard's drop, where a second panic would end all tests.
    pub(crate) fn restore(&self, arguments: &[&str]) -> String {
        match self.0.control(0, arguments) {
            Ok(told) => told,
            Err(_) if std::thread::panicking() => String::new(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// See [`Disturbed`].
pub(crate) fn disturbed() -> Disturbed {
    static NODE: OnceLock<Mutex<LocalNodes>> = OnceLock::new();
    let node = NODE.get_or_init(|| Mutex::new(node()));
    // A test that failed leaves the node as usable as before: each puts back what it changed.
    Disturbed(node.lock().unwrap_or_else(PoisonError::into_inner))
}
