//! A problem in a user's file: where it is, what was found, what was expected, and what to do.
//!
//! Problems are values. Whoever reads a file collects all of them before giving up, and they are printed together, each
//! with its file, line and column, the line itself, what was found, what was expected, and the nearest valid word. What
//! a line says is shown as it is written, but for passwords in addresses, which no output may hold. Made by `scenario`
//! and `plan`, printed by the binary; knows nothing of what the files mean.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// A text that a problem can point into: a file, or an option of the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    name: PathBuf,
    shown: String,
}

impl Source {
    /// A source of this name. Its text is kept with every password in an address blotted out, byte for byte, so that
    /// spans into `text` stay valid.
    pub fn new(name: &Path, text: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            shown: without_passwords(text),
        })
    }

    /// The file, or the option.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The text, without passwords.
    pub fn text(&self) -> &str {
        &self.shown
    }

    /// Line and column of a byte, both from 1; columns count characters.
    fn position(&self, byte: usize) -> (usize, usize) {
        let mut at = byte.min(self.shown.len());
        while !self.shown.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.shown[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }

    /// The part of `span` that lies on its first line, within the text and on whole characters.
    fn clip(&self, span: &Range<usize>) -> Range<usize> {
        let text = &self.shown;
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let line_end = text[start..].find('\n').map_or(text.len(), |n| start + n);
        let mut end = span.end.clamp(start, line_end);
        while !text.is_char_boundary(end) {
            end += 1;
        }
        start..end
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.name.display())
    }
}

/// How much a problem weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is run.
    Error,
    /// Worth reading; nothing is refused.
    Warning,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How much it weighs.
    pub severity: Severity,
    /// The file, or the option of the command line.
    pub file: PathBuf,
    /// Line, from 1; 0 where the problem is with the file itself.
    pub line: usize,
    /// Column in characters, from 1; 0 where the problem is with the file itself.
    pub column: usize,
    /// The bytes at fault.
    pub span: Range<usize>,
    /// What was found, as the rest of a sentence that starts with "found".
    pub found: String,
    /// What was expected, as the rest of a sentence that starts with "expected".
    pub expected: String,
    /// What to do, where there is more to say than what was expected.
    pub help: Option<String>,
    source: Option<Arc<Source>>,
}

impl Problem {
    /// An error at `span` of a source. `found` and `expected` continue the sentences "found .." and "expected ..".
    pub fn new(
        source: &Arc<Source>,
        span: Range<usize>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        let (line, column) = source.position(span.start);
        Self {
            severity: Severity::Error,
            file: source.name.clone(),
            line,
            column,
            span,
            found: found.into(),
            expected: expected.into(),
            help: None,
            source: Some(Arc::clone(source)),
        }
    }

    /// An error with a file as such: it cannot be read, or is a folder.
    pub fn with_file(file: &Path, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            span: 0..0,
            found: found.into(),
            expected: expected.into(),
            help: None,
            source: None,
        }
    }

    /// The same, saying what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, as something worth reading that refuses nothing.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let path = self.file.display().to_string();
        let title = format!("found {}", self.found);
        let expected = format!("expected {}", self.expected);
        let mut group: Group<'_> = match &self.source {
            Some(source) if !source.shown.is_empty() => level.primary_title(title).element(
                Snippet::source(source.shown.as_str())
                    .path(path)
                    .annotation(
                        AnnotationKind::Primary
                            .span(source.clip(&self.span))
                            .label(expected),
                    ),
            ),
            _ => level
                .primary_title(title)
                .element(Origin::path(path))
                .element(Level::NOTE.message(expected)),
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.clone()));
        }
        renderer.render(&[group])
    }
}

/// Whether what is printed carries terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colours {
    /// Plain text.
    #[default]
    Never,
    /// ANSI escape sequences.
    Always,
}

/// Everything that is wrong, in the order of the files and of the places in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, unless the very same is known already.
    pub fn push(&mut self, problem: Problem) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// Adds all of `others`.
    pub fn extend(&mut self, others: Self) {
        for problem in others.0 {
            self.push(problem);
        }
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// None at all, warnings included.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are errors.
    pub fn errors(&self) -> usize {
        self.0
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count()
    }

    /// `Ok(value)` where nothing but warnings was found, else all of it, sorted.
    ///
    /// # Errors
    /// Itself.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.errors() == 0 {
            Ok(value)
        } else {
            Err(self.sorted())
        }
    }

    /// In the order of the files and of the places in them, errors before warnings at the same place.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort_by(|a, b| {
            (&a.file, a.span.start, a.severity).cmp(&(&b.file, b.span.start, b.severity))
        });
        self
    }

    /// All of them as text, one after the other, with a line at the end that counts them.
    pub fn render(&self, colours: Colours) -> String {
        let renderer = match colours {
            Colours::Never => Renderer::plain(),
            Colours::Always => Renderer::styled(),
        };
        let mut text = String::new();
        for problem in &self.0 {
            text.push_str(problem.render(&renderer).trim_end());
            text.push_str("\n\n");
        }
        text.push_str(&match self.errors() {
            0 => match self.0.len() {
                1 => "1 warning".to_owned(),
                n => format!("{n} warnings"),
            },
            1 => "1 problem; nothing was run".to_owned(),
            n => format!("{n} problems; nothing was run"),
        });
        text
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colours::Never))
    }
}

impl std::error::Error for Problems {}

/// The word of `known` that `word` was probably meant to be: at most a third of its letters differ.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| {
            let distance =
                strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase());
            (distance, candidate)
        })
        .min()
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .map(|(_, candidate)| candidate)
}

/// Text as it is quoted in a message: on one line, and not endless.
pub fn quoted(text: &str) -> String {
    let flat: String = without_passwords(text)
        .chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect();
    let mut short: String = flat.chars().take(60).collect();
    if short.len() < flat.len() {
        short.push_str("..");
    }
    format!("`{short}`")
}

/// The text with the password of every address in it replaced by as many `*` as it has bytes.
pub fn without_passwords(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for (at, marker) in text.match_indices("://") {
        let start = at + marker.len();
        let end = text[start..]
            .find(|c: char| c.is_whitespace() || c == '"' || c == '\'')
            .map_or(text.len(), |n| start + n);
        let authority = &text[start..end];
        let (Some(colon), Some(sign)) = (authority.find(':'), authority.rfind('@')) else {
            continue;
        };
        if colon < sign {
            bytes[start + colon + 1..start + sign].fill(b'*');
        }
    }
    // Whole characters were replaced by ASCII: what is left is UTF-8.
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_what_was_found_and_what_was_expected() {
        let text = "title = \"x\"\nprsistent = true\n";
        let source = Source::new(Path::new("a.toml"), text);
        let problem = Problem::new(&source, 12..21, "unknown key `prsistent`", "another")
            .help("did you mean `persistent`?");
        assert_eq!((problem.line, problem.column), (2, 1));
        insta::assert_snapshot!(Problems::from(problem), @r"");
    }

    #[test]
    fn the_same_problem_is_told_once() {
        let source = Source::new(Path::new("a.toml"), "x");
        let mut problems = Problems::new();
        for _ in 0..2 {
            problems.push(Problem::new(&source, 0..1, "`x`", "`y`"));
        }
        assert_eq!(problems.errors(), 1);
    }

    #[test]
    fn warnings_refuse_nothing() {
        let source = Source::new(Path::new("a.toml"), "x");
        let warning = Problem::new(&source, 0..1, "`x`", "`y`").as_warning();
        assert_eq!(Problems::from(warning).or(7), Ok(7));
    }

    #[test]
    fn positions_count_characters_and_survive_any_span() {
        let source = Source::new(Path::new("a.toml"), "ä = 1\n\nö = 2");
        assert_eq!(source.position(8), (3, 1));
        assert_eq!(source.position(10), (3, 2));
        assert_eq!(source.position(9), (3, 1), "inside a character");
        for start in 0..20 {
            for end in 0..20 {
                let problem = Problem::new(&source, start..end, "this", "that");
                assert!(problem.render(&Renderer::plain()).contains("found this"));
            }
        }
    }

    #[test]
    fn passwords_in_addresses_are_blotted_out_byte_for_byte() {
        for (text, shown) in [
            ("amqp://u:secret@h/", "amqp://u:******@h/"),
            (
                "['amqps://u:p@ss@h:1/v', 'x']",
                "['amqps://u:****@h:1/v', 'x']",
            ),
            ("amqp://u:pä@h", "amqp://u:***@h"),
            ("amqp://h:5672/", "amqp://h:5672/"),
            ("amqp://u:a/b@h", "amqp://u:***@h"),
        ] {
            assert_eq!(without_passwords(text), shown);
            assert_eq!(text.len(), shown.len());
        }
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["persistent", "prefetch", "rate"];
        assert_eq!(nearest("persistant", known), Some("persistent"));
        assert_eq!(nearest("Rate", known), Some("rate"));
        assert_eq!(nearest("colour", known), None);
    }
}
