//! From what stands on a command line to the scenario files it means.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Problem, Problems};

/// The files that `paths` mean, in order: a file is itself, a folder all `*.toml` in it (not below it), by name.
///
/// # Errors
/// Whatever is not there, cannot be read, or is a folder without scenarios; all of them at once.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Problems> {
    let mut problems = Problems::new();
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            match std::fs::metadata(path) {
                Ok(_) => files.push(path.clone()),
                Err(error) => problems.push(unreadable(path, &error)),
            }
            continue;
        }
        match scenarios_in(path) {
            Ok(found) if found.is_empty() => problems.push(Problem::with_file(
                path,
                "a folder without scenarios",
                "a scenario file, or a folder that holds `*.toml` files",
            )),
            Ok(found) => files.extend(found),
            Err(error) => problems.push(unreadable(path, &error)),
        }
    }
    problems.or(files)
}

/// The bytes of one file.
pub(super) fn load(path: &Path) -> Result<Vec<u8>, Problems> {
    if path.is_dir() {
        return Err(Problem::with_file(path, "a folder", "a scenario file")
            .help("`mqbench run` and `mqbench check` take a folder and read every `*.toml` in it")
            .into());
    }
    std::fs::read(path).map_err(|error| unreadable(path, &error).into())
}

fn scenarios_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
            && !path.is_dir()
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    match error.kind() {
        ErrorKind::NotFound => Problem::with_file(path, "no such file", "a scenario file")
            .help("the scenarios that come with mqbench are in the folder `scenarios`"),
        ErrorKind::PermissionDenied => Problem::with_file(
            path,
            "a file that may not be read (permission denied)",
            "a scenario file",
        ),
        _ => Problem::with_file(
            path,
            format!("a file that cannot be read ({error})"),
            "a scenario file",
        ),
    }
}
