//! What a setting is where the file says nothing. `plan::resolve` fills these in and nothing else does; the checks look
//! at them too, for a contradiction may be with a default. Each is documented in `scenarios/README.md`.

use crate::units::{ByteSize, Span};

/// Producers or consumers of a fleet.
pub const COUNT: u32 = 1;
/// Bytes of a body.
pub const SIZE: ByteSize = ByteSize::bytes(1024);
/// Messages survive a restart of the broker, so that figures without a word about it are those of safe settings.
pub const PERSISTENT: bool = true;
/// Queues and exchanges survive a restart of the broker; RabbitMQ is about to drop others.
pub const DURABLE: bool = true;
/// Most unconfirmed messages of each producer.
pub const WINDOW: u32 = 100;
/// Most unsettled deliveries of each consumer.
pub const PREFETCH: u16 = 100;
/// Deliveries acknowledged at once.
pub const ACK_EVERY: u32 = 1;
/// Load that is not measured.
pub const WARMUP: Span = Span::from_secs(5);
/// Load that is measured.
pub const MEASURE: Span = Span::from_secs(30);
/// Most time to wait for what is owed.
pub const DRAIN: Span = Span::from_secs(10);
/// Length of an interval.
pub const INTERVAL: Span = Span::from_secs(1);
/// Most that a message may be late, if a quarter of warm-up and measure together is not less.
pub const OVERLOAD: Span = Span::from_secs(10);
/// Most bytes that may wait on the broker.
pub const MAX_BACKLOG: ByteSize = ByteSize::bytes(256 << 20);
/// Asked-for heartbeat.
pub const HEARTBEAT: Span = Span::from_secs(60);
/// Asked-for largest frame, in bytes.
pub const FRAME_MAX: u32 = 131_072;
/// Limit for each step of opening a connection.
pub const TIMEOUT: Span = Span::from_secs(10);
