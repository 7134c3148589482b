//! The grids of a report: claims, variants side by side, times, ledger, health, failed gates. Rows of short texts; what
//! they look like is for the renderings.

use super::ends::end_word;
use super::names::{Names, names, spaced};
use super::sheet::{Grid, left, right, verdict_word};
use crate::analysis::figure;
use crate::record::{Counts, Phase, Series};
use crate::results::{
    Quantile, Run, RunRecord, SeriesSummary, Stop, Totals, VariantRun, VariantSeries,
};

pub(super) fn claims(run: &Run) -> Grid {
    let first = run.claims.first().map(|claim| claim.variant.as_str());
    let several = run
        .claims
        .iter()
        .any(|claim| Some(claim.variant.as_str()) != first);
    let mut columns = vec![
        left("Verdict"),
        left("Claim"),
        right("Measured"),
        left("Why"),
    ];
    if several {
        columns.insert(1, left("Variant"));
    }
    let rows = run.claims.iter().map(|claim| {
        let mut row = vec![
            verdict_word(Some(claim.verdict)).to_owned(),
            claim.text.clone(),
            claim.measured.clone(),
            claim.reason.clone(),
        ];
        if several {
            row.insert(1, spaced(&claim.variant));
        }
        row
    });
    Grid {
        title: match first {
            Some(only) if run.variants.len() > 1 && !several => {
                format!("Claims, made on {}", spaced(only))
            }
            _ => "Claims".to_owned(),
        },
        columns,
        rows: rows.collect(),
        caption: String::new(),
    }
}

/// The two series that are shown for a variant: to delivery, or to the confirm where nothing was delivered.
pub(super) fn headline_series(variant: &VariantRun) -> [(&'static str, Option<&SeriesSummary>); 2] {
    let find = |kind| {
        variant
            .series
            .iter()
            .find(|s| s.series == kind && s.stream.is_none())
    };
    let response = find(Series::DeliveryResponse);
    let service = find(Series::DeliveryService);
    if response.is_some() || service.is_some() {
        [("response", response), ("service", service)]
    } else {
        [
            ("confirm response", find(Series::ConfirmResponse)),
            ("confirm service", find(Series::ConfirmService)),
        ]
    }
}

/// The loops of a variant, each once.
pub(super) fn loops(variant: &VariantRun) -> String {
    let mut words: Vec<&str> = Vec::new();
    for kind in &variant.loops {
        if !words.contains(&kind.as_str()) {
            words.push(kind.as_str());
        }
    }
    if words.is_empty() {
        return "no producers".to_owned();
    }
    format!("{} loop", words.join(" and "))
}

/// Whether the gates held, and the verdict where there is one: what stands beside every variant's numbers.
pub(super) fn standing(variant: &VariantRun) -> String {
    match variant.verdict {
        Some(verdict) => format!("{}, {}", verdict_word(Some(verdict)), trust(variant)),
        None => trust(variant).to_owned(),
    }
}

/// Whether the gates held.
fn trust(variant: &VariantRun) -> &'static str {
    if matches!(variant.stop, Stop::Unfinished) {
        "unfinished"
    } else if variant.gates.iter().all(|gate| gate.held) {
        "valid"
    } else {
        "not valid"
    }
}

pub(super) fn variants(record: &RunRecord) -> Grid {
    let run = &record.run;
    let Names { heading, labels } = names(run);
    let mut rows = Vec::new();
    for ((variant, series), label) in run.variants.iter().zip(&record.series).zip(labels) {
        let trust = trust(variant);
        let mut row = vec![format!("{label}\n{}, {trust}", loops(variant))];
        row.extend(rates(variant, series));
        let of = |kind, pick: fn(&SeriesSummary) -> Quantile| {
            let found = variant
                .series
                .iter()
                .find(|s| s.series == kind && s.stream.is_none());
            found.map(pick)
        };
        let shown = |found: Option<Quantile>| figure::ms(found.unwrap_or(Quantile::None));
        row.push(shown(of(Series::DeliveryResponse, |s| s.p50)));
        row.push(shown(of(Series::DeliveryResponse, |s| s.p95)));
        row.push(shown(of(Series::DeliveryResponse, |s| s.p99)));
        row.push(shown(of(Series::DeliveryService, |s| s.p95)));
        let confirm = of(Series::ConfirmResponse, |s| s.p95);
        row.push(shown(
            confirm.or_else(|| of(Series::ConfirmService, |s| s.p95)),
        ));
        let words = [
            variant.verdict.map_or("", |v| verdict_word(Some(v))),
            end_word(&variant.stop),
        ];
        row.push(match words {
            ["", ""] => "-".to_owned(),
            ["", word] | [word, ""] => word.to_owned(),
            [verdict, end] => format!("{verdict}\n{end}"),
        });
        rows.push(row);
    }
    let mut columns = vec![
        left("Run"),
        right("Offered"),
        right("Sent"),
        right("Delivered"),
        right("Resp.\nP50"),
        right("Resp.\nP95"),
        right("Resp.\nP99"),
        right("Service\nP95"),
        right("Confirm\nP95"),
        left("Verdict"),
    ];
    columns[0].name = heading.into();
    Grid {
        title: if run.variants.len() > 1 {
            "Variants"
        } else {
            "Measured"
        }
        .to_owned(),
        columns,
        rows,
        caption: "Messages a second in the measure phase; times in ms. Response: from when a message was due to its \
                  delivery; service: from its sending; confirm: from when it was due to its confirm, or from its \
                  sending where no rate is asked for."
            .to_owned(),
    }
}

/// Offered, sent and delivered a second; of a variant that has not ended, in what was saved of its measure phase.
fn rates(variant: &VariantRun, series: &VariantSeries) -> [String; 3] {
    if let Some(m) = variant.measured.filter(|m| m.seconds > 0.0) {
        let offered = m
            .offered_rate
            .map_or_else(|| "no limit".to_owned(), figure::plain_rate);
        return [
            offered,
            figure::plain_rate(m.sent_rate),
            figure::plain_rate(m.delivered_rate),
        ];
    }
    let rows = series
        .intervals
        .iter()
        .filter(|row| row.phase == Phase::Measure);
    let (mut seconds, mut counts) = (0.0, Counts::default());
    for row in rows {
        seconds += row.end_s - row.start_s;
        counts += row.counts;
    }
    if seconds <= 0.0 {
        return ["-", "-", "-"].map(str::to_owned);
    }
    let paced = variant.plan.producers.iter().all(|f| f.rate.is_some());
    let rate = |count: u64| figure::plain_rate(count as f64 / seconds);
    [
        if paced {
            rate(counts.planned)
        } else {
            "no limit".to_owned()
        },
        rate(counts.sent),
        rate(counts.delivered),
    ]
}

pub(super) fn times(variant: &VariantRun) -> Grid {
    let rows = variant.series.iter().map(|s| {
        let stream = s.stream.and_then(|index| variant.streams.get(index));
        let name = match stream {
            None => s.series.tag().replace('-', " "),
            Some(stream) => match &stream.queue {
                Some(queue) => format!("  {} from {queue}", stream.fleet),
                None => format!("  {}", stream.fleet),
            },
        };
        vec![
            name,
            figure::count(s.count),
            figure::count(s.censored),
            if s.count > 0 {
                figure::time(s.mean)
            } else {
                "-".to_owned()
            },
            figure::quantile(s.p50),
            figure::quantile(s.p95),
            figure::quantile(s.p99),
            figure::quantile(s.p999),
            figure::quantile(s.max),
        ]
    });
    Grid {
        title: format!("Times of {}", spaced(&variant.name)),
        columns: vec![
            left("Series"),
            right("Count"),
            right("Never"),
            right("Mean"),
            right("P50"),
            right("P95"),
            right("P99"),
            right("P99.9"),
            right("Max"),
        ],
        rows: rows.collect(),
        caption: format!(
            "Messages due in the measure phase; {}; {}. Those that never came count as later than all others, but not \
             in the mean.",
            loops(variant),
            standing(variant)
        ),
    }
}

pub(super) fn ledger(record: &RunRecord) -> Grid {
    let mut caption = String::new();
    let Names { heading, labels } = names(&record.run);
    let variants = record.run.variants.iter().zip(&record.series).zip(labels);
    let rows = variants.map(|((variant, series), name)| {
        match &variant.totals {
            Some(totals) => ledger_row(name, totals),
            None => {
                caption = "So far: counted up to the last interval that was saved; what is still owed is not known."
                    .to_owned();
                ledger_row(format!("{name} (so far)"), &totals_so_far(series))
            }
        }
    });
    let rows = rows.collect();
    let mut columns = vec![
        left("Run"),
        right("Planned"),
        right("Sent"),
        right("Confirmed"),
        right("Delivered"),
        right("Undelivered"),
        right("Lost"),
        left("Also"),
    ];
    columns[0].name = heading.into();
    Grid {
        title: "Ledger, whole run".to_owned(),
        columns,
        rows,
        caption,
    }
}

fn totals_so_far(series: &VariantSeries) -> Totals {
    let mut sum = Counts::default();
    for row in &series.intervals {
        sum += row.counts;
    }
    Totals {
        planned: sum.planned,
        sent: sum.sent,
        confirmed: sum.confirmed,
        nacked: sum.nacked,
        returned: sum.returned,
        unasked: sum.unasked,
        delivered: sum.delivered,
        duplicated: sum.duplicated,
        redelivered: sum.redelivered,
        reordered: sum.reordered,
        corrupt: sum.corrupt,
        foreign: sum.foreign,
        out_of_range: sum.out_of_range,
        ..Totals::default()
    }
}

fn ledger_row(name: String, totals: &Totals) -> Vec<String> {
    let also: Vec<String> = [
        ("unsent", totals.unsent),
        ("nacked", totals.nacked),
        ("returned", totals.returned),
        ("unconfirmed", totals.unconfirmed),
        ("unasked", totals.unasked),
        ("dropped by design", totals.dropped_by_design),
        ("lost though confirmed", totals.lost_confirmed),
        ("duplicated", totals.duplicated),
        ("redelivered", totals.redelivered),
        ("reordered", totals.reordered),
        ("corrupt", totals.corrupt),
        ("foreign", totals.foreign),
        ("out of range", totals.out_of_range),
    ]
    .into_iter()
    .filter(|(_, value)| *value > 0)
    .map(|(name, value)| format!("{} {name}", figure::count(value)))
    .collect();
    vec![
        name,
        figure::count(totals.planned),
        figure::count(totals.sent),
        figure::count(totals.confirmed),
        figure::count(totals.delivered),
        figure::count(totals.undelivered),
        figure::count(totals.lost_confirmed + totals.lost_unconfirmed),
        if also.is_empty() {
            "-".to_owned()
        } else {
            also.join(", ")
        },
    ]
}

pub(super) fn health(run: &Run) -> Grid {
    let Names { heading, labels } = names(run);
    let rows = run.variants.iter().zip(labels).map(|(variant, label)| {
        let at = |kind, pick: fn(&SeriesSummary) -> Quantile| {
            let found = variant
                .series
                .iter()
                .find(|s| s.series == kind && s.stream.is_none());
            figure::quantile(found.map_or(Quantile::None, pick))
        };
        let failed = variant.gates.iter().filter(|gate| !gate.held).count();
        vec![
            label,
            match (variant.gates.len(), failed) {
                (0, _) => "none checked".to_owned(),
                (all, 0) => format!("all {all} held"),
                (all, failed) => format!("{failed} of {all} failed"),
            },
            at(Series::PacerLag, |s| s.p99),
            at(Series::PacerLag, |s| s.max),
            at(Series::Hold, |s| s.p99),
            at(Series::Hiccup, |s| s.p999),
            at(Series::Hiccup, |s| s.max),
        ]
    });
    let mut columns = vec![
        left("Run"),
        left("Gates"),
        right("Pacer lag\nP99"),
        right("Pacer lag\nmax"),
        right("Hold\nP99"),
        right("Hiccup\nP99.9"),
        right("Hiccup\nmax"),
    ];
    columns[0].name = heading.into();
    Grid {
        title: "Health".to_owned(),
        columns,
        rows: rows.collect(),
        caption: "Pacer lag is the harness's own lateness, hold the broker's holding back before a message was sent, \
                  a hiccup the machine's own pause."
            .to_owned(),
    }
}

pub(super) fn failed_gates(run: &Run) -> Grid {
    let Names { heading, labels } = names(run);
    let variants = run.variants.iter().zip(&labels);
    let rows = variants.flat_map(|(variant, label)| {
        variant.gates.iter().filter(|gate| !gate.held).map(|gate| {
            vec![
                label.clone(),
                gate.name.clone(),
                gate.measured.clone(),
                gate.limit.clone(),
                gate.remedy.clone(),
            ]
        })
    });
    let mut columns = vec![
        left("Run"),
        left("Gate"),
        left("Found"),
        left("Limit"),
        left("What to do"),
    ];
    columns[0].name = heading.into();
    Grid {
        title: "Gates that did not hold".to_owned(),
        columns,
        rows: rows.collect(),
        caption: String::new(),
    }
}
