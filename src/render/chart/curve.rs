//! The percentile curve of the measure phase: response and service time together, so that a broker which holds senders
//! back cannot hide it.

use super::axis::{Axis, short_time};
use super::canvas::{BLUE, Canvas, DrawError, Frame, Ink, ORANGE};
use super::over_time::shown_series;
use crate::analysis::{figure, quantile_at};
use crate::record::Series;
use crate::results::{Quantile, VariantRun, VariantSeries};

const SIZE: (u32, u32) = (900, 420);
const POINTS: u32 = 400;

const RESPONSE: Ink = Ink {
    name: "response time (from due)",
    color: BLUE,
    width: 4,
};
const SERVICE: Ink = Ink {
    name: "service time (from sending)",
    color: ORANGE,
    width: 2,
};

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
    let mut lines: Vec<(Ink, Vec<(f64, f64)>)> = Vec::new();
    let of_all = |kind| {
        variant
            .series
            .iter()
            .find(|s| s.series == kind && s.stream.is_none())
    };
    let summaries = || kinds.into_iter().filter_map(of_all);
    let never = summaries().map(|s| s.censored).max().unwrap_or(0);
    let count = summaries().map(|s| s.count + s.censored).max().unwrap_or(0);
    // The last rank that there is: 99.9 for a thousand messages.
    let last = 100.0 * (1.0 - 1.0 / (count.max(1) as f64));
    let x = Axis::percentile("percentile of messages due in the measure phase", last);
    for (kind, ink) in kinds.into_iter().zip([RESPONSE, SERVICE]) {
        let recorded = series
            .histograms
            .iter()
            .find(|p| p.series == kind && p.stream.is_none());
        if let (Some(summary), Some(part)) = (of_all(kind), recorded) {
            let at = |p| quantile_at(Some(&part.histogram), summary.censored, p, 0);
            lines.push((ink, points(&x, at)));
        }
    }

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
        let why = if never > 0 {
            "so many messages never came that there is no median"
        } else {
            "no times were recorded in the measure phase"
        };
        canvas.nothing(room, why)?;
    } else {
        let least = values
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min)
            .max(1.0);
        let most = values.iter().copied().fold(0.0, f64::max);
        plot(
            &canvas,
            room,
            &x,
            &Axis::log("time (log scale)", least, most, short_time),
            &lines,
        )?;
    }
    canvas.finish()?;
    Ok(svg)
}

fn plot(
    canvas: &Canvas<'_>,
    room: Frame,
    x: &Axis,
    y: &Axis,
    lines: &[(Ink, Vec<(f64, f64)>)],
) -> Result<(), DrawError> {
    let frame = canvas.axes(room, x, y, &[])?;
    for (ink, points) in lines {
        let points: Vec<_> = points
            .iter()
            .map(|(p, ns)| (frame.x(x, *p), frame.y(y, *ns)))
            .collect();
        canvas.line(&points, ink)?;
    }
    Ok(())
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
