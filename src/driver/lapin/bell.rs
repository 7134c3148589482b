//! What lapin has something for, and the sleep until then.
//!
//! Everything that waits for lapin (a publish, a consumer, a connection's events) has a clapper: a waker that names it.
//! lapin's threads pull it; the worker takes the names and looks there only.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use crate::clock::{Clock, Monotonic, Nanos};

/// Something that waits for lapin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A publish, by its place among the flights.
    Flight(u32),
    /// A consumer.
    Consumer(u32),
    /// A connection's own events.
    Connection(u32),
}

#[derive(Debug, Default)]
struct Rung {
    keys: Vec<Key>,
    is_awaited: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<Rung>,
    condition: Condvar,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, key: Key) {
        let mut rung = self.lock();
        rung.keys.push(key);
        if std::mem::take(&mut rung.is_awaited) {
            drop(rung);
            self.condition.notify_one();
        }
    }

    /// Moves the names of all that were rung into `keys`, which is empty.
    pub(super) fn take(&self, keys: &mut Vec<Key>) {
        std::mem::swap(&mut self.lock().keys, keys);
    }

    /// Sleeps until something was rung or `until` has come.
    pub(super) fn wait(&self, until: Nanos) {
        let mut rung = self.lock();
        while rung.keys.is_empty() {
            let now = Monotonic.now();
            if now >= until {
                break;
            }
            rung.is_awaited = true;
            let left = until.saturating_since(now).as_duration();
            rung = self
                .condition
                .wait_timeout(rung, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        rung.is_awaited = false;
    }
}

/// One thing's waker. Pulled any number of times, it rings once until it is lifted.
#[derive(Debug)]
pub(super) struct Clapper {
    bell: Arc<Bell>,
    key: Key,
    is_rung: AtomicBool,
}

impl Clapper {
    /// A clapper and the same as a waker.
    pub(super) fn new(bell: &Arc<Bell>, key: Key) -> (Arc<Self>, Waker) {
        let clapper = Arc::new(Self {
            bell: Arc::clone(bell),
            key,
            is_rung: AtomicBool::new(false),
        });
        let waker = Waker::from(Arc::clone(&clapper));
        (clapper, waker)
    }

    /// To be called before looking: whatever comes from now on rings again.
    pub(super) fn lift(&self) {
        self.is_rung.store(false, Ordering::SeqCst);
    }

    /// Asks for another look.
    pub(super) fn pull(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            self.bell.ring(self.key);
        }
    }
}

impl Wake for Clapper {
    fn wake(self: Arc<Self>) {
        self.pull();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.pull();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;

    #[test]
    fn what_is_pulled_twice_rings_once_until_it_is_lifted() {
        let bell = Arc::new(Bell::default());
        let (clapper, waker) = Clapper::new(&bell, Key::Consumer(3));
        waker.wake_by_ref();
        waker.wake_by_ref();
        let mut keys = Vec::new();
        bell.take(&mut keys);
        assert_eq!(keys, [Key::Consumer(3)]);
        keys.clear();
        waker.wake_by_ref();
        bell.take(&mut keys);
        assert_eq!(keys, []);
        clapper.lift();
        waker.wake_by_ref();
        bell.take(&mut keys);
        assert_eq!(keys, [Key::Consumer(3)]);
    }

    #[test]
    fn a_sleep_ends_at_its_time_and_not_before() {
        let bell = Bell::default();
        let until = Monotonic.now() + Span::from_ms(3);
        bell.wait(until);
        assert!(Monotonic.now() >= until);
    }

    #[test]
    fn a_sleep_ends_when_another_thread_rings() {
        let bell = Arc::new(Bell::default());
        let (_, waker) = Clapper::new(&bell, Key::Flight(0));
        let ringer = std::thread::spawn(move || waker.wake());
        bell.wait(Nanos::NEVER);
        ringer.join().unwrap();
    }
}
