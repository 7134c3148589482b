//! What one connection has still to write: bytes, slices of the shared filler pool, and where the stamps are.
//!
//! Positions in the stream of bytes to the broker count from the connection's opening and never move, though the
//! buffer under them does. Reads no clock and knows no socket; `connection` does both.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::encode::{self, FRAME_END, Template};
use crate::clock::Nanos;
use crate::driver::Event;
use crate::stamp::{STAMP_LEN, Stamp, patch_sent};

/// Bodies above this are written from the pool instead of being copied into the buffer.
const COPY_MAX: u64 = 32 * 1024;
/// Most slices in one write.
pub(super) const SLICES: usize = 64;
/// Consumed bytes at the front of the buffer that are worth a copy to get rid of.
const COMPACT_AT: usize = 64 * 1024;

/// Incompressible bytes that fill bodies up, shared by all connections.
#[derive(Debug)]
pub(super) struct Pool {
    bytes: Box<[u8]>,
}

impl Pool {
    /// Twice the largest slice taken at once.
    const LEN: usize = 256 * 1024;
    /// The largest slice.
    const SLICE_MAX: usize = Self::LEN / 2;

    /// Fills a pool from a fixed seed, so that runs send the same bytes.
    pub(super) fn new() -> Self {
        let mut bytes = vec![0; Self::LEN].into_boxed_slice();
        fastrand::Rng::with_seed(0x006d_7162_656e_6368).fill(&mut bytes);
        Self { bytes }
    }
}

/// A message whose first byte has not been handed over yet.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// Position of its first byte in the stream.
    first: u64,
    /// Position of its stamp among the buffered bytes.
    stamp: u64,
    base: u32,
    producer: u32,
}

/// A piece of the pool that stands in the stream before the buffered byte at `before`.
#[derive(Debug, Clone, Copy)]
struct Filler {
    before: u64,
    from: usize,
    len: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Bytes at the front of `bytes` that are written.
    head: usize,
    /// Buffered bytes that were dropped from the front of `bytes` since the start.
    dropped: u64,
    fillers: VecDeque<Filler>,
    marks: VecDeque<Mark>,
    /// Position of the first byte that is not written.
    written: u64,
    /// Position behind the last byte.
    queued: u64,
    /// Where the next filler is taken from the pool.
    cursor: usize,
}

impl Outbox {
    /// Bytes not yet handed over.
    #[inline]
    pub(super) fn len(&self) -> u64 {
        self.queued - self.written
    }

    /// Nothing is left to write.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queued == self.written
    }

    /// Whether anything was ever handed over or queued; a connection at rest gives its memory back.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            self.dropped += self.bytes.len() as u64;
            self.bytes = Vec::new();
            self.head = 0;
            self.marks = VecDeque::new();
            self.fillers = VecDeque::new();
        }
    }

    /// Appends encoded frames by a closure.
    #[inline]
    pub(super) fn append<T>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let before = self.bytes.len();
        let result = encode(&mut self.bytes);
        self.queued += (self.bytes.len() - before) as u64;
        result
    }

    /// Appends one message.
    #[inline]
    pub(super) fn publish(
        &mut self,
        template: &Template,
        producer: u32,
        stamp: &Stamp,
        size: u64,
        pool: &Pool,
    ) {
        let (head, base) = stamp.encode(size);
        let first = self.queued;
        let before = self.bytes.len();
        if size <= COPY_MAX && size as usize <= template.payload_max() {
            let fill = size as usize - STAMP_LEN;
            template.begin(&mut self.bytes, size, size as usize);
            self.mark(first, base, producer);
            self.bytes.extend_from_slice(&head);
            let from = self.take(fill);
            self.bytes.extend_from_slice(&pool.bytes[from..from + fill]);
            self.bytes.push(FRAME_END);
            self.queued += (self.bytes.len() - before) as u64;
        } else {
            self.publish_in_pieces(template, producer, &head, base, size);
        }
    }

    #[inline]
    fn mark(&mut self, first: u64, base: u32, producer: u32) {
        let stamp = self.dropped + self.bytes.len() as u64;
        self.marks.push_back(Mark {
            first,
            stamp,
            base,
            producer,
        });
    }

    fn publish_in_pieces(
        &mut self,
        template: &Template,
        producer: u32,
        head: &[u8; STAMP_LEN],
        base: u32,
        size: u64,
    ) {
        let payload_max = template.payload_max() as u64;
        let first = self.queued;
        let mut len = size.min(payload_max) as usize;
        let mut left = size - len as u64;
        self.append(|out| template.begin(out, size, len));
        self.mark(first, base, producer);
        self.append(|out| out.extend_from_slice(head));
        self.fill(len - STAMP_LEN);
        self.append(|out| out.push(FRAME_END));
        while left > 0 {
            len = left.min(payload_max) as usize;
            left -= len as u64;
            self.append(|out| encode::body_frame_head(out, template.channel(), len));
            self.fill(len);
            self.append(|out| out.push(FRAME_END));
        }
    }

    /// Queues `len` bytes of the pool at the end of the stream.
    fn fill(&mut self, mut len: usize) {
        while len > 0 {
            let piece = len.min(Pool::SLICE_MAX);
            let from = self.take(piece);
            self.fillers.push_back(Filler {
                before: self.dropped + self.bytes.len() as u64,
                from,
                len: piece,
            });
            self.queued += piece as u64;
            len -= piece;
        }
    }

    /// Chooses `len` bytes of the pool, going round.
    #[inline]
    fn take(&mut self, len: usize) -> usize {
        if self.cursor + len > Pool::LEN {
            self.cursor = 0;
        }
        let from = self.cursor;
        self.cursor += len;
        from
    }

    /// Fills `slices` with what should be written next, at most `limit` bytes, after writing `at` into the stamp of
    /// every message whose first byte is among it. Returns how many slices.
    pub(super) fn offer<'a>(
        &'a mut self,
        at: Nanos,
        limit: usize,
        pool: &'a Pool,
        slices: &mut [IoSlice<'a>; SLICES],
    ) -> usize {
        let offered = self.offered(limit);
        self.patch(self.written + offered, at);
        if self.fillers.is_empty() {
            let end = self.head + offered as usize;
            slices[0] = IoSlice::new(&self.bytes[self.head..end]);
            return 1;
        }
        let mut left = offered as usize;
        let mut count = 0;
        let mut from = self.head;
        let mut put = |bytes: &'a [u8], left: &mut usize| {
            let take = bytes.len().min(*left);
            if take > 0 && count < SLICES {
                slices[count] = IoSlice::new(&bytes[..take]);
                count += 1;
                *left -= take;
            }
        };
        for filler in &self.fillers {
            let until = (filler.before - self.dropped) as usize;
            put(&self.bytes[from..until], &mut left);
            put(
                &pool.bytes[filler.from..filler.from + filler.len],
                &mut left,
            );
            from = until;
            if left == 0 {
                return count;
            }
        }
        put(&self.bytes[from..], &mut left);
        count
    }

    /// How many bytes one write can take.
    fn offered(&self, limit: usize) -> u64 {
        let pairs = SLICES / 2;
        let Some(last) = self.fillers.get(pairs - 1) else {
            return self.len().min(limit as u64);
        };
        // With more fillers than slices: up to the end of the last filler that surely fits.
        let bytes = (last.before - self.dropped) as usize - self.head;
        let fillers: usize = self
            .fillers
            .iter()
            .take(pairs)
            .map(|filler| filler.len)
            .sum();
        ((bytes + fillers) as u64).min(limit as u64)
    }

    #[inline]
    fn patch(&mut self, end: u64, at: Nanos) {
        for mark in &self.marks {
            if mark.first >= end {
                break;
            }
            let stamp = (mark.stamp - self.dropped) as usize;
            patch_sent(&mut self.bytes[stamp..stamp + STAMP_LEN], mark.base, at);
        }
    }

    /// Notes that the kernel took `accepted` bytes of what was offered at `at`, and reports whose messages began.
    pub(super) fn accept(&mut self, accepted: usize, at: Nanos, events: &mut Vec<Event>) {
        self.written += accepted as u64;
        self.report(at, events);
        if self.is_empty() {
            self.dropped += self.bytes.len() as u64;
            self.bytes.clear();
            self.fillers.clear();
            self.head = 0;
            return;
        }
        self.advance(accepted);
        if self.head >= COMPACT_AT && self.head >= self.bytes.len() / 2 {
            self.dropped += self.head as u64;
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }

    fn advance(&mut self, mut accepted: usize) {
        while let Some(filler) = self.fillers.front_mut() {
            let bytes = (filler.before - self.dropped) as usize - self.head;
            if accepted < bytes {
                break;
            }
            accepted -= bytes;
            self.head += bytes;
            if accepted < filler.len {
                filler.from += accepted;
                filler.len -= accepted;
                return;
            }
            accepted -= filler.len;
            self.fillers.pop_front();
        }
        self.head += accepted;
    }

    fn report(&mut self, at: Nanos, events: &mut Vec<Event>) {
        let mut run: Option<(u32, u32)> = None;
        while let Some(mark) = self.marks.front() {
            if mark.first >= self.written {
                break;
            }
            match &mut run {
                Some((producer, messages)) if *producer == mark.producer => *messages += 1,
                _ => {
                    if let Some((producer, messages)) = run {
                        events.push(Event::Sent {
                            producer,
                            messages,
                            at,
                        });
                    }
                    run = Some((mark.producer, 1));
                }
            }
            self.marks.pop_front();
        }
        if let Some((producer, messages)) = run {
            events.push(Event::Sent {
                producer,
                messages,
                at,
            });
        }
    }
}
