//! One worker's histograms and counters, swapped out whole by the coordinator at an interval's end.
//!
//! A [`Recorder`] has one [`Slot`] for each of the worker's streams (never one for each producer: a histogram takes
//! about 270 KB). The worker takes the lock once a turn, not once a message; the coordinator exchanges the full set for
//! an empty one of the same shape, so that neither allocates on the load path nor waits for the other's arithmetic.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

use super::{Counts, Series, SeriesInterval};
use crate::clock::Nanos;
use crate::units::Span;

/// Greatest value that a histogram takes: one hour in ns. What is above is counted as out of range.
pub const HIGHEST_NS: u64 = 3_600_000_000_000;

/// An empty histogram of the bounds that all recorded times share: 1 ns to [`HIGHEST_NS`], three significant digits.
pub fn histogram() -> Histogram<u64> {
    bounded(3)
}

fn bounded(digits: u8) -> Histogram<u64> {
    #[allow(
        clippy::expect_used,
        reason = "the bounds are constants that the crate accepts"
    )]
    Histogram::new_with_bounds(1, HIGHEST_NS, digits).expect("constant bounds are valid")
}

/// An exact limit on a series, from a claim: values above it are counted in windows of the time when they were due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimit {
    /// What kind of time.
    pub series: Series,
    /// In ns; a value above it violates.
    pub limit_ns: u64,
}

/// When the measure phase is, and how it divides into windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasureWindows {
    /// Messages due from here on are measured ..
    pub start: Nanos,
    /// .. until here.
    pub end: Nanos,
    /// Length of a window.
    pub window: Span,
}

impl MeasureWindows {
    /// The window in which a time lies; `None` outside of the measure phase.
    pub fn index(&self, due: Nanos) -> Option<usize> {
        if due < self.start || due >= self.end {
            return None;
        }
        Some(((due.0 - self.start.0) / self.window.as_ns()) as usize)
    }

    /// How many windows there are; the last may be shorter.
    pub fn count(&self) -> usize {
        self.end
            .saturating_since(self.start)
            .as_ns()
            .div_ceil(self.window.as_ns().max(1)) as usize
    }
}

/// Times of one series: those of messages due in the measure phase, and coarsely those of all others.
#[derive(Debug)]
struct Times {
    series: Series,
    measured: Histogram<u64>,
    other: Histogram<u64>,
}

/// Values above a limit, by the window in which the message was due.
#[derive(Debug, Clone)]
pub struct Exceeding {
    /// Which limit.
    pub limit: TimeLimit,
    /// Values above it in each window.
    pub above: Vec<u64>,
}

/// Histograms and counters of one stream.
#[derive(Debug)]
pub struct Slot {
    /// Index into the run's streams.
    pub stream: usize,
    /// Counters of this interval.
    pub counts: Counts,
    times: Vec<Times>,
    exceeding: Vec<Exceeding>,
    /// Messages planned in each window of the measure phase.
    pub due_in_window: Vec<u64>,
    /// Messages sent in each window of the measure phase, by when they were sent.
    pub sent_in_window: Vec<u64>,
    /// Messages planned in the measure phase.
    pub planned_measured: u64,
    /// Messages due in the measure phase that were sent.
    pub sent_measured: u64,
}

impl Slot {
    fn new(stream: usize, series: &[Series], limits: &[TimeLimit], windows: usize) -> Self {
        Self {
            stream,
            counts: Counts::default(),
            times: series
                .iter()
                .map(|series| Times {
                    series: *series,
                    measured: histogram(),
                    other: bounded(2),
                })
                .collect(),
            exceeding: limits
                .iter()
                .filter(|limit| series.contains(&limit.series))
                .map(|limit| Exceeding {
                    limit: *limit,
                    above: vec![0; windows],
                })
                .collect(),
            due_in_window: vec![0; windows],
            sent_in_window: vec![0; windows],
            planned_measured: 0,
            sent_measured: 0,
        }
    }

    /// Records a time of a message that was due in `window` (`None`: not in the measure phase). Negative values and
    /// values above [`HIGHEST_NS`] are counted as out of range, never clamped.
    pub fn record(&mut self, series: Series, ns: i64, window: Option<usize>) {
        let Some(times) = self.times.iter_mut().find(|times| times.series == series) else {
            return;
        };
        let Ok(value) = u64::try_from(ns) else {
            self.counts.out_of_range += 1;
            return;
        };
        let target = if window.is_some() {
            &mut times.measured
        } else {
            &mut times.other
        };
        if value > HIGHEST_NS || target.record(value).is_err() {
            self.counts.out_of_range += 1;
            return;
        }
        let Some(window) = window else { return };
        for exceeding in &mut self.exceeding {
            if exceeding.limit.series == series
                && value > exceeding.limit.limit_ns
                && let Some(above) = exceeding.above.get_mut(window)
            {
                *above += 1;
            }
        }
    }

    fn clear(&mut self) {
        self.counts = Counts::default();
        for times in &mut self.times {
            times.measured.clear();
            times.other.clear();
        }
        for exceeding in &mut self.exceeding {
            exceeding.above.fill(0);
        }
        self.due_in_window.fill(0);
        self.sent_in_window.fill(0);
        (self.planned_measured, self.sent_measured) = (0, 0);
    }

    /// Copies of the histograms that have values.
    pub fn intervals(&self) -> impl Iterator<Item = SeriesInterval> + '_ {
        self.times.iter().flat_map(|times| {
            [(true, &times.measured), (false, &times.other)]
                .into_iter()
                .filter(|(_, histogram)| !histogram.is_empty())
                .map(|(measured, histogram)| SeriesInterval {
                    stream: Some(self.stream),
                    series: times.series,
                    measured,
                    histogram: histogram.clone(),
                })
        })
    }

    /// Values above each limit, by window.
    pub fn exceeding(&self) -> &[Exceeding] {
        &self.exceeding
    }
}

/// What a worker's state looks like at this moment; written once a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Messages due and not yet sent.
    pub held: u64,
    /// Publishes not yet answered.
    pub unconfirmed: u64,
    /// Producers whose connection the broker blocks.
    pub blocked: u32,
    /// Every fleet of this worker has sent all that it ever will.
    pub exhausted: bool,
}

/// A worker's histograms and counters of the current interval, and its gauges.
#[derive(Debug)]
pub struct Sheet {
    /// One for each of the worker's streams.
    pub slots: Vec<Slot>,
    /// At the end of the worker's latest turn.
    pub gauges: Gauges,
}

/// Shape of a worker's sheets: for each of its streams, the index in the run and the series that it records.
#[derive(Debug, Clone, Default)]
pub struct SheetShape {
    /// For each slot: index into the run's streams, and its series.
    pub slots: Vec<(usize, Vec<Series>)>,
    /// Exact limits, from claims.
    pub limits: Vec<TimeLimit>,
    /// Number of windows in the measure phase.
    pub windows: usize,
}

impl SheetShape {
    fn sheet(&self) -> Sheet {
        let slots = self
            .slots
            .iter()
            .map(|(stream, series)| Slot::new(*stream, series, &self.limits, self.windows))
            .collect();
        Sheet {
            slots,
            gauges: Gauges::default(),
        }
    }
}

/// The worker's end of a recorder.
#[derive(Debug, Clone)]
pub struct Recorder {
    current: Arc<Mutex<Sheet>>,
}

impl Recorder {
    /// A recorder and the coordinator's end of it.
    pub fn new(shape: &SheetShape) -> (Self, Collector) {
        let current = Arc::new(Mutex::new(shape.sheet()));
        (
            Self {
                current: Arc::clone(&current),
            },
            Collector {
                current,
                spare: shape.sheet(),
            },
        )
    }

    /// The current sheet, for one turn of the worker.
    pub fn lock(&self) -> MutexGuard<'_, Sheet> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The coordinator's end of a recorder.
#[derive(Debug)]
pub struct Collector {
    current: Arc<Mutex<Sheet>>,
    spare: Sheet,
}

impl Collector {
    /// Takes what was recorded since the last time and leaves an empty sheet.
    pub fn collect(&mut self) -> &Sheet {
        for slot in &mut self.spare.slots {
            slot.clear();
        }
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let gauges = current.gauges;
        std::mem::swap(&mut *current, &mut self.spare);
        current.gauges = gauges;
        drop(current);
        &self.spare
    }

    /// The gauges, without taking anything.
    pub fn gauges(&self) -> Gauges {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .gauges
    }

    /// The sums of the current interval's counts so far, for each slot: index of the stream and its counts.
    pub fn peek(&self, mut each: impl FnMut(usize, &Counts)) -> Gauges {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in &current.slots {
            each(slot.stream, &slot.counts);
        }
        current.gauges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> SheetShape {
        SheetShape {
            slots: vec![(3, vec![Series::DeliveryResponse])],
            limits: vec![TimeLimit {
                series: Series::DeliveryResponse,
                limit_ns: 10_000_000,
            }],
            windows: 2,
        }
    }

    #[test]
    fn values_at_and_beside_a_limit_are_counted_exactly() {
        let (recorder, mut collector) = Recorder::new(&shape());
        for ns in [9_999_999, 10_000_000, 10_000_001] {
            recorder.lock().slots[0].record(Series::DeliveryResponse, ns, Some(1));
        }
        let slot = &collector.collect().slots[0];
        assert_eq!(slot.exceeding()[0].above, [0, 1]);
        assert_eq!(slot.intervals().map(|s| s.histogram.len()).sum::<u64>(), 3);
    }

    #[test]
    fn nothing_out_of_range_is_clamped_or_dropped_unseen() {
        let (recorder, mut collector) = Recorder::new(&shape());
        for ns in [-1, HIGHEST_NS as i64 + 1, i64::MAX, HIGHEST_NS as i64, 0] {
            recorder.lock().slots[0].record(Series::DeliveryResponse, ns, Some(0));
        }
        let slot = &collector.collect().slots[0];
        assert_eq!(slot.counts.out_of_range, 3);
        assert_eq!(slot.intervals().map(|s| s.histogram.len()).sum::<u64>(), 2);
    }

    #[test]
    fn what_is_collected_is_gone_and_what_was_not_measured_stays_apart() {
        let (recorder, mut collector) = Recorder::new(&shape());
        recorder.lock().slots[0].record(Series::DeliveryResponse, 5, None);
        recorder.lock().slots[0].counts.delivered = 1;
        recorder.lock().gauges.held = 7;
        let sheet = collector.collect();
        assert_eq!(sheet.slots[0].counts.delivered, 1);
        assert_eq!(
            sheet.slots[0]
                .intervals()
                .map(|s| s.measured)
                .collect::<Vec<_>>(),
            [false]
        );
        assert_eq!(collector.gauges().held, 7);
        assert_eq!(collector.collect().slots[0].intervals().count(), 0);
    }

    #[test]
    fn the_windows_of_the_measure_phase_are_half_open() {
        let windows = MeasureWindows {
            start: Nanos(100),
            end: Nanos(125),
            window: Span::from_ns(10),
        };
        let index = |ns| windows.index(Nanos(ns));
        assert_eq!(
            [index(99), index(100), index(119), index(124), index(125)],
            [None, Some(0), Some(1), Some(2), None]
        );
        assert_eq!(windows.count(), 3);
    }
}
