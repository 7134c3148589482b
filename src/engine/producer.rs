//! One producer as a state machine: what is due, what waits and why, what is sent and not yet answered.
//!
//! Pure: it is told the time and what happened, and it tells a port what to send. It never waits and never decides
//! when a message is due; that is the pacer's.

use std::collections::VecDeque;

use crate::clock::Nanos;
use crate::driver::{Admission, Answer, Port};
use crate::record::Series;
use crate::record::ledger::Tally;
use crate::record::recorder::{MeasureWindows, Slot};
use crate::stamp::Stamp;

/// Why a producer that has something to send does not send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// As many messages are unconfirmed as its window allows.
    Window,
    /// The socket takes no more.
    Socket,
    /// The broker blocks the connection.
    Blocked,
}

/// Where a producer's time went while messages waited, in ns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WaitAccount {
    /// Waiting for the window.
    pub(super) window_ns: u64,
    /// Waiting for the socket.
    pub(super) socket_ns: u64,
    /// Blocked by the broker.
    pub(super) blocked_ns: u64,
    /// Sum over the measured messages that were never sent: how long each was held until it was given up.
    pub(super) unsent_hold_ns: u64,
}

/// A message between the moment it was noticed and the moment it is settled.
#[derive(Debug, Clone, Copy)]
struct Outstanding {
    sequence: u64,
    due: Nanos,
    noticed: Nanos,
    sent: Nanos,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Returned,
    Settled,
}

/// What stays the same for a producer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traits {
    /// Index within the run, as in stamps.
    pub(super) index: u32,
    /// Index within the port.
    pub(super) port_index: u32,
    /// The run's number.
    pub(super) run: u32,
    /// Bytes of each body.
    pub(super) size: u64,
    /// Most unconfirmed messages; `None` for no bound.
    pub(super) window: Option<u32>,
    /// The broker is asked for confirms.
    pub(super) confirms: bool,
    /// Due times come from a schedule, so that response times exist.
    pub(super) scheduled: bool,
}

/// One producer.
#[derive(Debug)]
pub(super) struct Producer {
    traits: Traits,
    next_sequence: u64,
    /// Noticed and not yet taken by the port: (due, noticed).
    pending: VecDeque<(Nanos, Nanos)>,
    /// Taken by the port, oldest first; the front is the oldest that is not settled.
    outstanding: VecDeque<Outstanding>,
    /// Delivery tag of the front of `outstanding`.
    front_tag: u64,
    /// How many of `outstanding`, from the front, were sent.
    sent: usize,
    /// Messages in `outstanding` that are not settled.
    open: u32,
    wait: Option<(Wait, Nanos)>,
    blocked: bool,
    account: WaitAccount,
    confirmed: Tally,
    returned: Tally,
}

impl Producer {
    /// A producer that has sent nothing yet.
    pub(super) fn new(traits: Traits) -> Self {
        let room = traits
            .window
            .map_or(1024, |window| window.min(65_536) as usize + 64);
        Self {
            traits,
            next_sequence: 0,
            pending: VecDeque::new(),
            outstanding: VecDeque::with_capacity(room),
            front_tag: 1,
            sent: 0,
            open: 0,
            wait: None,
            blocked: false,
            account: WaitAccount::default(),
            confirmed: Tally::new(),
            returned: Tally::new(),
        }
    }

    /// Messages that are due and not yet taken by the port.
    pub(super) fn held(&self) -> u64 {
        self.pending.len() as u64
    }

    /// Messages taken by the port and not yet handed to the kernel.
    pub(super) fn unsent(&self) -> u64 {
        (self.outstanding.len() - self.sent) as u64
    }

    /// Messages sent or taken whose answer is still to come.
    pub(super) fn unanswered(&self) -> u64 {
        if self.traits.confirms {
            u64::from(self.open)
        } else {
            self.unsent()
        }
    }

    /// Due time of the oldest message that waits.
    pub(super) fn oldest_held(&self) -> Option<Nanos> {
        self.pending.front().map(|(due, _)| *due)
    }

    /// A message is due: waits at the end of the line until [`Producer::advance`] finds room for it.
    pub(super) fn notice(&mut self, due: Nanos, now: Nanos) {
        self.pending.push_back((due, now));
    }

    /// Gives up on everything that waits. Its hold ends here, and is the broker's as much as that of what was sent.
    pub(super) fn abandon(&mut self, now: Nanos, windows: &MeasureWindows) {
        self.set_wait(None, now);
        for (due, noticed) in self.pending.drain(..) {
            if windows.index(due).is_some() {
                self.account.unsent_hold_ns += now.saturating_since(noticed).as_ns();
            }
        }
    }

    /// Has nothing more to send: ends the account of what it waited for.
    pub(super) fn rest(&mut self, now: Nanos) {
        self.set_wait(None, now);
    }

    /// Hands waiting messages to the port as far as window and socket allow; true where some still wait.
    pub(super) fn advance<P: Port>(&mut self, now: Nanos, port: &mut P) -> bool {
        while let Some((due, noticed)) = self.pending.front().copied() {
            if let Some(wait) = self
                .obstacle()
                .or_else(|| self.try_send(due, noticed, port).err())
            {
                self.set_wait(Some(wait), now);
                return true;
            }
            self.pending.pop_front();
        }
        self.set_wait(None, now);
        false
    }

    /// Without a schedule: sends as long as window and socket allow, at most `most` messages, due when they are sent.
    /// Returns how many were taken.
    pub(super) fn pull<P: Port>(&mut self, now: Nanos, most: u64, port: &mut P) -> u64 {
        let mut taken = 0;
        while taken < most {
            if let Some(wait) = self
                .obstacle()
                .or_else(|| self.try_send(now, now, port).err())
            {
                self.set_wait(Some(wait), now);
                return taken;
            }
            taken += 1;
        }
        self.set_wait(None, now);
        taken
    }

    fn obstacle(&self) -> Option<Wait> {
        if self.blocked {
            return Some(Wait::Blocked);
        }
        let full = self.traits.window.is_some_and(|window| self.open >= window);
        full.then_some(Wait::Window)
    }

    fn try_send<P: Port>(&mut self, due: Nanos, noticed: Nanos, port: &mut P) -> Result<(), Wait> {
        let sequence = self.next_sequence;
        let stamp = Stamp {
            run: self.traits.run,
            producer: self.traits.index,
            sequence,
            due,
            sent: Nanos::ZERO,
        };
        match port.queue(self.traits.port_index, &stamp, self.traits.size) {
            Admission::Busy => Err(Wait::Socket),
            Admission::Taken => {
                self.next_sequence += 1;
                self.open += 1;
                self.outstanding.push_back(Outstanding {
                    sequence,
                    due,
                    noticed,
                    sent: Nanos::ZERO,
                    state: State::Open,
                });
                Ok(())
            }
        }
    }

    fn set_wait(&mut self, wait: Option<Wait>, now: Nanos) {
        if let Some((cause, since)) = self.wait {
            if wait == Some(cause) {
                return;
            }
            let waited = now.saturating_since(since).as_ns();
            match cause {
                Wait::Window => self.account.window_ns += waited,
                Wait::Socket => self.account.socket_ns += waited,
                Wait::Blocked => self.account.blocked_ns += waited,
            }
        }
        self.wait = wait.map(|wait| (wait, now));
    }

    /// Its connection was blocked by the broker.
    pub(super) fn block(&mut self) {
        self.blocked = true;
    }

    /// Its connection is no longer blocked.
    pub(super) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// The first byte of the next `messages` messages was handed over at `at`.
    pub(super) fn on_sent(
        &mut self,
        messages: u32,
        at: Nanos,
        windows: &MeasureWindows,
        slot: &mut Slot,
    ) {
        for _ in 0..messages {
            let Some(message) = self.outstanding.get_mut(self.sent) else {
                return;
            };
            message.sent = at;
            slot.counts.sent += 1;
            slot.counts.sent_bytes += self.traits.size;
            let window = windows.index(message.due);
            slot.sent_measured += u64::from(window.is_some());
            let sent_in = windows
                .index(at)
                .and_then(|window| slot.sent_in_window.get_mut(window));
            if let Some(sent) = sent_in {
                *sent += 1;
            }
            if self.traits.scheduled {
                slot.record(Series::Hold, at.since(message.noticed), window);
            }
            if self.traits.confirms {
                self.sent += 1;
            } else {
                // Nobody will answer: the publish ends here.
                self.outstanding.pop_front();
                self.open -= 1;
                self.front_tag += 1;
                slot.counts.unasked += 1;
            }
        }
    }

    /// The broker returned a message; it stays open until its ack comes, and then ends as returned.
    pub(super) fn on_returned(&mut self, sequence: u64, slot: &mut Slot) {
        let is_new = self.returned.insert(sequence);
        if !self.traits.confirms {
            // Its publish ended when it was sent, and no ack will follow: this is its end.
            slot.counts.returned += u64::from(is_new);
            return;
        }
        let first = self.outstanding.front().map(|message| message.sequence);
        let message = first
            .and_then(|first| sequence.checked_sub(first))
            .and_then(|at| self.outstanding.get_mut(at as usize));
        if let Some(message) = message {
            message.state = State::Returned;
        }
    }

    /// The broker answered a publish, or all up to it.
    pub(super) fn on_settled(
        &mut self,
        answered: Answered,
        windows: &MeasureWindows,
        slot: &mut Slot,
    ) {
        let Some(last) = answered.tag.checked_sub(self.front_tag) else {
            return;
        };
        let last = (last as usize).min(self.sent.saturating_sub(1));
        if self.sent == 0 {
            return;
        }
        let first = if answered.multiple { 0 } else { last };
        for at in first..=last {
            self.settle(at, answered, windows, slot);
        }
        while self
            .outstanding
            .front()
            .is_some_and(|message| message.state == State::Settled)
        {
            self.outstanding.pop_front();
            self.front_tag += 1;
            self.sent -= 1;
        }
    }

    fn settle(&mut self, at: usize, answered: Answered, windows: &MeasureWindows, slot: &mut Slot) {
        let message = &mut self.outstanding[at];
        if message.state == State::Settled {
            return;
        }
        let returned = message.state == State::Returned;
        message.state = State::Settled;
        self.open -= 1;
        match answered.answer {
            _ if returned => slot.counts.returned += 1,
            Answer::Nack => slot.counts.nacked += 1,
            Answer::Ack => {
                slot.counts.confirmed += 1;
                let window = windows.index(message.due);
                if self.traits.scheduled {
                    slot.record(
                        Series::ConfirmResponse,
                        answered.at.since(message.due),
                        window,
                    );
                }
                slot.record(
                    Series::ConfirmService,
                    answered.at.since(message.sent),
                    window,
                );
                self.confirmed.insert(message.sequence);
            }
        }
    }

    /// Ends the account of waiting and gives everything that the balance needs.
    pub(super) fn finish(mut self, now: Nanos, windows: &MeasureWindows) -> ProducerEnd {
        self.abandon(now, windows);
        let sent = self.next_sequence - self.unsent();
        let unanswered_measured = if self.traits.confirms {
            let open = self
                .outstanding
                .iter()
                .take(self.sent)
                .filter(|m| m.state != State::Settled);
            open.filter(|m| windows.index(m.due).is_some()).count() as u64
        } else {
            0
        };
        ProducerEnd {
            index: self.traits.index,
            sent,
            unanswered_measured,
            confirmed: self.confirmed,
            returned: self.returned,
            account: self.account,
        }
    }
}

/// A broker's answer as an event brings it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    /// Delivery tag.
    pub(super) tag: u64,
    /// All up to the tag.
    pub(super) multiple: bool,
    /// Ack or nack.
    pub(super) answer: Answer,
    /// When it was received.
    pub(super) at: Nanos,
}

/// What is left of a producer after the run.
#[derive(Debug)]
pub(super) struct ProducerEnd {
    /// Index within the run.
    pub(super) index: u32,
    /// Messages handed to the kernel: sequences 0 to this.
    pub(super) sent: u64,
    /// Publishes due in the measure phase and never answered.
    pub(super) unanswered_measured: u64,
    /// Sequences that the broker confirmed.
    pub(super) confirmed: Tally,
    /// Sequences that the broker returned.
    pub(super) returned: Tally,
    /// Where its time went.
    pub(super) account: WaitAccount,
}
