//! Finds RabbitMQ's programs on this machine. Starts nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Host, ProvisionError};

/// Where distributions and RabbitMQ's own packages put the scripts that really start a node. Those that Debian puts on
/// the PATH change to the user `rabbitmq` and refuse everybody but root.
pub(super) const USUAL: [&str; 3] = [
    "/usr/lib/rabbitmq/bin",
    "/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
];

/// The folder that holds `rabbitmq-server` and `rabbitmqctl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    folder: PathBuf,
}

impl Installation {
    /// The installation in `folder`, or in its `bin` or `sbin`.
    ///
    /// # Errors
    /// Where there are no such programs.
    pub fn in_folder(folder: &Path) -> Result<Self, ProvisionError> {
        let candidates = [folder.to_owned(), folder.join("bin"), folder.join("sbin")];
        let found = candidates
            .into_iter()
            .find(|candidate| holds_programs(candidate));
        let folder = found.ok_or_else(|| ProvisionError::Missing {
            program: "rabbitmq-server with rabbitmqctl beside it".to_owned(),
            place: format!("{0}, {0}/bin or {0}/sbin", folder.display()),
            remedy: "name the folder that holds both".to_owned(),
        })?;
        std::path::absolute(&folder)
            .map(|folder| Self { folder })
            .map_err(ProvisionError::system("find", folder))
    }

    /// The installation of this machine: the usual folders first, then the search path.
    ///
    /// # Errors
    /// Where there is none.
    pub fn find(host: &Host) -> Result<Self, ProvisionError> {
        // Debian's wrappers stand on the search path only together with the inner scripts, which were found first.
        host.usual_folders
            .iter()
            .chain(&host.search_path)
            .find(|folder| holds_programs(folder))
            .map(|folder| Self {
                folder: folder.clone(),
            })
            .ok_or_else(|| ProvisionError::Missing {
                program: "rabbitmq-server".to_owned(),
                place: "the usual folders and the PATH".to_owned(),
                remedy: "install it, e.g. `apt-get install rabbitmq-server`".to_owned(),
            })
    }

    /// Its version, e.g. `3.10.8`, by its own word: an installation that does not run has none.
    ///
    /// # Errors
    /// Where its programs do not run.
    pub fn version(&self, host: &Host) -> Result<String, ProvisionError> {
        // Erlang leaves a cookie in its home.
        let home = super::local::new_folder(&host.temp)?;
        let version = self.ask_version(host, &home);
        std::fs::remove_dir_all(&home).map_err(ProvisionError::system("remove", &home))?;
        version
    }

    fn ask_version(&self, host: &Host, home: &Path) -> Result<String, ProvisionError> {
        let output = Command::new(self.control())
            .arg("version")
            .env_clear()
            .env("PATH", super::local::joined_path(host)?)
            .env("HOME", home)
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .map_err(ProvisionError::system("run", self.control()))?;
        if !output.status.success() {
            return Err(ProvisionError::Refused {
                command: format!("{} version", self.control().display()),
                said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        let version = String::from_utf8_lossy(&output.stdout);
        Ok(version.lines().last().unwrap_or_default().trim().to_owned())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The program that runs a node.
    pub fn server(&self) -> PathBuf {
        self.folder.join("rabbitmq-server")
    }

    /// The program that speaks to a node.
    pub fn control(&self) -> PathBuf {
        self.folder.join("rabbitmqctl")
    }
}

fn holds_programs(folder: &Path) -> bool {
    ["rabbitmq-server", "rabbitmqctl"]
        .iter()
        .all(|program| is_program(&folder.join(program)))
}

/// A file that somebody may execute.
pub(super) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
