//! What a run came to, once its workers have ended: the measure phase, what never came, where time went, and the balance
//! of every subscription.

use crate::clock::{Clock, Monotonic};
use crate::driver::Admin;
use crate::host::sleep_until;
use crate::plan::{Confirms, Layout, Plan};
use crate::record::{Counts, Series};
use crate::results::{Censored, Measured, Stop, TimeAccount};

use super::coordinator::TICK;
use super::watch::{StreamSum, Watch};
use super::worker::WorkerEnd;
use super::{Outcome, balance};

impl Watch<'_> {
    /// After the workers have ended: takes the last sheets and fills in everything but the balance.
    pub(super) fn settle(
        &mut self,
        plan: &Plan,
        layout: &Layout,
        ends: &[WorkerEnd],
        outcome: &mut Outcome,
    ) {
        self.collect(Monotonic.now());
        outcome.limits = std::mem::take(&mut self.limits);
        outcome.offered = std::mem::take(&mut self.offered);
        outcome.measured = self.measured(plan);
        outcome.censored = self.censored(plan, layout, ends);
        let mut counts = Counts::default();
        for sum in &self.sums {
            counts += sum.counts;
        }
        let asked = self.sums[..plan.producers.len()]
            .iter()
            .zip(&plan.producers)
            .filter(|(_, fleet)| fleet.confirms != Confirms::Off)
            .map(|(sum, _)| sum.counts.sent)
            .sum();
        let producers = ends.iter().flat_map(|end| &end.producers);
        let returned_unasked = balance::returned_unasked(plan, layout, producers);
        outcome.totals = balance::totals(&counts, asked, returned_unasked, &[]);
        outcome.time_account = time_account(plan, layout, ends);
    }

    fn measured(&self, plan: &Plan) -> Measured {
        let (counts, length) = self.in_measure;
        let seconds = length.as_secs_f64();
        let rate = |count: u64| {
            if seconds > 0.0 {
                count as f64 / seconds
            } else {
                0.0
            }
        };
        let sum = |field: fn(&StreamSum) -> u64| self.sums.iter().map(field).sum::<u64>();
        let owed = self
            .sums
            .iter()
            .zip(&self.reach)
            .map(|(sum, reach)| sum.sent_measured * reach)
            .sum();
        let planned = sum(|s| s.planned_measured);
        // What was due was due until the load ended, wherever the last interval did.
        let ended = self
            .ceased
            .unwrap_or(self.measure.end)
            .min(self.measure.end);
        let offering = ended.saturating_since(self.measure.start).as_secs_f64();
        let paced =
            plan.producers.iter().all(|fleet| fleet.rate.is_some()) && !plan.producers.is_empty();
        Measured {
            seconds,
            planned,
            sent: sum(|s| s.sent_measured),
            confirmed: sum(|s| s.confirmed_measured),
            owed,
            delivered: sum(|s| s.delivered_measured),
            offered_rate: (paced && offering > 0.0).then_some(planned as f64 / offering),
            sent_rate: rate(counts.sent),
            confirmed_rate: rate(counts.confirmed),
            delivered_rate: rate(counts.delivered),
            delivered_bytes_rate: rate(counts.delivered_bytes),
        }
    }

    /// Messages of the measure phase that were sent and whose answer never came. What was due and never sent is known
    /// from the measured counts.
    fn censored(&self, plan: &Plan, layout: &Layout, ends: &[WorkerEnd]) -> Vec<Censored> {
        let fleets = plan.producers.len();
        let mut censored = Vec::new();
        let mut push = |stream, series, count| {
            if count > 0 {
                censored.push(Censored {
                    stream,
                    series,
                    count,
                });
            }
        };
        for (index, fleet) in plan
            .producers
            .iter()
            .enumerate()
            .filter(|(_, f)| f.confirms != Confirms::Off)
        {
            let unanswered: u64 = ends
                .iter()
                .flat_map(|end| &end.producers)
                .filter(|producer| layout.producers[producer.index as usize].fleet == index)
                .map(|producer| producer.unanswered_measured)
                .sum();
            push(index, Series::ConfirmService, unanswered);
            if fleet.loop_kind().has_schedule() {
                push(index, Series::ConfirmResponse, unanswered);
            }
        }
        // Several consumer fleets of one queue share what it owes; what is missing stands with the first of them.
        let mut queues_done: Vec<&str> = Vec::new();
        for (position, consumers) in plan.consumers.iter().enumerate() {
            if queues_done.contains(&consumers.queue.as_str()) {
                continue;
            }
            queues_done.push(&consumers.queue);
            let sharing = plan
                .consumers
                .iter()
                .enumerate()
                .filter(|(_, other)| other.queue == consumers.queue);
            let delivered: u64 = sharing
                .map(|(at, _)| self.sums[fleets + at].delivered_measured)
                .sum();
            let owed: u64 = (0..fleets)
                .map(|fleet| {
                    copies_to(layout, fleet, &consumers.queue) * self.sums[fleet].sent_measured
                })
                .sum();
            let missing = owed.saturating_sub(delivered);
            push(fleets + position, Series::DeliveryService, missing);
            if plan
                .producers
                .iter()
                .all(|fleet| fleet.loop_kind().has_schedule())
            {
                push(fleets + position, Series::DeliveryResponse, missing);
            }
        }
        censored
    }
}

/// Copies of each message of a fleet that a queue's subscriptions get.
fn copies_to(layout: &Layout, fleet: usize, queue: &str) -> u64 {
    let Some(producer) = layout
        .producers
        .iter()
        .find(|producer| producer.fleet == fleet)
    else {
        return 0;
    };
    let is_of = |index: &&usize| layout.subscriptions[**index].queue == queue;
    producer.reaches.iter().filter(is_of).count() as u64
}

fn time_account(plan: &Plan, layout: &Layout, ends: &[WorkerEnd]) -> Vec<TimeAccount> {
    let mut accounts: Vec<TimeAccount> = plan
        .producers
        .iter()
        .map(|fleet| TimeAccount {
            fleet: fleet.name.clone(),
            ..TimeAccount::default()
        })
        .collect();
    for end in ends {
        for producer in &end.producers {
            let account = &mut accounts[layout.producers[producer.index as usize].fleet];
            account.window_ns += producer.account.window_ns;
            account.socket_ns += producer.account.socket_ns;
            account.blocked_ns += producer.account.blocked_ns;
            account.unsent_hold_ns += producer.account.unsent_hold_ns;
        }
        for (stream, burst) in &end.bursts {
            accounts[*stream].burst_max = accounts[*stream].burst_max.max(*burst);
        }
    }
    accounts
}

/// Balances the ledger, reading what was left in queues where something is missing.
pub(super) fn account<A: Admin>(
    layout: &Layout,
    ends: Vec<WorkerEnd>,
    admin: &mut A,
    outcome: &mut Outcome,
) {
    let mut producers = Vec::new();
    let mut received = Vec::new();
    for end in ends {
        producers.extend(end.producers);
        received.extend(end.subscriptions);
    }
    let alive = !matches!(
        outcome.stop,
        Stop::BrokerFailed { .. } | Stop::SystemFailed { .. }
    );
    for (index, subscription) in layout.subscriptions.iter().enumerate() {
        let tallies = received.iter().find(|tallies| tallies.index == index);
        let first = balance::subscription(index, subscription, layout, &producers, tallies, None);
        let ready =
            if first.owed > first.delivered && alive && subscription.own && !subscription.keeps {
                settled_depth(admin, &subscription.broker_name)
            } else {
                None
            };
        let balanced =
            balance::subscription(index, subscription, layout, &producers, tallies, ready);
        outcome.subscriptions.push(balanced);
    }
    let sum = |field: fn(&crate::results::Subscription) -> u64| {
        outcome.subscriptions.iter().map(field).sum::<u64>()
    };
    outcome.totals.owed = sum(|s| s.owed);
    outcome.totals.undelivered = sum(|s| s.undelivered);
    outcome.totals.dropped_by_design = sum(|s| s.dropped_by_design);
    outcome.totals.lost_confirmed = sum(|s| s.lost_confirmed);
    outcome.totals.lost_unconfirmed = sum(|s| s.lost_unconfirmed);
}

/// Ready messages once the last consumer is gone: what it left unsettled is back by then.
fn settled_depth<A: Admin>(admin: &mut A, queue: &str) -> Option<u64> {
    let mut last = None;
    for _ in 0..40 {
        let depth = admin.depth(queue).ok()?;
        if depth.consumers == 0 && last == Some(depth.ready) {
            return last;
        }
        last = Some(depth.ready);
        sleep_until(Monotonic.now() + TICK);
    }
    None
}
