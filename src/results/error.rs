//! Why a results folder could not be written or read.

use std::path::PathBuf;

/// A results folder that cannot be written, or that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder cannot be written.
    #[error("cannot write {}: {reason}; choose another folder with --out or make room there", path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// There is too little room for what the run is expected to leave.
    #[error(
        "too little room in {}: {free} bytes free, this run may leave {needed}; free some, or choose another folder with --out",
        path.display()
    )]
    NoSpace {
        /// Where.
        path: PathBuf,
        /// Bytes free for this user.
        free: u64,
        /// Bytes that the run may leave at the most.
        needed: u64,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A folder without a `run.json`.
    #[error(
        "{} holds no run: there is no run.json in it; give a folder such as results/SCENARIO/2026-11-24T03-59-39Z",
        path.display()
    )]
    NotARun {
        /// Which.
        path: PathBuf,
    },
    /// Written by a later build.
    #[error(
        "{} has version {found} of the format, this build reads up to {known}; use the mqbench that wrote it, or a newer one",
        path.display()
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest known here.
        known: u32,
    },
    /// A file that does not hold what it should.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
}
