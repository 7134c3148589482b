//! `report.html`: one file that opens offline, light or dark, without scripts. Verdict first.

use askama::Template;

use super::RenderError;
use super::chart::Chart;
use super::sheet::{Grid, Sheet, Side, compose, printable, spaced};
use crate::results::RunRecord;

#[derive(Template)]
#[template(path = "report.html", escape = "html")]
struct Page<'a> {
    title: String,
    tone: &'static str,
    sheet: &'a Sheet,
    overview: Option<&'a Chart>,
    variants: Vec<Section<'a>>,
    environment: String,
}

/// One variant's part of the page.
struct Section<'a> {
    name: String,
    times: Option<&'a Grid>,
    charts: Vec<&'a Chart>,
    plan: String,
}

impl Grid {
    /// Cells as lines, with the class that lays them out.
    fn cells<'a>(&'a self, row: &'a [String]) -> Vec<(&'static str, Vec<&'a str>)> {
        self.columns
            .iter()
            .zip(row)
            .map(|(column, cell)| {
                let lines: Vec<&str> = cell.split('\n').collect();
                let widest = lines.iter().map(|line| line.chars().count()).max();
                (class(column.side, widest.unwrap_or(0)), lines)
            })
            .collect()
    }

    fn heads(&self) -> Vec<(&'static str, Vec<&str>)> {
        self.columns
            .iter()
            .map(|column| (class(column.side, 0), column.name.split('\n').collect()))
            .collect()
    }
}

/// Figures and short words are never broken into lines, long ones have room enough not to become a column of words.
const fn class(side: Side, characters: usize) -> &'static str {
    match (side, characters) {
        (Side::Right, _) => "figure",
        (Side::Left, ..=34) => "words",
        (Side::Left, _) => "words long",
    }
}

/// The page with these charts of the same record in it.
pub(super) fn page(record: &RunRecord, charts: &[Chart]) -> Result<String, RenderError> {
    let sheet = compose(record);
    let run = &record.run;
    let pretty = |value: serde_json::Result<String>| {
        value.map_err(|error| RenderError::new("report.html", error))
    };
    let mut variants = Vec::new();
    for (index, variant) in run.variants.iter().enumerate() {
        variants.push(Section {
            name: spaced(&variant.name),
            times: sheet.times.get(index).and_then(Option::as_ref),
            charts: charts
                .iter()
                .filter(|chart| chart.variant == Some(index))
                .collect(),
            plan: pretty(serde_json::to_string_pretty(&variant.plan))?,
        });
    }
    let page = Page {
        title: printable(&run.title),
        tone: match sheet.verdict.0 {
            "PASS" => "pass",
            "FAIL" => "fail",
            "NO CLAIMS" => "none",
            _ => "unsure",
        },
        sheet: &sheet,
        overview: charts.iter().find(|chart| chart.variant.is_none()),
        variants,
        environment: pretty(serde_json::to_string_pretty(&(
            &run.environment,
            &run.broker,
            &run.harness,
        )))?,
    };
    page.render()
        .map_err(|error| RenderError::new("report.html", error))
}
