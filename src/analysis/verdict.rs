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
mod tests {
    use super::*;
    use crate::analysis::assess;
    use crate::results::fixture::kept;
    use crate::results::{Censored, RunRecord, TimeAccount};

    /// Judges one claim on the fixed run (planned 1000/s for 10 s, all kept: P95 of the delivery response 2.02 ms) after
    /// a change to it.
    fn judged(text: &str, change: impl FnOnce(&mut VariantRun)) -> ClaimResult {
        let mut record: RunRecord = kept();
        let variant = &mut record.run.variants[0];
        variant.plan.claims = vec![text.parse().expect("a claim")];
        change(variant);
        assess(&mut record);
        record.run.claims.remove(0)
    }

    fn measured(variant: &mut VariantRun) -> &mut Measured {
        variant.measured.as_mut().expect("the fixed run has one")
    }

    /// Lets some of the messages due in the measure phase go unsent.
    fn unsent(variant: &mut VariantRun, count: u64) {
        let measured = measured(variant);
        measured.sent -= count;
        measured.owed -= count;
        measured.delivered -= count;
    }

    /// More waiting for the broker than any pacer lag.
    fn broker_held(variant: &mut VariantRun) {
        variant.time_account = vec![TimeAccount {
            blocked_ns: 3_000_000_000,
            ..TimeAccount::default()
        }];
    }

    /// No waiting for the broker at all: neither in the account nor in the series.
    fn harness_late(record: &mut RunRecord) {
        record.run.variants[0].time_account.clear();
        record.series[0]
            .histograms
            .retain(|part| part.series != Series::Hold);
    }

    #[test]
    fn throughput_passes_from_995_of_1000_due_and_not_below() {
        for (delivered, verdict) in [(9950, Verdict::Pass), (9949, Verdict::Fail)] {
            let result = judged("throughput >= 950/s", |v| measured(v).delivered = delivered);
            assert_eq!(result.verdict, verdict, "{delivered}: {}", result.reason);
        }
        let result = judged("throughput >= 1001/s", |_| ());
        assert_eq!(result.verdict, Verdict::Fail);
        assert_eq!(result.reason, "the planned 1.000k/s is less than the claim");
    }

    #[test]
    fn without_a_schedule_the_measured_rate_is_held_against_the_claim() {
        for (rate, verdict) in [(950.0, Verdict::Pass), (949.9, Verdict::Fail)] {
            let result = judged("throughput >= 950/s", |v| {
                v.plan.producers[0].rate = None;
                v.loops = vec![crate::plan::LoopKind::Closed];
                measured(v).offered_rate = None;
                measured(v).delivered_rate = rate;
            });
            assert_eq!(result.verdict, verdict, "{}", result.reason);
        }
    }

    #[test]
    fn unanswered_messages_make_a_percentile_unbounded() {
        // 10,000 recorded and 527 that never came: the rank of P95 of 10,527 is 10,001.
        let censor = |count| {
            move |v: &mut VariantRun| {
                v.censored = vec![Censored {
                    stream: 1,
                    series: Series::DeliveryResponse,
                    count,
                }];
            }
        };
        let result = judged("delivery.p95 < 10s", censor(527));
        assert_eq!(
            (result.verdict, result.measured.as_str()),
            (Verdict::Fail, "> 3 s")
        );
        assert_eq!(result.value, None);
        let result = judged("delivery.p95 < 10s", censor(526));
        assert_eq!(result.verdict, Verdict::Pass);
        assert_eq!(
            judged("delivery.max < 10s", censor(1)).verdict,
            Verdict::Fail
        );
        assert_eq!(
            judged("delivery.mean < 10s", censor(1)).verdict,
            Verdict::Fail
        );
        assert_eq!(
            judged("delivery.service.max < 10s", censor(1)).verdict,
            Verdict::Pass
        );
    }

    #[test]
    fn unsent_messages_count_as_late_where_the_broker_held_them_back() {
        let result = judged("delivery.p95 < 10s", |v| {
            broker_held(v);
            unsent(v, 600);
        });
        assert_eq!(
            (result.verdict, result.measured.as_str()),
            (Verdict::Fail, "> 3 s")
        );
        assert!(
            result.reason.contains("600 messages never came"),
            "{}",
            result.reason
        );
    }

    #[test]
    fn nothing_passes_or_fails_on_time_where_the_harness_was_late() {
        for (text, verdict) in [
            ("throughput >= 900/s", Verdict::Invalid),
            ("delivery.p95 < 10ms", Verdict::Invalid),
            ("delivery.p50 < 10ms", Verdict::Invalid),
            ("lost == 0", Verdict::Invalid),
            ("nacked == 1", Verdict::Fail),
        ] {
            let mut record = kept();
            harness_late(&mut record);
            unsent(&mut record.run.variants[0], 51);
            record.run.variants[0].plan.claims = vec![text.parse().expect("a claim")];
            assess(&mut record);
            let claim = &record.run.claims[0];
            assert_eq!(claim.verdict, verdict, "{text}: {}", claim.reason);
        }
        // Half a per cent is the limit: 50 of 10,000 are still enough.
        let mut record = kept();
        harness_late(&mut record);
        unsent(&mut record.run.variants[0], 50);
        assess(&mut record);
        assert_eq!(record.run.verdict, Some(Verdict::Pass));
    }

    #[test]
    fn overload_fails_where_the_broker_held_and_is_invalid_where_the_harness_was_late() {
        let stop = Stop::Overloaded {
            detail: "11 s behind".into(),
        };
        let result = judged("delivery.p95 < 10ms", |v| {
            v.stop = stop.clone();
            broker_held(v);
        });
        assert_eq!(result.verdict, Verdict::Fail);
        assert!(
            result.reason.starts_with("OVERLOADED (11 s behind)"),
            "{}",
            result.reason
        );
        let mut record = kept();
        harness_late(&mut record);
        record.run.variants[0].stop = stop;
        assess(&mut record);
        assert_eq!(record.run.verdict, Some(Verdict::Invalid));
    }

    #[test]
    fn a_run_that_was_cut_short_or_cannot_be_trusted_is_invalid() {
        let broker = Stop::BrokerFailed {
            detail: "CONNECTION_FORCED".into(),
        };
        for stop in [Stop::Interrupted, Stop::Unfinished, broker] {
            let result = judged("lost == 0", |v| v.stop = stop.clone());
            assert_eq!(result.verdict, Verdict::Invalid, "{stop:?}");
        }
        let totals = |change: fn(&mut Totals)| {
            move |v: &mut VariantRun| change(v.totals.as_mut().expect("the fixed run has them"))
        };
        for change in [
            totals(|t| t.planned += 1),
            totals(|t| t.confirmed -= 1),
            totals(|t| t.delivered -= 1),
            totals(|t| t.out_of_range = 1),
            totals(|t| t.corrupt = 1),
            totals(|t| t.foreign = 1),
        ] {
            let result = judged("delivery.p95 < 10ms", change);
            assert_eq!(result.verdict, Verdict::Invalid, "{}", result.reason);
        }
    }

    #[test]
    fn messages_of_others_are_expected_only_in_queues_that_the_run_did_not_make() {
        for (existing, verdict) in [(true, Verdict::Pass), (false, Verdict::Invalid)] {
            let mut record = kept();
            let variant = &mut record.run.variants[0];
            variant.plan.topology.queues[0].existing = existing;
            variant
                .totals
                .as_mut()
                .expect("the fixed run has them")
                .foreign = 5;
            record.series[0].intervals[3].counts.foreign = 5;
            assess(&mut record);
            assert_eq!(record.run.verdict, Some(verdict));
        }
        // A claim about that very total is judged all the same.
        let mut record = kept();
        let variant = &mut record.run.variants[0];
        variant.plan.claims = vec!["foreign == 0".parse().expect("a claim")];
        variant
            .totals
            .as_mut()
            .expect("the fixed run has them")
            .foreign = 5;
        record.series[0].intervals[3].counts.foreign = 5;
        assess(&mut record);
        assert_eq!(record.run.verdict, Some(Verdict::Fail));
    }

    #[test]
    fn a_limit_within_the_bucket_of_the_value_decides_nothing() {
        // P95 of the fixed run lies in the bucket from 2,017,280 to 2,018,303 ns.
        for (limit, verdict) in [
            ("2017279ns", Verdict::Fail),
            ("2017900ns", Verdict::Inconclusive),
            ("2018304ns", Verdict::Pass),
        ] {
            let result = judged(&format!("delivery.p95 < {limit}"), |_| ());
            assert_eq!(result.verdict, verdict, "{limit}: {}", result.reason);
        }
    }

    #[test]
    fn what_was_not_measured_is_no_number() {
        let result = judged("delivery.p95 < 10ms", |v| v.measured = None);
        assert_eq!(result.verdict, Verdict::Pass);
        let mut record = kept();
        record.series[0].histograms.clear();
        assess(&mut record);
        let verdicts: Vec<Verdict> = record.run.claims.iter().map(|c| c.verdict).collect();
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Invalid, Verdict::Pass]);
        assert_eq!(record.run.verdict, Some(Verdict::Invalid));
    }

    #[test]
    fn the_worst_verdict_is_the_runs() {
        use Verdict::{Fail, Inconclusive, Invalid, Pass};
        assert_eq!(overall([]), None);
        assert_eq!(overall([Pass, Inconclusive]), Some(Inconclusive));
        assert_eq!(overall([Inconclusive, Invalid, Pass]), Some(Invalid));
        assert_eq!(overall([Invalid, Fail, Pass]), Some(Fail));
    }
}
