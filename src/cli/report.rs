//! `mqbench report`: prints a saved run again, judged anew from what was measured.

use std::path::{Path, PathBuf};

use clap::Args;

use mqbench::render::text::{self, TextOptions};
use mqbench::results::{self, RunRecord, Stop, Verdict};
use mqbench::{analysis, render};

use super::exit::{Exit, Failure};
use super::options::Format;
use super::talk;

const AFTER_HELP: &str = "\
Examples:
  mqbench report results/quick/2026-01-31T12-00-00Z
  mqbench report results/quick/2026-01-31T12-00-00Z --format json | jq '.claims[]'
  mqbench report results/quick/2026-01-31T12-00-00Z --format markdown > comment.md

Exit codes: as of the run itself; 2 where the folder holds no run.";

/// Print the report of a saved run.
///
/// Every number is rebuilt from what stands in the folder. The exit code is that of the run's verdict.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The results folder of a run.
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// What the report is printed as.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut record = results::load(&arguments.run).map_err(Failure::usage)?;
    analysis::assess(&mut record);
    // A run that was killed left none.
    let has_page = arguments.run.join("report.html").is_file();
    let folder = has_page.then_some(arguments.run.as_path());
    print(&record, folder, arguments.format)?;
    Ok(exit(&record))
}

/// Prints a record on stdout; `folder` is where its report.html stands or is about to.
pub(crate) fn print(
    record: &RunRecord,
    folder: Option<&Path>,
    format: Format,
) -> Result<(), Failure> {
    let text = match format {
        Format::Text => text::report(
            record,
            &TextOptions {
                folder: folder.map(Path::to_owned),
                ..TextOptions::default()
            },
        ),
        Format::Json => render::json::report(record).map_err(Failure::broken)?,
        Format::Markdown => render::markdown::report(record),
    };
    talk::data(&format!("{}\n", text.trim_end()));
    Ok(())
}

/// What a process ends with that made or showed this record.
pub(crate) fn exit(record: &RunRecord) -> Exit {
    let stops = record
        .run
        .variants
        .iter()
        .map(|variant| match variant.stop {
            Stop::Interrupted => Exit::Interrupted,
            Stop::BrokerFailed { .. } | Stop::SystemFailed { .. } => Exit::Broken,
            _ => Exit::Passed,
        });
    let verdict = match record.run.verdict {
        Some(Verdict::Fail) => Exit::Failed,
        Some(Verdict::Invalid) => Exit::Invalid,
        Some(Verdict::Inconclusive) => Exit::Inconclusive,
        Some(Verdict::Pass) | None => Exit::Passed,
    };
    stops.fold(verdict, Exit::max)
}
