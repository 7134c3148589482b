//! Names of settings, as the matrix, `where` and `--set` use them, and the places in a scenario that they mean.
//!
//! `timing.measure` and `producers.api.size` name one setting; `queue.kind` names that setting of every queue; a bare
//! `persistent` names it in every fleet that can have it, or, where no fleet can, in the one table that can.

use super::document::{Entry, Node, Place, Table, Tree};
use super::reader::listed;
use super::settings::{CONNECTION, CONSUMERS, EXCHANGE, PRODUCERS, QUEUE, TIMING};
use crate::diagnostic::{Problem, nearest, quoted};

/// One step down the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

/// Arrays of tables whose elements have names.
const NAMED: &[(&str, &[&str])] = &[
    ("producers", PRODUCERS),
    ("consumers", CONSUMERS),
    ("queue", QUEUE),
    ("exchange", EXCHANGE),
];
/// Tables of which there is one.
const SINGLE: &[(&str, &[&str])] = &[("timing", TIMING), ("connection", CONNECTION)];
/// Settings outside of any table.
const TOP: &[&str] = &["max_backlog", "driver"];

/// Where in a scenario a setting's name leads: at least one place.
#[derive(Debug, Clone)]
pub(super) struct Path {
    places: Vec<Vec<Step>>,
}

impl Path {
    /// Finds the places that `text` means in this scenario, or says at `at` why there are none.
    pub(super) fn find(root: &Table, text: &str, at: &Place) -> Result<Self, Box<Problem>> {
        let (head, rest) = split(text);
        let places = if let Some((table, keys)) = NAMED.iter().find(|(table, _)| *table == head) {
            named(root, table, keys, rest, at)?
        } else if let Some((table, keys)) = SINGLE.iter().find(|(table, _)| *table == head) {
            let rest = rest.ok_or_else(|| incomplete(text, keys, at))?;
            known(split(rest).0, keys, table, at)?;
            vec![steps(&[Step::Key((*table).to_owned())], rest)]
        } else if TOP.contains(&head) {
            vec![steps(&[], text)]
        } else {
            bare(root, text, head, at)?
        };
        Ok(Self { places })
    }

    /// Puts `node` at each of the places, in the place of what is there.
    pub(super) fn set(&self, root: &mut Table, node: &Node) {
        for place in &self.places {
            put(root, place, node);
        }
    }

    /// Whether both lead to a common place.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.places.iter().any(|mine| {
            other
                .places
                .iter()
                .any(|theirs| mine.starts_with(theirs) || theirs.starts_with(mine))
        })
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once('.')
        .map_or((text, None), |(head, rest)| (head, Some(rest)))
}

/// `prefix` and a step for each of the words of `rest`.
fn steps(prefix: &[Step], rest: &str) -> Vec<Step> {
    prefix
        .iter()
        .cloned()
        .chain(rest.split('.').map(|word| Step::Key(word.to_owned())))
        .collect()
}

/// The names of the elements of an array of tables, by index.
fn names<'r>(root: &'r Table, table: &str) -> Vec<(usize, &'r str)> {
    let Some(Tree::List(items)) = root.get(table).map(|node| &node.value) else {
        return Vec::new();
    };
    items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| match &item.as_table()?.get("name")?.value {
            Tree::Text(name) => Some((index, name.as_str())),
            _ => None,
        })
        .collect()
}

/// `table.NAME.key` or `table.key`. Names may have dots in them: the longest that fits is meant.
fn named(
    root: &Table,
    table: &str,
    keys: &[&str],
    rest: Option<&str>,
    at: &Place,
) -> Result<Vec<Vec<Step>>, Box<Problem>> {
    let rest = rest.ok_or_else(|| incomplete(table, keys, at))?;
    let names = names(root, table);
    let one = names
        .iter()
        .filter_map(|(index, name)| {
            let tail = rest.strip_prefix(name)?.strip_prefix('.')?;
            Some((name.len(), *index, tail))
        })
        .max_by_key(|(length, ..)| *length);
    if let Some((_, index, tail)) = one {
        known(split(tail).0, keys, table, at)?;
        let prefix = [Step::Key(table.to_owned()), Step::Item(index)];
        return Ok(vec![steps(&prefix, tail)]);
    }
    let word = split(rest).0;
    if keys.contains(&word) {
        known(word, keys, table, at)?;
        let places = every(root, table, rest);
        return if places.is_empty() {
            Err(nothing(rest, table, at))
        } else {
            Ok(places)
        };
    }
    let mut words: Vec<&str> = names.iter().map(|(_, name)| *name).collect();
    words.extend(keys.iter().filter(|key| **key != "name"));
    let problem = at.problem(
        format!(
            "{} in {table}, which is neither a name nor a setting there",
            quoted(rest)
        ),
        listed(words.iter().copied()),
    );
    let stem = rest.rsplit_once('.').map_or(rest, |(stem, _)| stem);
    Err(Box::new(
        match nearest(stem, words.iter().copied()).or_else(|| nearest(word, words.iter().copied()))
        {
            Some(near) => problem.help(format!("did you mean `{table}.{near}`?")),
            None => problem,
        },
    ))
}

/// A setting in every element of an array of tables.
fn every(root: &Table, table: &str, rest: &str) -> Vec<Vec<Step>> {
    let Some(Tree::List(items)) = root.get(table).map(|node| &node.value) else {
        return Vec::new();
    };
    (0..items.len())
        .map(|index| steps(&[Step::Key(table.to_owned()), Step::Item(index)], rest))
        .collect()
}

/// A name without a table.
fn bare(root: &Table, text: &str, head: &str, at: &Place) -> Result<Vec<Vec<Step>>, Box<Problem>> {
    if head == "name" {
        return Err(Box::new(renamed(at)));
    }
    let fleets: Vec<Vec<Step>> = NAMED[..2]
        .iter()
        .filter(|(_, keys)| keys.contains(&head))
        .flat_map(|(table, _)| every(root, table, text))
        .collect();
    if !fleets.is_empty() {
        return Ok(fleets);
    }
    let owners: Vec<&str> = NAMED
        .iter()
        .chain(SINGLE)
        .filter(|(_, keys)| keys.contains(&head))
        .map(|(table, _)| *table)
        .collect();
    match owners.as_slice() {
        [table] if SINGLE.iter().any(|(single, _)| single == table) => {
            Ok(vec![steps(&[Step::Key((*table).to_owned())], text)])
        }
        [table] => {
            let places = every(root, table, text);
            if places.is_empty() {
                Err(nothing(text, table, at))
            } else {
                Ok(places)
            }
        }
        [] => Err(Box::new(unknown(text, at))),
        several => {
            let full: Vec<String> = several
                .iter()
                .map(|table| format!("{table}.{text}"))
                .collect();
            Err(Box::new(at.problem(
                format!("{}, which several tables have", quoted(text)),
                listed(full.iter().map(String::as_str)),
            )))
        }
    }
}

fn unknown(text: &str, at: &Place) -> Problem {
    let words = NAMED
        .iter()
        .chain(SINGLE)
        .flat_map(|(_, keys)| keys.iter().copied())
        .chain(TOP.iter().copied())
        .chain(NAMED.iter().chain(SINGLE).map(|(table, _)| *table));
    let problem = at.problem(
        format!("{}, which is no setting", quoted(text)),
        "a setting such as `persistent`, `producers.NAME.size`, `queue.kind` or `timing.measure`",
    );
    match nearest(split(text).0, words.filter(|word| *word != "name")) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem,
    }
}

fn known(word: &str, keys: &[&str], table: &str, at: &Place) -> Result<(), Box<Problem>> {
    if word == "name" {
        return Err(Box::new(renamed(at)));
    }
    if keys.contains(&word) {
        return Ok(());
    }
    let problem = at.problem(
        format!("{}, which is no setting of {table}", quoted(word)),
        listed(keys.iter().copied().filter(|key| *key != "name")),
    );
    Err(Box::new(match nearest(word, keys.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem,
    }))
}

fn renamed(at: &Place) -> Problem {
    at.problem(
        "`name`, which tells tables apart and cannot vary",
        "any other setting",
    )
}

fn nothing(key: &str, table: &str, at: &Place) -> Box<Problem> {
    Box::new(at.problem(
        format!("{} although the scenario has no [[{table}]]", quoted(key)),
        "a setting of something that the scenario has",
    ))
}

fn incomplete(table: &str, keys: &[&str], at: &Place) -> Box<Problem> {
    Box::new(at.problem(
        format!("`{table}` alone, which is no setting"),
        format!(
            "`{table}.` and one of {}",
            listed(keys.iter().copied().filter(|key| *key != "name"))
        ),
    ))
}

fn put(table: &mut Table, place: &[Step], node: &Node) {
    let Some((Step::Key(key), rest)) = place.split_first() else {
        return;
    };
    let found = table.entries.iter().position(|entry| entry.key == *key);
    let index = found.unwrap_or(table.entries.len());
    if found.is_none() {
        table.entries.push(Entry {
            key: key.clone(),
            key_at: node.at.clone(),
            node: node.clone(),
        });
    }
    let target = &mut table.entries[index].node;
    match rest.split_first() {
        None => *target = node.clone(),
        Some((Step::Item(item), rest)) => {
            if let Tree::List(items) = &mut target.value
                && let Some(Tree::Table(inner)) = items.get_mut(*item).map(|item| &mut item.value)
            {
                put(inner, rest, node);
            }
        }
        Some((Step::Key(_), _)) => {
            if found.is_none() || target.as_table().is_none() {
                *target = Node {
                    value: Tree::Table(Table::default()),
                    at: node.at.clone(),
                };
            }
            if let Tree::Table(inner) = &mut target.value {
                put(inner, rest, node);
            }
        }
    }
}
