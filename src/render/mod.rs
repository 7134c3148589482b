//! From a [`RunRecord`] to bytes: one format a file, all of them pure.
//!
//! Nothing here measures, judges or writes files; figures are formatted by `analysis::figure`, so that every rendering
//! shows the same digits. Called by the command line, which hands [`files`] to the store when a run ends.

mod chart;
pub mod csv;
mod ends;
mod grids;
pub mod hgrm;
mod html;
pub mod json;
pub mod junit;
pub mod markdown;
mod names;
mod sheet;
pub mod text;

use std::path::{Path, PathBuf};

use crate::results::RunRecord;

/// A rendering that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {file}: {reason}")]
pub struct RenderError {
    /// Which file.
    pub file: String,
    /// What the library said.
    pub reason: String,
}

impl RenderError {
    fn new(file: &str, reason: impl std::fmt::Display) -> Self {
        Self {
            file: file.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Every file of a results folder that follows from an assessed record: all but `run.json`, `intervals.csv` and
/// `times.hlog`. Paths are relative to the folder.
///
/// # Errors
/// The first rendering that could not be made.
pub fn files(record: &RunRecord) -> Result<Vec<(PathBuf, Vec<u8>)>, RenderError> {
    let charts = chart::charts(record)?;
    let mut files = vec![
        (
            PathBuf::from("summary.csv"),
            csv::summary(&record.run)?.into_bytes(),
        ),
        (
            PathBuf::from("report.md"),
            markdown::report(record).into_bytes(),
        ),
        (
            PathBuf::from("report.html"),
            html::page(record, &charts)?.into_bytes(),
        ),
        (
            PathBuf::from("junit.xml"),
            junit::report(&record.run)?.into_bytes(),
        ),
    ];
    for (variant, series) in record.run.variants.iter().zip(&record.series) {
        let folder = Path::new(&variant.folder);
        for (name, text) in hgrm::files(&variant.streams, series)? {
            files.push((folder.join(name), text.into_bytes()));
        }
    }
    for chart in &charts {
        files.push((chart.path_with("svg"), chart.svg.clone().into_bytes()));
        files.push((chart.path_with("png"), chart::png(chart)?));
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
