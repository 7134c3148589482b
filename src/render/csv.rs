//! `summary.csv`: one line for each variant and series, with everything that tells variants apart, for spreadsheets and
//! data frames. Units stand last in the columns' names.

use super::RenderError;
use super::sheet::verdict_word;
use crate::results::{Edge, Quantile, Run, SeriesSummary, VariantRun, decimal_text};

const FIXED: [&str; 30] = [
    "scenario",
    "started",
    "variant",
    "verdict",
    "valid",
    "stop",
    "loop",
    "driver",
    "edge",
    "broker",
    "run",
    "seed",
    "offered_per_s",
    "sent_per_s",
    "confirmed_per_s",
    "delivered_per_s",
    "delivered_bytes_per_s",
    "series",
    "fleet",
    "queue",
    "count",
    "censored",
    "mean_ms",
    "min_ms",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "p999_ms",
    "max_ms",
];

/// The names of all columns: the fixed ones, then `setting_<name>` for each setting that differs between variants.
pub fn summary_header(run: &Run) -> Vec<String> {
    let settings = settings(run);
    FIXED
        .iter()
        .map(|name| (*name).to_owned())
        .chain(settings.iter().map(|name| format!("setting_{name}")))
        .collect()
}

/// The whole file.
///
/// # Errors
/// Where the library cannot write it.
pub fn summary(run: &Run) -> Result<String, RenderError> {
    let error = |reason: String| RenderError::new("summary.csv", reason);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(summary_header(run))
        .map_err(|e| error(e.to_string()))?;
    let settings = settings(run);
    for variant in &run.variants {
        // A variant without any times is there all the same: a line with empty columns.
        let series: Vec<Option<&SeriesSummary>> = match variant.series.as_slice() {
            [] => vec![None],
            some => some.iter().map(Some).collect(),
        };
        for summary in series {
            let record = line(run, variant, summary, &settings);
            writer
                .write_record(record)
                .map_err(|e| error(e.to_string()))?;
        }
    }
    let bytes = writer.into_inner().map_err(|e| error(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| error(e.to_string()))
}

fn settings(run: &Run) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in run
        .variants
        .iter()
        .flat_map(|variant| &variant.plan.variant.settings)
    {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

fn line(
    run: &Run,
    variant: &VariantRun,
    summary: Option<&SeriesSummary>,
    settings: &[&str],
) -> Vec<String> {
    let edge = match run.harness.capabilities.edge {
        Edge::Socket => "socket",
        Edge::Api => "api",
    };
    let mut loops: Vec<&str> = variant.loops.iter().map(|kind| kind.as_str()).collect();
    loops.dedup();
    let mut record = vec![
        run.scenario.clone(),
        run.started.clone(),
        variant.name.clone(),
        variant
            .verdict
            .map_or_else(String::new, |v| verdict_word(Some(v)).to_owned()),
        variant.gates.iter().all(|gate| gate.held).to_string(),
        variant.stop.word().to_owned(),
        loops.join("+"),
        run.harness.driver.clone(),
        edge.to_owned(),
        format!(
            "{} {}",
            run.broker.identity.product, run.broker.identity.version
        ),
        variant.plan.run.to_string(),
        variant.plan.seed.to_string(),
    ];
    let rate = |value: f64| format!("{value:.1}");
    match &variant.measured {
        Some(m) => record.extend([
            m.offered_rate.map_or_else(String::new, rate),
            rate(m.sent_rate),
            rate(m.confirmed_rate),
            rate(m.delivered_rate),
            rate(m.delivered_bytes_rate),
        ]),
        None => record.extend(std::iter::repeat_n(String::new(), 5)),
    }
    match summary {
        Some(summary) => record.extend(times(variant, summary)),
        None => record.extend(std::iter::repeat_n(String::new(), 13)),
    }
    record.extend(settings.iter().map(|name| {
        let found = variant
            .plan
            .variant
            .settings
            .iter()
            .find(|(key, _)| key == name);
        found.map_or_else(String::new, |(_, value)| value.clone())
    }));
    record
}

fn times(variant: &VariantRun, summary: &SeriesSummary) -> Vec<String> {
    let stream = summary.stream.and_then(|index| variant.streams.get(index));
    let ms = |ns: u64| decimal_text(ns, 6);
    // A spreadsheet takes `inf` for a number and sorts it last: the answer never came.
    let quantile = |quantile| match quantile {
        Quantile::Ns(ns) => ms(ns),
        Quantile::Above(_) => "inf".to_owned(),
        Quantile::None => String::new(),
    };
    vec![
        summary.series.tag().to_owned(),
        stream.map_or_else(String::new, |s| s.fleet.clone()),
        stream.and_then(|s| s.queue.clone()).unwrap_or_default(),
        summary.count.to_string(),
        summary.censored.to_string(),
        if summary.count > 0 {
            ms(summary.mean.round() as u64)
        } else {
            String::new()
        },
        if summary.count > 0 {
            ms(summary.min)
        } else {
            String::new()
        },
        quantile(summary.p50),
        quantile(summary.p90),
        quantile(summary.p95),
        quantile(summary.p99),
        quantile(summary.p999),
        quantile(summary.max),
    ]
}
