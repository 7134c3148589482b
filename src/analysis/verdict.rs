//! What became of each claim (FIDELITY 23, without the intervals, which come with the statistics).
//!
//! PASS needs a run that ended as planned and gates that held. FAIL needs a miss that the harness did not cause. Everything
//! else is INVALID: not a number.

mod times;

use crate::claim::{Claim, Comparison, End, Limit, Metric, Origin, Total};
use crate::plan::Confirms;
use crate::record::Series;
use crate::results::{
    ClaimResult, GateKind, Measured, Stop, Subscription, Totals, VariantRun, VariantSeries, Verdict,
};

use super::figure;
use super::gates::{ENOUGH_PER_MILLE, harness_was_late};
use super::summary::copies_per_message;

/// A backlog that grows by more than this many thousandths of the offered rate is not carried (FIDELITY 23; its upper
/// bound comes with the statistics).
const BACKLOG_PER_MILLE: f64 = 5.0;

/// The worst of several verdicts: FAIL before INVALID before INCONCLUSIVE before PASS; none of none.
pub fn overall(verdicts: impl IntoIterator<Item = Verdict>) -> Option<Verdict> {
    verdicts.into_iter().max_by_key(|verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Inconclusive => 1,
        Verdict::Invalid => 2,
        Verdict::Fail => 3,
    })
}

/// What was found, before it is asked whether the run can be trusted.
struct Finding {
    /// PASS, FAIL or INCONCLUSIVE by the figures; INVALID where there are none.
    verdict: Verdict,
    measured: String,
    value: Option<f64>,
    reason: String,
}

impl Finding {
    fn unmeasured(reason: &str) -> Self {
        Self {
            verdict: Verdict::Invalid,
            measured: "-".to_owned(),
            value: None,
            reason: reason.to_owned(),
        }
    }
}

/// Judges one claim on one variant.
pub fn judge(claim: &Claim, variant: &VariantRun, series: &VariantSeries) -> ClaimResult {
    let found = match (claim.metric, claim.limit) {
        (Metric::Throughput, Limit::Rate(limit)) => {
            throughput(claim, limit.as_per_second(), variant)
        }
        (
            Metric::Time {
                end,
                origin,
                statistic,
            },
            Limit::Span(limit),
        ) => times::judged(
            claim,
            limit.as_ns(),
            kind(end, origin),
            statistic,
            variant,
            series,
        ),
        (Metric::Total(total), Limit::Count(limit)) => total_of(claim, limit, total, variant),
        _ => Finding::unmeasured("the limit is of another kind than the metric"),
    };
    let found = trusted(claim, found, variant, series);
    ClaimResult {
        text: claim.to_string(),
        variant: variant.name.clone(),
        verdict: found.verdict,
        measured: found.measured,
        value: found.value,
        limit: claim.limit.to_string(),
        reason: found.reason,
    }
}

/// What the finding is worth, given how the run ended and which gates held.
fn trusted(claim: &Claim, found: Finding, variant: &VariantRun, series: &VariantSeries) -> Finding {
    if let Some(cause) = cut_short(&variant.stop) {
        return Finding::unmeasured(cause);
    }
    let invalid = |reason: String, found: Finding| Finding {
        verdict: Verdict::Invalid,
        reason,
        ..found
    };
    let own_gate = match claim.metric {
        Metric::Total(Total::Corrupt) => "corrupt",
        Metric::Total(Total::Foreign) => "foreign",
        _ => "",
    };
    let broken = variant
        .gates
        .iter()
        .find(|gate| !gate.held && gate.kind == GateKind::Truth && gate.name != own_gate);
    if let Some(gate) = broken {
        let reason = format!(
            "the run cannot be trusted: {} gate failed ({})",
            gate.name, gate.measured
        );
        return invalid(reason, found);
    }
    let is_total = matches!(claim.metric, Metric::Total(_));
    // What already broke the claim stays broken, whatever would have come.
    let is_settled = is_total && found.verdict == Verdict::Fail;
    let offered = variant
        .gates
        .iter()
        .find(|gate| !gate.held && gate.kind == GateKind::OfferedLoad);
    if let Some(gate) = offered.filter(|_| !is_settled) {
        let reason = format!("the harness could not offer the load: {}", gate.measured);
        return invalid(reason, found);
    }
    if !ended_early(&variant.stop, variant) || is_settled {
        return found;
    }
    if is_total {
        return Finding::unmeasured("OVERLOADED: not the total of a whole run");
    }
    if harness_was_late(variant, series) {
        let reason = "OVERLOADED, and the harness was late more than the broker";
        return invalid(reason.to_owned(), found);
    }
    Finding {
        verdict: Verdict::Fail,
        reason: "OVERLOADED: the broker did not keep up".to_owned(),
        ..found
    }
}

/// Why there is nothing to judge, where that is so. What exactly happened stands once in a report, not in each claim.
const fn cut_short(stop: &Stop) -> Option<&'static str> {
    match stop {
        Stop::Completed
        | Stop::MessagesSent
        | Stop::Overloaded { .. }
        | Stop::BacklogFull { .. } => None,
        Stop::Unfinished => Some("the run did not come to its end"),
        Stop::Interrupted => Some("the run was interrupted"),
        Stop::BrokerFailed { .. } => Some("the broker failed"),
        Stop::SystemFailed { .. } => Some("this machine failed"),
    }
}

/// Whether the run ended before its time, for the load was more than could be carried. A full backlog is what a flood
/// is expected to come to, and says nothing against the rates measured before.
fn ended_early(stop: &Stop, variant: &VariantRun) -> bool {
    match stop {
        Stop::Overloaded { .. } => true,
        // Where nobody takes messages away a backlog says nothing of what the broker can carry.
        Stop::BacklogFull { .. } => {
            !variant.plan.consumers.is_empty() && variant.loops.iter().any(|l| l.has_schedule())
        }
        _ => false,
    }
}

const fn kind(end: End, origin: Origin) -> Series {
    match (end, origin) {
        (End::Confirm, Origin::Due) => Series::ConfirmResponse,
        (End::Confirm, Origin::Sent) => Series::ConfirmService,
        (End::Delivery, Origin::Due) => Series::DeliveryResponse,
        (End::Delivery, Origin::Sent) => Series::DeliveryService,
    }
}

const fn pass_if(kept: bool) -> Verdict {
    if kept { Verdict::Pass } else { Verdict::Fail }
}

// --- throughput ---------------------------------------------------------------------------------------------------

/// What counts as carried through: delivered copies, or confirms where nobody consumes, or sends where nobody even
/// asks for confirms. `(word, rate, carried of those due, due)`.
fn carried(variant: &VariantRun, measured: &Measured) -> (&'static str, f64, u64, u64) {
    let due = measured.planned;
    if !variant.plan.consumers.is_empty() {
        let owed = (due as f64 * copies_per_message(variant)).round() as u64;
        (
            "delivered",
            measured.delivered_rate,
            measured.delivered,
            owed,
        )
    } else if variant
        .plan
        .producers
        .iter()
        .all(|fleet| fleet.confirms != Confirms::Off)
    {
        (
            "confirmed",
            measured.confirmed_rate,
            measured.confirmed,
            due,
        )
    } else {
        ("sent", measured.sent_rate, measured.sent, due)
    }
}

fn throughput(claim: &Claim, limit: f64, variant: &VariantRun) -> Finding {
    let Some(measured) = variant
        .measured
        .as_ref()
        .filter(|measured| measured.seconds > 0.0)
    else {
        return Finding::unmeasured("the measure phase was not reached");
    };
    let (word, rate, done, due) = carried(variant, measured);
    let finding = |kept, reason| Finding {
        verdict: pass_if(kept),
        measured: figure::rate(rate),
        value: Some(rate),
        reason,
    };
    let nominal = nominal_rate(variant);
    let at_least = matches!(claim.comparison, Comparison::AtLeast | Comparison::Greater);
    let Some(nominal) = nominal.filter(|_| at_least && due > 0) else {
        let loops = variant
            .loops
            .iter()
            .map(|kind| kind.as_str())
            .collect::<Vec<_>>();
        let reason = format!("{word} a second, {} loop", loops.join(" and "));
        return finding(claim.holds(rate, limit), reason);
    };
    let planned = nominal * copies_per_message(variant);
    let enough = u128::from(done) * 1000 >= u128::from(due) * u128::from(ENOUGH_PER_MILLE);
    let share = figure::share(done, due);
    let drain = variant.plan.timing.drain;
    let planned_shown = figure::rate(planned);
    // What came in the drain alone was not carried: the backlog grew while it was measured, and would go on growing.
    let offered = measured.offered_rate.unwrap_or(nominal) * copies_per_message(variant);
    let grew = (offered - rate).max(0.0);
    let growing = !claim.holds(rate, limit) && grew * 1000.0 > offered * BACKLOG_PER_MILLE;
    let reason = match (claim.holds(planned, limit), enough) {
        (false, _) => format!("only {planned_shown} were planned"),
        (true, true) if growing => format!(
            "{} of {} were {word} while measured: the backlog grew by {}",
            figure::rate(rate),
            figure::rate(offered),
            figure::rate(grew)
        ),
        (true, true) => format!("of {planned_shown} planned, {share} was {word} in time"),
        (true, false) => format!(
            "of {planned_shown} planned, {share} was {word} within {drain} of the end, 99.5% asked for"
        ),
    };
    finding(enough && !growing && claim.holds(planned, limit), reason)
}

/// The rate that the scenario asks for, over all fleets; none where a fleet has none.
fn nominal_rate(variant: &VariantRun) -> Option<f64> {
    let fleets = &variant.plan.producers;
    if fleets.is_empty() {
        return None;
    }
    fleets
        .iter()
        .map(|fleet| fleet.rate.map(|rate| rate.as_per_second()))
        .sum()
}

// --- totals -------------------------------------------------------------------------------------------------------

fn total_of(claim: &Claim, limit: u64, total: Total, variant: &VariantRun) -> Finding {
    let Some(totals) = &variant.totals else {
        return Finding::unmeasured("the run has no totals");
    };
    let value = total_value(totals, total);
    let unproved = match total {
        Total::Lost | Total::LostConfirmed | Total::LostUnconfirmed => unproved(variant),
        _ => 0,
    };
    if claim.holds(value, limit) && !claim.holds(value + unproved, limit) {
        return Finding {
            verdict: Verdict::Inconclusive,
            measured: figure::count(value),
            value: Some(value as f64),
            reason: format!(
                "{} more never came, and nothing proves that they still wait in their queue",
                figure::count(unproved)
            ),
        };
    }
    Finding {
        verdict: pass_if(claim.holds(value, limit)),
        measured: figure::count(value),
        value: Some(value as f64),
        reason: "counted over the whole run".to_owned(),
    }
}

/// Copies that did not come and that no reading of their queue explains: they may be lost.
fn unproved(variant: &VariantRun) -> u64 {
    let of = |subscription: &Subscription| {
        let waiting = subscription.ready_at_end.unwrap_or(0);
        subscription.undelivered.saturating_sub(waiting)
    };
    variant.subscriptions.iter().map(of).sum()
}

fn total_value(totals: &Totals, total: Total) -> u64 {
    match total {
        Total::Planned => totals.planned,
        Total::Sent => totals.sent,
        Total::Unsent => totals.unsent,
        Total::Confirmed => totals.confirmed,
        Total::Nacked => totals.nacked,
        Total::Returned => totals.returned,
        Total::Unconfirmed => totals.unconfirmed,
        Total::Unasked => totals.unasked,
        Total::Delivered => totals.delivered,
        Total::Undelivered => totals.undelivered,
        Total::DroppedByDesign => totals.dropped_by_design,
        Total::Lost => totals.lost_confirmed + totals.lost_unconfirmed,
        Total::LostConfirmed => totals.lost_confirmed,
        Total::LostUnconfirmed => totals.lost_unconfirmed,
        Total::Duplicated => totals.duplicated,
        Total::Redelivered => totals.redelivered,
        Total::Reordered => totals.reordered,
        Total::Corrupt => totals.corrupt,
        Total::Foreign => totals.foreign,
    }
}

#[cfg(test)]
mod tests;
