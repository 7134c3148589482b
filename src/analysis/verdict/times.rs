//! Claims on times: percentiles by the exact counts of times above the limit (FIDELITY 13), so that no verdict hangs on a
//! histogram's bucket; everything else by the histogram.

use hdrhistogram::Histogram;

use super::{Finding, pass_if};
use crate::analysis::figure;
use crate::analysis::summary::{bound, histogram, late_for_ever, quantile_at, rank};
use crate::claim::{Claim, Comparison, Statistic};
use crate::record::Series;
use crate::results::{LimitWindows, Quantile, VariantRun, VariantSeries, Verdict};

/// Judges a claim that a statistic of one kind of time keeps to `limit` ns.
pub(super) fn judged(
    claim: &Claim,
    limit: u64,
    kind: Series,
    statistic: Statistic,
    variant: &VariantRun,
    series: &VariantSeries,
) -> Finding {
    let times = Times {
        histogram: histogram(series, kind, None),
        never: late_for_ever(variant, kind, None),
        bound: bound(variant),
    };
    let value = times.value(statistic);
    if value == Quantile::None {
        return Finding::unmeasured(&format!(
            "no {} times were measured",
            kind.tag().replace('-', " ")
        ));
    }
    let (verdict, mut parts) = match statistic {
        Statistic::Percentile(p) => match exact(claim, limit, kind, variant) {
            Some(windows) => by_count(claim, p, windows, &times),
            None => by_bucket(claim, limit, value, &times, true),
        },
        Statistic::Max => by_bucket(claim, limit, value, &times, true),
        Statistic::Mean => by_bucket(claim, limit, value, &times, false),
    };
    if times.never > 0 {
        parts.push(format!(
            "{} never came and count as late",
            figure::count(times.never)
        ));
    }
    if statistic != Statistic::Percentile(99.9) && statistic != Statistic::Max {
        parts.push(format!("P99.9 {}", times.shown(99.9)));
    }
    if statistic != Statistic::Max {
        parts.push(format!("max {}", times.shown(100.0)));
    }
    Finding {
        verdict,
        measured: figure::quantile(value),
        value: match value {
            Quantile::Ns(ns) => Some(ns as f64),
            Quantile::Above(_) | Quantile::None => None,
        },
        reason: parts.join("; "),
    }
}

/// The times of one series, and the messages for which there is none.
struct Times<'a> {
    histogram: Option<&'a Histogram<u64>>,
    /// Messages that never came.
    never: u64,
    /// What their times are known to exceed, in ns.
    bound: u64,
}

impl Times<'_> {
    fn value(&self, statistic: Statistic) -> Quantile {
        match statistic {
            Statistic::Percentile(p) => quantile_at(self.histogram, self.never, p, self.bound),
            Statistic::Max => quantile_at(self.histogram, self.never, 100.0, self.bound),
            Statistic::Mean if self.never > 0 => Quantile::Above(self.bound),
            Statistic::Mean => match self.histogram.filter(|h| !h.is_empty()) {
                Some(histogram) => Quantile::Ns(histogram.mean().round() as u64),
                None => Quantile::None,
            },
        }
    }

    fn shown(&self, percentile: f64) -> String {
        figure::quantile(quantile_at(
            self.histogram,
            self.never,
            percentile,
            self.bound,
        ))
    }

    /// Recorded times and those that never came: what percentiles are taken of. Publishes that were nacked or returned
    /// have no time to a confirm and are in neither.
    fn all(&self) -> u64 {
        self.histogram.map_or(0, Histogram::len) + self.never
    }
}

/// The exact counts that decide this claim, where the run has them.
fn exact<'a>(
    claim: &Claim,
    limit: u64,
    kind: Series,
    variant: &'a VariantRun,
) -> Option<&'a LimitWindows> {
    // Times are whole nanoseconds: at least the limit is above one less.
    let highest_below = match claim.comparison {
        Comparison::Less | Comparison::AtLeast => limit.checked_sub(1)?,
        Comparison::AtMost | Comparison::Greater => limit,
        Comparison::Equal => return None,
    };
    variant
        .limits
        .iter()
        .find(|windows| windows.series == kind && windows.limit_ns == highest_below)
}

/// The verdict by the number of times above the limit. The percentile is above the limit where its rank falls on one of
/// them.
fn by_count(
    claim: &Claim,
    percentile: f64,
    windows: &LimitWindows,
    times: &Times,
) -> (Verdict, Vec<String>) {
    let all = times.all();
    let above = (windows.above.iter().sum::<u64>() + times.never).min(all);
    let is_above = u128::from(all - above) < rank(percentile, all.into());
    let is_upper = matches!(claim.comparison, Comparison::Less | Comparison::AtMost);
    let allowed = format!("{:.7}", 100.0 - percentile);
    let allowed = allowed.trim_end_matches('0').trim_end_matches('.');
    if above == 0 && is_upper {
        return (Verdict::Pass, vec!["none above the limit".to_owned()]);
    }
    let mut parts = vec![format!(
        "{} above the limit, {}{allowed}% {}",
        figure::share(above, all),
        if is_upper { "" } else { "more than " },
        if is_upper { "allowed" } else { "wanted" },
    )];
    // The windows know only of answers that came; beside some that never did they would contradict the share.
    if times.never == 0 {
        parts.extend(windows_told(percentile, windows));
    }
    (pass_if(is_upper != is_above), parts)
}

/// The worst window, and how many of them would have missed the limit by themselves. Windows without messages are none.
fn windows_told(percentile: f64, windows: &LimitWindows) -> Option<String> {
    let pairs: Vec<(u64, u64)> = windows
        .above
        .iter()
        .zip(&windows.due)
        .map(|(above, due)| (*above, *due))
        .filter(|(_, due)| *due > 0)
        .collect();
    let worse = |(above, due): &(u64, u64), (other, of): &(u64, u64)| {
        (u128::from(*above) * u128::from(*of)).cmp(&(u128::from(*other) * u128::from(*due)))
    };
    let (above, due) = pairs.iter().copied().max_by(worse)?;
    let over = pairs
        .iter()
        .filter(|(above, due)| {
            u128::from(due.saturating_sub(*above)) < rank(percentile, (*due).into())
        })
        .count();
    Some(format!(
        "{} in the worst second, {over} of {} seconds over",
        figure::share(above, due),
        pairs.len()
    ))
}

/// The verdict by a value that is known to its bucket of 0.1% only, unless it is the mean.
fn by_bucket(
    claim: &Claim,
    limit: u64,
    value: Quantile,
    times: &Times,
    is_bucketed: bool,
) -> (Verdict, Vec<String>) {
    let ns = match value {
        Quantile::Ns(ns) => ns,
        // Later than everything: only a claim that it is late is kept.
        Quantile::Above(_) | Quantile::None => {
            let wants_late = matches!(claim.comparison, Comparison::Greater | Comparison::AtLeast);
            return (pass_if(wants_late), Vec::new());
        }
    };
    let lowest = match times.histogram {
        Some(histogram) if is_bucketed => histogram.lowest_equivalent(ns),
        _ => ns,
    };
    let (low, high) = (claim.holds(lowest, limit), claim.holds(ns, limit));
    if low == high {
        (pass_if(high), Vec::new())
    } else {
        let reason = "closer to the limit than a histogram's bucket of 0.1% can tell";
        (Verdict::Inconclusive, vec![reason.to_owned()])
    }
}
