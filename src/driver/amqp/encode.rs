//! Bytes for the broker: the hot methods by hand, everything else through the codec.
//!
//! A producer's messages differ in their length, stamp and filler only, so its method, content header and body frame
//! header are encoded once and patched. Knows nothing of sockets; called by `port`, `handshake` and `admin`.

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic};
use amq_protocol::types::{AMQPValue, FieldArray, FieldTable, LongString, ShortString};

use crate::driver::{DriverError, ProducerSpec, Properties, Settlement};
use crate::topology::{Arguments, Value};

/// Ends every frame.
pub(super) const FRAME_END: u8 = 0xce;
/// Type, channel and length before a frame's payload.
pub(super) const FRAME_HEAD: usize = 7;
/// What a frame has besides its payload.
pub(super) const FRAME_OVERHEAD: usize = FRAME_HEAD + 1;
/// Frame type of a content body.
pub(super) const FRAME_BODY: u8 = 3;

/// The class `basic`.
const BASIC: u16 = 60;

/// A short string, where it is short enough for the protocol.
pub(super) fn short(what: &str, text: &str) -> Result<ShortString, DriverError> {
    ShortString::try_new(text).map_err(|_| DriverError::System {
        what: format!("{what} `{text}`"),
        reason: format!("{} bytes, expected at most 255", text.len()),
    })
}

/// A table in the codec's terms.
pub(super) fn table(arguments: &Arguments) -> Result<FieldTable, DriverError> {
    let mut table = FieldTable::default();
    for (key, value) in arguments {
        table.insert(short("the argument or header", key)?, field(value));
    }
    Ok(table)
}

fn field(value: &Value) -> AMQPValue {
    match value {
        Value::Bool(truth) => AMQPValue::Boolean(*truth),
        Value::Int(number) => AMQPValue::LongLongInt(*number),
        Value::Float(number) => AMQPValue::Double(*number),
        Value::Text(text) => AMQPValue::LongString(LongString::from(text.as_str())),
        Value::List(values) => {
            let mut array = FieldArray::default();
            values.iter().for_each(|value| array.push(field(value)));
            AMQPValue::FieldArray(array)
        }
    }
}

/// Appends a frame by way of the codec.
pub(super) fn frame(out: &mut Vec<u8>, frame: &AMQPFrame) -> Result<(), DriverError> {
    let (bytes, _) = gen_frame(frame)(WriteContext::from(Vec::new()))
        .map_err(|error| DriverError::System {
            what: "the encoding of a frame".into(),
            reason: error.to_string(),
        })?
        .into_inner();
    out.extend_from_slice(&bytes);
    Ok(())
}

/// Appends a method frame by way of the codec.
pub(super) fn method(
    out: &mut Vec<u8>,
    channel: u16,
    method: AMQPClass,
) -> Result<(), DriverError> {
    frame(out, &AMQPFrame::Method(channel, method))
}

/// Appends a heartbeat.
pub(super) fn heartbeat(out: &mut Vec<u8>) {
    out.extend_from_slice(&[8, 0, 0, 0, 0, 0, 0, FRAME_END]);
}

/// Appends `basic.ack` or `basic.nack`: both are a tag and one byte of flags.
pub(super) fn settle(
    out: &mut Vec<u8>,
    channel: u16,
    tag: u64,
    multiple: bool,
    settlement: Settlement,
) {
    let (id, flags) = match settlement {
        Settlement::Ack => (80, u8::from(multiple)),
        Settlement::Requeue => (120, u8::from(multiple) | 2),
        Settlement::Discard => (120, u8::from(multiple)),
    };
    let [c0, c1] = channel.to_be_bytes();
    let mut bytes = [
        1,
        c0,
        c1,
        0,
        0,
        0,
        13,
        0,
        BASIC as u8,
        0,
        id,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        flags,
        FRAME_END,
    ];
    bytes[11..19].copy_from_slice(&tag.to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// The bytes before a producer's bodies, with gaps for the two lengths.
#[derive(Debug, Clone)]
pub(super) struct Template {
    bytes: Vec<u8>,
    body_len_at: usize,
    /// The largest payload of one body frame.
    payload_max: usize,
    channel: u16,
}

impl Template {
    /// Encodes everything of `spec` that does not change, for frames of at most `frame_max` bytes.
    pub(super) fn new(
        spec: &ProducerSpec,
        channel: u16,
        frame_max: u32,
    ) -> Result<Self, DriverError> {
        let mut bytes = Vec::new();
        let publish = basic::Publish {
            exchange: short("the exchange", &spec.exchange)?,
            routing_key: short("the routing key", &spec.key)?,
            mandatory: spec.mandatory,
            immediate: false,
        };
        method(
            &mut bytes,
            channel,
            AMQPClass::Basic(basic::AMQPMethod::Publish(publish)),
        )?;
        let method_len = bytes.len();
        let header = AMQPContentHeader {
            class_id: BASIC,
            body_size: 0,
            properties: properties(spec)?,
        };
        frame(&mut bytes, &AMQPFrame::Header(channel, header))?;
        if bytes.len() - method_len > frame_max as usize {
            return Err(DriverError::System {
                what: "a producer's headers and properties".into(),
                reason: format!(
                    "{} bytes, expected no more than a frame ({frame_max})",
                    bytes.len() - method_len
                ),
            });
        }
        body_frame_head(&mut bytes, channel, 0);
        Ok(Self {
            bytes,
            body_len_at: method_len + FRAME_HEAD + 4,
            payload_max: frame_max as usize - FRAME_OVERHEAD,
            channel,
        })
    }

    /// The largest payload of one body frame.
    pub(super) fn payload_max(&self) -> usize {
        self.payload_max
    }

    /// The producer's channel.
    pub(super) fn channel(&self) -> u16 {
        self.channel
    }

    /// Appends everything up to the first payload byte of the first body frame.
    #[inline]
    pub(super) fn begin(&self, out: &mut Vec<u8>, body_len: u64, first_frame: usize) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let message = &mut out[start..];
        let (head, frame_len) = message.split_at_mut(self.bytes.len() - 4);
        frame_len.copy_from_slice(&(first_frame as u32).to_be_bytes());
        head[self.body_len_at..self.body_len_at + 8].copy_from_slice(&body_len.to_be_bytes());
    }
}

/// Appends the head of a body frame with `len` bytes of payload.
pub(super) fn body_frame_head(out: &mut Vec<u8>, channel: u16, len: usize) {
    let [c0, c1] = channel.to_be_bytes();
    let [l0, l1, l2, l3] = (len as u32).to_be_bytes();
    out.extend_from_slice(&[FRAME_BODY, c0, c1, l0, l1, l2, l3]);
}

fn properties(spec: &ProducerSpec) -> Result<BasicProperties, DriverError> {
    let Properties {
        content_type,
        content_encoding,
        priority,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        kind,
        user_id,
        app_id,
    } = &spec.properties;
    type Setter = fn(BasicProperties, ShortString) -> BasicProperties;
    let texts: [(&Option<String>, &str, Setter); 9] = [
        (
            content_type,
            "content_type",
            BasicProperties::with_content_type,
        ),
        (
            content_encoding,
            "content_encoding",
            BasicProperties::with_content_encoding,
        ),
        (
            correlation_id,
            "correlation_id",
            BasicProperties::with_correlation_id,
        ),
        (reply_to, "reply_to", BasicProperties::with_reply_to),
        (expiration, "expiration", BasicProperties::with_expiration),
        (message_id, "message_id", BasicProperties::with_message_id),
        (kind, "type", BasicProperties::with_type),
        (user_id, "user_id", BasicProperties::with_user_id),
        (app_id, "app_id", BasicProperties::with_app_id),
    ];
    let delivery_mode = if spec.persistent { 2 } else { 1 };
    let mut properties = BasicProperties::default().with_delivery_mode(delivery_mode);
    for (text, name, set) in texts {
        if let Some(text) = text {
            properties = set(properties, short(&format!("the property {name}"), text)?);
        }
    }
    if let Some(priority) = priority {
        properties = properties.with_priority(*priority);
    }
    if !spec.headers.is_empty() {
        properties = properties.with_headers(table(&spec.headers)?);
    }
    Ok(properties)
}
