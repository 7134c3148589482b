//! `mqbench report`: prints a run again, from its folder alone.

use std::path::{Path, PathBuf};

use clap::Args;

use mqbench::render;
use mqbench::results::{self, RunRecord, Stop, Verdict};

use super::exit::{Exit, Failure};
use super::options::Format;
use super::talk;

/// Print the report of an earlier run.
///
/// Everything comes from the run's folder. The exit code is that of the run's verdict.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mqbench report results/quick/2026-11-24T03-59-39Z
  mqbench report results/quick/2026-11-24T03-59-39Z --format markdown > comment.md

Exit codes: as the run's own; 2 where the folder holds no run.")]
pub(crate) struct Arguments {
    /// A run's folder: DIR/<scenario>/<UTC time>.
    #[arg(value_name = "RUN")]
    folder: PathBuf,

    /// What it is printed as.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let record = results::load(&arguments.folder).map_err(Failure::usage)?;
    print(&record, &arguments.folder, arguments.format)?;
    Ok(exit(&record))
}

/// Prints the report on stdout.
pub(crate) fn print(record: &RunRecord, folder: &Path, format: Format) -> Result<(), Failure> {
    let text = match format {
        Format::Text => {
            let options = render::text::TextOptions {
                folder: Some(folder.to_owned()),
                ..render::text::TextOptions::default()
            };
            render::text::report(record, &options)
        }
        Format::Json => render::json::report(record).map_err(Failure::broken)?,
        Format::Markdown => render::markdown::report(record),
    };
    talk::data(&text);
    Ok(())
}

/// The exit code that a record amounts to.
pub(crate) fn exit(record: &RunRecord) -> Exit {
    let verdict = match record.run.verdict {
        Some(Verdict::Pass) | None => Exit::Passed,
        Some(Verdict::Fail) => Exit::Failed,
        Some(Verdict::Invalid) => Exit::Invalid,
        Some(Verdict::Inconclusive) => Exit::Inconclusive,
    };
    let stops = record.run.variants.iter().map(|variant| match variant.stop {
        Stop::Interrupted => Exit::Interrupted,
        Stop::BrokerFailed { .. } | Stop::SystemFailed { .. } | Stop::Unfinished => Exit::Broken,
        // Judged by their claims.
        Stop::Completed | Stop::MessagesSent | Stop::Overloaded { .. } | Stop::BacklogFull { .. } => Exit::Passed,
    });
    stops.fold(verdict, Exit::max)
}
