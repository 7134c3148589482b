//! Reads a results folder back. What a kill cut off in the middle of a line is left out, with a note.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::store::{INTERVALS_FILE, RUN_FILE, TIMES_FILE};
use super::{
    Accumulator, FORMAT, IntervalRow, Run, RunRecord, Stop, StoreError, VERSION, VariantRun,
    VariantSeries, columns, hlog,
};

/// Rebuilds the record of the run in `folder` (or of a `run.json` itself) from its files.
///
/// # Errors
/// Where the folder holds no run, was written by a newer build, or a file in it is damaged; names the file.
pub fn load(folder: &Path) -> Result<RunRecord, StoreError> {
    let folder = match folder.parent() {
        Some(parent) if folder.is_file() && folder.ends_with(RUN_FILE) => parent,
        _ => folder,
    };
    let mut run = read_run(folder)?;
    let mut series = Vec::with_capacity(run.variants.len());
    for variant in &run.variants {
        let (read, cut) = read_series(&folder.join(&variant.folder), variant)?;
        if let Some(note) = cut
            && !run.notes.contains(&note)
        {
            run.notes.push(note);
        }
        series.push(read);
    }
    Ok(RunRecord { run, series })
}

fn read_run(folder: &Path) -> Result<Run, StoreError> {
    let path = folder.join(RUN_FILE);
    if !path.is_file() {
        return Err(StoreError::NotARun {
            path: folder.to_owned(),
        });
    }
    let damaged = |reason: String| StoreError::Damaged {
        path: path.clone(),
        reason,
    };
    let bytes = read(&path)?;
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if value.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
        return Err(damaged(format!(
            "expected a field `format` with `{FORMAT}`"
        )));
    }
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(found) if found > u64::from(VERSION) => Err(StoreError::Newer {
            path,
            found,
            known: VERSION,
        }),
        Some(_) => {
            // From the text again, for its errors tell the line.
            let run: Run =
                serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
            match run.variants.iter().find(|v| !is_inside(&v.folder)) {
                Some(variant) => Err(damaged(format!(
                    "variant folder `{}` is not inside the run's",
                    variant.folder
                ))),
                None => Ok(run),
            }
        }
        None => Err(damaged("expected a field `version` with a number".into())),
    }
}

/// Only plain names: a record from elsewhere must not make us read outside its folder.
fn is_inside(folder: &str) -> bool {
    Path::new(folder)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn read_series(
    folder: &Path,
    variant: &VariantRun,
) -> Result<(VariantSeries, Option<String>), StoreError> {
    let mut sums = Accumulator::new(&variant.streams);
    let path = folder.join(INTERVALS_FILE);
    if !path.exists() && matches!(variant.stop, Stop::Unfinished) {
        return Ok((sums.finish(), None));
    }
    let (rows, cut_row) = whole_lines(read(&path)?);
    let mut last_end = 0.0_f64;
    for row in parse_rows(&rows).map_err(|reason| StoreError::Damaged { path, reason })? {
        last_end = last_end.max(row.end_s);
        sums.push_row(row);
    }
    let path = folder.join(TIMES_FILE);
    let (times, cut_line) = whole_lines(read(&path)?);
    let damaged = |reason: String| StoreError::Damaged {
        path: path.clone(),
        reason,
    };
    let end = Duration::from_secs_f64(last_end);
    let mut beyond = false;
    for line in hlog::parse(&times, &variant.streams).map_err(damaged)? {
        // The times of an interval are written before its row: without the row the interval was not complete.
        if line.start + Duration::from_millis(1) > end {
            beyond = true;
            continue;
        }
        sums.add_to(line.stream, line.series, &line.histogram)
            .map_err(|error| damaged(error.to_string()))?;
    }
    let note = (cut_row || cut_line || beyond).then(|| {
        format!(
            "{}: the last interval was cut off in the middle of writing and is left out",
            variant.name
        )
    });
    Ok((sums.finish(), note))
}

fn parse_rows(bytes: &[u8]) -> Result<Vec<IntervalRow>, String> {
    let mut reader = csv::Reader::from_reader(bytes);
    let header = reader.headers().map_err(|error| error.to_string())?;
    let columns: HashMap<String, usize> = header
        .iter()
        .enumerate()
        .map(|(at, name)| (name.to_owned(), at))
        .collect();
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let line = index + 2;
        let record = record.map_err(|error| format!("line {line}: {error}"))?;
        let row = columns::parse_interval(&columns, &record)
            .map_err(|reason| format!("line {line}: {reason}"))?;
        rows.push(row);
    }
    Ok(rows)
}

/// Everything up to the last line's end, and whether something stood behind it.
fn whole_lines(mut bytes: Vec<u8>) -> (Vec<u8>, bool) {
    let end = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let torn = end < bytes.len();
    bytes.truncate(end);
    (bytes, torn)
}

fn read(path: &PathBuf) -> Result<Vec<u8>, StoreError> {
    fs::read(path).map_err(|error| StoreError::Unreadable {
        path: path.clone(),
        reason: error.to_string(),
    })
}
