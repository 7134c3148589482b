//! One consumer as a state machine: what came, what of it is new, and when it is acknowledged.
//!
//! Pure, like the producer. Acks are batched by the policy alone, and a consumer that thinks works on one message after
//! the other.

use std::collections::VecDeque;

use crate::clock::Nanos;
use crate::driver::{Delivery, Port, Settlement};
use crate::plan::AckPolicy;
use crate::record::Series;
use crate::record::ledger::Tally;
use crate::record::recorder::{MeasureWindows, Slot};
use crate::stamp::StampError;
use crate::units::Span;

/// What one source of deliveries was sent, by producer. Belongs to one worker.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Index within the run.
    pub(super) index: usize,
    /// Delivered sequences of each producer of the run; `None` for producers whose messages do not come here.
    pub(super) received: Vec<Option<Tally>>,
}

/// What stays the same for a consumer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traits {
    /// Index within the port.
    pub(super) port_index: u32,
    /// The run's number.
    pub(super) run: u32,
    /// When deliveries are acknowledged.
    pub(super) ack: AckPolicy,
    /// Work on each message.
    pub(super) think: Span,
}

/// One consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    traits: Traits,
    /// Highest sequence seen from each producer, plus one; 0 for none.
    seen: Vec<u64>,
    /// Deliveries being worked on or waiting for it: (tag, done at).
    working: VecDeque<(u64, Nanos)>,
    free_at: Nanos,
    unacked: u32,
    last_tag: u64,
}

impl Consumer {
    /// A consumer that has seen nothing, in a run with `producers` producers.
    pub(super) fn new(traits: Traits, producers: usize) -> Self {
        Self {
            traits,
            seen: vec![0; producers],
            working: VecDeque::new(),
            free_at: Nanos::ZERO,
            unacked: 0,
            last_tag: 0,
        }
    }

    /// Whether it takes time over a message.
    pub(super) fn thinks(&self) -> bool {
        self.traits.think > Span::ZERO
    }

    /// A message arrived.
    pub(super) fn on_delivered<P: Port>(
        &mut self,
        delivery: &Delivery,
        subscription: &mut Subscription,
        windows: &Scheduled<'_>,
        slot: &mut Slot,
        port: &mut P,
    ) {
        self.account(delivery, subscription, windows, slot);
        if self.traits.ack == AckPolicy::Auto {
            return;
        }
        if self.traits.think == Span::ZERO {
            self.done(delivery.tag, port);
        } else {
            self.free_at = self.free_at.max(delivery.at) + self.traits.think;
            self.working.push_back((delivery.tag, self.free_at));
        }
    }

    fn account(
        &mut self,
        delivery: &Delivery,
        subscription: &mut Subscription,
        windows: &Scheduled<'_>,
        slot: &mut Slot,
    ) {
        let stamp = match delivery.stamp {
            Ok(stamp) if stamp.run == self.traits.run => stamp,
            Ok(_) | Err(StampError::Absent) => {
                slot.counts.foreign += 1;
                return;
            }
            Err(StampError::Corrupt) => {
                slot.counts.corrupt += 1;
                return;
            }
        };
        slot.counts.redelivered += u64::from(delivery.redelivered);
        let producer = stamp.producer as usize;
        let Some(received) = subscription.received.get_mut(producer) else {
            slot.counts.corrupt += 1;
            return;
        };
        // A message from a producer that was not expected here came through a binding that was there before.
        if !received
            .get_or_insert_with(Tally::new)
            .insert(stamp.sequence)
        {
            slot.counts.duplicated += 1;
            return;
        }
        slot.counts.delivered += 1;
        slot.counts.delivered_bytes += delivery.body_len;
        let seen = &mut self.seen[producer];
        if stamp.sequence < *seen {
            slot.counts.reordered += u64::from(!delivery.redelivered);
        } else {
            *seen = stamp.sequence + 1;
        }
        let window = windows.measure.index(stamp.due);
        if windows.producers[producer] {
            slot.record(
                Series::DeliveryResponse,
                delivery.at.since(stamp.due),
                window,
            );
        }
        slot.record(
            Series::DeliveryService,
            delivery.at.since(stamp.sent),
            window,
        );
    }

    /// Acknowledges what its work is done on by `now`; the next time at which something will be done, if any.
    pub(super) fn step<P: Port>(&mut self, now: Nanos, port: &mut P) -> Option<Nanos> {
        while let Some((tag, done_at)) = self.working.front().copied() {
            if done_at > now {
                return Some(done_at);
            }
            self.working.pop_front();
            self.done(tag, port);
        }
        None
    }

    fn done<P: Port>(&mut self, tag: u64, port: &mut P) {
        self.last_tag = tag;
        self.unacked += 1;
        match self.traits.ack {
            AckPolicy::Every(every) if self.unacked >= every => {
                port.settle(self.traits.port_index, tag, every > 1, Settlement::Ack);
                self.unacked = 0;
            }
            AckPolicy::Every(_) | AckPolicy::Auto => {}
        }
    }

    /// The run is over: acknowledges what was worked on and not yet acknowledged.
    pub(super) fn finish<P: Port>(&mut self, port: &mut P) {
        if self.unacked > 0 {
            port.settle(self.traits.port_index, self.last_tag, true, Settlement::Ack);
            self.unacked = 0;
        }
    }
}

/// Which messages have a window and a response time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scheduled<'a> {
    /// The measure phase.
    pub(super) measure: &'a MeasureWindows,
    /// For each producer of the run: its due times come from a schedule.
    pub(super) producers: &'a [bool],
}
