//! The conditions on the run itself (FIDELITY section 2): where a truth gate fails, no number of the run is to be
//! believed; where the harness sent less than the schedule, nothing passes. Health gates have their place in
//! [`GateKind`] and none yet.

use crate::record::{Counts, Series};
use crate::results::{Environment, Gate, GateKind, Stop, Totals, VariantRun, VariantSeries};

use super::figure;
use super::summary::histogram;

/// Sent against planned, and delivered against due: at least so many of a thousand.
pub(super) const ENOUGH_PER_MILLE: u64 = 995;

const CLOCK_LIMIT_NS: u64 = 1000;

/// Clock sources that step instead of running.
const COARSE_SOURCES: [&str; 2] = ["jiffies", "refined-jiffies"];

/// All gates of one variant. A variant that has not ended has only the clock's.
pub fn gates(variant: &VariantRun, series: &VariantSeries, environment: &Environment) -> Vec<Gate> {
    let mut gates = Vec::new();
    if let Some(totals) = &variant.totals {
        gates.push(conservation(variant, series, totals));
        gates.push(range(totals));
        gates.push(corrupt(totals));
        gates.push(foreign(variant, totals));
    }
    gates.push(clock(environment));
    gates.extend(offered_load(variant, series));
    gates
}

fn truth(name: &str, held: bool, measured: String, limit: &str, remedy: &str) -> Gate {
    Gate {
        name: name.to_owned(),
        kind: GateKind::Truth,
        held,
        measured,
        limit: limit.to_owned(),
        remedy: remedy.to_owned(),
    }
}

fn conservation(variant: &VariantRun, series: &VariantSeries, totals: &Totals) -> Gate {
    let mut broken = unbalanced(totals);
    for subscription in &variant.subscriptions {
        let accounted = subscription.delivered
            + subscription.undelivered
            + subscription.dropped_by_design
            + subscription.lost_confirmed
            + subscription.lost_unconfirmed;
        if subscription.owed != accounted {
            broken.push(format!(
                "{}: owed {} but accounted for {accounted}",
                subscription.name, subscription.owed
            ));
        }
    }
    // A run that was cut off may have totals of more than its last whole interval.
    if matches!(variant.stop, Stop::Completed | Stop::MessagesSent) {
        broken.extend(differences(totals, series));
    }
    let held = broken.is_empty();
    truth(
        "conservation",
        held,
        if held {
            format!(
                "{} planned, {} copies owed, all accounted for",
                figure::count(totals.planned),
                figure::count(totals.owed)
            )
        } else {
            broken.join("; ")
        },
        "every message accounted for exactly once",
        "this is a defect of mqbench: please report it with this folder",
    )
}

fn unbalanced(totals: &Totals) -> Vec<String> {
    let settled =
        totals.confirmed + totals.nacked + totals.returned + totals.unconfirmed + totals.unasked;
    let copies = totals.delivered
        + totals.undelivered
        + totals.dropped_by_design
        + totals.lost_confirmed
        + totals.lost_unconfirmed;
    [
        (
            "planned",
            totals.planned,
            "sent + unsent",
            totals.sent + totals.unsent,
        ),
        ("sent", totals.sent, "settled", settled),
        (
            "owed",
            totals.owed,
            "delivered + undelivered + dropped + lost",
            copies,
        ),
    ]
    .into_iter()
    .filter(|(_, left, _, right)| left != right)
    .map(|(name, left, parts, right)| format!("{name} {left} but {parts} {right}"))
    .collect()
}

/// Totals are the sum of the intervals (DESIGN, invariant 5).
fn differences(totals: &Totals, series: &VariantSeries) -> Vec<String> {
    let mut sum = Counts::default();
    for row in &series.intervals {
        sum += row.counts;
    }
    [
        ("planned", totals.planned, sum.planned),
        ("sent", totals.sent, sum.sent),
        ("confirmed", totals.confirmed, sum.confirmed),
        ("nacked", totals.nacked, sum.nacked),
        ("returned", totals.returned, sum.returned),
        // Without confirms a publish is unasked when it is sent, and returned where it comes back later.
        (
            "unasked",
            totals.unasked,
            sum.unasked - (sum.unasked - totals.unasked.min(sum.unasked)).min(totals.returned),
        ),
        ("delivered", totals.delivered, sum.delivered),
        ("duplicated", totals.duplicated, sum.duplicated),
        ("redelivered", totals.redelivered, sum.redelivered),
        ("reordered", totals.reordered, sum.reordered),
        ("corrupt", totals.corrupt, sum.corrupt),
        ("foreign", totals.foreign, sum.foreign),
    ]
    .into_iter()
    .filter(|(_, total, sum)| total != sum)
    .map(|(name, total, sum)| format!("{name} {total} but its intervals add up to {sum}"))
    .collect()
}

fn range(totals: &Totals) -> Gate {
    truth(
        "range",
        totals.out_of_range == 0,
        format!("{} times out of range", figure::count(totals.out_of_range)),
        "0",
        "times below zero or above the histograms' range are counted, not shown: look for a clock that is not shared, \
         or for messages that waited longer than a minute",
    )
}

fn corrupt(totals: &Totals) -> Gate {
    truth(
        "corrupt",
        totals.corrupt == 0,
        format!("{} damaged messages", figure::count(totals.corrupt)),
        "0",
        "something between producer and consumer changes message bodies: look for plugins, shovels and proxies",
    )
}

fn foreign(variant: &VariantRun, totals: &Totals) -> Gate {
    let shared = variant.plan.topology.queues.iter().any(|queue| {
        queue.existing
            && variant
                .plan
                .consumers
                .iter()
                .any(|fleet| fleet.queue == queue.name)
    });
    truth(
        "foreign",
        totals.foreign == 0 || shared,
        format!("{} messages of others", figure::count(totals.foreign)),
        if shared {
            "any: the run reads a queue that it did not make"
        } else {
            "0"
        },
        "someone else publishes to this run's own queues: find out who, or run on a broker of your own",
    )
}

fn clock(environment: &Environment) -> Gate {
    let source = environment.clocksource.as_str();
    let held = environment.clock_resolution_ns <= CLOCK_LIMIT_NS
        && environment.clock_read_ns <= CLOCK_LIMIT_NS
        && !COARSE_SOURCES.contains(&source);
    truth(
        "clock",
        held,
        format!(
            "source {}, resolution {} ns, {} ns a reading",
            if source.is_empty() { "unknown" } else { source },
            environment.clock_resolution_ns,
            environment.clock_read_ns
        ),
        "a running clock, resolution and reading at most 1000 ns",
        "choose a better clock source (tsc) at boot, or run on another machine",
    )
}

/// Sent against the schedule's own count; there is none in loops without a schedule. What the broker held back is not
/// held against the run here: unsent messages count as late in every claim on times.
fn offered_load(variant: &VariantRun, series: &VariantSeries) -> Option<Gate> {
    let measured = variant.measured?;
    if !variant.loops.iter().any(|kind| kind.has_schedule()) || measured.planned == 0 {
        return None;
    }
    let enough = u128::from(measured.sent) * 1000
        >= u128::from(measured.planned) * u128::from(ENOUGH_PER_MILLE);
    let late = harness_was_late(variant, series);
    let blame = match (enough, late) {
        (true, _) => "",
        (false, true) => "; the harness was late",
        (false, false) => "; the broker held the rest back",
    };
    Some(Gate {
        name: "offered-load".to_owned(),
        kind: GateKind::OfferedLoad,
        held: enough || !late,
        measured: format!(
            "{} of what was due was sent ({} of {}){blame}",
            figure::share(measured.sent, measured.planned),
            figure::count(measured.sent),
            figure::count(measured.planned)
        ),
        limit: "at least 99.5%, but for what the broker held back".to_owned(),
        remedy: "the load machine could not keep up: give it more cores, lower the rate, or move other work away"
            .to_owned(),
    })
}

/// Whether more of the messages' delay before sending was the harness's own (pacer lag) than the broker's (hold).
pub fn harness_was_late(variant: &VariantRun, series: &VariantSeries) -> bool {
    let sum = |kind| histogram(series, kind, None).map_or(0.0, |h| h.mean() * h.len() as f64);
    // Messages that were never sent are not in the histogram of hold.
    let unsent: f64 = variant
        .time_account
        .iter()
        .map(|account| account.unsent_hold_ns as f64)
        .sum();
    sum(Series::PacerLag) > sum(Series::Hold) + unsent
}
