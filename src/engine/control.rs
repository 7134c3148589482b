//! What the coordinator and its workers tell each other while a run lasts.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a worker is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Send what is due, receive what comes.
    Load,
    /// Take up nothing new and give up what waits; receive what comes.
    Cease,
    /// Settle up, close, and give an account.
    Finish,
    /// The same without waiting for the broker.
    Abort,
}

/// Something that a worker has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Alert {
    /// The broker or a connection failed: the run cannot go on.
    Failed(String),
    /// Messages are later than the limit.
    Overloaded(String),
    /// For a person to read.
    Note(String),
}

/// Shared by the coordinator and all workers of a run.
#[derive(Debug, Default)]
pub(super) struct Control {
    stage: AtomicU8,
    alerts: Mutex<Vec<Alert>>,
}

impl Control {
    /// What workers are to do now.
    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Load,
            1 => Stage::Cease,
            2 => Stage::Finish,
            _ => Stage::Abort,
        }
    }

    /// Moves on to a later stage; an earlier one is ignored.
    pub(super) fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::Relaxed);
    }

    /// Tells the coordinator.
    pub(super) fn alert(&self, alert: Alert) {
        self.alerts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(alert);
    }

    /// Takes what the workers said since the last time.
    pub(super) fn alerts(&self) -> Vec<Alert> {
        std::mem::take(&mut *self.alerts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The user's wish to stop: once drains and saves, twice stops now.
#[derive(Debug, Default)]
pub struct StopSignal {
    asked: AtomicU8,
}

impl StopSignal {
    /// A signal that nobody has given, usable as a `static`.
    pub const fn new() -> Self {
        Self {
            asked: AtomicU8::new(0),
        }
    }

    /// Asks once more. Safe to call from a signal's thread.
    pub fn ask(&self) {
        let _ = self
            .asked
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |asked| {
                asked.checked_add(1)
            });
    }

    /// Takes one asking back, of whoever asked for a reason of its own that is dealt with.
    pub(crate) fn retract(&self) {
        let _ = self
            .asked
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |asked| {
                asked.checked_sub(1)
            });
    }

    /// How often it was asked.
    pub fn asked(&self) -> u8 {
        self.asked.load(Ordering::Relaxed)
    }
}
