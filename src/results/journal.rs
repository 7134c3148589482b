//! `declared.json`: what a run has put on a broker and not yet removed, so that `mqbench clean` can remove it after a
//! kill. Holds names as the broker knows them and addresses without passwords.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::store::write_atomically;
use crate::address::Address;
use crate::topology::Topology;

pub(super) const FILE: &str = "declared.json";

/// What stands in `declared.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Journal {
    /// The process that will remove it, and when that process began (clock ticks since the boot).
    pub(super) process: u32,
    pub(super) process_start: Option<u64>,
    pub(super) declared: Vec<Declared>,
}

/// What one variant has put on the broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Declared {
    pub(super) run: u32,
    pub(super) addresses: Vec<String>,
    pub(super) topology: Topology,
}

/// Names that a run has left on a broker.
#[derive(Debug, Clone, PartialEq)]
pub struct Leftover {
    /// The run's folder.
    pub folder: PathBuf,
    /// The run's number, which is in the suffix of the names.
    pub run: u32,
    /// Where, without passwords.
    pub addresses: Vec<String>,
    /// What. Nothing in it is marked as existing: all of it was made by that run.
    pub topology: Topology,
    /// The run is still going on, on this machine: its names are in use.
    pub running: bool,
}

impl Leftover {
    /// Strikes this run out of its folder's journal, after its names were removed.
    ///
    /// # Errors
    /// Where the journal cannot be written.
    pub fn forget(&self) -> Result<(), StoreError> {
        let path = self.folder.join(FILE);
        let Some(mut journal) = read(&path) else {
            return Ok(());
        };
        journal.declared.retain(|declared| declared.run != self.run);
        write(&path, &journal)
    }
}

/// What earlier runs left on brokers, by the journals in the run folders below `out` (`<scenario>/<time>/`). A folder
/// that is not there holds none; a journal that cannot be read is left out.
pub fn leftovers(out: &Path) -> Vec<Leftover> {
    let mut found = Vec::new();
    for folder in subfolders(out)
        .iter()
        .flat_map(|scenario| subfolders(scenario))
    {
        let Some(journal) = read(&folder.join(FILE)) else {
            continue;
        };
        let running = journal.process_start.is_some()
            && process_start(journal.process) == journal.process_start;
        found.extend(journal.declared.into_iter().map(|declared| Leftover {
            folder: folder.clone(),
            run: declared.run,
            addresses: declared.addresses,
            topology: declared.topology,
            running,
        }));
    }
    found
}

/// Adds what a run is about to declare. Existing queues and exchanges are not ours and are left out.
pub(super) fn declare(
    path: &Path,
    run: u32,
    topology: &Topology,
    addresses: &[Address],
) -> Result<(), StoreError> {
    let process = std::process::id();
    let mut journal = read(path).unwrap_or(Journal {
        process,
        process_start: process_start(process),
        declared: Vec::new(),
    });
    journal.declared.push(Declared {
        run,
        addresses: addresses.iter().map(ToString::to_string).collect(),
        topology: Topology {
            exchanges: topology
                .exchanges
                .iter()
                .filter(|e| !e.existing)
                .cloned()
                .collect(),
            queues: topology
                .queues
                .iter()
                .filter(|q| !q.existing)
                .cloned()
                .collect(),
            bindings: Vec::new(),
        },
    });
    write(path, &journal)
}

/// Strikes a run out; the file goes with the last one.
pub(super) fn removed(path: &Path, run: u32) -> Result<(), StoreError> {
    let Some(mut journal) = read(path) else {
        return Ok(());
    };
    journal.declared.retain(|declared| declared.run != run);
    write(path, &journal)
}

fn write(path: &Path, journal: &Journal) -> Result<(), StoreError> {
    let unwritable = |reason: String| StoreError::Unwritable {
        path: path.to_owned(),
        reason,
    };
    if journal.declared.is_empty() {
        return fs::remove_file(path).map_err(|error| unwritable(error.to_string()));
    }
    let text = serde_json::to_vec_pretty(journal).map_err(|error| unwritable(error.to_string()))?;
    write_atomically(path, &text)
}

fn read(path: &Path) -> Option<Journal> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

/// Field 22 of `/proc/PID/stat` (proc(5)): with it a process is known even where its number is used again.
fn process_start(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field, the name, may hold spaces and parentheses; the last `)` ends it.
    let rest = stat.rsplit_once(')')?.1;
    rest.split_whitespace().nth(19)?.parse().ok()
}
