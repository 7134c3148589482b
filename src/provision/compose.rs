//! A broker in a container, by `docker compose` and the compose file that this repository ships.
//!
//! The file and what it mounts are part of the program, so that a run does not depend on where it is started. Each
//! start is a compose project of its own on ports that were free, and goes with its volumes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::installation::is_program;
use super::local::{joined_path, new_folder};
use super::watchdog::Watchdog;
use super::{Attendant, Host, ProvisionError, Provisioned, Started, port};
use crate::address::Address;
use crate::clock::{Clock, Monotonic};
use crate::units::Span;

/// What docker-compose.yml runs; a test holds the two together.
pub(super) const IMAGE: &str = "rabbitmq:4-management";
/// Room for pulling the image.
const LIMIT: Span = Span::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const FILES: [(&str, &str); 4] = [
    (
        "docker-compose.yml",
        include_str!("../../docker-compose.yml"),
    ),
    (
        "deploy/rabbitmq/single.conf",
        include_str!("../../deploy/rabbitmq/single.conf"),
    ),
    (
        "deploy/rabbitmq/cluster.conf",
        include_str!("../../deploy/rabbitmq/cluster.conf"),
    ),
    (
        "deploy/rabbitmq/enabled_plugins",
        include_str!("../../deploy/rabbitmq/enabled_plugins"),
    ),
];

/// A running compose project. It goes, with its volumes, on drop.
#[derive(Debug)]
pub(super) struct Containers {
    watchdog: Watchdog,
    project: String,
}

impl Containers {
    /// Takes the project down and waits for it.
    pub(super) fn take_down(mut self) -> Result<(), ProvisionError> {
        self.watchdog
            .finish()
            .map_err(|reason| ProvisionError::LeftBehind {
                what: format!("the compose project {}", self.project),
                reason,
            })
    }
}

/// The versions of the compose plugin and of the engine that answers.
pub(super) fn engine(host: &Host) -> Result<String, ProvisionError> {
    host.search_path
        .iter()
        .map(|folder| folder.join("docker"))
        .find(|program| is_program(program))
        .ok_or_else(|| ProvisionError::Missing {
            program: "docker".to_owned(),
            place: "the PATH".to_owned(),
            remedy: "install it, with its compose plugin".to_owned(),
        })?;
    let server = ask(host, &["version", "--format", "{{.Server.Version}}"])?;
    // Without the plugin docker takes `compose` for a mistake in its own options.
    let compose =
        ask(host, &["compose", "version", "--short"]).map_err(|error| ProvisionError::Missing {
            program: "docker's compose plugin".to_owned(),
            place: "docker".to_owned(),
            remedy: format!("install it ({error})"),
        })?;
    Ok(format!("compose {compose}, engine {server}"))
}

fn ask(host: &Host, arguments: &[&str]) -> Result<String, ProvisionError> {
    let output = Command::new("docker")
        .args(arguments)
        .env("PATH", joined_path(host)?)
        .stdin(Stdio::null())
        .output()
        .map_err(ProvisionError::system("run", "docker"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let said = text(&output.stderr);
    Err(ProvisionError::Refused {
        command: format!("docker {}", arguments.join(" ")),
        // What follows the first line is advice on how to call docker.
        said: said.lines().next().unwrap_or_default().to_owned(),
    })
}

/// Starts one node in a container and waits until its health check passes.
pub(super) fn start(
    host: &Host,
    attendant: &mut dyn Attendant,
    why: &str,
) -> Result<Provisioned, ProvisionError> {
    let engine = engine(host)?;
    attendant.say(&format!(
        "starting RabbitMQ by docker compose ({engine}); the first time pulls the image"
    ));
    let mut ports = port::free(3)?;
    let mut next = || ports.pop_front().unwrap_or_default();
    let (amqp, management, prometheus) = (next(), next(), next());
    let folder = new_folder(&host.temp)?;
    let project = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let settings = format!(
        "export MQBENCH_AMQP_PORT={amqp} MQBENCH_MANAGEMENT_PORT={management} MQBENCH_PROMETHEUS_PORT={prometheus}\n"
    );
    let watchdog = write_files(&folder, &settings)
        .and_then(|()| {
            let script = include_str!("compose.sh");
            let arguments = [folder.as_path(), Path::new(&project)];
            Watchdog::start(script, &arguments, &folder.join("watchdog.log"), host)
        })
        .inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
    let containers = Containers { watchdog, project };
    wait_for(&folder, attendant)?;
    Ok(Provisioned {
        addresses: vec![Address::local(amqp)],
        origin: format!("RabbitMQ in a container ({engine}): {why}"),
        management: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, management))),
        started: Started::Containers(containers),
    })
}

fn write_files(folder: &Path, settings: &str) -> Result<(), ProvisionError> {
    for (name, text) in FILES.iter().chain(&[("env.sh", settings)]) {
        let file = folder.join(name);
        let parent: PathBuf = file.parent().unwrap_or(folder).to_owned();
        fs::create_dir_all(&parent).map_err(ProvisionError::system("create", parent))?;
        fs::write(&file, text).map_err(ProvisionError::system("write", &file))?;
    }
    Ok(())
}

fn wait_for(folder: &Path, attendant: &dyn Attendant) -> Result<(), ProvisionError> {
    let deadline = Monotonic.now() + LIMIT;
    let what = || "the container".to_owned();
    let said = || {
        let text = fs::read_to_string(folder.join("out.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n    ")
    };
    loop {
        if attendant.interrupted() {
            return Err(ProvisionError::Interrupted);
        }
        match fs::read_to_string(folder.join("ended")) {
            Ok(code) if code.trim() == "0" => return Ok(()),
            // Created but not yet written.
            Ok(code) if code.trim().is_empty() => {}
            Ok(_) => {
                return Err(ProvisionError::NotStarted {
                    what: what(),
                    said: said(),
                });
            }
            Err(_) if Monotonic.now() >= deadline => {
                return Err(ProvisionError::TimedOut {
                    what: what(),
                    limit: LIMIT,
                    said: said(),
                });
            }
            Err(_) => {}
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_that_is_announced_is_the_one_that_the_compose_file_runs() {
        let (_, file) = FILES[0];
        assert!(file.contains(&format!("  image: {IMAGE}\n")));
    }
}
