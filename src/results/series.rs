//! Adds up intervals as they come: one row each, and the whole-run histograms of what was due in the measure phase.
//!
//! Pure. Fed by the store while a run lasts, and from files when it is read back.

use std::collections::HashSet;

use hdrhistogram::{AdditionError, Histogram};

use super::{IntervalQuantiles, IntervalRow, SeriesHistogram, VariantSeries};
use crate::record::{Counts, Interval, Series, Stream};

/// Adds up the intervals of one variant.
#[derive(Debug, Clone)]
pub struct Accumulator {
    streams: Vec<Stream>,
    sums: VariantSeries,
}

impl Accumulator {
    /// Nothing yet, for a variant with these streams.
    pub fn new(streams: &[Stream]) -> Self {
        Self {
            streams: streams.to_vec(),
            sums: VariantSeries::default(),
        }
    }

    /// Adds one interval and gives its row.
    ///
    /// # Errors
    /// Where histograms of one series have different bounds, which no recorder makes.
    pub fn add(&mut self, interval: &Interval) -> Result<IntervalRow, AdditionError> {
        for part in interval.series.iter().filter(|part| part.measured) {
            self.add_histogram(part.stream, part.series, &part.histogram)?;
        }
        let row = row(interval)?;
        self.sums.intervals.push(row.clone());
        Ok(row)
    }

    /// The histograms of one interval that stand in `times.hlog`: for each series with values in the measure phase
    /// the sum over all streams, then each stream, where there is more than one.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub(super) fn measured(
        &self,
        interval: &Interval,
    ) -> Result<Vec<SeriesHistogram>, AdditionError> {
        let mut one = Self::new(&self.streams);
        for part in interval.series.iter().filter(|part| part.measured) {
            one.add_histogram(part.stream, part.series, &part.histogram)?;
        }
        Ok(one.finish().histograms)
    }

    fn add_histogram(
        &mut self,
        stream: Option<usize>,
        series: Series,
        histogram: &Histogram<u64>,
    ) -> Result<(), AdditionError> {
        self.add_to(None, series, histogram)?;
        if stream.is_some() && has_several_streams(series, &self.streams) {
            self.add_to(stream, series, histogram)?;
        }
        Ok(())
    }

    /// Adds a histogram to exactly this sum and to no other.
    pub(super) fn add_to(
        &mut self,
        stream: Option<usize>,
        series: Series,
        histogram: &Histogram<u64>,
    ) -> Result<(), AdditionError> {
        if histogram.is_empty() {
            return Ok(());
        }
        let sums = &mut self.sums.histograms;
        match sums
            .iter_mut()
            .find(|sum| sum.stream == stream && sum.series == series)
        {
            Some(sum) => sum.histogram.add(histogram),
            None => {
                sums.push(SeriesHistogram {
                    stream,
                    series,
                    histogram: histogram.clone(),
                });
                Ok(())
            }
        }
    }

    pub(super) fn push_row(&mut self, row: IntervalRow) {
        self.sums.intervals.push(row);
    }

    /// All that was added, series in the order in which they are shown.
    pub fn finish(mut self) -> VariantSeries {
        let place = |series| Series::ALL.iter().position(|other| *other == series);
        self.sums
            .histograms
            .sort_by_key(|sum| (place(sum.series), sum.stream));
        self.sums
    }
}

fn row(interval: &Interval) -> Result<IntervalRow, AdditionError> {
    let mut counts = Counts::default();
    for stream in &interval.counts {
        counts += *stream;
    }
    let mut merged: Vec<(Series, Histogram<u64>)> = Vec::new();
    for part in interval
        .series
        .iter()
        .filter(|part| !part.histogram.is_empty())
    {
        match merged.iter_mut().find(|(series, _)| *series == part.series) {
            Some((_, sum)) => sum.add(&part.histogram)?,
            None => merged.push((part.series, part.histogram.clone())),
        }
    }
    let mut quantiles: Vec<IntervalQuantiles> = merged
        .iter()
        .map(|(series, histogram)| IntervalQuantiles {
            series: *series,
            count: histogram.len(),
            p50: histogram.value_at_quantile(0.5),
            p95: histogram.value_at_quantile(0.95),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        })
        .collect();
    quantiles.sort_by_key(|q| Series::ALL.iter().position(|series| *series == q.series));
    Ok(IntervalRow {
        interval: interval.index,
        start_s: interval.start_ns as f64 / 1e9,
        end_s: interval.end_ns as f64 / 1e9,
        phase: interval.phase,
        counts,
        in_flight: interval.in_flight,
        unconfirmed: interval.unconfirmed,
        blocked: interval.blocked,
        held: interval.held,
        quantiles,
    })
}

fn is_of(series: Series, stream: &Stream) -> bool {
    match series {
        Series::DeliveryResponse | Series::DeliveryService => stream.queue.is_some(),
        Series::ConfirmResponse | Series::ConfirmService | Series::PacerLag | Series::Hold => {
            stream.queue.is_none()
        }
        Series::Hiccup => false,
    }
}

fn has_several_streams(series: Series, streams: &[Stream]) -> bool {
    streams
        .iter()
        .filter(|stream| is_of(series, stream))
        .count()
        > 1
}

/// For each stream the word that follows a series' tag in `times.hlog` and in the names of `.hgrm` files: the fleet's
/// name, with the queue's where that alone is not unique; characters outside `[A-Za-z0-9._-]` become `_`.
pub fn stream_tags(streams: &[Stream]) -> Vec<String> {
    let mut taken = HashSet::new();
    streams
        .iter()
        .enumerate()
        .map(|(index, stream)| {
            let fleet = plain(&stream.fleet);
            let queue = stream.queue.as_deref().map(plain).unwrap_or_default();
            [
                fleet.clone(),
                format!("{fleet}.{queue}"),
                format!("{fleet}.{index}"),
            ]
            .into_iter()
            .find(|tag| taken.insert(tag.clone()))
            .unwrap_or_else(|| format!("stream.{index}"))
        })
        .collect()
}

fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(fleet: &str, queue: Option<&str>) -> Stream {
        Stream {
            fleet: fleet.into(),
            queue: queue.map(str::to_owned),
        }
    }

    #[test]
    fn tags_of_streams_are_unique_and_hold_no_space_or_comma() {
        let tags = stream_tags(&[
            stream("api, v2", None),
            stream("w", Some("a b")),
            stream("w", Some("c")),
            stream("w", Some("c")),
        ]);
        assert_eq!(tags, ["api__v2", "w", "w.c", "w.3"]);
    }
}
