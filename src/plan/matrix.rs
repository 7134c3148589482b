//! One plan for each combination of a scenario's matrix: which they are, their order and their names.
//!
//! The scenario as written is always the first, under the name `base`. The product of the matrix follows, the first
//! setting changing slowest, without the combination that comes to the same plan as the base.

use super::resolve::number;
use super::{Plan, Variant};
use crate::claim::Claim;
use crate::diagnostic::Problems;
use crate::scenario::{Axis, Scenario, Settings, picks};

/// Longest name of a variant in bytes: it is a folder's name, and has to fit in a table.
const LONGEST_NAME: usize = 120;

/// The variant of a scenario as written.
pub(super) fn base() -> Variant {
    Variant {
        index: 0,
        name: "base".into(),
        settings: Vec::new(),
        base: true,
    }
}

/// All plans, made by `resolve` out of the settings of each combination.
pub(super) fn expand(
    scenario: &Scenario,
    resolve: impl Fn(&Settings) -> Plan,
) -> Result<Vec<Plan>, Problems> {
    let mut problems = Problems::new();
    let mut base = resolve(&scenario.base);
    base.claims = claims(scenario, None);
    let first_run = base.run;
    let mut plans = vec![base];
    let keys = short_keys(&scenario.axes);
    for picks in picks(&scenario.axes) {
        let (settings, found) = scenario.with(&picks);
        if found.errors() > 0 {
            problems.extend(found);
            continue;
        }
        let mut plan = resolve(&settings);
        let named: Vec<(String, String)> = picks
            .iter()
            .map(|(axis, value)| {
                let axis = &scenario.axes[*axis];
                (axis.name.clone(), axis.values[*value].text())
            })
            .collect();
        if same_work(&plan, &plans[0]) {
            plans[0].variant.settings = named;
            plans[0].claims.extend(claims(scenario, Some(&picks)));
            continue;
        }
        let index = plans.len();
        plan.variant = Variant {
            index,
            name: unique(folder_name(&keys, &named), &plans),
            settings: named,
            base: false,
        };
        number(&mut plan, first_run.wrapping_add(index as u32));
        plan.claims = claims(scenario, Some(&picks));
        plans.push(plan);
    }
    if plans[0].variant.settings.is_empty() {
        plans[0].variant.settings = scenario
            .axes
            .iter()
            .map(|axis| (axis.name.clone(), "as written".to_owned()))
            .collect();
    }
    problems.or(plans)
}

/// Whether two plans differ in nothing but their names.
fn same_work(a: &Plan, b: &Plan) -> bool {
    a.topology == b.topology
        && a.producers == b.producers
        && a.consumers == b.consumers
        && a.timing == b.timing
        && a.connection == b.connection
        && a.driver == b.driver
        && a.max_backlog == b.max_backlog
}

/// The claims that bind a combination: those without `where` bind the scenario as written (`None`), the others every
/// combination that has all the values they name.
fn claims(scenario: &Scenario, picks: Option<&[(usize, usize)]>) -> Vec<Claim> {
    scenario
        .claims
        .iter()
        .filter(|claim| match picks {
            None => claim.conditions.is_empty(),
            Some(picks) => claim.binds(picks),
        })
        .map(|claim| claim.claim.value.clone())
        .collect()
}

/// The last word of each axis's name, or all of it where two end alike.
fn short_keys(axes: &[Axis]) -> Vec<String> {
    let last = |axis: &Axis| axis.name.rsplit('.').next().unwrap_or_default().to_owned();
    axes.iter()
        .map(|axis| {
            let short = last(axis);
            if axes.iter().filter(|other| last(other) == short).count() > 1 {
                axis.name.clone()
            } else {
                short
            }
        })
        .collect()
}

/// `persistent=true,confirms=window-1`: readable, and made of what every file system takes.
fn folder_name(keys: &[String], settings: &[(String, String)]) -> String {
    let parts: Vec<String> = keys
        .iter()
        .zip(settings)
        .map(|(key, (_, value))| format!("{}={}", plain(key), plain(value)))
        .collect();
    let mut name = parts.join(",");
    if name.len() > LONGEST_NAME {
        name.truncate(LONGEST_NAME);
    }
    name
}

/// Letters, digits, dots and underscores as they are, everything between them as one hyphen.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
            plain.push(c);
        } else if !plain.is_empty() && !plain.ends_with('-') {
            plain.push('-');
        }
    }
    plain.trim_end_matches('-').to_owned()
}

/// The name, with a number behind it where another variant has it already.
fn unique(name: String, plans: &[Plan]) -> String {
    let taken = |name: &str| {
        plans
            .iter()
            .any(|plan| plan.variant.name.eq_ignore_ascii_case(name))
    };
    if !taken(&name) && !name.is_empty() {
        return name;
    }
    (2..)
        .map(|number| format!("{name}~{number}"))
        .find(|name| !taken(name))
        .unwrap_or(name)
}
