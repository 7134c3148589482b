//! The rules of FIDELITY sections 2 and 23, each held by a change to one fixed run.

use super::*;
use crate::analysis::assess;
use crate::record::Series;
use crate::results::fixture::kept;
use crate::results::{Censored, LimitWindows, RunRecord, TimeAccount};

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
        unsent_hold_ns: 3_000_000_000,
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
    assert_eq!(result.reason, "only 1,000/s were planned");
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
        result.reason.contains("600 never came"),
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
    assert!(result.reason.starts_with("OVERLOADED"), "{}", result.reason);
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
        assert_eq!((result.measured.as_str(), result.value), ("-", None));
        assert!(!result.reason.contains("FORCED"), "{}", result.reason);
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

/// The verdict on the fixed run with these times to delivery instead of its own, all due in the same second, counted
/// against the claim's limit as the recorder counts them.
fn judged_on(text: &str, values: &[u64]) -> ClaimResult {
    let mut record = kept();
    let variant = &mut record.run.variants[0];
    variant.plan.claims = vec![text.parse().expect("a claim")];
    variant.limits = variant
        .plan
        .time_limits()
        .iter()
        .map(|limit| LimitWindows {
            series: limit.series,
            limit_ns: limit.limit_ns,
            due: vec![values.len() as u64],
            above: vec![values.iter().filter(|ns| **ns > limit.limit_ns).count() as u64],
        })
        .collect();
    for part in &mut record.series[0].histograms {
        if part.series == Series::DeliveryResponse {
            part.histogram.clear();
            for ns in values {
                part.histogram.record(*ns).expect("in range");
            }
        }
    }
    assess(&mut record);
    record.run.claims.remove(0)
}

#[test]
fn values_at_the_limit_and_a_nanosecond_beside_it_are_told_apart() {
    use Verdict::{Fail, Pass};
    // All within one bucket of the histogram, which is 8,192 ns wide there.
    for (value, less, at_most, greater) in [
        (9_999_999, Pass, Pass, Fail),
        (10_000_000, Fail, Pass, Fail),
        (10_000_001, Fail, Fail, Pass),
    ] {
        for (comparison, verdict) in [("<", less), ("<=", at_most), (">", greater)] {
            let claim = format!("delivery.p95 {comparison} 10ms");
            let result = judged_on(&claim, &[value; 20]);
            assert_eq!(result.verdict, verdict, "{value}: {}", result.text);
        }
    }
}

#[test]
fn as_many_may_be_above_the_limit_as_the_percentile_leaves_over() {
    for (above, verdict) in [(50, Verdict::Pass), (51, Verdict::Fail)] {
        let mut values = vec![10_000_000; 1000 - above];
        values.resize(1000, 10_000_001);
        let result = judged_on("delivery.p95 <= 10ms", &values);
        assert_eq!(result.verdict, verdict, "{above}: {}", result.reason);
    }
    let mut values = vec![10_000_000; 999];
    values.push(20_000_000);
    let result = judged_on("delivery.p95 <= 10ms", &values);
    assert!(
        result.reason.starts_with(
            "0.10% above the limit, 5% allowed; 0.10% in the worst second, 0 of 1 seconds over; P99.9 10.0 ms; max"
        ),
        "{}",
        result.reason
    );
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

#[test]
fn publishes_that_nobody_confirmed_are_no_throughput() {
    let result = judged("throughput >= 950/s", |v| {
        v.plan.consumers.clear();
        v.plan.producers[0].confirms = crate::plan::Confirms::Unbounded;
        measured(v).confirmed = 0;
        measured(v).confirmed_rate = 0.0;
    });
    assert_eq!(result.verdict, Verdict::Fail, "{}", result.reason);
}

#[test]
fn a_measure_phase_that_was_not_reached_is_no_throughput_of_zero() {
    let result = judged("throughput >= 950/s", |v| measured(v).seconds = 0.0);
    assert_eq!(result.verdict, Verdict::Invalid, "{}", result.reason);
}

#[test]
fn nothing_lost_is_undecided_where_missing_copies_are_not_accounted_for() {
    let with_missing = |ready| {
        move |v: &mut VariantRun| {
            v.subscriptions = vec![crate::results::Subscription {
                name: "q".into(),
                owed: 5,
                undelivered: 5,
                ready_at_end: ready,
                ..crate::results::Subscription::default()
            }];
        }
    };
    for (ready, verdict) in [
        (None, Verdict::Inconclusive),
        (Some(4), Verdict::Inconclusive),
        (Some(5), Verdict::Pass),
    ] {
        let result = judged("lost == 0", with_missing(ready));
        assert_eq!(result.verdict, verdict, "{ready:?}: {}", result.reason);
    }
    assert_eq!(
        judged("lost <= 5", with_missing(None)).verdict,
        Verdict::Pass
    );
}
