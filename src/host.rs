//! The load machine's own health while a run lasts.
//!
//! So far the hiccup meter: a thread that only sleeps, and records how late it wakes up. What delays it delays the
//! workers too, and was not the broker's doing. Steal, pressure and saturation come with calibration.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use hdrhistogram::Histogram;
use rustix::thread::{ClockId, clock_nanosleep_absolute};

use crate::clock::{Clock, Monotonic, Nanos};
use crate::units::Span;

/// How often the meter wants to wake up.
const TICK: Span = Span::from_ms(1);

/// Sleeps until a point on the monotonic clock; returns at once where it has passed.
pub fn sleep_until(until: Nanos) {
    let request = rustix::thread::Timespec {
        tv_sec: (until.0 / 1_000_000_000) as i64,
        tv_nsec: (until.0 % 1_000_000_000) as i64,
    };
    // Interrupted by a signal: the caller looks at the time anyway.
    let _ = clock_nanosleep_absolute(ClockId::Monotonic, &request);
}

/// Records how late a thread that only sleeps wakes up, in ns. Every tick that a late wake-up swallowed is recorded with
/// its own lateness, as those of the workers would have been.
#[derive(Debug)]
pub struct HiccupMeter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    histogram: Mutex<Histogram<u64>>,
    stop: AtomicBool,
}

impl HiccupMeter {
    /// Starts the meter. `empty` sets the bounds of its histogram.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(empty: Histogram<u64>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            histogram: Mutex::new(empty),
            stop: AtomicBool::new(false),
        });
        let measured = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("hiccup meter".into())
            .spawn(move || measure(&measured))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// What was recorded since the last time; leaves `empty` behind.
    pub fn take(&self, empty: Histogram<u64>) -> Histogram<u64> {
        std::mem::replace(
            &mut *self
                .shared
                .histogram
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
            empty,
        )
    }
}

impl Drop for HiccupMeter {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn measure(shared: &Shared) {
    let mut due = Monotonic.now() + TICK;
    while !shared.stop.load(Ordering::Relaxed) {
        sleep_until(due);
        let now = Monotonic.now();
        let mut histogram = shared
            .histogram
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while due <= now {
            // Out of bounds is more than an hour: the run is beyond help then, and the workers' own counters say so.
            let _ = histogram.record(now.saturating_since(due).as_ns());
            due = due + TICK;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_ticks_about_once_a_millisecond() {
        let empty = || Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        let started = Monotonic.now();
        let meter = HiccupMeter::start(empty()).unwrap();
        sleep_until(started + Span::from_ms(200));
        let elapsed = Monotonic.now().saturating_since(started);
        let ticks = meter.take(empty()).len();
        // Every tick up to the last wake-up is there, however late: none is lost, none added.
        let most = elapsed.as_ns() / TICK.as_ns();
        assert!(ticks <= most && ticks > 0, "{ticks} ticks in {elapsed}");
    }
}
