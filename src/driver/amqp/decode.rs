//! Frames from the broker: the hot methods by hand, everything else through the codec.
//!
//! Takes whatever bytes a read brought and says what they mean; a frame that is not whole yet is left to the caller to
//! bring again, but for the payload of body frames, which is counted as it comes and never kept. Bytes that are no
//! AMQP 0-9-1 are a [`Fault`], never a panic, and no length that the peer writes makes anything grow. Reads no clock
//! and no socket; called by `connection`, and for its cold frames by `handshake`.

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::AMQPClass;

use super::encode::{FRAME_BODY, FRAME_END, FRAME_HEAD};
use crate::clock::Nanos;
use crate::driver::{Answer, Delivery};
use crate::stamp::{STAMP_LEN, Stamp, StampError};

const FRAME_METHOD: u8 = 1;
const FRAME_HEADER: u8 = 2;
const FRAME_HEARTBEAT: u8 = 8;

/// What the other side did wrong, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What came.
    pub(super) found: String,
    /// What should have come.
    pub(super) expected: &'static str,
}

impl Fault {
    fn new(found: impl Into<String>, expected: &'static str) -> Self {
        Self {
            found: found.into(),
            expected,
        }
    }
}

/// What frames meant.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Incoming {
    /// `basic.ack` or `basic.nack`.
    Settled {
        tag: u64,
        multiple: bool,
        answer: Answer,
        at: Nanos,
    },
    /// `basic.deliver` with all of its content.
    Delivered(Delivery),
    /// `basic.return` with all of its content.
    Returned {
        code: u16,
        stamp: Result<Stamp, StampError>,
        at: Nanos,
    },
    /// Anything else.
    Method { method: Box<AMQPClass>, at: Nanos },
}

/// Which content a channel is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Delivery,
    Return { code: u16 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Method,
    Header,
    Body,
}

/// The content that a channel is in the middle of.
#[derive(Debug, Clone)]
struct Content {
    awaits: Awaits,
    kind: Kind,
    redelivered: bool,
    head_len: u8,
    tag: u64,
    at: Nanos,
    body_len: u64,
    /// Body bytes still to come.
    left: u64,
    head: [u8; STAMP_LEN],
}

impl Content {
    const NONE: Self = Self {
        awaits: Awaits::Method,
        kind: Kind::Delivery,
        redelivered: false,
        head_len: 0,
        tag: 0,
        at: Nanos::ZERO,
        body_len: 0,
        left: 0,
        head: [0; STAMP_LEN],
    };

    #[inline]
    fn begin(&mut self, kind: Kind, tag: u64, redelivered: bool, at: Nanos) -> Result<(), Fault> {
        if self.awaits != Awaits::Method {
            return Err(Fault::new(
                "a method in the middle of a content",
                "the rest of the content",
            ));
        }
        self.awaits = Awaits::Header;
        self.kind = kind;
        self.tag = tag;
        self.redelivered = redelivered;
        self.at = at;
        self.head_len = 0;
        Ok(())
    }

    /// Counts body bytes and keeps those of the stamp.
    #[inline]
    fn count(&mut self, bytes: &[u8]) {
        let have = usize::from(self.head_len);
        if have < STAMP_LEN {
            let take = bytes.len().min(STAMP_LEN - have);
            self.head[have..have + take].copy_from_slice(&bytes[..take]);
            self.head_len += take as u8;
        }
        self.left -= bytes.len() as u64;
    }

    /// The whole content, if its last byte has come.
    #[inline]
    fn finish(&mut self) -> Option<Incoming> {
        if self.left > 0 {
            return None;
        }
        self.awaits = Awaits::Method;
        let stamp = Stamp::decode(&self.head[..usize::from(self.head_len)], self.body_len);
        Some(match self.kind {
            Kind::Delivery => Incoming::Delivered(Delivery {
                tag: self.tag,
                redelivered: self.redelivered,
                body_len: self.body_len,
                stamp,
                at: self.at,
            }),
            Kind::Return { code } => Incoming::Returned {
                code,
                stamp,
                at: self.at,
            },
        })
    }
}

/// A body frame whose head was seen and whose end was not.
#[derive(Debug, Clone, Copy)]
struct Open {
    channel: u16,
    /// Payload bytes still to come, before the frame's end octet.
    left: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Decoder {
    /// By channel number, from 0.
    channels: Vec<Content>,
    payload_max: usize,
    open: Option<Open>,
}

impl Decoder {
    /// For channels 0 to `channels` and frames of at most `frame_max` bytes.
    pub(super) fn new(channels: usize, frame_max: u32) -> Self {
        Self {
            channels: vec![Content::NONE; channels + 1],
            payload_max: frame_max as usize - super::encode::FRAME_OVERHEAD,
            open: None,
        }
    }

    /// Reads frames from `bytes` and hands on what they mean with the channel it was said on. Returns how many bytes
    /// are done with; the rest is the beginning of a frame and must be brought again with more behind it.
    ///
    /// `first_at` is when the first of `bytes` was read, `at` when the rest was.
    ///
    /// # Errors
    /// The first frame that is not as agreed. Nothing may be read after it.
    #[inline]
    pub(super) fn consume(
        &mut self,
        bytes: &[u8],
        first_at: Nanos,
        at: Nanos,
        mut sink: impl FnMut(u16, Incoming) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut pos = match self.open {
            Some(open) => self.resume(open, bytes, &mut sink)?,
            None => 0,
        };
        while let Some(head) = bytes[pos..].first_chunk::<FRAME_HEAD>() {
            let kind = head[0];
            let channel = u16::from_be_bytes([head[1], head[2]]);
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            self.check_head(head, kind, size)?;
            let begun = if pos == 0 { first_at } else { at };
            let end = pos + FRAME_HEAD + size;
            let Some(&last) = bytes.get(end) else {
                if kind == FRAME_BODY {
                    let content = self.body(channel, size)?;
                    let part = &bytes[pos + FRAME_HEAD..];
                    let part = &part[..part.len().min(size)];
                    content.count(part);
                    self.open = Some(Open {
                        channel,
                        left: size - part.len(),
                    });
                    return Ok(bytes.len());
                }
                break;
            };
            if last != FRAME_END {
                return Err(bad_end(last));
            }
            let payload = &bytes[pos + FRAME_HEAD..end];
            match kind {
                FRAME_METHOD => {
                    if let Some(incoming) =
                        self.method(channel, payload, &bytes[pos..=end], begun, at)?
                    {
                        sink(channel, incoming)?;
                    }
                }
                FRAME_HEADER => {
                    if let Some(incoming) = self.header(channel, payload)? {
                        sink(channel, incoming)?;
                    }
                }
                FRAME_BODY => {
                    let content = self.body(channel, size)?;
                    content.count(payload);
                    if let Some(incoming) = content.finish() {
                        sink(channel, incoming)?;
                    }
                }
                _ => {}
            }
            pos = end + 1;
        }
        Ok(pos)
    }

    #[inline]
    fn check_head(&self, head: &[u8; FRAME_HEAD], kind: u8, size: usize) -> Result<(), Fault> {
        if !matches!(
            kind,
            FRAME_METHOD | FRAME_HEADER | FRAME_BODY | FRAME_HEARTBEAT
        ) {
            return Err(unknown_frame(head));
        }
        if size > self.payload_max {
            return Err(Fault::new(
                format!("a frame with {size} bytes of payload"),
                "no more than the agreed frame_max",
            ));
        }
        if kind == FRAME_HEARTBEAT && size != 0 {
            return Err(Fault::new(
                "a heartbeat with a payload",
                "an empty heartbeat",
            ));
        }
        Ok(())
    }

    /// Goes on with a body frame of which an earlier read brought the beginning.
    fn resume(
        &mut self,
        open: Open,
        bytes: &[u8],
        sink: &mut impl FnMut(u16, Incoming) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let part = bytes.len().min(open.left);
        let content = &mut self.channels[usize::from(open.channel)];
        content.count(&bytes[..part]);
        let Some(&last) = bytes.get(part) else {
            self.open = Some(Open {
                left: open.left - part,
                ..open
            });
            return Ok(bytes.len());
        };
        if last != FRAME_END {
            return Err(bad_end(last));
        }
        self.open = None;
        if let Some(incoming) = content.finish() {
            sink(open.channel, incoming)?;
        }
        Ok(part + 1)
    }

    #[inline]
    fn content(&mut self, channel: u16) -> Result<&mut Content, Fault> {
        self.channels
            .get_mut(usize::from(channel))
            .filter(|_| channel != 0)
            .ok_or_else(|| Fault::new(format!("content on channel {channel}"), "an open channel"))
    }

    #[inline]
    fn body(&mut self, channel: u16, size: usize) -> Result<&mut Content, Fault> {
        let content = self.content(channel)?;
        if content.awaits != Awaits::Body {
            return Err(Fault::new(
                format!("a body frame out of place on channel {channel}"),
                "a method or content header",
            ));
        }
        if size as u64 > content.left {
            return Err(Fault::new(
                format!("more body on channel {channel} than its header announced"),
                "the announced length",
            ));
        }
        Ok(content)
    }

    #[inline]
    fn header(&mut self, channel: u16, payload: &[u8]) -> Result<Option<Incoming>, Fault> {
        let content = self.content(channel)?;
        if content.awaits != Awaits::Header {
            return Err(Fault::new(
                format!("a content header out of place on channel {channel}"),
                "a method",
            ));
        }
        // class, weight, body length, property flags
        let Some(fixed) = payload.first_chunk::<14>() else {
            return Err(Fault::new("a short content header", "at least 14 bytes"));
        };
        content.body_len = be_u64(&fixed[4..12]);
        content.left = content.body_len;
        content.awaits = Awaits::Body;
        Ok(content.finish())
    }

    /// Reads a method; `frame` is all of its frame.
    #[inline]
    fn method(
        &mut self,
        channel: u16,
        payload: &[u8],
        frame: &[u8],
        begun: Nanos,
        at: Nanos,
    ) -> Result<Option<Incoming>, Fault> {
        let Some(&[_, class, _, method]) = payload.first_chunk::<4>() else {
            return Err(Fault::new("a short method", "a class and a method"));
        };
        let arguments = &payload[4..];
        match (class, method) {
            (60, 60) => {
                let (tag, redelivered) = deliver(arguments)
                    .ok_or_else(|| Fault::new("a malformed basic.deliver", "its arguments"))?;
                self.content(channel)?
                    .begin(Kind::Delivery, tag, redelivered, begun)?;
                Ok(None)
            }
            (60, 80 | 120) => {
                let Some(fixed) = arguments.first_chunk::<9>() else {
                    return Err(Fault::new("a short basic.ack or nack", "a tag and flags"));
                };
                Ok(Some(Incoming::Settled {
                    tag: be_u64(&fixed[..8]),
                    multiple: fixed[8] & 1 != 0,
                    answer: if method == 80 {
                        Answer::Ack
                    } else {
                        Answer::Nack
                    },
                    at,
                }))
            }
            (60, 50) => {
                let Some(&[c0, c1]) = arguments.first_chunk::<2>() else {
                    return Err(Fault::new("a short basic.return", "a reply code"));
                };
                let code = u16::from_be_bytes([c0, c1]);
                self.content(channel)?
                    .begin(Kind::Return { code }, 0, false, at)?;
                Ok(None)
            }
            _ => match cold(frame)? {
                AMQPFrame::Method(_, method) => Ok(Some(Incoming::Method {
                    method: Box::new(method),
                    at,
                })),
                other => Err(Fault::new(format!("{other:?}"), "a method")),
            },
        }
    }
}

/// Delivery tag and redelivered flag of `basic.deliver`.
#[inline]
fn deliver(arguments: &[u8]) -> Option<(u64, bool)> {
    let (&tag_len, rest) = arguments.split_first()?;
    let rest = rest.get(usize::from(tag_len)..)?;
    let fixed = rest.first_chunk::<9>()?;
    Some((be_u64(&fixed[..8]), fixed[8] & 1 != 0))
}

#[inline]
fn be_u64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}

#[cold]
fn bad_end(last: u8) -> Fault {
    Fault::new(
        format!("{last:#04x} at the end of a frame"),
        "the end octet 0xce",
    )
}

#[cold]
fn unknown_frame(head: &[u8; FRAME_HEAD]) -> Fault {
    let found = if head.starts_with(b"AMQP") {
        "a protocol header, so it does not speak AMQP 0-9-1,".into()
    } else {
        format!("a frame of type {}", head[0])
    };
    Fault::new(found, "a method, header, body or heartbeat frame")
}

/// The first whole frame of `bytes` with its length, where it is there; for frames that are not on the load path.
///
/// # Errors
/// What is no frame, or a longer one than `frame_max`.
pub(super) fn first_frame(
    bytes: &[u8],
    frame_max: u32,
) -> Result<Option<(usize, AMQPFrame)>, Fault> {
    let Some(head) = bytes.first_chunk::<FRAME_HEAD>() else {
        return Ok(None);
    };
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    Decoder::new(0, frame_max).check_head(head, head[0], size)?;
    let end = FRAME_HEAD + size;
    match bytes.get(end) {
        None => Ok(None),
        Some(&FRAME_END) => Ok(Some((end + 1, cold(&bytes[..=end])?))),
        Some(&last) => Err(bad_end(last)),
    }
}

/// One whole frame by way of the codec. The codec follows nested tables by recursion, so only methods that a broker
/// sends are let through, and of those with a table only one that is not nested deeper than any broker's.
fn cold(frame: &[u8]) -> Result<AMQPFrame, Fault> {
    let payload = &frame[FRAME_HEAD..frame.len() - 1];
    if frame[0] == FRAME_METHOD {
        let Some(&[c0, class, m0, method]) = payload.first_chunk::<4>() else {
            return Err(Fault::new("a short method", "a class and a method"));
        };
        let known = match (class, method) {
            (10, 10) => tables_are_shallow(payload.get(6..).unwrap_or_default()),
            (10, 20 | 30 | 41 | 50 | 51 | 60 | 61 | 71) => true,
            (20, 11 | 20 | 21 | 40 | 41) => true,
            (40, 11 | 21 | 31 | 51) => true,
            (50, 11 | 21 | 31 | 41 | 51) => true,
            (60, 11 | 21 | 30 | 31 | 72 | 111) => true,
            (85, 11) => true,
            _ => false,
        };
        if !known || c0 != 0 || m0 != 0 {
            return Err(Fault::new(
                format!(
                    "the method {}.{}",
                    u16::from_be_bytes([c0, class]),
                    u16::from_be_bytes([m0, method])
                ),
                "one that a broker sends",
            ));
        }
    } else if frame[0] != FRAME_HEARTBEAT {
        return Err(Fault::new(
            format!("a frame of type {}", frame[0]),
            "a method or a heartbeat",
        ));
    }
    match parse_frame(frame) {
        Ok((_, parsed)) => Ok(parsed),
        Err(_) => Err(Fault::new("a malformed method", "its arguments")),
    }
}

/// Whether the table at the head of `bytes` nests at most a few levels deep.
fn tables_are_shallow(bytes: &[u8]) -> bool {
    fn table(bytes: &[u8], levels: u32) -> bool {
        let Some((mut rest, _)) = long(bytes) else {
            return false;
        };
        while let Some((&name_len, after)) = rest.split_first() {
            let Some(at_value) = after.get(usize::from(name_len)..) else {
                return false;
            };
            match value(at_value, levels) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        true
    }
    /// What stands behind the value at the head of `bytes`.
    fn value(bytes: &[u8], levels: u32) -> Option<&[u8]> {
        let (&kind, rest) = bytes.split_first()?;
        let skip = match kind {
            b't' | b'b' | b'B' => 1,
            b's' | b'u' | b'U' => 2,
            b'I' | b'i' | b'f' => 4,
            b'l' | b'L' | b'd' | b'T' => 8,
            b'D' => 5,
            b'V' => 0,
            b'S' | b'x' => return long(rest).map(|(_, after)| after),
            b'F' => {
                let shallow = levels > 0 && table(rest, levels - 1);
                return shallow
                    .then(|| long(rest))
                    .flatten()
                    .map(|(_, after)| after);
            }
            b'A' => {
                let (mut items, after) = long(rest)?;
                if levels == 0 {
                    return None;
                }
                while !items.is_empty() {
                    items = value(items, levels - 1)?;
                }
                return Some(after);
            }
            _ => return None,
        };
        rest.get(skip..)
    }
    /// The bytes of a length-prefixed value, and what stands behind them.
    fn long(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        rest.split_at_checked(u32::from_be_bytes(*len) as usize)
    }
    table(bytes, 8)
}

/// A connection's decoder together with the beginning of a frame that it was left with.
#[derive(Debug)]
pub(super) struct Inbound {
    decoder: Decoder,
    carry: Vec<u8>,
    carry_at: Nanos,
}

impl Inbound {
    /// As [`Decoder::new`], beginning with bytes that were read at `at`.
    pub(super) fn new(channels: usize, frame_max: u32, begun: Vec<u8>, at: Nanos) -> Self {
        Self {
            decoder: Decoder::new(channels, frame_max),
            carry: begun,
            carry_at: at,
        }
    }

    /// Puts the beginning of a frame to the head of `scratch`; the next read belongs behind it. Returns its length.
    #[inline]
    pub(super) fn prefix(&self, scratch: &mut [u8]) -> usize {
        scratch[..self.carry.len()].copy_from_slice(&self.carry);
        self.carry.len()
    }

    /// Takes `bytes`: what [`Inbound::prefix`] wrote and what was read behind it at `at`.
    ///
    /// # Errors
    /// As [`Decoder::consume`].
    #[inline]
    pub(super) fn accept(
        &mut self,
        bytes: &[u8],
        at: Nanos,
        sink: impl FnMut(u16, Incoming) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let first_at = if self.carry.is_empty() {
            at
        } else {
            self.carry_at
        };
        let done = self.decoder.consume(bytes, first_at, at, sink)?;
        if done > 0 {
            self.carry_at = at;
        } else {
            self.carry_at = first_at;
        }
        self.carry.clear();
        self.carry.extend_from_slice(&bytes[done..]);
        Ok(())
    }

    /// Bytes kept for the next read.
    #[cfg(test)]
    pub(super) fn carried(&self) -> usize {
        self.carry.len()
    }

    /// Gives memory back that a connection at rest does not need.
    pub(super) fn release(&mut self) {
        self.carry.shrink_to_fit();
    }
}
