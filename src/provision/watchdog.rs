//! A shell script outside this process that starts something and takes it down when this process is gone.
//!
//! The script's standard input is a pipe whose only other end is here. Whatever ends this process, the kernel closes
//! that end, the script reads the end of its input and takes down what it started. Taking down in good order is the same
//! thing: the end is closed, and the script's own end is awaited. The script leads a process group of its own, so that a
//! Ctrl-C at the terminal reaches mqbench and not the broker, which is still needed for the drain.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{Host, ProvisionError};

/// A running script. Dropping it has it take down what it started, and waits for that.
#[derive(Debug)]
pub(super) struct Watchdog {
    child: Option<Child>,
}

impl Watchdog {
    /// Runs `script` with `arguments`. Its output goes to `log`.
    pub(super) fn start(
        script: &'static str,
        arguments: &[&Path],
        log: &Path,
        host: &Host,
    ) -> Result<Self, ProvisionError> {
        let output = std::fs::File::create(log).map_err(ProvisionError::system("create", log))?;
        let errors = output
            .try_clone()
            .map_err(ProvisionError::system("open", log))?;
        let child = Command::new("/bin/sh")
            .arg("-c")
            .arg(script)
            .arg("mqbench-watchdog")
            .args(arguments)
            .env_clear()
            .env("PATH", super::local::joined_path(host)?)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(ProvisionError::system("run", "/bin/sh"))?;
        Ok(Self { child: Some(child) })
    }

    /// Has everything taken down and waits for it.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        drop(child.stdin.take());
        match child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the take-down ended with {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; `finish` is for those who want to.
        let _ = self.finish();
    }
}
