//! `mqbench check`: what is wrong with scenarios, or what running them would take.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets::ASCII_HORIZONTAL_ONLY};

use mqbench::diagnostic::{Colours, Problems};
use mqbench::plan::{self, Choices, ManyRuns, Outlook};
use mqbench::scenario::{self, Override, Scenario};
use mqbench::units::{ByteSize, Span};

use super::exit::{Exit, Failure};
use super::talk;

/// Check scenarios without running them.
///
/// Prints all problems of all files, each with file, line, what was found and what was expected; or, where there are
/// none, for each file the number of runs, the longest they can take, and the most bytes of message bodies that they
/// could have on the broker at one time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mqbench check scenarios/*.toml
  mqbench check scenarios/adr-003.toml --set timing.measure=60s

Exit codes: 0 no problem, 2 problems.")]
pub(crate) struct Arguments {
    /// Scenario files (TOML), or folders of them.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Replace a setting of the scenarios, e.g. `producers.api.rate=5k/s`. Can be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<Override>,

    /// Accept more than 1,000 runs.
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let scenarios = read_all(&arguments.paths, &arguments.overrides)?;
    let choices = Choices {
        seed: 1,
        run: 1,
        driver: None,
        addresses: Vec::new(),
        interval: None,
        many_runs: many_runs(arguments.yes),
    };
    let mut problems = Problems::new();
    let mut table = Table::new();
    table
        .load_style(ASCII_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(110)
        .set_header(["scenario", "runs", "longest", "most on the broker"]);
    for scenario in &scenarios {
        match plan::resolve(scenario, &choices) {
            Ok(plans) => {
                let Outlook {
                    runs,
                    duration,
                    most_bytes,
                } = plan::outlook(&plans);
                let file = scenario.file.display().to_string();
                table.add_row([file, runs.to_string(), rough(duration), bytes(most_bytes)]);
            }
            Err(found) => problems.extend(found),
        }
    }
    problems.or(()).map_err(|problems| failure(&problems))?;
    talk::data(&format!("{table}\n"));
    Ok(Exit::Passed)
}

/// Reads all files, and tells of the problems of all of them at once; warnings go to stderr.
pub(crate) fn read_all(
    paths: &[PathBuf],
    overrides: &[Override],
) -> Result<Vec<Scenario>, Failure> {
    let mut problems = Problems::new();
    let mut scenarios = Vec::new();
    // One path at a time: what is wrong with one must not hide what is wrong with the others.
    for path in paths {
        match scenario::find(std::slice::from_ref(path)) {
            Ok(files) => {
                for file in files {
                    match scenario::read(&file, overrides) {
                        Ok(scenario) => scenarios.push(scenario),
                        Err(found) => problems.extend(found),
                    }
                }
            }
            Err(found) => problems.extend(found),
        }
    }
    let scenarios = problems
        .or(scenarios)
        .map_err(|problems| failure(&problems))?;
    scenarios.iter().for_each(warn_of);
    Ok(scenarios)
}

/// Says what may be meant otherwise in a scenario that is free of problems.
pub(crate) fn warn_of(scenario: &Scenario) {
    if !scenario.warnings.is_empty() {
        talk::say(&scenario.warnings.render(colours()));
    }
}

/// The problems as they are printed on stderr.
pub(crate) fn failure(problems: &Problems) -> Failure {
    Failure::usage(format!("\n{}", problems.render(colours())))
}

/// Whether `--yes` was said.
pub(crate) fn many_runs(yes: bool) -> ManyRuns {
    if yes {
        ManyRuns::Agreed
    } else {
        ManyRuns::Refused
    }
}

fn colours() -> Colours {
    // The convention of no-color.org.
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if !unwanted && std::io::stderr().is_terminal() {
        Colours::Always
    } else {
        Colours::Never
    }
}

/// A span without digits that nobody needs: `4 min 30 s`, `12 s`.
pub(crate) fn rough(span: Span) -> String {
    let seconds = span.as_secs_f64().ceil() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

fn bytes(count: u64) -> String {
    let unit = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    unit.into_iter()
        .find(|(size, _)| count >= *size)
        .map_or_else(
            || ByteSize::bytes(count).to_string(),
            |(size, name)| format!("{:.1} {name}", count as f64 / size as f64),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_rounded_for_people() {
        for (ms, text) in [
            (400, "1 s"),
            (59_000, "59 s"),
            (120_000, "2 min"),
            (270_000, "4 min 30 s"),
            (3_600_000, "1 h"),
            (5_400_000, "1 h 30 min"),
        ] {
            assert_eq!(rough(Span::from_ms(ms)), text);
        }
        assert_eq!(bytes(512), ByteSize::bytes(512).to_string());
        assert_eq!(bytes(3 << 29), "1.5 GiB");
    }
}
