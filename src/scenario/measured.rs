//! Whether what a claim speaks of is measured in the variants that it binds, and whether it leaves itself a margin.
//!
//! A claim that nothing could ever decide is refused before anything is run, with the reason.

use super::Scenario;
use super::check_fleet::{copies, is_fed, rate};
use super::claims::ClaimSetting;
use super::matrix::picks;
use super::settings::{ConfirmsSetting, ProducersSettings, RateSetting, Settings};
use super::{MOST_RUNS, defaults};
use crate::claim::{Claim, Comparison, End, Limit, Metric, Origin, Total};
use crate::diagnostic::{Problem, Problems};

/// Refuses claims about what is not measured in a variant that they bind.
pub(super) fn check(scenario: &Scenario, problems: &mut Problems) {
    for claim in &scenario.claims {
        if claim.conditions.is_empty() {
            problems_of(claim, &scenario.base, "", problems);
            continue;
        }
        if scenario.combinations() > MOST_RUNS {
            let (settings, _) = scenario.with(&claim.conditions);
            problems_of(
                claim,
                &settings,
                " in the variants that `where` names",
                problems,
            );
            continue;
        }
        for picks in picks(&scenario.axes).filter(|picks| claim.binds(picks)) {
            let (settings, _) = scenario.with(&picks);
            let before = problems.errors();
            problems_of(
                claim,
                &settings,
                " in a variant that `where` names",
                problems,
            );
            if problems.errors() > before {
                break;
            }
        }
    }
}

fn problems_of(claim: &ClaimSetting, settings: &Settings, place: &str, problems: &mut Problems) {
    if let Some(reason) = unmeasured(&claim.claim.value, settings) {
        problems.push(reason.at(claim, place));
    }
}

/// Why a claim cannot be judged.
struct Reason {
    found: String,
    expected: String,
    help: Option<String>,
}

impl Reason {
    fn new(found: impl Into<String>, expected: impl Into<String>) -> Option<Self> {
        Some(Self {
            found: found.into(),
            expected: expected.into(),
            help: None,
        })
    }

    fn at(self, claim: &ClaimSetting, place: &str) -> Problem {
        let found = format!("a claim about {}{place}", self.found);
        let problem = claim.claim.at.problem(found, self.expected);
        match self.help {
            Some(help) => problem.help(help),
            None => problem,
        }
    }
}

fn unmeasured(claim: &Claim, settings: &Settings) -> Option<Reason> {
    if settings.producers.is_empty() {
        return Reason::new(
            format!("`{}` without `[[producers]]`", claim.metric),
            "producers: only messages of the same run are measured, all others are foreign",
        );
    }
    match claim.metric {
        Metric::Throughput => throughput(claim, settings),
        Metric::Time { end, origin, .. } => time(claim, end, origin, settings),
        Metric::Total(total) => counted(total, settings),
    }
}

/// Some fleet asks for confirms; also where what it asks for is not known.
fn confirms(fleet: &ProducersSettings) -> bool {
    fleet.confirms.or(ConfirmsSetting::Window(defaults::WINDOW)) != Some(ConfirmsSetting::Off)
}

/// Some consumers get what is published.
fn delivers(settings: &Settings) -> bool {
    settings.consumers.iter().any(|fleet| {
        fleet
            .from
            .value()
            .is_none_or(|queue| is_fed(queue, settings))
    })
}

fn time(claim: &Claim, end: End, origin: Origin, settings: &Settings) -> Option<Reason> {
    let metric = claim.metric;
    match end {
        End::Confirm if !settings.producers.iter().any(confirms) => {
            return Reason::new(
                format!("`{metric}` with `confirms = \"off\"`"),
                "`confirms = { window = N }`, or no claim about confirms",
            );
        }
        End::Delivery if !delivers(settings) => {
            return Reason::new(
                format!("`{metric}` although nobody consumes what is published"),
                "`[[consumers]]` of a queue that the producers reach",
            );
        }
        _ => {}
    }
    if origin == Origin::Sent {
        return None;
    }
    let unscheduled = settings
        .producers
        .iter()
        .filter(|fleet| end == End::Delivery || confirms(fleet))
        .find(|fleet| rate(fleet) == Some(RateSetting::Max))?;
    let name = unscheduled.name.value().map_or("", String::as_str);
    let service = metric.to_string().replace(".response.", ".service.");
    Some(Reason {
        found: format!("`{metric}`, a response time, although the producers `{name}` have no rate"),
        expected: format!("a `rate`, or the service time: `{service}`"),
        help: Some(
            "a response time counts from when a message was due, and without a rate none is ever due; a stalled broker \
             would look fast"
                .to_owned(),
        ),
    })
}

fn counted(total: Total, settings: &Settings) -> Option<Reason> {
    let name = total.as_str();
    match total {
        Total::Confirmed | Total::Nacked | Total::Unconfirmed | Total::LostConfirmed
            if !settings.producers.iter().any(confirms) =>
        {
            Reason::new(
                format!("`{name}` with `confirms = \"off\"`"),
                "`confirms = { window = N }`, or no claim about confirms",
            )
        }
        Total::Returned
            if settings
                .producers
                .iter()
                .all(|fleet| fleet.mandatory.or(false) == Some(false)) =>
        {
            Reason::new(
                "`returned` without `mandatory`",
                "`mandatory = true`: only then does the broker return what it cannot route",
            )
        }
        Total::Planned | Total::Unsent
            if settings
                .producers
                .iter()
                .all(|fleet| rate(fleet) == Some(RateSetting::Max)) =>
        {
            Reason::new(
                format!("`{name}` although no producers have a rate"),
                "a `rate`: without one no message is ever due",
            )
        }
        Total::Delivered
        | Total::Undelivered
        | Total::DroppedByDesign
        | Total::Lost
        | Total::LostConfirmed
        | Total::LostUnconfirmed
        | Total::Duplicated
        | Total::Redelivered
        | Total::Reordered
        | Total::Corrupt
        | Total::Foreign
            if !delivers(settings) =>
        {
            Reason::new(
                format!("`{name}` although nobody consumes what is published"),
                "`[[consumers]]` of a queue that the producers reach",
            )
        }
        _ => None,
    }
}

/// Throughput is of copies delivered, where there are consumers. A claim of so many a second needs at least 2% more to be offered: at the very rate that is claimed, the
/// last messages of a phase, and a Poisson process by chance, would break it.
fn throughput(claim: &Claim, settings: &Settings) -> Option<Reason> {
    let Limit::Rate(wanted) = claim.limit else {
        return None;
    };
    if !matches!(claim.comparison, Comparison::AtLeast | Comparison::Greater) {
        return None;
    }
    let mut offered = 0.0;
    for fleet in &settings.producers {
        match rate(fleet) {
            Some(RateSetting::Rate(rate)) => {
                let copies = copies(fleet, settings)?;
                offered += rate.as_per_second() * copies as f64;
            }
            // No bound on what is offered, or none that is known.
            Some(RateSetting::Max) | None => return None,
        }
    }
    let wanted_rate = wanted.as_per_second();
    // Whole percent keep the usual round figures exact.
    if offered * 100.0 >= wanted_rate * 102.0 {
        return None;
    }
    let needed = wanted_rate * 102.0 / 100.0;
    Some(Reason {
        found: format!("`{claim}` with {}/s offered", short(offered)),
        expected: format!("at least {}/s offered, 2% more than is claimed", short(needed)),
        help: Some(
            "no broker can deliver more than it is given, so a claim without a margin fails by chance: raise `rate`, or \
             claim less"
                .to_owned(),
        ),
    })
}

/// A rate with at most three decimals.
fn short(per_second: f64) -> String {
    let text = format!("{per_second:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
