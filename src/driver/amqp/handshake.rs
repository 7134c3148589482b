//! Opening a connection: resolve, connect, TLS, log in, tune, open the virtual host, open channels. Blocking, each
//! step with a deadline of its own, through the codec throughout; off the load path.
//!
//! [`Wire`] is what `admin` goes on with; a port takes the socket out of it by [`Wire::into_opened`].

use std::io::{ErrorKind, IoSlice};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, mpsc};

use amq_protocol::frame::{AMQPFrame, ProtocolVersion};
use amq_protocol::protocol::{AMQPClass, channel, connection};
use amq_protocol::types::{AMQPValue, FieldTable, LongString, ShortString};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ClientConfig;

use super::decode;
use super::encode;
use super::tls::TlsStream;
use super::transport::Transport;
use crate::address::Address;
use crate::clock::{Clock, Monotonic, Nanos};
use crate::driver::{BrokerIdentity, DriverError};
use crate::units::Span;

/// Read at once before a port's own buffer is there.
const READ: usize = 16 * 1024;
/// The smallest `frame_max` that RabbitMQ 4 takes.
const FRAME_MIN: u32 = 8192;
/// The largest frame worth having: a port's read buffer holds more than one.
const FRAME_MAX: u32 = 1024 * 1024;
/// Largest frame before the limit is agreed on; the protocol says 4096, brokers with many plugins say more.
const FRAME_BEFORE_TUNE: u32 = 128 * 1024;

/// What is asked of a new connection.
#[derive(Debug, Clone)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) heartbeat: Span,
    pub(super) frame_max: u32,
    /// Channels that will be opened.
    pub(super) channels: usize,
    /// Limit for each step.
    pub(super) timeout: Span,
    /// Limit for all of them.
    pub(super) deadline: Nanos,
    /// For `amqps`.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// A connection that may now carry load.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) transport: Transport,
    /// Read but not yet parsed.
    pub(super) leftover: Vec<u8>,
    pub(super) frame_max: u32,
    pub(super) heartbeat: Span,
}

/// A connection used by asking and waiting for the answer.
#[derive(Debug)]
pub(super) struct Wire {
    transport: Transport,
    inbox: Vec<u8>,
    cipher: Vec<u8>,
    address: String,
    timeout: Span,
    deadline: Nanos,
    pub(super) frame_max: u32,
    heartbeat: Span,
    pub(super) identity: BrokerIdentity,
}

/// One step: what is being done, since when and until when.
#[derive(Debug, Clone)]
pub(super) struct Step<'a> {
    what: &'a str,
    since: Nanos,
    until: Nanos,
}

impl Wire {
    /// Connects to `address` and opens its virtual host.
    ///
    /// # Errors
    /// The step that failed and what was said.
    pub(super) fn open(address: &Address, wanted: &Wanted<'_>) -> Result<Self, DriverError> {
        let socket = connect(address, wanted)?;
        let unreachable = |error: std::io::Error| DriverError::Unreachable {
            address: address.to_string(),
            reason: error.to_string(),
        };
        socket.set_nodelay(true).map_err(unreachable)?;
        socket.set_nonblocking(true).map_err(unreachable)?;
        let transport = match &wanted.tls {
            Some(config) if address.tls => {
                let stream = TlsStream::new(config.clone(), &host(address), socket);
                Transport::Tls(Box::new(stream.map_err(|reason| DriverError::Tls {
                    address: address.to_string(),
                    reason,
                })?))
            }
            _ => Transport::Plain(socket),
        };
        let mut wire = Self {
            transport,
            inbox: Vec::new(),
            cipher: Vec::new(),
            address: address.to_string(),
            timeout: wanted.timeout,
            deadline: wanted.deadline,
            frame_max: FRAME_BEFORE_TUNE,
            heartbeat: Span::ZERO,
            identity: BrokerIdentity::default(),
        };
        wire.agree_on_tls()?;
        wire.log_in(address, wanted)?;
        wire.tune(wanted)?;
        wire.open_vhost(address)?;
        Ok(wire)
    }

    /// The connection for a port's event loop.
    pub(super) fn into_opened(mut self) -> Opened {
        self.inbox.shrink_to_fit();
        Opened {
            transport: self.transport,
            leftover: self.inbox,
            frame_max: self.frame_max,
            heartbeat: self.heartbeat,
        }
    }

    /// From now on, steps end at the latest at `deadline`.
    pub(super) fn set_deadline(&mut self, deadline: Nanos) {
        self.deadline = deadline;
    }

    pub(super) fn step<'a>(&self, what: &'a str) -> Step<'a> {
        let since = Monotonic.now();
        Step {
            what,
            since,
            until: (since + self.timeout).min(self.deadline),
        }
    }

    fn agree_on_tls(&mut self) -> Result<(), DriverError> {
        let step = self.step("agree on TLS");
        loop {
            let Transport::Tls(stream) = &mut self.transport else {
                return Ok(());
            };
            if !stream.is_handshaking() && !stream.has_pending() {
                return Ok(());
            }
            match stream.write_pending() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::OUT, &step)?;
                    continue;
                }
                Err(error) => return Err(self.tls_refused(&error.to_string())),
                Ok(()) => {}
            }
            if stream.is_handshaking() {
                self.wait(PollFlags::IN, &step)?;
                match self.read_some() {
                    Ok(0) => {
                        return Err(self.tls_refused(
                            "the other side closed the socket; does it speak TLS on this port?",
                        ));
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(self.tls_refused(&error.to_string())),
                }
            }
        }
    }

    fn tls_refused(&self, reason: &str) -> DriverError {
        DriverError::Tls {
            address: self.address.clone(),
            reason: reason.into(),
        }
    }

    fn log_in(&mut self, address: &Address, wanted: &Wanted<'_>) -> Result<(), DriverError> {
        let step = self.step("say hello");
        let hello = AMQPFrame::ProtocolHeader(ProtocolVersion::amqp_0_9_1());
        self.send(&hello, &step)?;
        let start = match self.receive(&step)? {
            (_, AMQPClass::Connection(connection::AMQPMethod::Start(start))) => start,
            (_, other) => return Err(self.surprised(&other, "connection.start")),
        };
        self.identity = identity(&start.server_properties);
        let mechanisms = start.mechanisms.to_string();
        if !mechanisms.split(' ').any(|mechanism| mechanism == "PLAIN") {
            return Err(DriverError::Refused {
                address: self.address.clone(),
                step: "log in with PLAIN".into(),
                said: format!("it takes only {mechanisms}"),
            });
        }
        let response = format!("\0{}\0{}", address.user, address.password);
        let start_ok = connection::StartOk {
            client_properties: client_properties(wanted.name),
            mechanism: "PLAIN".into(),
            response: LongString::from(response),
            locale: "en_US".into(),
        };
        let method = AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok));
        self.send(&AMQPFrame::Method(0, method), &step)
    }

    fn tune(&mut self, wanted: &Wanted<'_>) -> Result<(), DriverError> {
        let step = self.step("log in");
        let tune = match self.receive(&step)? {
            (_, AMQPClass::Connection(connection::AMQPMethod::Tune(tune))) => tune,
            (_, other) => return Err(self.surprised(&other, "connection.tune")),
        };
        let seconds = wanted.heartbeat.as_ns().div_ceil(1_000_000_000);
        let ours = u16::try_from(seconds).unwrap_or(u16::MAX);
        let heartbeat = match (ours, tune.heartbeat) {
            (0, _) => 0,
            (ours, 0) => ours,
            (ours, theirs) => ours.min(theirs),
        };
        let frame_max = match (wanted.frame_max, tune.frame_max) {
            (0, 0) => FRAME_MAX,
            (0, one) | (one, 0) => one,
            (ours, theirs) => ours.max(FRAME_MIN).min(theirs),
        };
        self.frame_max = frame_max.clamp(4096, FRAME_MAX);
        self.heartbeat = Span::from_secs(u64::from(heartbeat));
        if tune.channel_max != 0 && wanted.channels > usize::from(tune.channel_max) {
            return Err(DriverError::Refused {
                address: self.address.clone(),
                step: format!("open {} channels on one connection", wanted.channels),
                said: format!(
                    "its channel_max is {}; spread producers and consumers over more connections",
                    tune.channel_max
                ),
            });
        }
        let tune_ok = connection::TuneOk {
            channel_max: tune.channel_max,
            frame_max: self.frame_max,
            heartbeat,
        };
        let method = AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok));
        self.send(&AMQPFrame::Method(0, method), &step)
    }

    fn open_vhost(&mut self, address: &Address) -> Result<(), DriverError> {
        let what = format!("open the virtual host `{}`", address.vhost);
        let step = self.step(&what);
        let virtual_host = encode::short("the virtual host", &address.vhost)?;
        let method = AMQPClass::Connection(connection::AMQPMethod::Open(connection::Open {
            virtual_host,
        }));
        self.send(&AMQPFrame::Method(0, method), &step)?;
        match self.receive(&step)? {
            (_, AMQPClass::Connection(connection::AMQPMethod::OpenOk(_))) => Ok(()),
            (_, other) => Err(self.surprised(&other, "connection.open-ok")),
        }
    }

    /// Opens a channel.
    pub(super) fn open_channel(&mut self, number: u16) -> Result<(), DriverError> {
        let what = format!("open channel {number}");
        let open = AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}));
        match self.ask(number, open, &what)? {
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(_)) => Ok(()),
            other => Err(self.surprised(&other, "channel.open-ok")),
        }
    }

    /// Sends a method and waits for the next one that is an answer.
    pub(super) fn ask(
        &mut self,
        number: u16,
        method: AMQPClass,
        what: &str,
    ) -> Result<AMQPClass, DriverError> {
        let step = self.step(what);
        self.send(&AMQPFrame::Method(number, method), &step)?;
        let (_, answer) = self.receive(&step)?;
        Ok(answer)
    }

    pub(super) fn send(&mut self, frame: &AMQPFrame, step: &Step<'_>) -> Result<(), DriverError> {
        let mut bytes = Vec::new();
        encode::frame(&mut bytes, frame)?;
        let mut left = &bytes[..];
        while !left.is_empty() || self.transport.has_pending() {
            let wrote = if left.is_empty() {
                self.transport.write_pending().map(|()| 0)
            } else {
                self.transport.write(&[IoSlice::new(left)])
            };
            match wrote {
                Ok(count) => left = &left[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::OUT, step)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A refusal may already wait to be read; it says more than a broken pipe.
                Err(error) => {
                    return Err(match self.receive(step) {
                        Err(said @ DriverError::Refused { .. }) => said,
                        _ => self.lost(step, &error),
                    });
                }
            }
        }
        Ok(())
    }

    /// The next method. Answers a closing broker and turns it into an error; passes over heartbeats and
    /// `connection.blocked`.
    pub(super) fn receive(&mut self, step: &Step<'_>) -> Result<(u16, AMQPClass), DriverError> {
        loop {
            let (number, method) = match self.receive_frame(step)? {
                AMQPFrame::Method(number, method) => (number, method),
                AMQPFrame::Heartbeat => continue,
                other => return Err(self.broken(format!("{other:?}"), "a method")),
            };
            let refused = |said| DriverError::Refused {
                address: self.address.clone(),
                step: step.what.into(),
                said,
            };
            match method {
                AMQPClass::Connection(
                    connection::AMQPMethod::Blocked(_) | connection::AMQPMethod::Unblocked(_),
                ) => {}
                AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
                    let error = refused(format!("{} {}", close.reply_code, close.reply_text));
                    let ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                    self.say(0, AMQPClass::Connection(ok));
                    return Err(error);
                }
                AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                    let error = refused(format!("{} {}", close.reply_code, close.reply_text));
                    let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                    self.say(number, AMQPClass::Channel(ok));
                    return Err(error);
                }
                other => return Ok((number, other)),
            }
        }
    }

    /// Writes a short farewell as far as the socket takes it.
    pub(super) fn say(&mut self, number: u16, method: AMQPClass) {
        let mut bytes = Vec::new();
        if encode::method(&mut bytes, number, method).is_ok() {
            let _ = self.transport.write(&[IoSlice::new(&bytes)]);
        }
    }

    fn receive_frame(&mut self, step: &Step<'_>) -> Result<AMQPFrame, DriverError> {
        loop {
            match decode::first_frame(&self.inbox, self.frame_max) {
                Ok(Some((len, frame))) => {
                    self.inbox.drain(..len);
                    return Ok(frame);
                }
                Ok(None) => {}
                Err(fault) => return Err(self.broken(fault.found, fault.expected)),
            }
            match self.read_some() {
                Ok(0) => {
                    return Err(DriverError::Lost {
                        address: self.address.clone(),
                        step: step.what.into(),
                        cause: "the broker closed the socket".into(),
                    });
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::IN, step)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.lost(step, &error)),
            }
        }
    }

    fn read_some(&mut self) -> std::io::Result<usize> {
        let before = self.inbox.len();
        // TLS may have a record's worth more to say than was read.
        self.inbox.resize(before + 2 * READ, 0);
        let result = self
            .transport
            .read(&mut self.inbox[before..], &mut self.cipher);
        self.inbox.truncate(before + *result.as_ref().unwrap_or(&0));
        result
    }

    fn wait(&self, flags: PollFlags, step: &Step<'_>) -> Result<(), DriverError> {
        loop {
            let now = Monotonic.now();
            if now >= step.until {
                return Err(DriverError::TimedOut {
                    address: self.address.clone(),
                    step: step.what.into(),
                    limit: step.until.saturating_since(step.since),
                });
            }
            let left = timespec(step.until.0 - now.0);
            let mut fds = [PollFd::new(&self.transport, flags)];
            match poll(&mut fds, Some(&left)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => {
                    return Err(DriverError::System {
                        what: "waiting for a socket".into(),
                        reason: errno.to_string(),
                    });
                }
            }
        }
    }

    fn lost(&self, step: &Step<'_>, error: &std::io::Error) -> DriverError {
        match error.get_ref() {
            Some(inner) if inner.is::<rustls::Error>() => self.tls_refused(&inner.to_string()),
            _ => DriverError::Lost {
                address: self.address.clone(),
                step: step.what.into(),
                cause: error.to_string(),
            },
        }
    }

    fn broken(&self, found: String, expected: &str) -> DriverError {
        DriverError::Protocol {
            address: self.address.clone(),
            found,
            expected: expected.into(),
        }
    }

    /// An answer that belongs to another question.
    pub(super) fn surprised(&self, found: &AMQPClass, expected: &str) -> DriverError {
        self.broken(super::connection::method_name(found), expected)
    }
}

/// Nanoseconds as the system wants them.
pub(super) fn timespec(ns: u64) -> Timespec {
    Timespec {
        tv_sec: (ns / 1_000_000_000) as i64,
        tv_nsec: (ns % 1_000_000_000) as i64,
    }
}

/// The host without the brackets of an IPv6 address.
fn host(address: &Address) -> String {
    address
        .host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned()
}

fn connect(address: &Address, wanted: &Wanted<'_>) -> Result<TcpStream, DriverError> {
    let since = Monotonic.now();
    let until = (since + wanted.timeout).min(wanted.deadline);
    let unreachable = |reason: String| DriverError::Unreachable {
        address: address.to_string(),
        reason,
    };
    let late = |step: &str| DriverError::TimedOut {
        address: address.to_string(),
        step: step.into(),
        limit: until.saturating_since(since),
    };
    let left = || until.saturating_since(Monotonic.now());
    let mut last = "its name has no address".to_owned();
    let resolved = resolve(address, left())
        .ok_or_else(|| late("look up its name"))?
        .map_err(unreachable)?;
    for target in resolved {
        if left() == Span::ZERO {
            return Err(late("connect"));
        }
        match TcpStream::connect_timeout(&target, left().as_duration()) {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == ErrorKind::TimedOut => return Err(late("connect")),
            Err(error) => last = error.to_string(),
        }
    }
    Err(unreachable(last))
}

/// Looks the host up. In a thread of its own, for the system's look-up knows no deadline.
fn resolve(address: &Address, limit: Span) -> Option<Result<Vec<SocketAddr>, String>> {
    let target = (host(address), address.port);
    if let Ok(ip) = target.0.parse() {
        return Some(Ok(vec![SocketAddr::new(ip, target.1)]));
    }
    let (tell, hear) = mpsc::channel();
    std::thread::spawn(move || {
        let found = target.to_socket_addrs();
        let _ = tell.send(found.map(Iterator::collect).map_err(|e| e.to_string()));
    });
    hear.recv_timeout(limit.as_duration()).ok()
}

fn identity(properties: &FieldTable) -> BrokerIdentity {
    let text = |key: &str| match properties.inner().get(key) {
        Some(AMQPValue::LongString(text)) => Some(text.to_string()),
        Some(AMQPValue::ShortString(text)) => Some(text.to_string()),
        _ => None,
    };
    BrokerIdentity {
        product: text("product").unwrap_or_default(),
        version: text("version").unwrap_or_default(),
        platform: text("platform").unwrap_or_default(),
        cluster: text("cluster_name"),
    }
}

fn client_properties(name: &str) -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(LongString::from(text));
    let mut capabilities = FieldTable::default();
    // Without consumer_cancel_notify a deleted queue says nothing, without authentication_failure_close a wrong
    // password is a bare reset.
    for capability in [
        "publisher_confirms",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
        "exchange_exchange_bindings",
    ] {
        capabilities.insert(ShortString::from(capability), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert("product".into(), text("mqbench"));
    properties.insert("version".into(), text(env!("CARGO_PKG_VERSION")));
    properties.insert("platform".into(), text("Rust"));
    properties.insert("connection_name".into(), text(name));
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    properties
}

/// Our wish to end a connection in order.
pub(super) fn goodbye() -> AMQPClass {
    AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
        reply_code: 200,
        reply_text: "goodbye".into(),
        class_id: 0,
        method_id: 0,
    }))
}
