//! Writes a results folder while a run lasts, so that a kill at any moment leaves everything up to the last interval.
//!
//! `intervals.csv` and `times.hlog` grow by whole lines and are flushed for each interval; `run.json` is replaced as a
//! whole; the renderings come last. Nothing here reads time: folders are named by the run's own start. Called by
//! `campaign`.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;

use super::{Accumulator, Run, StoreError, VariantSeries, columns, hlog, journal, stream_tags};
use crate::address::Address;
use crate::record::Interval;
use crate::topology::Topology;

/// The run's own file.
pub(super) const RUN_FILE: &str = "run.json";
/// One row for each interval.
pub(super) const INTERVALS_FILE: &str = "intervals.csv";
/// The histograms of each interval.
pub(super) const TIMES_FILE: &str = "times.hlog";

/// What a run leaves apart from its intervals: renderings, charts and the record itself, in bytes.
const FIXED_BYTES: u64 = 8 << 20;
/// A packed histogram with a few thousand distinct values, in bytes: a generous figure.
const HISTOGRAM_BYTES: u64 = 6 << 10;
/// A line of `intervals.csv`, in bytes.
const ROW_BYTES: u64 = 700;
/// How many folders are tried under one name before giving up.
const MOST_COLLISIONS: u32 = 1000;

/// The results folder of one run.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Makes `<out>/<scenario>/<UTC time>/`, with a suffix where that is taken, and writes the first `run.json` into it.
    ///
    /// # Errors
    /// Where the folder cannot be made or written, or there is too little room for what `run` is expected to leave.
    pub fn create(out: &Path, run: &Run) -> Result<Self, StoreError> {
        let parent = out.join(file_name(&run.scenario));
        fs::create_dir_all(&parent).map_err(|error| unwritable(&parent, &error))?;
        let needed = expected_bytes(run);
        let free = free_bytes(&parent)?;
        if free < needed {
            return Err(StoreError::NoSpace {
                path: parent,
                free,
                needed,
            });
        }
        let store = Self {
            folder: make_folder(&parent, &folder_time(&run.started))?,
        };
        store.save(run)?;
        Ok(store)
    }

    /// Where everything goes.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes ready for the intervals of `run.variants[index]`, in its folder.
    ///
    /// # Errors
    /// Where its files cannot be written, or there is no such variant.
    pub fn begin_variant(&self, run: &Run, index: usize) -> Result<VariantWriter, StoreError> {
        let variant = run.variants.get(index).ok_or_else(|| StoreError::Damaged {
            path: self.folder.clone(),
            reason: format!(
                "variant {index} begins, but the run has {}",
                run.variants.len()
            ),
        })?;
        let folder = self.folder.join(&variant.folder);
        fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
        let mut header = csv::Writer::from_writer(Vec::new());
        let head = header
            .write_record(columns::interval_header())
            .map_err(|error| error.to_string())
            .and_then(|()| header.into_inner().map_err(|error| error.to_string()));
        let started = timestamp(&variant.started).unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(VariantWriter {
            rows: LineFile::create(folder.join(INTERVALS_FILE), head)?,
            times: LineFile::create(folder.join(TIMES_FILE), hlog::header(started))?,
            tags: stream_tags(&variant.streams),
            serializer: V2DeflateSerializer::new(),
            sums: Accumulator::new(&variant.streams),
        })
    }

    /// Replaces `run.json` as a whole.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn save(&self, run: &Run) -> Result<(), StoreError> {
        let path = self.folder.join(RUN_FILE);
        let mut text = serde_json::to_vec_pretty(run).map_err(|error| StoreError::Unwritable {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        text.push(b'\n');
        write_atomically(&path, &text)
    }

    /// Saves the run and writes the renderings beside it (`render::files` makes them; this module knows no format but
    /// its own). Paths are relative to the folder.
    ///
    /// # Errors
    /// Where one cannot be written.
    pub fn finish(&self, run: &Run, files: &[(PathBuf, Vec<u8>)]) -> Result<(), StoreError> {
        self.save(run)?;
        for (name, bytes) in files {
            let path = self.folder.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(|error| unwritable(parent, &error))?;
            }
            write_atomically(&path, bytes)?;
        }
        Ok(())
    }

    /// Notes what a run is about to put on the broker, before it does.
    ///
    /// # Errors
    /// Where `declared.json` cannot be written: then nothing should be declared either.
    pub fn declare(
        &self,
        run: u32,
        topology: &Topology,
        addresses: &[Address],
    ) -> Result<(), StoreError> {
        journal::declare(&self.folder.join(journal::FILE), run, topology, addresses)
    }

    /// Notes that what this run had declared is gone from the broker.
    ///
    /// # Errors
    /// Where `declared.json` cannot be written.
    pub fn removed(&self, run: u32) -> Result<(), StoreError> {
        journal::removed(&self.folder.join(journal::FILE), run)
    }
}

/// Takes the intervals of one variant.
pub struct VariantWriter {
    rows: LineFile,
    times: LineFile,
    tags: Vec<String>,
    serializer: V2DeflateSerializer,
    sums: Accumulator,
}

impl VariantWriter {
    /// Writes one interval to both files and hands it to the kernel before it returns.
    ///
    /// # Errors
    /// Where a file cannot be written, e.g. because the disk is full.
    pub fn append(&mut self, interval: &Interval) -> Result<(), StoreError> {
        // Times first: an interval counts as saved when its row is there.
        let measured = self.sums.measured(interval);
        let lines = measured
            .map_err(|error| error.to_string())
            .and_then(|parts| {
                hlog::lines(
                    &mut self.serializer,
                    &self.tags,
                    interval.start_ns,
                    interval.end_ns,
                    &parts,
                )
            });
        self.times.append(lines)?;
        let row = self
            .sums
            .add(interval)
            .map_err(|error| self.rows.unwritable(&error.to_string()))?;
        let mut line = csv::Writer::from_writer(Vec::new());
        let line = line
            .write_record(columns::interval_record(&row))
            .map_err(|error| error.to_string())
            .and_then(|()| line.into_inner().map_err(|error| error.to_string()));
        self.rows.append(line)
    }

    /// Everything appended, added up.
    pub fn finish(self) -> VariantSeries {
        self.sums.finish()
    }
}

/// A file that grows by whole lines.
struct LineFile {
    path: PathBuf,
    file: File,
}

impl LineFile {
    fn create(path: PathBuf, head: Result<Vec<u8>, String>) -> Result<Self, StoreError> {
        let file = File::create(&path).map_err(|error| unwritable(&path, &error))?;
        let mut created = Self { path, file };
        created.append(head)?;
        Ok(created)
    }

    fn append(&mut self, lines: Result<Vec<u8>, String>) -> Result<(), StoreError> {
        let lines = lines.map_err(|reason| self.unwritable(&reason))?;
        // Unbuffered: one write a file and interval, and nothing of ours to lose in a kill.
        self.file
            .write_all(&lines)
            .map_err(|error| unwritable(&self.path, &error))
    }

    fn unwritable(&self, reason: &str) -> StoreError {
        StoreError::Unwritable {
            path: self.path.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// The folder of a variant's own files, relative to the run's: the top where there is one variant only.
pub fn variant_folder(variants: usize, index: usize, name: &str) -> String {
    if variants <= 1 {
        return String::new();
    }
    let mut folder = format!("{:02}-{}", index + 1, file_name(name));
    folder.truncate(100);
    folder
}

/// A name as one component of a path, ASCII only.
fn file_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._=,+-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    match plain.trim_start_matches('.') {
        "" => "_".to_owned(),
        shown => shown.to_owned(),
    }
}

/// `2026-11-24T03:59:39.5Z` as `2026-11-24T03-59-39Z`: no colons, whole seconds.
fn folder_time(started: &str) -> String {
    let seconds = started.split(['.', 'Z']).next().unwrap_or(started);
    format!("{}Z", file_name(&seconds.replace(':', "-")))
}

fn make_folder(parent: &Path, name: &str) -> Result<PathBuf, StoreError> {
    let mut folder = parent.join(name);
    for attempt in 2..=MOST_COLLISIONS {
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                folder = parent.join(format!("{name}-{attempt}"));
            }
            Err(error) => return Err(unwritable(&folder, &error)),
        }
    }
    Err(StoreError::Unwritable {
        path: folder,
        reason: "all names are taken".into(),
    })
}

/// Writes beside, then renames: readers see the old file or the new one.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| {
        // A part of a file is of no use to anyone; where even this fails the first error says more.
        let _ = fs::remove_file(&beside);
        unwritable(path, &error)
    })
}

/// The most bytes that a run is expected to leave.
fn expected_bytes(run: &Run) -> u64 {
    let variants = run.variants.iter().map(|variant| {
        let timing = &variant.plan.timing;
        let length = timing
            .warmup
            .saturating_add(timing.measure)
            .saturating_add(timing.drain);
        let intervals = length.as_ns() / timing.interval.as_ns().max(1) + 2;
        let histograms = 7 + 4 * variant.streams.len() as u64;
        intervals.saturating_mul(histograms * HISTOGRAM_BYTES + ROW_BYTES)
    });
    variants.fold(FIXED_BYTES, u64::saturating_add)
}

fn free_bytes(path: &Path) -> Result<u64, StoreError> {
    let stat = rustix::fs::statvfs(path).map_err(|error| unwritable(path, &error.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn timestamp(text: &str) -> Option<SystemTime> {
    let since_epoch = text.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
    let since_epoch = u64::try_from(since_epoch).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(since_epoch))
}

fn unwritable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unwritable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
