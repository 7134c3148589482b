//! The matrix as written: axes, each a setting's name with the values to try.

use super::document::{Node, Place, Table, Tree};
use super::path::Path;
use super::reader::mismatch;
use super::{MOST_RUNS, Scenario};
use crate::diagnostic::{Problems, quoted};

/// One setting and the values that it takes in turn.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// The setting's name, as written.
    pub(crate) name: String,
    pub(super) at: Place,
    pub(super) path: Path,
    /// At least one, all different.
    pub(crate) values: Vec<Node>,
}

/// Reads `[matrix]`.
pub(super) fn read(root: &Table, problems: &mut Problems) -> Vec<Axis> {
    let mut axes = Vec::new();
    let Some(entry) = root.entry("matrix") else {
        return axes;
    };
    match entry.node.as_table() {
        Some(table) => gather(root, table, "", &mut axes, problems),
        None => problems.push(mismatch(
            "matrix",
            &entry.node,
            "a table, `[matrix]`, of settings with lists of values",
        )),
    }
    for (index, axis) in axes.iter().enumerate() {
        if let Some(other) = axes[..index]
            .iter()
            .find(|other| other.path.overlaps(&axis.path))
        {
            problems.push(axis.at.problem(
                format!(
                    "{} which `{}` varies already",
                    quoted(&axis.name),
                    other.name
                ),
                "each setting once",
            ));
        }
    }
    axes
}

/// Axes of a table, whose nested tables are the words of a path: `producers.api.size = [..]`.
fn gather(
    root: &Table,
    table: &Table,
    prefix: &str,
    axes: &mut Vec<Axis>,
    problems: &mut Problems,
) {
    for entry in &table.entries {
        let name = if prefix.is_empty() {
            entry.key.clone()
        } else {
            format!("{prefix}.{}", entry.key)
        };
        let values = match &entry.node.value {
            Tree::Table(inner) => {
                gather(root, inner, &name, axes, problems);
                continue;
            }
            Tree::List(values) if !values.is_empty() => values,
            _ => {
                problems.push(
                    mismatch(&name, &entry.node, "a list of one value or more to try")
                        .help(format!("such as `{name} = [a, b]`")),
                );
                continue;
            }
        };
        for (index, value) in values.iter().enumerate() {
            if values[..index]
                .iter()
                .any(|other| other.text() == value.text())
            {
                problems.push(value.at.problem(
                    format!("{} for a second time", quoted(&value.text())),
                    "each value once",
                ));
            }
        }
        match Path::find(root, &name, &entry.key_at) {
            Ok(path) => axes.push(Axis {
                name,
                at: entry.key_at.clone(),
                path,
                values: values.clone(),
            }),
            Err(problem) => problems.push(*problem),
        }
    }
}

/// Checks each combination as a scenario of its own; where there are too many to run without being asked, each value
/// by itself.
pub(super) fn check(scenario: &Scenario, problems: &mut Problems) {
    if scenario.combinations() > MOST_RUNS {
        for (axis, values) in scenario.axes.iter().enumerate() {
            for value in 0..values.values.len() {
                problems.extend(scenario.with(&[(axis, value)]).1);
            }
        }
        return;
    }
    for picks in picks(&scenario.axes) {
        problems.extend(scenario.with(&picks).1);
    }
}

/// All combinations; the first axis changes slowest. None without axes.
pub(crate) fn picks(axes: &[Axis]) -> impl Iterator<Item = Vec<(usize, usize)>> {
    let mut next = (!axes.is_empty()).then(|| vec![0; axes.len()]);
    let sizes: Vec<usize> = axes.iter().map(|axis| axis.values.len()).collect();
    std::iter::from_fn(move || {
        let current = next.take()?;
        let mut following = current.clone();
        for axis in (0..sizes.len()).rev() {
            following[axis] += 1;
            if following[axis] < sizes[axis] {
                next = Some(following);
                break;
            }
            following[axis] = 0;
        }
        Some(current.into_iter().enumerate().collect())
    })
}

/// Notes where `--set` changes a setting that the matrix changes too.
pub(super) fn warn_of(replaced: &[(Path, Place)], axes: &[Axis], problems: &mut Problems) {
    for (path, at) in replaced {
        if let Some(axis) = axes.iter().find(|axis| axis.path.overlaps(path)) {
            problems.push(
                at.problem(
                    format!("a setting that the matrix varies too, as `{}`", axis.name),
                    "that only the base variant is meant",
                )
                .as_warning(),
            );
        }
    }
}
