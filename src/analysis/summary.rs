//! The numbers of each series over the measure phase, unanswered and unsent messages counted as infinitely late
//! (FIDELITY 8).

use hdrhistogram::Histogram;

use crate::plan::Confirms;
use crate::record::Series;
use crate::results::{Quantile, SeriesHistogram, SeriesSummary, Stop, VariantRun, VariantSeries};

/// Summaries of all series: for each kind of time all streams together first, then each stream where there are several.
pub fn summarize(variant: &VariantRun, series: &VariantSeries) -> Vec<SeriesSummary> {
    let mut wanted: Vec<(Series, Option<usize>)> = series
        .histograms
        .iter()
        .map(|part| (part.series, part.stream))
        .collect();
    // A series of which every message went unanswered has no histogram, and is there all the same.
    for censored in variant
        .censored
        .iter()
        .filter(|censored| censored.count > 0)
    {
        if !wanted.contains(&(censored.series, None)) {
            wanted.push((censored.series, None));
        }
    }
    for kind in unsent_series(variant) {
        if !wanted.contains(&(kind, None)) {
            wanted.push((kind, None));
        }
    }
    let place = |series: Series| Series::ALL.iter().position(|other| *other == series);
    wanted.sort_by_key(|(series, stream)| (place(*series), *stream));
    wanted
        .into_iter()
        .map(|(kind, stream)| {
            let histogram = histogram(series, kind, stream);
            summary(
                kind,
                stream,
                histogram,
                late_for_ever(variant, kind, stream),
                bound(variant),
            )
        })
        .collect()
}

/// The series in which unsent messages count as late, where there are any: all of them may have gone unsent.
fn unsent_series(variant: &VariantRun) -> Vec<Series> {
    let mut kinds = Vec::new();
    if unsent(variant) == 0 {
        return kinds;
    }
    let has_schedule = variant.loops.iter().any(|kind| kind.has_schedule());
    if !variant.plan.consumers.is_empty() {
        kinds.push(Series::DeliveryService);
        kinds.extend(has_schedule.then_some(Series::DeliveryResponse));
    }
    let fleets = &variant.plan.producers;
    if fleets.iter().any(|fleet| fleet.confirms != Confirms::Off) {
        kinds.push(Series::ConfirmService);
        kinds.extend(has_schedule.then_some(Series::ConfirmResponse));
    }
    kinds
}

fn summary(
    series: Series,
    stream: Option<usize>,
    histogram: Option<&Histogram<u64>>,
    censored: u64,
    bound_ns: u64,
) -> SeriesSummary {
    let at = |percentile| quantile_at(histogram, censored, percentile, bound_ns);
    SeriesSummary {
        stream,
        series,
        count: histogram.map_or(0, Histogram::len),
        censored,
        mean: histogram.map_or(0.0, Histogram::mean),
        min: histogram.map_or(0, Histogram::min),
        p50: at(50.0),
        p90: at(90.0),
        p95: at(95.0),
        p99: at(99.0),
        p999: at(99.9),
        max: match (censored, histogram) {
            (0, Some(histogram)) if !histogram.is_empty() => Quantile::Ns(histogram.max()),
            (0, _) => Quantile::None,
            _ => Quantile::Above(bound_ns),
        },
    }
}

/// The smallest value that at least `percentile` per cent of all messages do not exceed (nearest rank), where
/// `censored` further messages are later than every recorded value: [`Quantile::Above`] `bound_ns` where the rank falls
/// on one of them.
pub fn quantile_at(
    histogram: Option<&Histogram<u64>>,
    censored: u64,
    percentile: f64,
    bound_ns: u64,
) -> Quantile {
    let recorded = histogram.map_or(0, Histogram::len);
    let total = u128::from(recorded) + u128::from(censored);
    if total == 0 {
        return Quantile::None;
    }
    let rank = rank(percentile, total);
    let Some(histogram) = histogram.filter(|_| rank <= u128::from(recorded)) else {
        return Quantile::Above(bound_ns);
    };
    let mut seen = 0_u128;
    for step in histogram.iter_recorded() {
        seen += u128::from(step.count_since_last_iteration());
        if seen >= rank {
            return Quantile::Ns(histogram.highest_equivalent(step.value_iterated_to()));
        }
    }
    Quantile::Ns(histogram.max())
}

/// The rank of a percentile among `total` values (nearest rank), from 1; 0 where there are none.
pub(super) fn rank(percentile: f64, total: u128) -> u128 {
    // Whole parts in a milliard, so that 95% of 20 is 19 and not 19.000000000000004.
    let parts = (percentile * 1e7).round() as u128;
    (parts * total)
        .div_ceil(1_000_000_000)
        .clamp(1.min(total), total)
}

/// The histogram of one series, of one stream or of all together.
pub(super) fn histogram(
    series: &VariantSeries,
    kind: Series,
    stream: Option<usize>,
) -> Option<&Histogram<u64>> {
    let wanted = |part: &&SeriesHistogram| part.series == kind && part.stream == stream;
    series
        .histograms
        .iter()
        .find(wanted)
        .map(|part| &part.histogram)
}

/// Messages due in the measure phase for which this kind of time never came to an end: unanswered ones and, over all
/// streams, those that were never sent.
pub(super) fn late_for_ever(variant: &VariantRun, kind: Series, stream: Option<usize>) -> u64 {
    let unanswered: u64 = variant
        .censored
        .iter()
        .filter(|censored| censored.series == kind)
        .filter(|censored| stream.is_none_or(|stream| censored.stream == stream))
        .map(|censored| censored.count)
        .sum();
    let unsent = match (stream, kind) {
        (None, Series::ConfirmResponse | Series::ConfirmService) => unsent(variant),
        (None, Series::DeliveryResponse | Series::DeliveryService) => {
            (unsent(variant) as f64 * copies_per_message(variant)).ceil() as u64
        }
        _ => 0,
    };
    unanswered + unsent
}

/// Messages due in the measure phase and never sent. Not told apart by fleet, so that where only some fleets ask for
/// confirms all of them count: too many late ones rather than too few.
fn unsent(variant: &VariantRun) -> u64 {
    variant
        .measured
        .map_or(0, |measured| measured.planned.saturating_sub(measured.sent))
}

/// How many copies of each message are owed, on average: 1 where that cannot be known.
pub(super) fn copies_per_message(variant: &VariantRun) -> f64 {
    match variant.measured {
        Some(measured) if measured.sent > 0 && measured.owed > 0 => {
            measured.owed as f64 / measured.sent as f64
        }
        _ => 1.0,
    }
}

/// What an unanswered message's time is known to exceed: the drain limit, where the drain was waited out.
pub(super) fn bound(variant: &VariantRun) -> u64 {
    match variant.stop {
        Stop::Completed
        | Stop::MessagesSent
        | Stop::Overloaded { .. }
        | Stop::BacklogFull { .. } => variant.plan.timing.drain.as_ns(),
        Stop::Unfinished
        | Stop::Interrupted
        | Stop::BrokerFailed { .. }
        | Stop::SystemFailed { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_to(n: u64) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
        for value in 1..=n {
            histogram.record(value).expect("in range");
        }
        histogram
    }

    #[test]
    fn percentiles_are_nearest_ranks_over_recorded_and_unanswered_messages() {
        // 98 recorded (1..=98 ns) and 2 that never came: rank of P95 is 95, of P98 98, of P98.1 99.
        let histogram = one_to(98);
        for (percentile, expected) in [
            (50.0, Quantile::Ns(50)),
            (95.0, Quantile::Ns(95)),
            (98.0, Quantile::Ns(98)),
            (98.1, Quantile::Above(3)),
            (99.0, Quantile::Above(3)),
            (0.000_001, Quantile::Ns(1)),
        ] {
            assert_eq!(
                quantile_at(Some(&histogram), 2, percentile, 3),
                expected,
                "{percentile}"
            );
        }
    }

    #[test]
    fn ninety_five_per_cent_of_twenty_is_the_nineteenth() {
        assert_eq!(quantile_at(Some(&one_to(20)), 0, 95.0, 0), Quantile::Ns(19));
        assert_eq!(
            quantile_at(Some(&one_to(1000)), 0, 99.9, 0),
            Quantile::Ns(999)
        );
    }

    #[test]
    fn no_values_are_none_and_only_unanswered_ones_are_above() {
        assert_eq!(quantile_at(None, 0, 50.0, 7), Quantile::None);
        assert_eq!(quantile_at(None, 1, 50.0, 7), Quantile::Above(7));
    }

    #[test]
    fn the_unanswered_count_moves_every_percentile() {
        // Dropping the censored half would give P50 = 50; with it the rank is 100 of 200.
        assert_eq!(
            quantile_at(Some(&one_to(100)), 100, 50.0, 9),
            Quantile::Ns(100)
        );
        assert_eq!(
            quantile_at(Some(&one_to(100)), 101, 50.0, 9),
            Quantile::Above(9)
        );
    }
}
