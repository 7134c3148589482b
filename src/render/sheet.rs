//! What every report says, before it is laid out: sentences, and grids of short texts. The text, Markdown and HTML
//! renderings differ in layout alone.

use super::grids::{claims, failed_gates, health, ledger, times, variants};
pub(super) use super::grids::{headline_series, loops, standing};
use crate::analysis::figure;
use crate::results::{Edge, Run, RunRecord, Stop, Verdict};

/// One report.
#[derive(Debug, Clone)]
pub(super) struct Sheet {
    /// The verdict's word and the sentence that goes with it.
    pub(super) verdict: (&'static str, String),
    /// Name and value: what was measured, when, with what and on what.
    pub(super) facts: Vec<(String, String)>,
    pub(super) claims: Grid,
    pub(super) variants: Grid,
    pub(super) times: Vec<Grid>,
    pub(super) ledger: Grid,
    pub(super) health: Grid,
    /// Gates that did not hold.
    pub(super) failed_gates: Grid,
    /// How variants ended that did not end as planned, and what else a reader should know.
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

/// A column's heading, and on which side its texts stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) name: &'static str,
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
        name,
        side: Side::Left,
    }
}

pub(super) const fn right(name: &'static str) -> Column {
    Column {
        name,
        side: Side::Right,
    }
}

/// Composes the report of a run.
pub(super) fn compose(record: &RunRecord) -> Sheet {
    let run = &record.run;
    let mut sheet = Sheet {
        verdict: (verdict_word(run.verdict), headline(run)),
        facts: facts(run),
        claims: claims(run),
        variants: variants(run),
        times: run
            .variants
            .iter()
            .filter(|v| !v.series.is_empty())
            .map(times)
            .collect(),
        ledger: ledger(record),
        health: health(run),
        failed_gates: failed_gates(run),
        notes: notes(run),
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
        let mut texts: Vec<&mut String> = facts.chain(&mut self.notes).collect();
        for grid in grids.into_iter().chain(&mut self.times) {
            texts.push(&mut grid.title);
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
            let n = count(Verdict::Invalid);
            format!(
                "{} could not be judged: the run cannot be trusted or was cut short",
                of(n)
            )
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
    let time = match &run.ended {
        Some(ended) => format!("{} to {ended}", run.started),
        None => format!("{}, did not come to its end", run.started),
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

fn notes(run: &Run) -> Vec<String> {
    let ends = run.variants.iter().filter_map(|variant| {
        let how = match &variant.stop {
            Stop::Completed => return None,
            Stop::MessagesSent => return None,
            Stop::Unfinished => "did not come to its end".to_owned(),
            Stop::Interrupted => "was interrupted".to_owned(),
            Stop::Overloaded { detail } => format!("was ended as OVERLOADED: {detail}"),
            Stop::BacklogFull { detail } => {
                format!("was ended, for the backlog was full: {detail}")
            }
            Stop::BrokerFailed { detail } => format!("was ended by the broker: {detail}"),
            Stop::SystemFailed { detail } => format!("was ended by this machine: {detail}"),
        };
        Some(format!("{} {how}", spaced(&variant.name)))
    });
    ends.chain(run.notes.iter().cloned()).collect()
}

/// Variant names hold no spaces; with one after each comma they can be broken into lines.
pub(super) fn spaced(name: &str) -> String {
    name.replace(", ", ",").replace(',', ", ")
}
