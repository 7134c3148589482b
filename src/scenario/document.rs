//! The text of a scenario as a tree in which every key and value knows its place.
//!
//! The tree is what `--set` and the matrix change: each combination is the same tree with some values replaced, read
//! again. Values keep the place they were written at, so that a problem in a replaced value points to the matrix or to
//! the option it came from. Knows TOML and nothing of scenarios.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Problem, Problems, Source};

/// Where something is written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Place {
    source: Arc<Source>,
    span: Range<usize>,
}

impl Place {
    /// A span of a source.
    pub(super) fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        Self {
            source: Arc::clone(source),
            span,
        }
    }

    /// A problem at this place.
    pub(crate) fn problem(&self, found: impl Into<String>, expected: impl Into<String>) -> Problem {
        Problem::new(&self.source, self.span.clone(), found, expected)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{:?}", self.source, self.span)
    }
}

/// A value and where it is written.
#[derive(Clone)]
pub(crate) struct Node {
    pub(super) value: Tree,
    pub(super) at: Place,
}

/// What a value is.
#[derive(Clone)]
pub(super) enum Tree {
    Flag(bool),
    Whole(i64),
    Real(f64),
    Text(String),
    /// A date or time, which no setting takes, or a number too large for any.
    Odd(String, &'static str),
    List(Vec<Node>),
    Table(Table),
}

/// Keys in the order written.
#[derive(Clone, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Place,
    pub(super) node: Node,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl Node {
    /// The value as one would write it.
    pub(crate) fn text(&self) -> String {
        match &self.value {
            Tree::Flag(flag) => flag.to_string(),
            Tree::Whole(whole) => whole.to_string(),
            Tree::Real(real) => real.to_string(),
            Tree::Text(text) => text.clone(),
            Tree::Odd(text, _) => text.clone(),
            Tree::List(items) => {
                let items: Vec<String> = items.iter().map(Self::text).collect();
                format!("[{}]", items.join(", "))
            }
            Tree::Table(table) => {
                let entries: Vec<String> = table
                    .entries
                    .iter()
                    .map(|entry| format!("{} = {}", entry.key, entry.node.text()))
                    .collect();
                format!("{{ {} }}", entries.join(", "))
            }
        }
    }

    /// The kind of value, for messages: `a number`.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Tree::Flag(_) => "true or false",
            Tree::Whole(_) | Tree::Real(_) => "a number",
            Tree::Text(_) => "a text",
            Tree::Odd(_, kind) => kind,
            Tree::List(_) => "a list",
            Tree::Table(_) => "a table",
        }
    }

    pub(super) fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Tree::Table(table) => Some(table),
            _ => None,
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::diagnostic::without_passwords(&self.text()))
    }
}

/// Text that is UTF-8 and has something in it.
pub(super) fn decode<'t>(file: &Path, bytes: &'t [u8]) -> Result<&'t str, Problems> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let at = error.valid_up_to();
            let lossy = String::from_utf8_lossy(bytes);
            // Everything before the first bad byte is valid, so offsets agree up to there; the bad byte itself became
            // a replacement character of three bytes.
            let source = Source::new(file, &lossy);
            Err(Problem::new(
                &source,
                at..at + 3,
                format!("the byte 0x{:02x} at offset {at}", bytes[at]),
                "UTF-8 text",
            )
            .help("save the file as UTF-8")
            .into())
        }
    }
}

/// The whole tree of a file. Reports every syntax error and returns what could be read besides.
pub(super) fn parse(file: &Path, text: &str, problems: &mut Problems) -> Node {
    let source = Source::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        problems.push(syntax_problem(&source, span, error.message()));
    }
    let at = Place::new(&source, 0..0);
    let table = convert_table(&source, table.into_inner());
    Node {
        value: Tree::Table(table),
        at,
    }
}

/// One value, as on the right of `KEY=` on a command line: TOML where it is TOML, else text.
pub(super) fn parse_value(source: &Arc<Source>, whole: &str, start: usize) -> Node {
    let text = &whole[start..];
    let at = Place::new(source, start..whole.len());
    let value = match DeValue::parse(text) {
        Ok(value) => match convert(source, value).value {
            Tree::Odd(..) => Tree::Text(text.to_owned()),
            value => value,
        },
        Err(_) => Tree::Text(text.to_owned()),
    };
    replaced(
        Node {
            value,
            at: at.clone(),
        },
        &at,
    )
}

/// The node with every place in it set to `at`: values from a command line are pointed to as a whole.
fn replaced(node: Node, at: &Place) -> Node {
    let value = match node.value {
        Tree::List(items) => Tree::List(items.into_iter().map(|item| replaced(item, at)).collect()),
        Tree::Table(table) => Tree::Table(Table {
            entries: table
                .entries
                .into_iter()
                .map(|entry| Entry {
                    key: entry.key,
                    key_at: at.clone(),
                    node: replaced(entry.node, at),
                })
                .collect(),
        }),
        value => value,
    };
    Node {
        value,
        at: at.clone(),
    }
}

fn syntax_problem(source: &Arc<Source>, span: Range<usize>, message: &str) -> Problem {
    let mut parts = message.split(", expected ");
    let found = parts.next().unwrap_or(message);
    let expected = parts.next().unwrap_or("TOML (https://toml.io)");
    Problem::new(source, span, format!("bad TOML: {found}"), expected)
}

fn convert(source: &Arc<Source>, node: Spanned<DeValue<'_>>) -> Node {
    let at = Place::new(source, node.span());
    let value = match node.into_inner() {
        DeValue::String(text) => Tree::Text(text.into_owned()),
        DeValue::Boolean(flag) => Tree::Flag(flag),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(whole) => Tree::Whole(whole),
            Err(_) => Tree::Odd(digits.to_string(), "a number too large for any setting"),
        },
        DeValue::Float(digits) => match digits.as_str().parse() {
            Ok(real) => Tree::Real(real),
            Err(_) => Tree::Odd(digits.to_string(), "a number of no use"),
        },
        DeValue::Datetime(date) => Tree::Odd(date.to_string(), "a date"),
        DeValue::Array(items) => Tree::List(
            items
                .into_iter()
                .map(|item| convert(source, item))
                .collect(),
        ),
        DeValue::Table(table) => Tree::Table(convert_table(source, table)),
    };
    Node { value, at }
}

fn convert_table(source: &Arc<Source>, table: DeTable<'_>) -> Table {
    let mut entries: Vec<Entry> = table
        .into_iter()
        .map(|(key, value)| Entry {
            key_at: Place::new(source, key.span()),
            key: key.into_inner().into_owned(),
            node: convert(source, value),
        })
        .collect();
    // The parser sorts by name; the order in which a user wrote the keys is that of their places.
    entries.sort_by_key(|entry| entry.key_at.span.start);
    Table { entries }
}
