//! The percentile curve of the measure phase: response and service time together, so that a broker which holds senders
//! back cannot hide it.

use super::axis::{Axis, short_time};
use super::canvas::{BLUE, Canvas, DrawError, Ink, ORANGE};
use super::over_time::shown_series;
use crate::analysis::{figure, quantile_at};
use crate::record::Series;
use crate::results::{Quantile, VariantRun, VariantSeries};

const SIZE: (u32, u32) = (900, 420);
const POINTS: u32 = 400;

/// Draws response over service time, to delivery or, where nothing was delivered, to the confirm.
pub(super) fn draw(
    subtitle: &str,
    variant: &VariantRun,
    series: &VariantSeries,
) -> Result<String, DrawError> {
    let to_confirm = matches!(
        shown_series(series),
        Series::ConfirmResponse | Series::ConfirmService
    );
    let (end, kinds) = if to_confirm {
        ("confirm", [Series::ConfirmResponse, Series::ConfirmService])
    } else {
        (
            "delivery",
            [Series::DeliveryResponse, Series::DeliveryService],
        )
    };
    let inks = [
        Ink {
            name: "response time (from due)",
            color: BLUE,
            width: 4,
        },
        Ink {
            name: "service time (from sending)",
            color: ORANGE,
            width: 2,
        },
    ];
    let mut lines = Vec::new();
    let mut never = 0;
    let mut count = 0;
    for (kind, ink) in kinds.into_iter().zip(inks) {
        let summary = variant
            .series
            .iter()
            .find(|s| s.series == kind && s.stream.is_none());
        let part = series
            .histograms
            .iter()
            .find(|p| p.series == kind && p.stream.is_none());
        let (Some(summary), Some(part)) = (summary, part) else {
            continue;
        };
        never = never.max(summary.censored);
        count = count.max(summary.count + summary.censored);
        lines.push((ink, part, summary.censored));
    }
    // The last rank that there is: 99.9 for a thousand messages.
    let last = 100.0 * (1.0 - 1.0 / (count.max(1) as f64));
    let x = Axis::percentile("percentile of messages due in the measure phase", last);
    let lines: Vec<(Ink, Vec<(f64, f64)>)> = lines
        .into_iter()
        .map(|(ink, part, censored)| {
            (
                ink,
                points(&x, |p| quantile_at(Some(&part.histogram), censored, p, 0)),
            )
        })
        .collect();

    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, SIZE)?;
    let mut subtitle = format!("{subtitle}; {} messages", figure::count(count));
    if never > 0 {
        subtitle.push_str(&format!(
            ", {} of them never came: the curve ends where they begin",
            figure::count(never)
        ));
    }
    let legend: Vec<Ink> = lines.iter().map(|(ink, _)| *ink).collect();
    let room = canvas.head(
        &format!("Percentile curve: time to {end}"),
        &subtitle,
        &legend,
    )?;
    let values: Vec<f64> = lines
        .iter()
        .flat_map(|(_, points)| points)
        .map(|(_, ns)| *ns)
        .collect();
    if values.is_empty() {
        canvas.nothing(room, "no times were recorded in the measure phase")?;
    } else {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        let y = Axis::log("time (log scale)", least.max(1.0), most, short_time);
        let frame = canvas.axes(room, &x, &y, &[])?;
        for (ink, points) in &lines {
            let points: Vec<_> = points
                .iter()
                .map(|(p, ns)| (frame.x(&x, *p), frame.y(&y, *ns)))
                .collect();
            canvas.line(&points, ink)?;
        }
    }
    canvas.finish()?;
    Ok(svg)
}

/// The curve at points that are spread evenly over the axis, as far as there are answers.
fn points(axis: &Axis, at: impl Fn(f64) -> Quantile) -> Vec<(f64, f64)> {
    let nines = |percentile: f64| -(1.0 - percentile / 100.0).log10();
    let (low, high) = (nines(axis.min), nines(axis.max));
    (0..=POINTS)
        .map(|i| low + (high - low) * f64::from(i) / f64::from(POINTS))
        .map(|nines| 100.0 * (1.0 - 10_f64.powf(-nines)))
        .map_while(|percentile| match at(percentile) {
            Quantile::Ns(ns) => Some((percentile, ns as f64)),
            Quantile::Above(_) | Quantile::None => None,
        })
        .collect()
}
