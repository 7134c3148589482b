//! The grids of a report: claims, variants side by side, times, ledger, health, failed gates. Rows of short texts; what
//! they look like is for the renderings.

use super::sheet::{Grid, left, right, spaced, verdict_word};
use crate::analysis::figure;
use crate::record::{Counts, Series};
use crate::results::{
    Quantile, Run, RunRecord, SeriesSummary, Stop, Totals, VariantRun, VariantSeries,
};

pub(super) fn claims(run: &Run) -> Grid {
    let several = run.variants.len() > 1;
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
        title: "Claims".to_owned(),
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
    let trust = if matches!(variant.stop, Stop::Unfinished) {
        "unfinished"
    } else if variant.gates.iter().all(|gate| gate.held) {
        "valid"
    } else {
        "not valid"
    };
    match variant.verdict {
        Some(verdict) => format!("{}, {trust}", verdict_word(Some(verdict))),
        None => trust.to_owned(),
    }
}

pub(super) fn variants(run: &Run) -> Grid {
    let mut rows = Vec::new();
    for variant in &run.variants {
        let name = format!(
            "{}\n{}; {}",
            spaced(&variant.name),
            loops(variant),
            standing(variant)
        );
        let rates = match &variant.measured {
            Some(m) => [
                m.offered_rate
                    .map_or_else(|| "no limit".to_owned(), figure::rate),
                figure::rate(m.sent_rate),
                figure::rate(m.delivered_rate),
            ],
            None => ["-", "-", "-"].map(str::to_owned),
        };
        let [first, second] = headline_series(variant);
        let shown: Vec<_> = [first, second]
            .into_iter()
            .filter(|(_, s)| s.is_some())
            .collect();
        let column = |text: &dyn Fn(&SeriesSummary) -> String| {
            let lines: Vec<String> = shown
                .iter()
                .map(|(_, summary)| summary.map_or_else(String::new, text))
                .collect();
            if lines.is_empty() {
                "-".to_owned()
            } else {
                lines.join("\n")
            }
        };
        let kinds: Vec<&str> = shown.iter().map(|(kind, _)| *kind).collect();
        let mut row = vec![name];
        row.extend(rates);
        row.push(kinds.join("\n"));
        row.push(column(&|s| figure::quantile(s.p50)));
        row.push(column(&|s| figure::quantile(s.p95)));
        row.push(column(&|s| figure::quantile(s.p99)));
        rows.push(row);
    }
    Grid {
        title: if run.variants.len() > 1 { "Variants" } else { "Measured" }.to_owned(),
        columns: vec![
            left(if run.variants.len() > 1 { "Variant" } else { "Run" }),
            right("Offered"),
            right("Sent"),
            right("Delivered"),
            left("Time"),
            right("P50"),
            right("P95"),
            right("P99"),
        ],
        rows,
        caption: "Messages a second, and times to delivery (to the confirm where it says so): response from the time \
                  a message was due, service from its sending."
            .to_owned(),
    }
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
    let rows = record.run.variants.iter().zip(&record.series).map(|(variant, series)| {
        let name = spaced(&variant.name);
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
    Grid {
        title: "Ledger, whole run".to_owned(),
        columns: vec![
            left("Variant"),
            right("Planned"),
            right("Sent"),
            right("Confirmed"),
            right("Delivered"),
            right("Undelivered"),
            right("Lost"),
            left("Also"),
        ],
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
    let rows = run.variants.iter().map(|variant| {
        let at = |kind, pick: fn(&SeriesSummary) -> Quantile| {
            let found = variant
                .series
                .iter()
                .find(|s| s.series == kind && s.stream.is_none());
            figure::quantile(found.map_or(Quantile::None, pick))
        };
        let failed = variant.gates.iter().filter(|gate| !gate.held).count();
        vec![
            spaced(&variant.name),
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
    Grid {
        title: "Health".to_owned(),
        columns: vec![
            left("Variant"),
            left("Gates"),
            right("Pacer lag P99"),
            right("max"),
            right("Hold P99"),
            right("Hiccup P99.9"),
            right("max"),
        ],
        rows: rows.collect(),
        caption: "Pacer lag is the harness's own lateness, hold the broker's holding back before a message was sent, \
                  a hiccup the machine's own pause."
            .to_owned(),
    }
}

pub(super) fn failed_gates(run: &Run) -> Grid {
    let rows = run.variants.iter().flat_map(|variant| {
        variant.gates.iter().filter(|gate| !gate.held).map(|gate| {
            vec![
                spaced(&variant.name),
                gate.name.clone(),
                gate.measured.clone(),
                gate.limit.clone(),
                gate.remedy.clone(),
            ]
        })
    });
    Grid {
        title: "Gates that did not hold".to_owned(),
        columns: vec![
            left("Variant"),
            left("Gate"),
            left("Found"),
            left("Limit"),
            left("What to do"),
        ],
        rows: rows.collect(),
        caption: String::new(),
    }
}
