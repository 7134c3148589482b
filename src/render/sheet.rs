//! What every report says, before it is laid out: sentences, and grids of short texts. The text, Markdown and HTML
//! renderings differ in layout alone.

use std::borrow::Cow;

use super::ends::{ends, further_notes};
use super::grids::{claims, failed_gates, health, ledger, times, variants};
pub(super) use super::grids::{headline_series, loops, standing};
pub(super) use super::names::spaced;
use crate::analysis::figure;
use crate::results::{Edge, Run, RunRecord, Stop, Verdict};

/// One report.
#[derive(Debug, Clone)]
pub(super) struct Sheet {
    /// The verdict's word and the sentence that goes with it.
    pub(super) verdict: (&'static str, String),
    /// How variants ended that did not end as planned.
    pub(super) ends: Vec<String>,
    /// Name and value: what was measured, when, with what and on what.
    pub(super) facts: Vec<(String, String)>,
    pub(super) claims: Grid,
    pub(super) variants: Grid,
    /// For each variant that has any.
    pub(super) times: Vec<Option<Grid>>,
    pub(super) ledger: Grid,
    pub(super) health: Grid,
    /// Gates that did not hold.
    pub(super) failed_gates: Grid,
    /// What else a reader should know.
    pub(super) notes: Vec<String>,
}

/// A table with short texts.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    pub(super) title: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<String>>,
    /// Stands under the table; empty for none.
    pub(super) caption: String,
}

/// A column's heading (a line's end in it is where it may be broken), and on which side its texts stand.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: Cow<'static, str>,
    pub(super) side: Side,
}

/// Words stand left, figures right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

pub(super) const fn left(name: &'static str) -> Column {
    Column {
        name: Cow::Borrowed(name),
        side: Side::Left,
    }
}

pub(super) const fn right(name: &'static str) -> Column {
    Column {
        name: Cow::Borrowed(name),
        side: Side::Right,
    }
}

/// Composes the report of a run.
pub(super) fn compose(record: &RunRecord) -> Sheet {
    let run = &record.run;
    let mut sheet = Sheet {
        verdict: (verdict_word(run.verdict), headline(run)),
        ends: ends(run),
        facts: facts(run),
        claims: claims(run),
        variants: variants(record),
        times: run
            .variants
            .iter()
            .map(|v| (!v.series.is_empty()).then(|| times(v)))
            .collect(),
        ledger: ledger(record),
        health: health(run),
        failed_gates: failed_gates(run),
        notes: further_notes(run),
    };
    sheet.make_printable();
    sheet
}

impl Sheet {
    fn make_printable(&mut self) {
        let grids = [
            &mut self.claims,
            &mut self.variants,
            &mut self.ledger,
            &mut self.health,
            &mut self.failed_gates,
        ];
        let facts = self.facts.iter_mut().map(|(_, value)| value);
        let mut texts: Vec<&mut String> =
            facts.chain(&mut self.notes).chain(&mut self.ends).collect();
        for grid in grids.into_iter().chain(self.times.iter_mut().flatten()) {
            texts.push(&mut grid.title);
            texts.extend(grid.columns.iter_mut().map(|column| column.name.to_mut()));
            texts.extend(grid.rows.iter_mut().flatten());
        }
        for text in texts {
            *text = printable(text);
        }
    }
}

/// Control characters other than line ends become U+FFFD: users' words must not steer a terminal, and XML has no place
/// for them, escaped or not.
pub(super) fn printable(text: &str) -> String {
    let visible = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(visible).collect()
}

/// The word of a verdict, `NO CLAIMS` where there is none.
pub(super) const fn verdict_word(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Pass) => "PASS",
        Some(Verdict::Fail) => "FAIL",
        Some(Verdict::Inconclusive) => "INCONCLUSIVE",
        Some(Verdict::Invalid) => "INVALID",
        None => "NO CLAIMS",
    }
}

fn headline(run: &Run) -> String {
    let count = |verdict| {
        run.claims
            .iter()
            .filter(|claim| claim.verdict == verdict)
            .count()
    };
    let all = run.claims.len();
    let of = |n: usize| match (n, all) {
        (1, 1) => "the claim".to_owned(),
        (n, all) if n == all => format!("all {all} claims"),
        (n, all) => format!("{n} of {all} claims"),
    };
    let were = |n: usize| if n == 1 { "was" } else { "were" };
    match run.verdict {
        None if run.ended.is_none() => "the run did not come to its end".to_owned(),
        None => "nothing was claimed, so nothing was judged".to_owned(),
        Some(Verdict::Pass) => format!("{} {} kept", of(all), were(all)),
        Some(Verdict::Fail) => {
            let (n, invalid) = (count(Verdict::Fail), count(Verdict::Invalid));
            let also = match invalid {
                0 => String::new(),
                invalid => format!(", and {invalid} could not be judged"),
            };
            format!("{} {} broken{also}", of(n), were(n))
        }
        Some(Verdict::Invalid) => {
            let unjudged = of(count(Verdict::Invalid));
            let is_cut_short = run.variants.iter().any(|variant| {
                variant.verdict == Some(Verdict::Invalid)
                    && !matches!(variant.stop, Stop::Completed | Stop::MessagesSent)
            });
            if run.ended.is_none() {
                format!("the run did not come to its end, so {unjudged} could not be judged")
            } else if is_cut_short {
                format!("the run was cut short, so {unjudged} could not be judged")
            } else {
                format!("{unjudged} could not be judged: the run cannot be trusted")
            }
        }
        Some(Verdict::Inconclusive) => {
            format!(
                "{} could not be decided by this run",
                of(count(Verdict::Inconclusive))
            )
        }
    }
}

fn facts(run: &Run) -> Vec<(String, String)> {
    let environment = &run.environment;
    let broker = &run.broker;
    let edge = match run.harness.capabilities.edge {
        Edge::Socket => "times taken at the socket",
        Edge::Api => "times taken at the client library's interface: its queueing is part of them",
    };
    let mut identity = format!("{} {}", broker.identity.product, broker.identity.version);
    // It is known from the first connection, and saved when a variant ends.
    if broker.identity.product.is_empty() {
        identity = "of a version that was not saved,".to_owned();
    }
    if !broker.identity.platform.is_empty() {
        identity.push_str(&format!(" on {}", broker.identity.platform));
    }
    let mut facts = vec![(
        "Scenario".to_owned(),
        format!("{} ({})", run.title, run.scenario),
    )];
    if let Some(about) = &run.about {
        facts.push(("About".to_owned(), about.clone()));
    }
    let started = figure::moment(&run.started);
    let time = match run.ended.as_deref().map(figure::moment) {
        Some(ended) => {
            // The day once, where it is the same.
            let same_day = started.get(..11).filter(|day| ended.starts_with(*day));
            let ended = same_day.map_or(ended.as_str(), |day| &ended[day.len()..]);
            format!("{started} to {ended} UTC")
        }
        None => format!("{started} UTC, did not come to its end"),
    };
    facts.extend(
        [
            ("Time", time),
            (
                "Broker",
                format!("{identity} at {}", broker.addresses.join(", ")),
            ),
            ("", broker.origin.clone()),
            ("Driver", format!("{} ({edge})", run.harness.driver)),
            (
                "Load from",
                format!(
                    "{}, {} x {}, {} memory, {} {}",
                    environment.host,
                    environment.cpus,
                    environment.cpu,
                    figure::bytes(environment.memory as f64),
                    environment.os,
                    environment.kernel
                ),
            ),
            (
                "mqbench",
                format!(
                    "{} ({} build), seed {}",
                    run.harness.version, run.harness.profile, run.seed
                ),
            ),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value)),
    );
    facts
}
