//! Claims as written, and whether what they speak of is measured at all.

use super::Scenario;
use super::document::{Node, Table, Tree};
use super::matrix::Axis;
use super::reader::{Located, Reader, mismatch};
use super::settings::CLAIM;
use crate::claim::Claim;
use crate::diagnostic::{Problems, nearest, quoted};

/// A claim with the variants that it binds.
#[derive(Debug, Clone)]
pub(crate) struct ClaimSetting {
    pub(crate) claim: Located<Claim>,
    /// Axis and value of each `where`; none for the scenario as written.
    pub(crate) conditions: Vec<(usize, usize)>,
}

impl ClaimSetting {
    /// Whether it speaks of a combination of the matrix: its `where` names only values that are picked there.
    pub(crate) fn binds(&self, picks: &[(usize, usize)]) -> bool {
        !self.conditions.is_empty() && self.conditions.iter().all(|pick| picks.contains(pick))
    }
}

const FORM: &str =
    "a list of claims such as `[\"throughput >= 20k/s\", \"delivery.p95 < 10ms\", \"lost == 0\"]`";

/// Reads `claims`.
pub(super) fn read(root: &Table, axes: &[Axis], problems: &mut Problems) -> Vec<ClaimSetting> {
    let Some(node) = root.get("claims") else {
        return Vec::new();
    };
    let Tree::List(items) = &node.value else {
        problems.push(mismatch("claims", node, FORM));
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| match &item.value {
            Tree::Table(table) => {
                let mut reader = Reader::new("a claim", table, &item.at, CLAIM, problems);
                let Some(text) = reader.node("claim") else {
                    reader.missing("claim", "`{ claim = \"..\", where = { .. } }`");
                    return None;
                };
                let conditions = match reader.node("where") {
                    Some(node) => conditions(node, axes, problems),
                    None => Vec::new(),
                };
                let claim = claim(text, problems)?;
                Some(ClaimSetting { claim, conditions })
            }
            _ => Some(ClaimSetting {
                claim: claim(item, problems)?,
                conditions: Vec::new(),
            }),
        })
        .collect()
}

fn claim(node: &Node, problems: &mut Problems) -> Option<Located<Claim>> {
    let Tree::Text(text) = &node.value else {
        problems.push(mismatch("claims", node, "a claim such as `\"lost == 0\"`"));
        return None;
    };
    match text.parse::<Claim>() {
        Ok(value) => Some(Located {
            value,
            at: node.at.clone(),
        }),
        Err(error) => {
            problems.push(
                node.at
                    .problem(
                        format!("{}, which is no claim", quoted(text)),
                        "`METRIC < LIMIT`",
                    )
                    .help(error.reason),
            );
            None
        }
    }
}

/// `where`: names of axes with one of their values each. Nested tables are words of a path, as in the matrix.
fn conditions(node: &Node, axes: &[Axis], problems: &mut Problems) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    match node.as_table() {
        Some(table) => gather(table, "", axes, &mut found, problems),
        None => problems.push(mismatch(
            "where",
            node,
            "a table of settings of the matrix, such as `{ persistent = true }`",
        )),
    }
    found
}

fn gather(
    table: &Table,
    prefix: &str,
    axes: &[Axis],
    found: &mut Vec<(usize, usize)>,
    problems: &mut Problems,
) {
    for entry in &table.entries {
        let name = if prefix.is_empty() {
            entry.key.clone()
        } else {
            format!("{prefix}.{}", entry.key)
        };
        if let Some((index, axis)) = axes.iter().enumerate().find(|(_, axis)| axis.name == name) {
            let wanted = entry.node.text();
            match axis.values.iter().position(|value| value.text() == wanted) {
                Some(value) => found.push((index, value)),
                None => problems.push(
                    entry.node.at.problem(
                        format!(
                            "{}, which the matrix does not try for `{name}`",
                            quoted(&wanted)
                        ),
                        super::reader::listed(
                            axis.values
                                .iter()
                                .map(Node::text)
                                .collect::<Vec<_>>()
                                .iter()
                                .map(String::as_str),
                        ),
                    ),
                ),
            }
            continue;
        }
        if let Tree::Table(inner) = &entry.node.value
            && axes
                .iter()
                .any(|axis| axis.name.starts_with(&format!("{name}.")))
        {
            gather(inner, &name, axes, found, problems);
            continue;
        }
        let names = axes.iter().map(|axis| axis.name.as_str());
        let expected = if axes.is_empty() {
            "no `where`, for the scenario has no `[matrix]`".to_owned()
        } else {
            format!(
                "a setting of the matrix: {}",
                super::reader::listed(names.clone())
            )
        };
        let problem = entry.key_at.problem(
            format!(
                "{} in `where`, which the matrix does not vary",
                quoted(&name)
            ),
            expected,
        );
        problems.push(match nearest(&name, names) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        });
    }
}

/// Refuses claims about what is not measured in a variant that they bind.
pub(super) fn check(_scenario: &Scenario, _problems: &mut Problems) {}
