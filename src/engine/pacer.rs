//! Notices what is due, fleet by fleet, and hands each message with its own due time to the producer whose turn it is.
//!
//! A late wake-up notices everything that fell due meanwhile; nothing is skipped, and each message keeps its due time.

use crate::clock::Nanos;
use crate::record::Series;
use crate::record::recorder::{MeasureWindows, Slot};
use crate::schedule::{Cursor, Schedule};
use crate::units::Span;

use super::producer::Producer;

/// The pace of one producer fleet in one worker.
#[derive(Debug)]
pub(super) struct Pacer {
    cursor: Cursor,
    start: Nanos,
    end: Nanos,
    next_due: Nanos,
    noticed: u64,
    limit: u64,
    producers: u64,
}

impl Pacer {
    /// Paces `producers` producers by `schedule` from `start` for `span`, at most `limit` messages.
    pub(super) fn new(
        schedule: &Schedule,
        start: Nanos,
        span: Span,
        producers: u64,
        limit: Option<u64>,
    ) -> Self {
        let mut pacer = Self {
            cursor: schedule.cursor(),
            start,
            end: start + span,
            next_due: start,
            noticed: 0,
            limit: limit.unwrap_or(u64::MAX),
            producers,
        };
        pacer.look_ahead();
        pacer
    }

    /// When the next message is due; [`Nanos::NEVER`] after the last.
    pub(super) fn next_due(&self) -> Nanos {
        self.next_due
    }

    /// No more messages will be due.
    pub(super) fn is_exhausted(&self) -> bool {
        self.next_due == Nanos::NEVER
    }

    /// Nothing more is due from now on.
    pub(super) fn stop(&mut self) {
        self.next_due = Nanos::NEVER;
    }

    /// Notices all that is due by `now`: calls `give` with the position of the producer within the fleet and the due
    /// time, records the lag, and returns how many there were.
    pub(super) fn notice(
        &mut self,
        now: Nanos,
        windows: &MeasureWindows,
        slot: &mut Slot,
        mut give: impl FnMut(usize, Nanos),
    ) -> u64 {
        let before = self.noticed;
        while self.next_due <= now {
            let due = self.next_due;
            let window = windows.index(due);
            slot.counts.planned += 1;
            if let Some(window) = window {
                slot.planned_measured += 1;
                if let Some(count) = slot.due_in_window.get_mut(window) {
                    *count += 1;
                }
            }
            slot.record(Series::PacerLag, now.since(due), window);
            give((self.noticed % self.producers) as usize, due);
            self.noticed += 1;
            self.look_ahead();
        }
        self.noticed - before
    }

    fn look_ahead(&mut self) {
        let next = self
            .cursor
            .next()
            .map_or(Nanos::NEVER, |offset| self.start + Span::from_ns(offset));
        self.next_due = if next >= self.end || self.noticed >= self.limit {
            Nanos::NEVER
        } else {
            next
        };
    }
}

/// What makes a fleet's producers send.
#[derive(Debug)]
pub(super) enum Source {
    /// A schedule.
    Paced(Pacer),
    /// The loop itself: as fast as window or socket allow, until `end`, at most `left` more messages.
    Pulled {
        /// No message is taken up before.
        start: Nanos,
        /// No message is taken up from here on.
        end: Nanos,
        /// Messages left of the fleet's own limit.
        left: u64,
        /// Whose turn is next.
        turn: usize,
    },
}

impl Source {
    /// Nothing more will be sent for the first time.
    pub(super) fn is_exhausted(&self, now: Nanos) -> bool {
        match self {
            Self::Paced(pacer) => pacer.is_exhausted(),
            Self::Pulled { end, left, .. } => *left == 0 || now >= *end,
        }
    }

    /// Nothing new from now on.
    pub(super) fn stop(&mut self) {
        match self {
            Self::Paced(pacer) => pacer.stop(),
            Self::Pulled { left, .. } => *left = 0,
        }
    }
}

/// A fleet's producers in one worker, with what makes them send.
#[derive(Debug)]
pub(super) struct Fleet {
    /// Index of its stream in the worker's sheet.
    pub(super) slot: usize,
    /// Index of its stream in the run.
    pub(super) stream: usize,
    /// What makes it send.
    pub(super) source: Source,
    /// Its producers.
    pub(super) producers: Vec<Producer>,
    /// Greatest number of messages that one turn sent.
    pub(super) burst_max: u64,
}
