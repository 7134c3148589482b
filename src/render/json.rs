//! The record for programs: the very content of `run.json`.

use super::RenderError;
use crate::results::RunRecord;

/// The run as JSON, indented, ending in a line's end.
///
/// # Errors
/// Where a value cannot be written as JSON, which none of ours should be.
pub fn report(record: &RunRecord) -> Result<String, RenderError> {
    let mut text = serde_json::to_string_pretty(&record.run)
        .map_err(|error| RenderError::new("run.json", error))?;
    text.push('\n');
    Ok(text)
}
