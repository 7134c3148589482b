//! The account at the end: what was owed, what came, and what became of the rest.
//!
//! Pure. A message counts as lost only where its source was proved empty; what cannot be proved is undelivered.

use crate::plan::{Confirms, Layout, Plan, SubscriptionPlan};
use crate::record::Counts;
use crate::results::{Subscription, Totals};

use super::consumer;
use super::producer::ProducerEnd;

/// Balances one subscription. `ready` is what was left in its source after its consumers had gone; `None` where that
/// could not be read.
pub(super) fn subscription(
    index: usize,
    plan: &SubscriptionPlan,
    layout: &Layout,
    producers: &[ProducerEnd],
    received: Option<&consumer::Subscription>,
    ready: Option<u64>,
) -> Subscription {
    let mut balance = Subscription {
        name: plan.name.clone(),
        ready_at_end: ready,
        ..Subscription::default()
    };
    let empty = plan.consumed && plan.own && !plan.keeps && ready == Some(0);
    for producer in producers {
        let number = producer.index as usize;
        let tally = received.and_then(|subscription| subscription.received.get(number)?.as_ref());
        let delivered = tally.map_or(0, |tally| tally.len());
        let reached = layout.producers[number].reaches.contains(&index);
        // A copy that came through a binding unknown to the plan is owed because it came.
        let owed = if reached {
            producer.sent - producer.returned.len()
        } else {
            delivered
        };
        balance.owed += owed;
        balance.delivered += delivered;
        let missing = owed.saturating_sub(delivered);
        if missing == 0 {
            continue;
        }
        if !empty {
            balance.undelivered += missing;
        } else if plan.drops_by.is_some() {
            balance.dropped_by_design += missing;
        } else {
            let confirmed = match tally {
                Some(tally) => tally
                    .missing(producer.sent)
                    .filter(|s| producer.confirmed.contains(*s))
                    .count() as u64,
                None => producer.confirmed.len(),
            };
            balance.lost_confirmed += confirmed;
            balance.lost_unconfirmed += missing - confirmed.min(missing);
        }
    }
    balance
}

/// The ledger over all phases, from the sum of all intervals and the balanced subscriptions. `asked` is how many sent
/// messages wanted a confirm, `returned_unasked` how many of the others came back.
pub(super) fn totals(
    counts: &Counts,
    asked: u64,
    returned_unasked: u64,
    subscriptions: &[Subscription],
) -> Totals {
    let sum = |field: fn(&Subscription) -> u64| subscriptions.iter().map(field).sum::<u64>();
    Totals {
        planned: counts.planned,
        sent: counts.sent,
        unsent: counts.planned - counts.sent.min(counts.planned),
        confirmed: counts.confirmed,
        nacked: counts.nacked,
        returned: counts.returned,
        unconfirmed: asked
            .saturating_sub(counts.confirmed + counts.nacked + counts.returned - returned_unasked),
        // A return wins: what nobody asked about and the broker sent back ended as returned.
        unasked: counts.unasked - returned_unasked,
        owed: sum(|s| s.owed),
        delivered: counts.delivered,
        undelivered: sum(|s| s.undelivered),
        dropped_by_design: sum(|s| s.dropped_by_design),
        lost_confirmed: sum(|s| s.lost_confirmed),
        lost_unconfirmed: sum(|s| s.lost_unconfirmed),
        duplicated: counts.duplicated,
        redelivered: counts.redelivered,
        reordered: counts.reordered,
        corrupt: counts.corrupt,
        foreign: counts.foreign,
        out_of_range: counts.out_of_range,
    }
}

/// Messages that came back although no confirm was asked for them.
pub(super) fn returned_unasked<'a>(
    plan: &Plan,
    layout: &Layout,
    producers: impl Iterator<Item = &'a ProducerEnd>,
) -> u64 {
    producers
        .filter(|producer| {
            let fleet = layout.producers[producer.index as usize].fleet;
            plan.producers[fleet].confirms == Confirms::Off
        })
        .map(|producer| producer.returned.len())
        .sum()
}
