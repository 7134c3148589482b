//! Takes settings out of a table one by one, and notes everything that is wrong with them without stopping.
//!
//! Serde would stop at the first mistake of each table and lose the place of a value inside an untagged one; here each
//! key is asked for by name, with the words to use where it is not what was expected.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::document::{Entry, Node, Place, Table, Tree};
use crate::diagnostic::{Problem, Problems, nearest, quoted};
use crate::topology::{Arguments, Value};
use crate::units::UnitError;

/// A value with the place at which it is written.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: Place,
}

/// A setting as far as the file says: a bad one is neither absent nor known, and nothing more is concluded from it.
#[derive(Debug, Clone, Default)]
pub(crate) enum Setting<T> {
    /// Not written.
    #[default]
    Absent,
    /// Written, and reported as a problem.
    Bad,
    /// Written.
    Given(Located<T>),
}

impl<T> Setting<T> {
    /// The value and its place, where it is given.
    pub(crate) fn given(&self) -> Option<&Located<T>> {
        match self {
            Self::Given(located) => Some(located),
            _ => None,
        }
    }

    /// The value, where it is given.
    pub(crate) fn value(&self) -> Option<&T> {
        self.given().map(|located| &located.value)
    }

    /// Its place, or the place of the table it is missing from.
    pub(crate) fn at<'s>(&'s self, table: &'s Place) -> &'s Place {
        self.given().map_or(table, |located| &located.at)
    }

    /// Not written at all.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Written, but of no use.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self, Self::Bad)
    }
}

impl<T: Clone> Setting<T> {
    /// The value or, where nothing is written, `default`; none where what is written is bad.
    pub(crate) fn or(&self, default: T) -> Option<T> {
        match self {
            Self::Absent => Some(default),
            Self::Bad => None,
            Self::Given(located) => Some(located.value.clone()),
        }
    }
}

/// One table, being read.
pub(super) struct Reader<'d, 'p> {
    /// How the table is called in messages, e.g. `[[producers]]`.
    pub(super) what: String,
    /// Where its header is.
    pub(super) at: Place,
    table: &'d Table,
    problems: &'p mut Problems,
}

impl<'d, 'p> Reader<'d, 'p> {
    /// Starts on a table whose only keys may be `known`, and reports every other.
    pub(super) fn new(
        what: &str,
        table: &'d Table,
        at: &Place,
        known: &[&str],
        problems: &'p mut Problems,
    ) -> Self {
        for entry in &table.entries {
            if !known.contains(&entry.key.as_str()) {
                problems.push(unknown_key(entry, what, known));
            }
        }
        Self {
            what: what.to_owned(),
            at: at.clone(),
            table,
            problems,
        }
    }

    /// Notes a problem.
    pub(super) fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The problems, for reading a table within this one.
    pub(super) fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    /// What is written under a key.
    pub(super) fn node(&self, key: &str) -> Option<&'d Node> {
        self.table.get(key)
    }

    /// Notes that a key is missing.
    pub(super) fn missing(&mut self, key: &str, expected: &str) {
        let problem = self
            .at
            .problem(format!("no `{key}` in {}", self.what), expected.to_owned());
        self.report(problem);
    }

    /// A setting that `convert` makes out of what is written, or says what it expected instead.
    pub(super) fn setting<T>(
        &mut self,
        key: &str,
        convert: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Setting<T> {
        let Some(node) = self.table.get(key) else {
            return Setting::Absent;
        };
        match convert(node) {
            Ok(value) => Setting::Given(Located {
                value,
                at: node.at.clone(),
            }),
            Err(expected) => {
                self.report(mismatch(key, node, expected));
                Setting::Bad
            }
        }
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, key: &str, expected: &str) -> Setting<String> {
        self.setting(key, |node| match &node.value {
            Tree::Text(text) if !text.is_empty() => Ok(text.clone()),
            _ => Err(expected.to_owned()),
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &str) -> Setting<bool> {
        self.setting(key, |node| match &node.value {
            Tree::Flag(flag) => Ok(*flag),
            _ => Err("`true` or `false`, without quotes".into()),
        })
    }

    /// A whole number within bounds.
    pub(super) fn whole<T: TryFrom<i64>>(
        &mut self,
        key: &str,
        bounds: RangeInclusive<i64>,
        expected: &str,
    ) -> Setting<T> {
        self.setting(key, |node| {
            whole(node, &bounds).ok_or_else(|| expected.to_owned())
        })
    }

    /// A rate, size or time: a text, or a bare number where the kind has a unit of its own.
    pub(super) fn quantity<T: FromStr<Err = UnitError>>(&mut self, key: &str) -> Setting<T> {
        self.setting(key, quantity)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Setting<T> {
        let Some(node) = self.table.get(key) else {
            return Setting::Absent;
        };
        if let Tree::Text(text) = &node.value
            && let Some((_, value)) = words.iter().find(|(word, _)| word == text)
        {
            return Setting::Given(Located {
                value: *value,
                at: node.at.clone(),
            });
        }
        let list = listed(words.iter().map(|(word, _)| *word));
        let mut problem = mismatch(key, node, list);
        if let Some(near) = nearest(&node.text(), words.iter().map(|(word, _)| *word)) {
            problem = problem.help(format!("did you mean `{near}`?"));
        }
        self.report(problem);
        Setting::Bad
    }

    /// Arguments or headers: a table of plain values, in the order written. Empty where the key is missing.
    pub(super) fn arguments(&mut self, key: &str) -> Arguments {
        let Some(node) = self.table.get(key) else {
            return Arguments::new();
        };
        let Some(table) = node.as_table() else {
            self.report(mismatch(
                key,
                node,
                "a table such as `{ x-max-length = 1000 }`",
            ));
            return Arguments::new();
        };
        let mut arguments = Arguments::new();
        for entry in &table.entries {
            if entry.key.is_empty() || entry.key.len() > 255 {
                self.problems.push(entry.key_at.problem(
                    format!("a name of {} bytes in `{key}`", entry.key.len()),
                    "1 to 255 bytes (AMQP's short string)",
                ));
            }
            match argument(&entry.node) {
                Some(value) => arguments.push((entry.key.clone(), value)),
                None => self.problems.push(mismatch(
                    &entry.key,
                    &entry.node,
                    "true or false, a number, a text, or a list of these",
                )),
            }
        }
        arguments
    }

    /// The elements of an array of tables, such as all `[[queue]]`.
    pub(super) fn tables(&mut self, key: &str) -> Vec<(&'d Table, Place)> {
        let Some(entry) = self.table.entry(key) else {
            return Vec::new();
        };
        let items = match &entry.node.value {
            Tree::List(items) => items,
            Tree::Table(_) => {
                self.report(
                    entry
                        .key_at
                        .problem(format!("a single table `[{key}]`"), format!("`[[{key}]]`"))
                        .help(format!(
                            "there may be many, so each starts with double brackets: `[[{key}]]`"
                        )),
                );
                return Vec::new();
            }
            _ => {
                self.report(mismatch(key, &entry.node, format!("`[[{key}]]` tables")));
                return Vec::new();
            }
        };
        let mut tables = Vec::new();
        for item in items {
            match item.as_table() {
                Some(table) => tables.push((table, item.at.clone())),
                None => self.report(mismatch(key, item, "a table")),
            }
        }
        tables
    }

    /// A table of its own, such as `[timing]`.
    pub(super) fn subtable(&mut self, key: &str) -> Option<(&'d Table, Place)> {
        let entry = self.table.entry(key)?;
        match entry.node.as_table() {
            Some(table) => Some((table, entry.node.at.clone())),
            None => {
                let problem = entry.key_at.problem(
                    format!("{} under `{key}`", entry.node.kind()),
                    format!("a table, `[{key}]`"),
                );
                self.report(problem);
                None
            }
        }
    }
}

/// A whole number within bounds, out of a number or digits in a text (as `--set` may bring them).
pub(super) fn whole<T: TryFrom<i64>>(node: &Node, bounds: &RangeInclusive<i64>) -> Option<T> {
    match &node.value {
        Tree::Whole(number) if bounds.contains(number) => T::try_from(*number).ok(),
        _ => None,
    }
}

/// A rate, size or time; on failure what would have been understood.
pub(super) fn quantity<T: FromStr<Err = UnitError>>(node: &Node) -> Result<T, String> {
    let text = match &node.value {
        Tree::Text(text) => text.clone(),
        Tree::Whole(whole) => whole.to_string(),
        Tree::Real(real) => real.to_string(),
        _ => String::new(),
    };
    text.parse()
        .map_err(|error: UnitError| error.expected.to_owned())
}

/// The problem that `key` holds something else than it should.
pub(super) fn mismatch(key: &str, node: &Node, expected: impl Into<String>) -> Problem {
    let kind = match &node.value {
        Tree::Text(_) => format!("`{key} = \"{}\"`", inner(&node.text())),
        Tree::List(_) | Tree::Table(_) | Tree::Odd(..) => {
            format!("{}, `{key} = {}`", node.kind(), inner(&node.text()))
        }
        _ => format!("`{key} = {}`", inner(&node.text())),
    };
    node.at.problem(kind, expected)
}

fn inner(text: &str) -> String {
    quoted(text).trim_matches('`').to_owned()
}

fn unknown_key(entry: &Entry, what: &str, known: &[&str]) -> Problem {
    let problem = entry.key_at.problem(
        format!("unknown key {} in {what}", quoted(&entry.key)),
        listed(known.iter().copied()),
    );
    match nearest(&entry.key, known.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem,
    }
}

/// `` `a`, `b` or `c` ``.
pub(super) fn listed<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "nothing".into(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

fn argument(node: &Node) -> Option<Value> {
    Some(match &node.value {
        Tree::Flag(flag) => Value::Bool(*flag),
        Tree::Whole(whole) => Value::Int(*whole),
        Tree::Real(real) => Value::Float(*real),
        Tree::Text(text) => Value::Text(text.clone()),
        Tree::List(items) => Value::List(items.iter().map(argument).collect::<Option<_>>()?),
        Tree::Odd(..) | Tree::Table(_) => return None,
    })
}
