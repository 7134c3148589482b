//! What the user wrote: a scenario file, read with all of its problems at once.
//!
//! [`read`] and [`parse`] turn a file into a [`Scenario`], or into [`Problems`] that show each mistake with its place.
//! A scenario is still as written: defaults are filled in, and the matrix becomes plans, in `plan::resolve`. What is
//! checked here is everything that does not need a broker: words, units, names that refer to each other, settings that
//! contradict each other, and claims about something that is not measured. `scenarios/README.md` is the reference of
//! the format. Called by the command line.

mod broker;
mod check;
mod claims;
pub mod defaults;
mod document;
mod find;
mod fleet;
mod matrix;
mod path;
mod reader;
mod settings;

use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use find::find;

pub(crate) use claims::ClaimSetting;
pub(crate) use document::Node;
pub(crate) use matrix::{Axis, picks};
pub(crate) use reader::Setting;
pub(crate) use settings::{
    AckSetting, ConfirmsSetting, ConsumersSettings, DriverSetting, ProducersSettings, RateSetting,
    Settings, ToSettings,
};

use crate::diagnostic::{Problem, Problems, Source, quoted};
use document::{Place, Table, Tree};
use reader::Reader;

/// The most runs that a matrix may ask for without being confirmed.
pub const MOST_RUNS: usize = 1000;

/// A scenario as written, without mistakes.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file.
    pub file: PathBuf,
    /// Its stem: names the results.
    pub name: String,
    /// The title, or the name where it has none.
    pub title: String,
    /// What it says about itself.
    pub about: Option<String>,
    /// What is worth reading although nothing is refused.
    pub warnings: Problems,
    pub(crate) base: Settings,
    pub(crate) claims: Vec<ClaimSetting>,
    pub(crate) axes: Vec<Axis>,
    pub(crate) root_at: Place,
    document: Node,
}

impl Scenario {
    /// Number of combinations that the matrix spans, the scenario as written not counted; 0 without a matrix.
    pub fn combinations(&self) -> usize {
        if self.axes.is_empty() {
            return 0;
        }
        self.axes.iter().fold(1, |product: usize, axis| {
            product.saturating_mul(axis.values.len())
        })
    }

    /// The problem that the matrix asks for more than [`MOST_RUNS`] runs.
    pub(crate) fn too_many_runs(&self) -> Problem {
        let sizes: Vec<String> = self
            .axes
            .iter()
            .map(|axis| axis.values.len().to_string())
            .collect();
        let at = self.axes.first().map_or(&self.root_at, |axis| &axis.at);
        at.problem(
            format!(
                "a matrix of {} = {} runs",
                sizes.join(" x "),
                self.combinations()
            ),
            format!("at most {MOST_RUNS} runs"),
        )
        .help("name fewer values, or say `--yes` if that many are meant")
    }

    /// The settings with some axes of the matrix at one of their values, by index, and what is wrong with them.
    pub(crate) fn with(&self, picks: &[(usize, usize)]) -> (Settings, Problems) {
        let mut document = self.document.clone();
        if let Tree::Table(root) = &mut document.value {
            for (axis, value) in picks {
                let axis = &self.axes[*axis];
                axis.path.set(root, &axis.values[*value]);
            }
        }
        let mut problems = Problems::new();
        let nothing = Table::default();
        let root = document.as_table().unwrap_or(&nothing);
        let settings = settings::read(root, &document.at, &mut problems);
        check::settings(&settings, &document.at, &mut problems);
        (settings, problems)
    }
}

/// A setting given on the command line: `--set KEY=VALUE`, where the key is a path as in the matrix and the value is
/// TOML, or text where it is not TOML.
#[derive(Clone, PartialEq, Eq)]
pub struct Override {
    key: String,
    text: String,
}

impl std::fmt::Debug for Override {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::diagnostic::without_passwords(&self.text))
    }
}

/// Text that is no `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found}, expected KEY=VALUE such as `rate=5k/s` or `producers.api.size=64B`")]
pub struct OverrideError {
    found: String,
}

impl FromStr for Override {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() && !value.trim().is_empty() => Ok(Self {
                key: key.trim().to_owned(),
                text: text.to_owned(),
            }),
            _ => Err(OverrideError {
                found: quoted(text),
            }),
        }
    }
}

/// Reads a scenario file, with some settings replaced.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn read(path: &Path, overrides: &[Override]) -> Result<Scenario, Problems> {
    parse(path, &find::load(path)?, overrides)
}

/// Reads a scenario from a text; `file` names it in messages and gives the scenario its name.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn parse(file: &Path, text: &[u8], overrides: &[Override]) -> Result<Scenario, Problems> {
    let text = document::decode(file, text)?;
    let mut problems = Problems::new();
    let mut document = document::parse(file, text, &mut problems);
    let nothing = Table::default();
    if problems.errors() > 0 {
        // What is left besides the broken lines is read too, but what seems to be missing may stand on them.
        let mut others = Problems::new();
        let root = document.as_table().unwrap_or(&nothing);
        settings::read(root, &document.at, &mut others);
        for problem in others.as_slice() {
            if !problem.found.starts_with("no `") {
                problems.push(problem.clone());
            }
        }
        return Err(problems.sorted());
    }
    if document
        .as_table()
        .is_none_or(|root| root.entries.is_empty())
    {
        return Err(empty(file, text).into());
    }
    let replaced = apply(overrides, &mut document, &mut problems);
    let root = document.as_table().unwrap_or(&nothing);
    let base = settings::read(root, &document.at, &mut problems);
    let (title, about) = titles(root, &document.at, &mut problems);
    let axes = matrix::read(root, &mut problems);
    matrix::warn_of(&replaced, &axes, &mut problems);
    check::settings(&base, &document.at, &mut problems);
    let claims = claims::read(root, &axes, &mut problems);
    let name = file.file_stem().map_or_else(
        || "scenario".into(),
        |stem| stem.to_string_lossy().into_owned(),
    );
    let mut scenario = Scenario {
        file: file.to_owned(),
        title: title.unwrap_or_else(|| name.clone()),
        name,
        about,
        warnings: Problems::new(),
        base,
        claims,
        axes,
        root_at: document.at.clone(),
        document,
    };
    matrix::check(&scenario, &mut problems);
    claims::check(&scenario, &mut problems);
    scenario.warnings = problems.clone().sorted();
    problems.or(scenario)
}

/// Puts the values of `--set` into the tree; what they lead to and where they stand.
fn apply(
    overrides: &[Override],
    document: &mut Node,
    problems: &mut Problems,
) -> Vec<(path::Path, Place)> {
    let mut replaced = Vec::new();
    let Tree::Table(root) = &mut document.value else {
        return replaced;
    };
    for given in overrides {
        let source = Source::new(Path::new("--set"), &given.text);
        let value_start = given.text.find('=').map_or(0, |at| at + 1);
        let key_at = Place::new(&source, 0..value_start.saturating_sub(1));
        match path::Path::find(root, &given.key, &key_at) {
            Ok(path) => {
                path.set(
                    root,
                    &document::parse_value(&source, &given.text, value_start),
                );
                replaced.push((path, key_at));
            }
            Err(problem) => problems.push(*problem),
        }
    }
    replaced
}

fn titles(root: &Table, at: &Place, problems: &mut Problems) -> (Option<String>, Option<String>) {
    let mut reader = Reader::new("a scenario", root, at, settings::ROOT, problems);
    let title = reader.text("title", "a line of text");
    let about = reader.text("about", "a text");
    (title.value().cloned(), about.value().cloned())
}

fn empty(file: &Path, text: &str) -> Problem {
    Problem::new(
        &Source::new(file, text),
        0..text.len(),
        "no setting at all in the file",
        "a scenario: at least `[[queue]]`, and `[[producers]]` or `[[consumers]]`",
    )
    .help("start from scenarios/quick.toml; scenarios/README.md explains every key")
}
