//! What became of each claim (FIDELITY 23, without the intervals, which come with the statistics).
//!
//! PASS needs a run that ended as planned and gates that held. FAIL needs a miss that the harness did not cause. Everything
//! else is INVALID: not a number.

use crate::claim::{Claim, Comparison, End, Limit, Metric, Origin, Statistic, Total};
use crate::record::Series;
use crate::results::{
    ClaimResult, GateKind, Measured, Quantile, Stop, Totals, VariantRun, VariantSeries, Verdict,
};

use super::figure;
use super::gates::{ENOUGH_PER_MILLE, harness_was_late};
use super::summary::{bound, copies_per_message, histogram, late_for_ever, quantile_at};

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
        ) => time(
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
    let (verdict, reason) = trusted(claim, &found, variant, series);
    ClaimResult {
        text: claim.to_string(),
        variant: variant.name.clone(),
        verdict,
        measured: found.measured,
        value: found.value,
        limit: claim.limit.to_string(),
        reason,
    }
}

/// What the finding is worth, given how the run ended and which gates held.
fn trusted(
    claim: &Claim,
    found: &Finding,
    variant: &VariantRun,
    series: &VariantSeries,
) -> (Verdict, String) {
    let invalid = |reason: String| (Verdict::Invalid, reason);
    if let Some(cause) = cut_short(&variant.stop) {
        return invalid(cause);
    }
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
        return invalid(format!(
            "the run cannot be trusted: {} gate failed ({})",
            gate.name, gate.measured
        ));
    }
    let is_total = matches!(claim.metric, Metric::Total(_));
    let offered = variant
        .gates
        .iter()
        .find(|gate| !gate.held && gate.kind == GateKind::OfferedLoad);
    if let Some(gate) = offered
        && !(is_total && found.verdict == Verdict::Fail)
    {
        return invalid(format!(
            "the harness could not offer the load: {}",
            gate.measured
        ));
    }
    match early_end(&variant.stop, variant) {
        None => (found.verdict, found.reason.clone()),
        Some(_) if is_total && found.verdict == Verdict::Fail => {
            (found.verdict, found.reason.clone())
        }
        Some(cause) if is_total => {
            invalid(format!("{cause}, so this total is not the whole run's"))
        }
        Some(cause) if harness_was_late(variant, series) => invalid(format!(
            "{cause}, and the harness was late more than the broker"
        )),
        Some(cause) => (
            Verdict::Fail,
            format!("{cause}: the broker did not keep up"),
        ),
    }
}

/// Why there is nothing to judge, where that is so.
fn cut_short(stop: &Stop) -> Option<String> {
    match stop {
        Stop::Completed
        | Stop::MessagesSent
        | Stop::Overloaded { .. }
        | Stop::BacklogFull { .. } => None,
        Stop::Unfinished => Some("the run did not come to its end".to_owned()),
        Stop::Interrupted => Some("the run was interrupted".to_owned()),
        Stop::BrokerFailed { detail } => Some(format!("the broker failed: {detail}")),
        Stop::SystemFailed { detail } => Some(format!("this machine failed: {detail}")),
    }
}

/// Why the run ended before its time, where the load was more than could be carried. A full backlog is what a flood
/// is expected to come to, and says nothing against the rates measured before.
fn early_end(stop: &Stop, variant: &VariantRun) -> Option<String> {
    match stop {
        Stop::Overloaded { detail } => Some(format!("OVERLOADED ({detail})")),
        Stop::BacklogFull { detail } if variant.loops.iter().any(|l| l.has_schedule()) => {
            Some(format!("OVERLOADED, the backlog was full ({detail})"))
        }
        _ => None,
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
    } else if measured.confirmed > 0 {
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
    let Some(measured) = &variant.measured else {
        return Finding::unmeasured("the measure phase was not reached");
    };
    let (word, rate, done, due) = carried(variant, measured);
    let finding = |kept, reason| Finding {
        verdict: pass_if(kept),
        measured: format!("{rate:.0}/s"),
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
        let reason = format!(
            "{rate:.0} messages a second were {word} ({} loop)",
            loops.join(" and ")
        );
        return finding(claim.holds(rate, limit), reason);
    };
    let planned = nominal * copies_per_message(variant);
    let enough = u128::from(done) * 1000 >= u128::from(due) * u128::from(ENOUGH_PER_MILLE);
    let share = figure::share(done, due);
    let drain = variant.plan.timing.drain;
    let planned_shown = figure::rate(planned);
    let reason = match (claim.holds(planned, limit), enough) {
        (false, _) => format!("the planned {planned_shown} is less than the claim"),
        (true, true) => format!(
            "the planned {planned_shown} covers the claim, and {share} of what was due was {word} within the drain \
             limit of {drain}"
        ),
        (true, false) => format!(
            "only {share} of what was due was {word} within the drain limit of {drain}, and 99.5% is asked for"
        ),
    };
    finding(enough && claim.holds(planned, limit), reason)
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

// --- times --------------------------------------------------------------------------------------------------------

fn time(
    claim: &Claim,
    limit: u64,
    kind: Series,
    statistic: Statistic,
    variant: &VariantRun,
    series: &VariantSeries,
) -> Finding {
    let histogram = histogram(series, kind, None);
    let never = late_for_ever(variant, kind, None);
    let bound = bound(variant);
    let name = kind.tag().replace('-', " ");
    let (statistic, value) = match statistic {
        Statistic::Percentile(p) => (format!("P{p}"), quantile_at(histogram, never, p, bound)),
        Statistic::Max => (
            "maximum".to_owned(),
            quantile_at(histogram, never, 100.0, bound),
        ),
        Statistic::Mean => {
            let mean = match histogram {
                _ if never > 0 => Quantile::Above(bound),
                Some(histogram) => Quantile::Ns(histogram.mean().round() as u64),
                None => Quantile::None,
            };
            ("mean".to_owned(), mean)
        }
    };
    let late = match never {
        0 => String::new(),
        1 => "; 1 message never came and counts as late".to_owned(),
        n => format!(
            "; {} messages never came and count as late",
            figure::count(n)
        ),
    };
    let shown = figure::quantile(value);
    let reason = format!("{statistic} of the {name} time is {shown}{late}");
    match value {
        Quantile::None => Finding::unmeasured(&format!("no {name} times were measured")),
        Quantile::Above(_) => Finding {
            verdict: pass_if(matches!(
                claim.comparison,
                Comparison::Greater | Comparison::AtLeast
            )),
            measured: shown,
            value: None,
            reason,
        },
        Quantile::Ns(ns) => {
            // A histogram knows a value only to its bucket (0.1%): both ends must agree.
            let lowest = histogram.map_or(ns, |h| h.lowest_equivalent(ns));
            let is_mean = statistic == "mean";
            let (low, high) = if is_mean { (ns, ns) } else { (lowest, ns) };
            let (low, high) = (claim.holds(low, limit), claim.holds(high, limit));
            Finding {
                verdict: if low == high {
                    pass_if(high)
                } else {
                    Verdict::Inconclusive
                },
                measured: shown,
                value: Some(ns as f64),
                reason: if low == high {
                    reason
                } else {
                    format!(
                        "{reason}; closer to the limit than a histogram's bucket of 0.1% can tell"
                    )
                },
            }
        }
    }
}

// --- totals -------------------------------------------------------------------------------------------------------

fn total_of(claim: &Claim, limit: u64, total: Total, variant: &VariantRun) -> Finding {
    let Some(totals) = &variant.totals else {
        return Finding::unmeasured("the run has no totals");
    };
    let value = total_value(totals, total);
    Finding {
        verdict: pass_if(claim.holds(value, limit)),
        measured: value.to_string(),
        value: Some(value as f64),
        reason: format!(
            "{} {} over the whole run",
            figure::count(value),
            total.as_str().replace('_', " ")
        ),
    }
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
