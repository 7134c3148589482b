//! What running some plans would take: runs, time, and room on the broker.

use super::{Plan, ProducerFleet};
use crate::units::Span;

/// What to expect before anything is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// Number of runs.
    pub runs: usize,
    /// Longest that they can take all together, without setting up and taking down: staged start, warm-up, measure,
    /// and the whole drain limit.
    pub duration: Span,
    /// Most bytes of message bodies that they could have on the broker at one time.
    pub most_bytes: u64,
}

/// What `plans` would take, one after the other.
///
/// A fleet with a rate can leave rate x (warm-up + measure) x size x the number of queues reached, one with
/// `messages` no more than so many; a run is ended when `max_backlog` waits on the broker, so that is the most of each.
/// What a run declares goes when it ends, so of those runs the greatest counts; what goes into existing queues stays,
/// so those add up.
pub fn outlook(plans: &[Plan]) -> Outlook {
    let mut duration = Span::ZERO;
    let (mut staying, mut passing) = (0_u64, 0_u64);
    for plan in plans {
        let timing = &plan.timing;
        for span in [
            timing.start_over,
            timing.warmup,
            timing.measure,
            timing.drain,
        ] {
            duration = duration.saturating_add(span);
        }
        let (existing, own) = bytes(plan);
        let limit = plan.max_backlog.as_bytes();
        staying = staying.saturating_add(existing.min(limit));
        passing = passing.max(own.min(limit));
    }
    Outlook {
        runs: plans.len(),
        duration,
        most_bytes: staying.saturating_add(passing),
    }
}

/// Bytes that the fleets could put into existing queues, and into queues of the run's own.
fn bytes(plan: &Plan) -> (u64, u64) {
    let (mut existing, mut own) = (0_u64, 0_u64);
    for fleet in &plan.producers {
        let each = messages(plan, fleet).map_or(u64::MAX, |messages| {
            messages.saturating_mul(fleet.size.as_bytes())
        });
        let reached = plan.topology.routes(&fleet.target, &fleet.headers);
        let outside = plan
            .topology
            .exchange(&fleet.target.exchange)
            .is_some_and(|exchange| exchange.existing);
        if outside {
            // An exchange that is used as it is found may have bindings of its own.
            existing = existing.saturating_add(each);
        }
        for queue in reached {
            if plan.topology.queues[queue].existing {
                existing = existing.saturating_add(each);
            } else {
                own = own.saturating_add(each);
            }
        }
    }
    (existing, own)
}

/// Most messages that a fleet sends; none where nothing bounds them.
fn messages(plan: &Plan, fleet: &ProducerFleet) -> Option<u64> {
    let load = plan.timing.warmup.saturating_add(plan.timing.measure);
    let by_rate = fleet.rate.map(|rate| rate.count_before(load));
    match (by_rate, fleet.messages) {
        // Poisson arrivals scatter by the square root of their mean; six of those are never seen.
        (Some(rate), limit) => {
            let most = rate.saturating_add(6 * rate.isqrt());
            Some(limit.map_or(most, |limit| limit.min(most)))
        }
        (None, limit) => limit,
    }
}
