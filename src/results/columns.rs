//! The columns of `intervals.csv`: an [`IntervalRow`] to text and back without loss.
//!
//! Columns are found by their names when read, so that a later build may add some. Times stand in milliseconds with
//! nanosecond digits, so that reading back gives the very integers that were measured.

use std::collections::HashMap;

use super::{IntervalQuantiles, IntervalRow};
use crate::record::{Counts, Phase, Series};

type CountField = fn(&mut Counts) -> &mut u64;

/// The fields of [`Counts`] by name, in the order of the columns.
const COUNTS: [(&str, CountField); 15] = [
    ("planned", |c| &mut c.planned),
    ("sent", |c| &mut c.sent),
    ("confirmed", |c| &mut c.confirmed),
    ("nacked", |c| &mut c.nacked),
    ("returned", |c| &mut c.returned),
    ("unasked", |c| &mut c.unasked),
    ("delivered", |c| &mut c.delivered),
    ("duplicated", |c| &mut c.duplicated),
    ("redelivered", |c| &mut c.redelivered),
    ("reordered", |c| &mut c.reordered),
    ("corrupt", |c| &mut c.corrupt),
    ("foreign", |c| &mut c.foreign),
    ("out_of_range", |c| &mut c.out_of_range),
    ("sent_bytes", |c| &mut c.sent_bytes),
    ("delivered_bytes", |c| &mut c.delivered_bytes),
];

const RATES: [&str; 4] = ["planned", "sent", "confirmed", "delivered"];

type QuantileField = fn(&mut IntervalQuantiles) -> &mut u64;
const QUANTILES: [(&str, QuantileField); 4] = [
    ("p50", |q| &mut q.p50),
    ("p95", |q| &mut q.p95),
    ("p99", |q| &mut q.p99),
    ("max", |q| &mut q.max),
];

const PHASES: [Phase; 5] = [
    Phase::Setup,
    Phase::Warmup,
    Phase::Measure,
    Phase::Drain,
    Phase::Teardown,
];

/// The names of all columns of `intervals.csv`.
pub fn interval_header() -> Vec<String> {
    let mut header: Vec<String> = ["interval", "start_s", "end_s", "phase"]
        .map(str::to_owned)
        .to_vec();
    header.extend(COUNTS.iter().map(|(name, _)| (*name).to_owned()));
    header.extend(RATES.iter().map(|name| format!("{name}_per_s")));
    header.extend(["in_flight", "unconfirmed", "held", "blocked_producers"].map(str::to_owned));
    for series in Series::ALL {
        let word = series.tag().replace('-', "_");
        header.push(format!("{word}_count"));
        header.extend(
            QUANTILES
                .iter()
                .map(|(name, _)| format!("{word}_ms_{name}")),
        );
    }
    header
}

/// One line of `intervals.csv`, a text for each column.
pub fn interval_record(row: &IntervalRow) -> Vec<String> {
    let mut record = vec![
        row.interval.to_string(),
        decimal_text((row.start_s * 1e9).round() as u64, 9),
        decimal_text((row.end_s * 1e9).round() as u64, 9),
        row.phase.as_str().to_owned(),
    ];
    let mut counts = row.counts;
    record.extend(
        COUNTS
            .iter()
            .map(|(_, field)| field(&mut counts).to_string()),
    );
    let seconds = row.end_s - row.start_s;
    for name in RATES {
        let count = COUNTS
            .iter()
            .find(|(other, _)| *other == name)
            .map_or(0, |(_, field)| *field(&mut counts));
        record.push(if seconds > 0.0 {
            format!("{:.1}", count as f64 / seconds)
        } else {
            String::new()
        });
    }
    record.extend([
        row.in_flight.to_string(),
        row.unconfirmed.to_string(),
        row.held.to_string(),
        row.blocked.to_string(),
    ]);
    for series in Series::ALL {
        match row.quantiles.iter().find(|q| q.series == series) {
            Some(quantiles) => {
                let mut quantiles = *quantiles;
                record.push(quantiles.count.to_string());
                record.extend(
                    QUANTILES
                        .iter()
                        .map(|(_, field)| decimal_text(*field(&mut quantiles), 6)),
                );
            }
            None => {
                record.push("0".into());
                record.extend(QUANTILES.iter().map(|_| String::new()));
            }
        }
    }
    record
}

/// Reads one line back; `columns` says where each column stands.
pub(super) fn parse_interval(
    columns: &HashMap<String, usize>,
    record: &csv::StringRecord,
) -> Result<IntervalRow, String> {
    let text = |name: &str| -> Result<&str, String> {
        columns
            .get(name)
            .and_then(|at| record.get(*at))
            .ok_or_else(|| format!("there is no column `{name}`"))
    };
    let whole = |name: &str| -> Result<u64, String> {
        let found = text(name)?;
        found
            .parse()
            .map_err(|_| format!("column `{name}` holds `{found}`, expected a whole number"))
    };
    let scaled = |name: &str, digits: u32| -> Result<u64, String> {
        let found = text(name)?;
        parse_decimal(found, digits)
            .ok_or_else(|| format!("column `{name}` holds `{found}`, expected a decimal number"))
    };
    let narrow = |name: &str| -> Result<u32, String> {
        u32::try_from(whole(name)?).map_err(|_| format!("column `{name}` is out of range"))
    };
    let mut counts = Counts::default();
    for (name, field) in COUNTS {
        *field(&mut counts) = whole(name)?;
    }
    let mut quantiles = Vec::new();
    for series in Series::ALL {
        let word = series.tag().replace('-', "_");
        let count = whole(&format!("{word}_count"))?;
        if count == 0 {
            continue;
        }
        let mut found = IntervalQuantiles {
            series,
            count,
            p50: 0,
            p95: 0,
            p99: 0,
            max: 0,
        };
        for (name, field) in QUANTILES {
            *field(&mut found) = scaled(&format!("{word}_ms_{name}"), 6)?;
        }
        quantiles.push(found);
    }
    let phase = text("phase")?;
    Ok(IntervalRow {
        interval: narrow("interval")?,
        start_s: scaled("start_s", 9)? as f64 / 1e9,
        end_s: scaled("end_s", 9)? as f64 / 1e9,
        phase: PHASES
            .into_iter()
            .find(|known| known.as_str() == phase)
            .ok_or_else(|| format!("column `phase` holds `{phase}`, expected e.g. `measure`"))?,
        counts,
        in_flight: whole("in_flight")?,
        unconfirmed: whole("unconfirmed")?,
        blocked: narrow("blocked_producers")?,
        held: whole("held")?,
        quantiles,
    })
}

/// An integer as a decimal fraction with so many digits after the point, none of them superfluous.
pub(crate) fn decimal_text(value: u64, digits: u32) -> String {
    let scale = 10_u64.pow(digits);
    let (whole, fraction) = (value / scale, value % scale);
    if fraction == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{fraction:0width$}", width = digits as usize);
    text.trim_end_matches('0').to_owned()
}

fn parse_decimal(text: &str, digits: u32) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let missing = digits.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    let whole: u64 = whole.parse().ok()?;
    let fraction: u64 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    whole
        .checked_mul(10_u64.pow(digits))?
        .checked_add(fraction.checked_mul(10_u64.pow(missing))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_read_back_as_the_same_integer() {
        for (value, digits, text) in [
            (0, 6, "0"),
            (1, 6, "0.000001"),
            (1_500_000, 6, "1.5"),
            (12_000_000, 6, "12"),
            (u64::MAX, 6, "18446744073709.551615"),
        ] {
            assert_eq!(decimal_text(value, digits), text);
            assert_eq!(parse_decimal(text, digits), Some(value));
        }
        for text in ["", "x", "-1", "1.2345678", "1.2.3"] {
            assert_eq!(parse_decimal(text, 6), None, "{text}");
        }
    }
}
