//! `<tag>.hgrm`: a percentile distribution in HdrHistogram's classic text format, values in milliseconds.
//!
//! The format knows no unanswered messages: these files hold the recorded values alone, and `run.json` says how many
//! never came.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::RenderError;
use crate::record::Stream;
use crate::results::{VariantSeries, series_tag, stream_tags};

/// Reporting steps for each halving of the distance to 100%, as in HdrHistogram's own tools.
const TICKS_PER_HALF: u32 = 5;
const NS_PER_MS: f64 = 1e6;

/// Name and content of each file of one variant.
///
/// # Errors
/// Where a text cannot be written.
pub fn files(
    streams: &[Stream],
    series: &VariantSeries,
) -> Result<Vec<(String, String)>, RenderError> {
    let tags = stream_tags(streams);
    series
        .histograms
        .iter()
        .map(|part| {
            let name = format!("{}.hgrm", series_tag(part, &tags));
            let text = distribution(&part.histogram).map_err(|e| RenderError::new(&name, e))?;
            Ok((name, text))
        })
        .collect()
}

/// The layout of Java's `outputPercentileDistribution`.
fn distribution(histogram: &Histogram<u64>) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(
        text,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut seen = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        seen += step.count_since_last_iteration();
        let value = histogram.highest_equivalent(step.value_iterated_to()) as f64 / NS_PER_MS;
        let quantile = step.quantile_iterated_to();
        write!(text, "{value:12.6} {quantile:14.12} {seen:10}")?;
        if quantile < 1.0 {
            writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(text)?;
        }
    }
    writeln!(
        text,
        "#[Mean    = {:12.6}, StdDeviation   = {:12.6}]",
        histogram.mean() / NS_PER_MS,
        histogram.stdev() / NS_PER_MS
    )?;
    writeln!(
        text,
        "#[Max     = {:12.6}, Total count    = {:12}]",
        histogram.max() as f64 / NS_PER_MS,
        histogram.len()
    )?;
    writeln!(
        text,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.buckets(),
        sub_buckets(histogram)
    )?;
    Ok(text)
}

/// How HdrHistogram chooses the number of its sub-buckets: the power of two that tells values of so many digits apart.
fn sub_buckets(histogram: &Histogram<u64>) -> u64 {
    (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two()
}
