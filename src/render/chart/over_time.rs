//! Rates and percentiles over time, phases shaded.

use super::axis::{Axis, short, short_time};
use super::canvas::{BLUE, Canvas, DrawError, Frame, GREY, Ink, ORANGE, SKY, VERMILLION};
use crate::record::{Counts, Phase, Series};
use crate::results::{IntervalQuantiles, IntervalRow, VariantRun, VariantSeries};

const SIZE: (u32, u32) = (900, 380);

/// Shorter intervals (the last one, as a rule) hold too few messages for a rate.
const LEAST_SECONDS: f64 = 0.05;

type Line<T> = (Ink, fn(&T) -> u64);

// Drawn in this order, each thinner than the one before: where lines coincide, all of them can still be seen.
const RATES: [Line<Counts>; 4] = [
    (
        Ink {
            name: "offered",
            color: GREY,
            width: 9,
        },
        |c| c.planned,
    ),
    (
        Ink {
            name: "sent",
            color: SKY,
            width: 6,
        },
        |c| c.sent,
    ),
    (
        Ink {
            name: "confirmed",
            color: ORANGE,
            width: 4,
        },
        |c| c.confirmed,
    ),
    (
        Ink {
            name: "delivered",
            color: BLUE,
            width: 2,
        },
        |c| c.delivered,
    ),
];

const TIMES: [Line<IntervalQuantiles>; 3] = [
    (
        Ink {
            name: "P99",
            color: VERMILLION,
            width: 2,
        },
        |q| q.p99,
    ),
    (
        Ink {
            name: "P95",
            color: BLUE,
            width: 2,
        },
        |q| q.p95,
    ),
    (
        Ink {
            name: "P50",
            color: SKY,
            width: 2,
        },
        |q| q.p50,
    ),
];

/// Messages a second in each interval.
pub(super) fn rates(subtitle: &str, series: &VariantSeries) -> Result<String, DrawError> {
    let rows: Vec<&IntervalRow> = series
        .intervals
        .iter()
        .filter(|row| row.end_s - row.start_s >= LEAST_SECONDS)
        .collect();
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, SIZE)?;
    // Where nothing was confirmed, nobody asked for it, or nothing else was either.
    let lines: Vec<Line<Counts>> = RATES
        .into_iter()
        .filter(|(ink, pick)| {
            ink.name != "confirmed" || rows.iter().any(|row| pick(&row.counts) > 0)
        })
        .collect();
    let inks: Vec<Ink> = lines.iter().map(|(ink, _)| *ink).collect();
    let room = canvas.head("Rates over time", subtitle, &inks)?;
    if rows.is_empty() {
        canvas.nothing(room, "no interval was complete")?;
    } else {
        let rate = |row: &IntervalRow, pick: fn(&Counts) -> u64| {
            pick(&row.counts) as f64 / (row.end_s - row.start_s)
        };
        let highest = rows
            .iter()
            .flat_map(|row| RATES.map(|(_, pick)| rate(row, pick)))
            .fold(0.0, f64::max);
        // Lines are wide: the topmost must not stand on the frame.
        let y = Axis::linear("messages a second", highest * 1.05, short);
        let (x, frame) = time_axes(&canvas, room, &rows, &y)?;
        for (ink, pick) in lines {
            let points: Vec<_> = rows
                .iter()
                .map(|row| (frame.x(&x, middle(row)), frame.y(&y, rate(row, pick))))
                .collect();
            canvas.line(&points, &ink)?;
        }
    }
    canvas.finish()?;
    Ok(svg)
}

/// Percentiles of each interval, of response times to delivery or of what comes nearest to them.
pub(super) fn times(
    subtitle: &str,
    variant: &VariantRun,
    series: &VariantSeries,
) -> Result<String, DrawError> {
    let kind = shown_series(series);
    let name = kind.tag().replace('-', " ");
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, SIZE)?;
    let title = format!("Percentiles over time: {name} time");
    let never: u64 = variant
        .series
        .iter()
        .filter(|s| s.series == kind && s.stream.is_none())
        .map(|s| s.censored)
        .sum();
    let subtitle = match never {
        0 => subtitle.to_owned(),
        n => format!("{subtitle}; {n} messages never came and are in no interval"),
    };
    let room = canvas.head(&title, &subtitle, &TIMES.map(|(ink, _)| ink))?;
    let found = |row: &IntervalRow| row.quantiles.iter().find(|q| q.series == kind).copied();
    let all: Vec<u64> = series
        .intervals
        .iter()
        .filter_map(found)
        .flat_map(|q| TIMES.map(|(_, pick)| pick(&q)))
        .collect();
    if let (Some(least), Some(most)) = (all.iter().min(), all.iter().max()) {
        let rows: Vec<&IntervalRow> = series.intervals.iter().collect();
        let y = Axis::log(
            "time (log scale)",
            (*least).max(1) as f64,
            *most as f64,
            short_time,
        );
        let (x, frame) = time_axes(&canvas, room, &rows, &y)?;
        for (ink, pick) in TIMES {
            // An interval without values is a gap, not a line across it.
            for part in rows
                .split(|row| found(row).is_none())
                .filter(|part| !part.is_empty())
            {
                let points: Vec<_> = part
                    .iter()
                    .filter_map(|row| found(row).map(|q| (row, pick(&q) as f64)))
                    .map(|(row, ns)| (frame.x(&x, middle(row)), frame.y(&y, ns)))
                    .collect();
                canvas.line(&points, &ink)?;
            }
        }
    } else {
        canvas.nothing(room, "no times were recorded")?;
    }
    canvas.finish()?;
    Ok(svg)
}

/// The first of delivery response, delivery service, confirm response, confirm service that has values.
pub(super) fn shown_series(series: &VariantSeries) -> Series {
    Series::ALL
        .into_iter()
        .take(4)
        .find(|kind| {
            series
                .intervals
                .iter()
                .any(|row| row.quantiles.iter().any(|q| q.series == *kind))
        })
        .unwrap_or(Series::DeliveryResponse)
}

fn middle(row: &IntervalRow) -> f64 {
    f64::midpoint(row.start_s, row.end_s)
}

fn time_axes(
    canvas: &Canvas<'_>,
    room: Frame,
    rows: &[&IntervalRow],
    y: &Axis,
) -> Result<(Axis, Frame), DrawError> {
    let end = rows.iter().map(|row| row.end_s).fold(0.0, f64::max);
    let mut x = Axis::linear("seconds since the start of the load", end, short);
    x.max = end.max(f64::MIN_POSITIVE);
    x.ticks.retain(|(tick, _)| *tick <= x.max);
    let mut shades: Vec<(f64, f64, &str)> = Vec::new();
    for row in rows.iter().filter(|row| row.phase != Phase::Measure) {
        match shades.last_mut() {
            Some((_, to, name))
                if *name == row.phase.as_str() && (*to - row.start_s).abs() < 1e-6 =>
            {
                *to = row.end_s;
            }
            _ => shades.push((row.start_s, row.end_s, row.phase.as_str())),
        }
    }
    let frame = canvas.axes(room, &x, y, &shades)?;
    Ok((x, frame))
}
