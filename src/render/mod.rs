//! From a [`RunRecord`] to bytes: one format a file, all of them pure.
//!
//! Nothing here measures, judges or writes files; figures are formatted by `analysis::figure`, so that every rendering
//! shows the same digits. Called by the store when a run ends, and by the command line.

mod sheet;
pub mod text;

use std::path::PathBuf;

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

/// Every file of a results folder that follows from the record: all but `run.json`, `intervals.csv` and `times.hlog`.
/// Paths are relative to the folder.
///
/// # Errors
/// The first rendering that could not be made.
pub fn files(_record: &RunRecord) -> Result<Vec<(PathBuf, Vec<u8>)>, RenderError> {
    Ok(Vec::new())
}
