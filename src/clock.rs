//! The one reader of time.
//!
//! Everything that is measured uses [`Nanos`] on the kernel's `CLOCK_MONOTONIC`: comparable between the threads and
//! processes of one host, blind to steps of the wall clock. The wall clock serves only to name and date results. Code
//! that needs a clock takes one as a value, so that tests and the simulator can script it.

use std::cell::Cell;
use std::ops::{Add, Sub};
use std::rc::Rc;

use rustix::time::{ClockId, clock_getres, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::units::Span;

/// A point on the monotonic clock, in nanoseconds since an epoch of the kernel's choosing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The earliest point: before everything.
    pub const ZERO: Self = Self(0);
    /// The latest point: never reached.
    pub const NEVER: Self = Self(u64::MAX);

    /// Signed nanoseconds from `earlier` to this point; negative where `earlier` is in fact the later one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0) as i64
    }

    /// The span from `earlier` to this point, zero where `earlier` is in fact the later one.
    pub const fn saturating_since(self, earlier: Self) -> Span {
        Span::from_ns(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Nanos {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.as_ns()))
    }
}

impl Sub<Span> for Nanos {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.as_ns()))
    }
}

/// Tells the time to code that measures.
pub trait Clock: Clone {
    /// Now.
    fn now(&self) -> Nanos;
}

/// The kernel's monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> Nanos {
        let time = clock_gettime(ClockId::Monotonic);
        Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }
}

/// What the monotonic clock's own resolution is said to be, in nanoseconds.
pub fn resolution() -> Span {
    let time = clock_getres(ClockId::Monotonic);
    Span::from_ns(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// The date and time of day, for names and records only; never subtracted.
pub fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// A clock that stands still until it is moved: for tests and for the simulator. Clones share the same hands.
#[derive(Debug, Clone, Default)]
pub struct Scripted {
    hands: Rc<Cell<u64>>,
}

impl Scripted {
    /// A clock that shows `start`.
    pub fn at(start: Nanos) -> Self {
        let clock = Self::default();
        clock.set(start);
        clock
    }

    /// Moves the hands to `time`, backwards too.
    pub fn set(&self, time: Nanos) {
        self.hands.set(time.0);
    }

    /// Moves the hands forward.
    pub fn advance(&self, span: Span) {
        self.set(self.now() + span);
    }
}

impl Clock for Scripted {
    fn now(&self) -> Nanos {
        Nanos(self.hands.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_goes_back() {
        let mut last = Monotonic.now();
        for _ in 0..10_000 {
            let now = Monotonic.now();
            assert!(now >= last);
            last = now;
        }
        assert!(resolution() <= Span::from_ms(1));
    }

    #[test]
    fn differences_keep_their_sign() {
        assert_eq!(Nanos(5).since(Nanos(8)), -3);
        assert_eq!(Nanos(8).since(Nanos(5)), 3);
        assert_eq!(Nanos(5).saturating_since(Nanos(8)), Span::ZERO);
    }
}
