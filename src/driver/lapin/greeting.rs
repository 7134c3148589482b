//! Who the broker says it is. lapin reads the `server-properties` and shows them to nobody, so a short connection of
//! its own asks: the protocol's first two frames, and away.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::{AMQPClass, connection};
use futures_io::{AsyncRead, AsyncWrite};
use lapin::types::{AMQPValue, FieldTable};

use crate::driver::BrokerIdentity;

/// More than any greeting; a peer that sends more of something else is not listened to for ever.
const GREETING_MAX: usize = 256 * 1024;

/// Greets whoever is at the other end of `stream`.
///
/// # Errors
/// What the socket said, or `InvalidData` where the answer is no `connection.start`.
pub(super) async fn greet<S>(stream: &mut S) -> io::Result<BrokerIdentity>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut hello: &[u8] = b"AMQP\x00\x00\x09\x01";
    while !hello.is_empty() {
        let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, hello)).await?;
        hello = &hello[written..];
    }
    poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await?;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut part)).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&part[..count]);
        match parse_frame(&answer[..]) {
            Ok((
                _,
                AMQPFrame::Method(0, AMQPClass::Connection(connection::AMQPMethod::Start(start))),
            )) => {
                return Ok(identity(&start.server_properties));
            }
            Err(error) if error.is_incomplete() && answer.len() < GREETING_MAX => {}
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
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
