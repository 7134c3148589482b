//! The architecture of the library, read from its sources: who imports whom, who may print, ask for the time or read
//! the environment, who knows lapin, and that every file says what it is for.
//!
//! What counts is code: comments, texts and test modules are taken out first.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom, as in the design. An entry with `::` allows that one item and not its module.
///
/// Beyond the design's table, each with its reason: `address` and `claim` are foundations; a scenario is written in the
/// terms of `schedule`'s arrivals and the driver's properties; `plan::layout` turns a plan into what a driver's port is
/// to open and a recorder is to keep; `engine` hands back its totals in the terms of `results`; `results` keeps a plan
/// with all that it consists of; `analysis` and `render` read the plan and the claims that a record contains.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("clock", &["units"]),
    ("diagnostic", &["units"]),
    ("stamp", &["units", "clock"]),
    ("topology", &["units"]),
    ("address", &["units"]),
    ("claim", &["units"]),
    ("host", &["units", "clock"]),
    ("schedule", &["units", "clock"]),
    (
        "scenario",
        &[
            "units",
            "topology",
            "diagnostic",
            "address",
            "claim",
            "schedule::Arrivals",
            "driver::Properties",
            "stamp::STAMP_LEN",
        ],
    ),
    (
        "plan",
        &[
            "scenario",
            "schedule",
            "topology",
            "units",
            "diagnostic",
            "address",
            "claim",
            "driver::Properties",
            "driver::PortSpec",
            "driver::ConnectionSpec",
            "driver::ProducerSpec",
            "driver::ConsumerSpec",
            "record::Series",
            "record::Stream",
            "record::recorder",
        ],
    ),
    (
        "driver",
        &["units", "topology", "clock", "stamp", "address"],
    ),
    ("record", &["clock", "stamp", "units", "driver"]),
    (
        "engine",
        &[
            "plan",
            "schedule",
            "driver",
            "record",
            "stamp",
            "clock",
            "host",
            "units",
            "results::Censored",
            "results::LimitWindows",
            "results::Measured",
            "results::OfferedWindows",
            "results::Stop",
            "results::Subscription",
            "results::TimeAccount",
            "results::Totals",
        ],
    ),
    (
        "results",
        &[
            "record",
            "host",
            "plan",
            "units",
            "clock",
            "address",
            "claim",
            "topology",
            "driver::Edge",
            "driver::Capabilities",
            "driver::BrokerIdentity",
        ],
    ),
    ("analysis", &["results", "record", "units", "plan", "claim"]),
    (
        "render",
        &["analysis", "results", "record", "units", "plan", "claim"],
    ),
    (
        "campaign",
        &[
            "engine", "analysis", "plan", "results", "record", "clock", "units", "host", "driver",
            "address", "topology",
        ],
    ),
    ("embedded", &["clock", "units", "diagnostic"]),
    (
        "provision",
        &["embedded", "address", "clock", "units", "diagnostic"],
    ),
    (
        "calibrate",
        &[
            "embedded",
            "campaign",
            "engine",
            "analysis",
            "plan",
            "results",
            "record",
            "clock",
            "units",
            "host",
            "driver",
            "address",
            "topology",
            "provision",
        ],
    ),
];

/// What stands in the library's code only where it is named here: the words, and the files (or folders) that may.
const RESERVED: &[(&str, &[&str])] = &[
    ("println!", &[]),
    ("eprintln!", &[]),
    ("print!", &[]),
    ("eprint!", &[]),
    ("dbg!", &[]),
    ("process::exit", &[]),
    ("process::abort", &[]),
    ("env::var", &[]),
    ("env::vars", &[]),
    ("env::var_os", &[]),
    ("env::vars_os", &[]),
    ("env::args", &[]),
    ("env::args_os", &[]),
    ("env::temp_dir", &[]),
    ("env::current_dir", &[]),
    ("env::home_dir", &[]),
    ("Instant", &["clock.rs"]),
    // As a value that hdrhistogram's writer wants, made from a date in the record.
    (
        "SystemTime",
        &["clock.rs", "results/hlog.rs", "results/store.rs"],
    ),
    ("SystemTime::now", &["clock.rs"]),
    ("Timestamp::now", &["clock.rs"]),
    ("Zoned::now", &["clock.rs"]),
    ("clock_gettime", &["clock.rs"]),
    ("elapsed", &["clock.rs"]),
];

/// One file of the library.
struct Source {
    /// Below `src`, e.g. `driver/amqp/port.rs`.
    path: String,
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }
}

/// The library's files: neither the binary's nor those that only its tests see.
fn library() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&root).unwrap();
                sources.push(Source {
                    path: below.to_str().unwrap().to_owned(),
                    text: fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    let only_tests: Vec<String> = sources.iter().flat_map(test_files).collect();
    sources.retain(|source| {
        source.path != "main.rs" && source.module() != "cli" && !only_tests.contains(&source.path)
    });
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// The files that a source declares as modules for tests only.
fn test_files(source: &Source) -> Vec<String> {
    let code = code_of(&source.text);
    let folder = match source.path.rsplit_once('/') {
        Some((folder, "mod.rs")) => format!("{folder}/"),
        None if source.path == "lib.rs" => String::new(),
        _ => format!("{}/", source.path.trim_end_matches(".rs")),
    };
    let mut files = Vec::new();
    for after in code.split("#[cfg(test)]").skip(1) {
        let declaration = after.split(['{', ';']).next().unwrap_or_default();
        if after[declaration.len()..].starts_with(';')
            && let Some((_, name)) = declaration.split_once("mod ")
        {
            files.push(format!("{folder}{}.rs", name.trim()));
        }
    }
    files
}

/// `text` with comments and the insides of string and character literals blanked.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let end = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => string(rest),
            ['r', '"' | '#', ..] if !code.ends_with(is_word) => raw_string(rest),
            ['\'', '\\', ..] => {
                2 + rest[3..]
                    .iter()
                    .position(|c| *c == '\'')
                    .map_or(1, |p| p + 2)
            }
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if end == 0 {
            code.push(rest[0]);
            at += 1;
        } else {
            let blank = |c: &char| if *c == '\n' { '\n' } else { ' ' };
            code.extend(rest[..end].iter().map(blank));
            at += end;
        }
    }
    code
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at + 1 < rest.len() {
        match [rest[at], rest[at + 1]] {
            ['/', '*'] => (depth, at) = (depth + 1, at + 2),
            ['*', '/'] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// 0 where it is no raw string, as in `r#type`.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut close = vec!['"'];
    close.extend(std::iter::repeat_n('#', hashes));
    let inside = &rest[2 + hashes..];
    let end = inside.windows(close.len()).position(|w| w == close);
    end.map_or(rest.len(), |end| 2 + hashes + end + close.len())
}

/// `code` without its inline test modules.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, after) = rest.split_at(at);
        kept.push_str(before);
        let end = after.find(['{', ';']).unwrap_or(after.len());
        if !after[end..].starts_with('{') {
            rest = &after[end..];
            continue;
        }
        let mut depth = 0;
        let close = after[end..].find(|c| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            depth == 0
        });
        rest = close.map_or("", |close| &after[end + close + 1..]);
    }
    kept + rest
}

/// All that follows `crate::` in a source's code: `module::item`, with the braces of a group opened.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if !code[..at].ends_with(is_word) {
            open_path(&code[at + "crate::".len()..], "", &mut found);
        }
    }
    found
}

/// Appends the first two segments of each path that `rest` begins with.
fn open_path(rest: &str, prefix: &str, found: &mut Vec<String>) {
    let rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        let mut depth = 0;
        let mut start = 0;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    if !group[start..at].trim().is_empty() {
                        open_path(&group[start..at], prefix, found);
                    }
                    start = at + 1;
                    if c == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let word: String = rest.chars().take_while(|c| is_word(*c)).collect();
    let after = &rest[word.len()..];
    if prefix.is_empty() {
        match after.strip_prefix("::") {
            Some(more) => open_path(more, &word, found),
            None => found.push(word),
        }
    } else if word == "self" {
        found.push(prefix.to_owned());
    } else {
        found.push(format!("{prefix}::{word}"));
    }
}

fn forbidden_imports(source: &Source) -> Vec<String> {
    let table: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let module = source.module();
    if module == "lib" {
        return Vec::new();
    }
    let Some(allowed) = table.get(module) else {
        return vec![format!(
            "{}: the module `{module}` is not in the table of imports",
            source.path
        )];
    };
    imports(&without_tests(&code_of(&source.text)))
        .into_iter()
        .filter(|import| {
            let target = import.split("::").next().unwrap_or_default();
            target != module && !allowed.contains(&target) && !allowed.contains(&import.as_str())
        })
        .map(|import| format!("{}: `{module}` imports `{import}`", source.path))
        .collect()
}

/// Whether `code` holds `word` by itself, and not as a part of another word.
fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word)
    })
}

fn reserved_words(source: &Source) -> Vec<String> {
    let code = without_tests(&code_of(&source.text));
    RESERVED
        .iter()
        .filter(|(word, files)| {
            has_word(&code, word) && !files.iter().any(|file| source.path.starts_with(file))
        })
        .map(|(word, _)| format!("{}: `{word}`", source.path))
        .collect()
}

/// Names lapin as a crate: `lapin::..` that is not the driver of that name.
fn names_lapin(source: &Source) -> bool {
    let code = without_tests(&code_of(&source.text));
    let names = code.match_indices("lapin").any(|(at, name)| {
        let before = &code[..at];
        let is_crate = !before.ends_with(is_word) && !before.ends_with("driver::");
        let is_path = code[at + name.len()..].trim_start().starts_with("::");
        is_crate && (is_path || before.trim_end().ends_with("use"))
    });
    names && !source.path.starts_with("driver/lapin/")
}

fn planted(path: &str, text: &str) -> Source {
    Source {
        path: path.into(),
        text: text.into(),
    }
}

#[test]
fn every_import_is_one_that_the_design_allows() {
    let sources = library();
    assert!(sources.len() > 30, "only {} files found", sources.len());
    let wrong: Vec<_> = sources.iter().flat_map(forbidden_imports).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_library_neither_prints_nor_exits_nor_reads_time_or_environment_by_itself() {
    let wrong: Vec<_> = library().iter().flat_map(reserved_words).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_lapin_driver_knows_lapin() {
    let sources = library();
    let wrong: Vec<_> = sources
        .iter()
        .filter(|source| names_lapin(source))
        .collect();
    assert!(
        wrong.is_empty(),
        "{:?}",
        wrong.iter().map(|source| &source.path).collect::<Vec<_>>()
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let wrong: Vec<_> = library()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_planted_import_is_found_in_every_form() {
    for text in [
        "use crate::engine::Worker;",
        "use crate::{units::Rate, engine};",
        "use crate::{\n    units::{Rate, Span},\n    engine::{self, Worker},\n};",
        "fn f() { crate::engine::run() }",
        "const A: &str = \"//\"; use crate::engine;",
        "const A: char = '\"'; use crate::engine; // \"",
        "const A: &str = r#\"\"\"#; use crate::engine;",
        "#[cfg(test)]\nmod tests { fn f() { if true {} } }\nuse crate::engine;",
    ] {
        let wrong = forbidden_imports(&planted("record/mod.rs", text));
        let is_it = |one: &String| one.contains("`record` imports `engine");
        assert!(
            !wrong.is_empty() && wrong.iter().all(is_it),
            "{text}: {wrong:?}"
        );
    }
    let unknown = forbidden_imports(&planted("novelty.rs", "//! New."));
    assert_eq!(unknown.len(), 1);
    // One item is allowed, its module is not.
    let allowed = "use crate::driver::{Edge, Capabilities};";
    assert!(forbidden_imports(&planted("results/run.rs", allowed)).is_empty());
    let wrong = forbidden_imports(&planted("results/run.rs", "use crate::driver::Port;"));
    assert_eq!(wrong, ["results/run.rs: `results` imports `driver::Port`"]);
}

#[test]
fn what_is_no_code_is_not_held_against_a_file() {
    for text in [
        "//! [`crate::engine`]",
        "/* use crate::engine; /* nested */ use crate::engine; */",
        "const A: &str = \"crate::engine println! \\\" lapin::X\";",
        "const A: &str = r#\"crate::engine \" Instant\"#;",
        "#[cfg(test)]\nmod tests {\n use crate::engine::X;\n fn f() { println!(\"{}\", '}'); }\n}",
        "fn f<'a>(x: &'a str) -> &'a str { x }",
    ] {
        let source = planted("record/mod.rs", text);
        assert!(forbidden_imports(&source).is_empty(), "{text}");
        assert!(reserved_words(&source).is_empty(), "{text}");
        assert!(!names_lapin(&source), "{text}");
    }
}

#[test]
fn planted_words_are_found() {
    for text in [
        "fn f() { println!(\"\") }",
        "fn f() { std::process::exit(1) }",
        "use std::env::var;",
        "fn f() { let _ = std::env::var_os(\"X\"); }",
        "use std::time::Instant;",
        "fn f(t: T) { t.elapsed(); }",
    ] {
        let source = planted("record/mod.rs", text);
        assert_eq!(reserved_words(&source).len(), 1, "{text}");
    }
    for text in [
        "use lapin::Channel;",
        "fn f(c: lapin::Channel) {}",
        "use lapin;",
    ] {
        assert!(names_lapin(&planted("engine/mod.rs", text)), "{text}");
        assert!(!names_lapin(&planted("driver/lapin/port.rs", text)));
    }
    let driver = planted("campaign/mod.rs", "use crate::driver::lapin::Lapin;");
    assert!(!names_lapin(&driver));
}

#[test]
fn files_for_tests_only_are_known_by_their_declaration() {
    let text = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(crate) mod fixture;\n#[cfg(test)]\nmod inline { }\nmod run;";
    let of_folder = test_files(&planted("results/mod.rs", text));
    assert_eq!(of_folder, ["results/tests.rs", "results/fixture.rs"]);
    let of_file = test_files(&planted("host.rs", "#[cfg(test)] mod tests;"));
    assert_eq!(of_file, ["host/tests.rs"]);
}
