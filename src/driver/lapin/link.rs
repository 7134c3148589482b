//! Opening a connection through lapin, each step within its deadline, and cutting it.
//!
//! lapin gives no way to end a connection on which nothing is written any more (`connection.blocked`), so a second
//! handle of the socket is kept, and [`Link::cut`] shuts that down.

use std::fs::read;
use std::future::Future;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_core::Stream;
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream, OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{ConnectionProperties, Event};
use rustix::fd::AsFd;

use super::runtime::Runtime;
use super::{fault, greeting};
use crate::address::{Address, Tls};
use crate::clock::{Clock, Monotonic, Nanos};
use crate::driver::{BrokerIdentity, ConnectOptions, DriverError};
use crate::units::Span;

/// RabbitMQ 4.1 and later refuse less.
const FRAME_MIN: u32 = 8192;

/// What a connection tells of itself.
pub(super) type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// One open connection.
pub(super) struct Link {
    pub(super) connection: lapin::Connection,
    /// The only listener: two would share one queue, and each would see half.
    pub(super) events: Events,
    /// As it may be shown.
    pub(super) address: String,
    socket: Option<TcpStream>,
}

impl Link {
    /// Ends it without a word.
    pub(super) fn cut(&self) {
        if let Some(socket) = &self.socket {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// How far an attempt has come, as seen by lapin's thread.
#[derive(Debug, Default)]
struct Attempt {
    socket: Option<TcpStream>,
    failure: Option<Failure>,
}

#[derive(Debug)]
enum Failure {
    Reach(String),
    Tls(String),
}

type Shared = Arc<Mutex<Attempt>>;

fn lock(attempt: &Shared) -> MutexGuard<'_, Attempt> {
    attempt.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What bounds the steps of an opening: each by the options' timeout, all by the caller's deadline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) timeout: Span,
    pub(super) deadline: Nanos,
}

impl Bounds {
    /// Waits for `future`; `None` where it took too long.
    pub(super) fn wait<F: Future>(&self, runtime: &Runtime, future: F) -> Option<F::Output> {
        let left = self.deadline.saturating_since(Monotonic.now());
        let limit = left.min(self.timeout).as_duration();
        runtime.block_on(async { tokio::time::timeout(limit, future).await.ok() })
    }

    /// Waits for lapin's answer to one step on an open connection.
    ///
    /// # Errors
    /// What the broker said, or that it said nothing in time.
    pub(super) fn step<T>(
        &self,
        runtime: &Runtime,
        address: &str,
        step: &str,
        future: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, DriverError> {
        match self.wait(runtime, future) {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(fault::of_step(address, step, &error)),
            None => Err(self.too_late(address, step)),
        }
    }

    fn too_late(&self, address: &str, step: &str) -> DriverError {
        DriverError::TimedOut {
            address: address.into(),
            step: step.into(),
            limit: self.timeout,
        }
    }
}

/// Connects to the address of index `first`, or to the next one that can be reached.
///
/// # Errors
/// The step that failed and what was said.
pub(super) fn open(
    options: &ConnectOptions,
    runtime: &Runtime,
    first: usize,
    name: &str,
    heartbeat: Span,
    deadline: Nanos,
) -> Result<(Link, usize), DriverError> {
    let addresses = &options.addresses;
    let bounds = Bounds {
        timeout: options.timeout,
        deadline,
    };
    let mut first_error = None;
    for offset in 0..addresses.len() {
        let index = (first + offset) % addresses.len();
        let address = &addresses[index];
        let uri = uri(address, options.frame_max, heartbeat);
        let tls = tls_config(address, &options.tls)?;
        match connect(address, uri, tls, name, runtime, bounds) {
            Ok(link) => return Ok((link, index)),
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

/// Asks the broker at the address of `index` who it is.
///
/// # Errors
/// The step that failed and what was said.
pub(super) fn greet(
    options: &ConnectOptions,
    runtime: &Runtime,
    index: usize,
) -> Result<BrokerIdentity, DriverError> {
    let address = &options.addresses[index];
    let uri = uri(address, options.frame_max, Span::ZERO);
    let tls = tls_config(address, &options.tls)?;
    let bounds = Bounds {
        timeout: options.timeout,
        deadline: Nanos::NEVER,
    };
    let shown = address.to_string();
    let answer = bounds.wait(runtime, async {
        let runtime = lapin::runtime::default_runtime().map_err(std::io::Error::other)?;
        let mut stream =
            AMQPUriTcpExt::connect_with_config_async(&uri, tls.as_ref(), &runtime).await?;
        greeting::greet(&mut stream).await
    });
    match answer {
        Some(Ok(identity)) => Ok(identity),
        Some(Err(error)) => Err(DriverError::Lost {
            address: shown,
            step: "ask who is there".into(),
            cause: error.to_string(),
        }),
        None => Err(bounds.too_late(&shown, "ask who is there")),
    }
}

fn connect(
    address: &Address,
    uri: AMQPUri,
    tls: OwnedTLSConfig,
    name: &str,
    runtime: &Runtime,
    bounds: Bounds,
) -> Result<Link, DriverError> {
    let attempt = Shared::default();
    let seen = Arc::clone(&attempt);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let opened = bounds.wait(runtime, async move {
        let runtime = lapin::runtime::default_runtime()?;
        lapin::Connection::connector(
            uri,
            runtime,
            async move |uri: AMQPUri, runtime| {
                // In the thread that lapin made for this connection: it may block.
                let places = (uri.authority.host.as_str(), uri.authority.port).to_socket_addrs();
                let reached = match places {
                    Ok(places) => {
                        AsyncTcpStream::connect(&runtime, places.collect::<Vec<_>>()).await
                    }
                    Err(error) => Err(error),
                };
                let stream = reached.inspect_err(|error| {
                    lock(&seen).failure = Some(Failure::Reach(error.to_string()));
                })?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    let socket = plain.get_ref().as_fd().try_clone_to_owned()?;
                    lock(&seen).socket = Some(TcpStream::from(socket));
                }
                if uri.scheme == AMQPScheme::AMQP {
                    return Ok(stream);
                }
                let secured = stream.into_tls(&uri.authority.host, tls.as_ref()).await;
                Ok(secured.inspect_err(|error| {
                    lock(&seen).failure = Some(Failure::Tls(error.to_string()));
                })?)
            },
            properties,
        )
        .await
    });
    let mut attempt = lock(&attempt);
    match opened {
        Some(Ok(connection)) => Ok(Link {
            events: Box::pin(connection.events_listener()),
            address: address.to_string(),
            socket: attempt.socket.take(),
            connection,
        }),
        Some(Err(error)) => Err(of_connect(address, attempt.failure.take(), &error)),
        None => {
            // Or lapin's thread would wait on.
            if let Some(socket) = attempt.socket.take() {
                let _ = socket.shutdown(Shutdown::Both);
            }
            Err(bounds.too_late(&address.to_string(), "open a connection"))
        }
    }
}

fn of_connect(address: &Address, failure: Option<Failure>, error: &lapin::Error) -> DriverError {
    let shown = address.to_string();
    match failure {
        Some(Failure::Reach(reason)) => {
            return DriverError::Unreachable {
                address: shown,
                reason,
            };
        }
        Some(Failure::Tls(reason)) => {
            return DriverError::Tls {
                address: shown,
                reason,
            };
        }
        None => {}
    }
    // lapin does not tell how far the handshake came; the broker's words do: it knows a user before it looks for a
    // virtual host, and names the latter.
    let said = fault::said(error).unwrap_or_default();
    let step = if said.contains("vhost") {
        format!("open the virtual host `{}`", address.vhost)
    } else {
        "log in".to_owned()
    };
    fault::of_step(&shown, &step, error)
}

/// lapin leaves heartbeats to the broker where none is asked for.
fn uri(address: &Address, frame_max: u32, heartbeat: Span) -> AMQPUri {
    let seconds = heartbeat.as_ns().div_ceil(1_000_000_000);
    let scheme = if address.tls {
        AMQPScheme::AMQPS
    } else {
        AMQPScheme::AMQP
    };
    let mut uri = AMQPUri {
        scheme,
        ..AMQPUri::default()
    };
    uri.authority.host.clone_from(&address.host);
    uri.authority.port = address.port;
    uri.authority.userinfo.username.clone_from(&address.user);
    uri.authority
        .userinfo
        .password
        .clone_from(&address.password);
    uri.vhost.clone_from(&address.vhost);
    uri.query.frame_max = match frame_max {
        0 => None,
        asked => Some(asked.max(FRAME_MIN)),
    };
    uri.query.heartbeat = Some(u16::try_from(seconds).unwrap_or(u16::MAX));
    uri
}

fn tls_config(address: &Address, tls: &Tls) -> Result<OwnedTLSConfig, DriverError> {
    if !address.tls {
        return Ok(OwnedTLSConfig::default());
    }
    let refused = |reason: String| DriverError::Tls {
        address: address.to_string(),
        reason,
    };
    if !tls.verify {
        return Err(refused(
            "lapin cannot leave the server's certificate unchecked: name a file with the authority to trust, or use the driver `amqp`".into(),
        ));
    }
    let file = |path: &Path| {
        read(path).map_err(|error| refused(format!("cannot read {}: {error}", path.display())))
    };
    let cert_chain = match &tls.ca {
        Some(path) => Some(String::from_utf8(file(path)?).map_err(|_| {
            refused(format!(
                "{} is not text, expected PEM certificates",
                path.display()
            ))
        })?),
        None => None,
    };
    let identity = match (&tls.certificate, &tls.key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(OwnedIdentity::PKCS8 {
            pem: file(certificate)?,
            key: file(key)?,
        }),
        (Some(path), None) => {
            return Err(refused(format!(
                "the certificate {} has no key beside it",
                path.display()
            )));
        }
        (None, Some(path)) => {
            return Err(refused(format!(
                "the key {} has no certificate beside it",
                path.display()
            )));
        }
    };
    Ok(OwnedTLSConfig {
        identity,
        cert_chain,
    })
}
