//! `times.hlog`: the HdrHistogram interval log, version 1.3, with V2 deflate payloads (the only ones that Java's readers
//! take). Values are nanoseconds; the human-readable maximum of each line is in milliseconds.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

use super::{SeriesHistogram, stream_tags};
use crate::record::{Series, Stream};

const NS_PER_MS: f64 = 1e6;

/// The head of the file: format, writer, and when the load began.
pub(super) fn header(started: SystemTime) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(&format!(
            "[mqbench {}; values in ns, Interval_Max in ms; messages due in the measure phase]",
            env!("CARGO_PKG_VERSION")
        ))
        .with_start_time(started)
        .with_base_time(started)
        .with_max_value_divisor(NS_PER_MS)
        .begin_log_with(&mut bytes, &mut V2DeflateSerializer::new())
        .map_err(|error| error.to_string())?;
    bytes.extend_from_slice(
        b"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
    );
    Ok(bytes)
}

/// The lines of one interval.
pub(super) fn lines(
    serializer: &mut V2DeflateSerializer,
    tags: &[String],
    start_ns: u64,
    end_ns: u64,
    histograms: &[SeriesHistogram],
) -> Result<Vec<u8>, String> {
    // A log's writer borrows its serializer, so each interval gets one of its own; it repeats the divisor's comment,
    // which belongs to the head alone.
    let mut repeated = Vec::new();
    IntervalLogWriterBuilder::new()
        .with_max_value_divisor(NS_PER_MS)
        .begin_log_with(&mut repeated, serializer)
        .map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .with_max_value_divisor(NS_PER_MS)
        .begin_log_with(&mut bytes, serializer)
        .map_err(|error| error.to_string())?;
    for part in histograms {
        let tag = tag(part, tags);
        writer
            .write_histogram(
                &part.histogram,
                Duration::from_nanos(start_ns),
                Duration::from_nanos(end_ns.saturating_sub(start_ns)),
                Tag::new(&tag),
            )
            .map_err(|error| error.to_string())?;
    }
    Ok(bytes.split_off(repeated.len()))
}

/// The tag of a series, over all streams or of one.
pub(crate) fn tag(part: &SeriesHistogram, tags: &[String]) -> String {
    match part.stream.and_then(|stream| tags.get(stream)) {
        Some(stream) => format!("{}.{stream}", part.series.tag()),
        None => part.series.tag().to_owned(),
    }
}

/// One line read back.
pub(super) struct Line {
    pub(super) start: Duration,
    pub(super) stream: Option<usize>,
    pub(super) series: Series,
    pub(super) histogram: Histogram<u64>,
}

/// Reads whole lines. Whoever calls cuts a torn last line off first.
pub(super) fn parse(bytes: &[u8], streams: &[Stream]) -> Result<Vec<Line>, String> {
    let tags = stream_tags(streams);
    let known: Vec<(String, Option<usize>, Series)> = Series::ALL
        .into_iter()
        .flat_map(|series| {
            let all = (series.tag().to_owned(), None, series);
            let each = tags
                .iter()
                .enumerate()
                .map(move |(index, tag)| (format!("{}.{tag}", series.tag()), Some(index), series));
            std::iter::once(all).chain(each)
        })
        .collect();
    let mut deserializer = Deserializer::new();
    let mut lines = Vec::new();
    for entry in IntervalLogIterator::new(bytes) {
        let entry =
            entry.map_err(|error| format!("{error:?}, expected a line of an HdrHistogram log"))?;
        let LogEntry::Interval(interval) = entry else {
            continue;
        };
        let tag = interval.tag().map_or("", |tag| tag.as_str());
        let (_, stream, series) = known
            .iter()
            .find(|(name, ..)| name == tag)
            .ok_or_else(|| format!("unknown tag `{tag}`"))?;
        let payload = base64::engine::general_purpose::STANDARD
            .decode(interval.encoded_histogram())
            .map_err(|error| format!("a histogram of `{tag}` is no base64: {error}"))?;
        let histogram = deserializer
            .deserialize(&mut payload.as_slice())
            .map_err(|error| format!("a histogram of `{tag}` cannot be decoded: {error}"))?;
        lines.push(Line {
            start: interval.start_timestamp(),
            stream: *stream,
            series: *series,
            histogram,
        });
    }
    Ok(lines)
}
