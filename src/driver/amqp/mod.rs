//! Our own AMQP 0-9-1 data path: the default driver.
//!
//! Nonblocking sockets on one epoll per worker, hot methods encoded and parsed by hand, everything else through the
//! codec of `amq-protocol`. It keeps no messages, knows no schedule, records nothing, and never reconnects.
//!
//! | file | |
//! |---|---|
//! | `port` | the event loop of one worker |
//! | `connection` | one open connection: frames into events |
//! | `outbox` | what it has to write; stamps patched when they go |
//! | `encode`, `decode` | bytes of frames |
//! | `transport`, `tls` | bytes on a socket |
//! | `handshake` | opening |
//! | `admin` | setting up and taking down |

mod admin;
mod connection;
mod decode;
mod encode;
mod handshake;
mod outbox;
mod port;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;

pub use admin::AmqpAdmin;
pub use port::AmqpPort;

use self::handshake::{Wanted, Wire};
use self::outbox::Pool;
use crate::clock::Nanos;
use crate::driver::{Capabilities, ConnectOptions, Driver, DriverError, Edge, PortSpec};
use crate::units::Span;

/// The driver. Cheap to make; connects to nothing by itself.
#[derive(Debug)]
pub struct Amqp {
    shared: Arc<Shared>,
}

impl Amqp {
    /// A driver for the broker that `options` lead to.
    pub fn new(options: ConnectOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                options,
                pool: Pool::new(),
                tls: OnceLock::new(),
            }),
        }
    }
}

impl Driver for Amqp {
    type Port = AmqpPort;
    type Admin = AmqpAdmin;

    fn admin(&self) -> Result<AmqpAdmin, DriverError> {
        AmqpAdmin::open(&self.shared)
    }

    fn port(&self, spec: PortSpec) -> Result<AmqpPort, DriverError> {
        AmqpPort::new(Arc::clone(&self.shared), spec)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            edge: Edge::Socket,
            confirm_batches: true,
        }
    }
}

/// What all ports and admins of a driver have in common.
#[derive(Debug)]
struct Shared {
    options: ConnectOptions,
    pool: Pool,
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
}

/// A connection that somebody wants.
struct Wish<'a> {
    /// Index of the address to try first.
    first: usize,
    name: &'a str,
    heartbeat: Span,
    channels: usize,
    deadline: Nanos,
}

impl Shared {
    /// An address as it may be shown.
    fn address(&self, index: usize) -> String {
        match self.options.addresses.len() {
            0 => String::new(),
            count => self.options.addresses[index % count].to_string(),
        }
    }

    /// Opens a connection to the wished address, or to the next one that can be reached.
    fn connect(&self, wish: Wish<'_>) -> Result<Wire, DriverError> {
        let addresses = &self.options.addresses;
        let mut first_error = None;
        for offset in 0..addresses.len() {
            let address = &addresses[(wish.first + offset) % addresses.len()];
            let wanted = Wanted {
                name: wish.name,
                heartbeat: wish.heartbeat,
                frame_max: self.options.frame_max,
                channels: wish.channels,
                timeout: self.options.timeout,
                deadline: wish.deadline,
                tls: if address.tls {
                    Some(self.tls(&address.to_string())?)
                } else {
                    None
                },
            };
            match Wire::open(address, &wanted) {
                Ok(wire) => return Ok(wire),
                Err(error @ DriverError::Unreachable { .. }) => {
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first_error.unwrap_or_else(|| DriverError::System {
            what: "a connection".into(),
            reason: "no address was given".into(),
        }))
    }

    fn tls(&self, address: &str) -> Result<Arc<ClientConfig>, DriverError> {
        self.tls
            .get_or_init(|| tls::config(&self.options.tls))
            .clone()
            .map_err(|reason| DriverError::Tls {
                address: address.into(),
                reason,
            })
    }
}
