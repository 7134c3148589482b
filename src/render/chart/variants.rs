//! All variants side by side: the delivered rate as bars, P95 as dots on a log scale (bars have no meaning there).

use super::axis::{Axis, short, short_time};
use super::canvas::{Align, BLUE, Canvas, DrawError, Frame, GREY, Ink, ORANGE, SKY, TEXT_SIZE};
use crate::analysis::figure;
use crate::render::sheet::{headline_series, loops, spaced};
use crate::results::{Quantile, Run, SeriesSummary, VariantRun};

const WIDTH: u32 = 1000;
const NAMES: i32 = 330;
const ROW: i32 = 44;
const MOST_ROWS: usize = 60;

const OFFERED: Ink = Ink {
    name: "offered",
    color: GREY,
    width: 8,
};
const DELIVERED: Ink = Ink {
    name: "delivered",
    color: SKY,
    width: 8,
};
const RESPONSE: Ink = Ink {
    name: "P95 response time",
    color: BLUE,
    width: 8,
};
const SERVICE: Ink = Ink {
    name: "P95 service time",
    color: ORANGE,
    width: 8,
};

/// Draws the first sixty variants.
pub(super) fn draw(run: &Run) -> Result<String, DrawError> {
    let shown = &run.variants[..run.variants.len().min(MOST_ROWS)];
    let mut svg = String::new();
    let height = 150 + ROW * shown.len() as i32;
    let canvas = Canvas::new(&mut svg, (WIDTH, height as u32))?;
    let mut subtitle = super::edge(run);
    if shown.len() < run.variants.len() {
        subtitle.push_str(&format!(
            "; the first {} of {} variants",
            shown.len(),
            run.variants.len()
        ));
    }
    let room = canvas.head(
        "Variants side by side",
        &subtitle,
        &[OFFERED, DELIVERED, RESPONSE, SERVICE],
    )?;

    let rates = shown.iter().filter_map(|v| v.measured);
    let highest = rates
        .map(|m| m.delivered_rate.max(m.offered_rate.unwrap_or(0.0)))
        .fold(0.0, f64::max);
    let rate_axis = Axis::linear("", highest * 1.15, short);
    let times: Vec<u64> = shown
        .iter()
        .flat_map(headline_series)
        .filter_map(|(_, summary)| match summary?.p95 {
            Quantile::Ns(ns) | Quantile::Above(ns) if ns > 0 => Some(ns),
            _ => None,
        })
        .collect();
    let least = times.iter().min().copied().unwrap_or(1_000_000) as f64;
    let most = times.iter().max().copied().unwrap_or(1_000_000) as f64;
    let time_axis = Axis::log("", least, most, short_time);

    let plot = room.right - room.left - NAMES;
    let rate_frame = panel(room, room.left + NAMES, plot / 2 - 30);
    let time_frame = panel(room, room.left + NAMES + plot / 2 + 10, plot / 2 - 50);
    scale(
        &canvas,
        rate_frame,
        &rate_axis,
        "messages a second delivered",
    )?;
    scale(&canvas, time_frame, &time_axis, "P95, log scale")?;
    for (index, variant) in shown.iter().enumerate() {
        let middle = rate_frame.top + ROW * index as i32 + ROW / 2;
        let name = canvas.cut(&spaced(&variant.name), NAMES - 14)?;
        canvas.text(&name, (room.left, middle - 8), Align::Left)?;
        let below = format!("{}; {}", loops(variant), super::outcome(variant));
        canvas.faint(&below, (room.left, middle + 8), Align::Left)?;
        bars(&canvas, rate_frame, &rate_axis, middle, variant)?;
        dots(&canvas, time_frame, &time_axis, middle, variant)?;
    }
    canvas.finish()?;
    Ok(svg)
}

fn panel(room: Frame, left: i32, width: i32) -> Frame {
    Frame {
        left,
        right: left + width,
        top: room.top,
        bottom: room.bottom - 2 * TEXT_SIZE - 14,
    }
}

fn scale(canvas: &Canvas<'_>, frame: Frame, axis: &Axis, name: &str) -> Result<(), DrawError> {
    let grid = plotters::style::RGBColor(0xE4, 0xE4, 0xE4);
    // Where there is no room for all labels, those of whole decades are the ones to keep.
    let is_decade = |label: &str| label.starts_with('1') && !label.contains(['2', '5', '.']);
    let (decades, others): (Vec<_>, Vec<_>) =
        axis.ticks.iter().partition(|(_, label)| is_decade(label));
    let mut taken: Vec<(i32, i32)> = Vec::new();
    for (tick, label) in decades.into_iter().chain(others) {
        let at = frame.x(axis, *tick);
        canvas.rule((at, frame.top), (at, frame.bottom), grid)?;
        let half = canvas.text_width(label, TEXT_SIZE)? / 2 + 4;
        if taken
            .iter()
            .all(|(from, to)| at + half <= *from || at - half >= *to)
        {
            canvas.text(label, (at, frame.bottom + 12), Align::Center)?;
            taken.push((at - half, at + half));
        }
    }
    canvas.text(
        name,
        (i32::midpoint(frame.left, frame.right), frame.bottom + 32),
        Align::Center,
    )
}

fn bars(
    canvas: &Canvas<'_>,
    frame: Frame,
    axis: &Axis,
    middle: i32,
    variant: &VariantRun,
) -> Result<(), DrawError> {
    let Some(measured) = variant.measured.filter(|m| m.seconds > 0.0) else {
        return canvas.faint("not measured", (frame.left + 6, middle), Align::Left);
    };
    let bar = |rate: f64, half: i32| Frame {
        left: frame.left,
        right: frame.x(axis, rate),
        top: middle - half,
        bottom: middle + half,
    };
    let mut end = frame.x(axis, measured.delivered_rate);
    if let Some(offered) = measured.offered_rate {
        canvas.bar(bar(offered, 13), GREY)?;
        end = end.max(frame.x(axis, offered));
    }
    canvas.bar(bar(measured.delivered_rate, 8), SKY)?;
    canvas.text(
        &figure::rate(measured.delivered_rate),
        (end + 6, middle),
        Align::Left,
    )
}

fn dots(
    canvas: &Canvas<'_>,
    frame: Frame,
    axis: &Axis,
    middle: i32,
    variant: &VariantRun,
) -> Result<(), DrawError> {
    let [(_, response), (_, service)] = headline_series(variant);
    if response.is_none() && service.is_none() {
        return canvas.faint("no times", (frame.left + 6, middle), Align::Left);
    }
    let mut end = frame.left;
    let mut labels = Vec::new();
    let both: [(Option<&SeriesSummary>, Ink, i32); 2] =
        [(response, RESPONSE, 8), (service, SERVICE, 5)];
    for (summary, ink, radius) in both {
        let Some(summary) = summary else { continue };
        let at = match summary.p95 {
            Quantile::Above(0) => frame.right,
            Quantile::Ns(ns) | Quantile::Above(ns) => frame.x(axis, ns as f64),
            Quantile::None => continue,
        };
        canvas.dot((at, middle), radius, ink.color)?;
        end = end.max(at);
        labels.push(figure::quantile(summary.p95));
    }
    let Some(label) = labels.first() else {
        return Ok(());
    };
    // Beside the dots, on the side where there is room.
    let width = canvas.text_width(label, TEXT_SIZE)?;
    if end + 14 + width <= frame.right + 40 {
        canvas.text(label, (end + 14, middle), Align::Left)
    } else {
        canvas.text(label, (end - 14, middle), Align::Right)
    }
}
