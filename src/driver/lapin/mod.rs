//! The reference client: the same boundary through the `lapin` crate, as an application written with it would see the
//! broker.
//!
//! lapin is asynchronous and owns threads: one for each connection, and here one more for each port, on which a
//! current-thread tokio runtime drives its sockets, timers and heartbeats whether or not the worker is looking. The
//! engine sees none of that: [`LapinPort`] is polled from the worker's thread, many publishes and confirms in flight at
//! once, and sleeps until lapin has something or the next message is due. It waits on a condition variable and not on
//! a tokio timer, whose step is 1 ms: the kernel wakes it within its timer slack of `until`.
//!
//! Edge stamps are taken at lapin's interface. `sent` is read just before `basic_publish` is first polled, which is when
//! lapin encodes the message; `at` of a confirm or a delivery when lapin hands it over. What lapin queues inside is part
//! of its numbers. It never reconnects: an outage has to be seen.
//!
//! What lapin cannot do: leave a server's certificate unchecked (an error), trust only the given authorities (they are
//! added to the system's), turn heartbeats off where the broker wants them (its own thread keeps them up), stamp a
//! return when it came (it is inside the confirm; without confirms it is found at the next look).
//!
//! | file | |
//! |---|---|
//! | `port` | one worker's connections, polled |
//! | `flight` | publishes on their way |
//! | `bell` | what lapin has something for, and the sleep until then |
//! | `link` | opening a connection, and cutting it |
//! | `runtime` | the thread of the runtime |
//! | `fault` | lapin's errors in our terms |
//! | `value` | names, tables and properties in lapin's terms |
//! | `greeting` | who the broker says it is, which lapin keeps to itself |
//! | `admin` | setting up and taking down |

mod admin;
mod bell;
mod fault;
mod flight;
mod greeting;
mod link;
mod port;
mod runtime;
mod value;

use std::sync::Arc;

pub use admin::LapinAdmin;
pub use port::LapinPort;

use crate::driver::{Capabilities, ConnectOptions, Driver, DriverError, Edge, PortSpec};

/// The driver. Cheap to make; connects to nothing by itself.
#[derive(Debug)]
pub struct Lapin {
    options: Arc<ConnectOptions>,
}

impl Lapin {
    /// A driver for the broker that `options` lead to.
    pub fn new(options: ConnectOptions) -> Self {
        Self {
            options: Arc::new(options),
        }
    }
}

impl Driver for Lapin {
    type Port = LapinPort;
    type Admin = LapinAdmin;

    fn admin(&self) -> Result<LapinAdmin, DriverError> {
        LapinAdmin::open(Arc::clone(&self.options))
    }

    fn port(&self, spec: PortSpec) -> Result<LapinPort, DriverError> {
        LapinPort::new(Arc::clone(&self.options), spec)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            edge: Edge::Api,
            confirm_batches: false,
        }
    }
}
