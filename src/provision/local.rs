//! Private RabbitMQ nodes from installed programs: their folder, their variables, their start and end.
//!
//! Everything they listen on is on 127.0.0.1 and on ports that were free: AMQP, Erlang distribution, the port mapper
//! (one of their own, so names cannot clash with another node of this machine), management and Prometheus.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::watchdog::Watchdog;
use super::{Attendant, Host, Installation, ProvisionError, port};
use crate::address::Address;
use crate::clock::{Clock, Monotonic, Nanos};
use crate::units::Span;

/// One node takes 6-12 s, three of RabbitMQ 3.10 take 34 s, on two quiet cores; this leaves room for busy ones.
const BOOT_LIMIT: Span = Span::from_secs(180);
const PORTS_PER_NODE: usize = 4;
const STARTS: usize = 3;
/// Management and Prometheus, as in a container.
const PLUGINS: &str = include_str!("../../deploy/rabbitmq/enabled_plugins");
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a node is to be, beyond the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeSpec {
    /// Lines of `rabbitmq.conf`. Those that keep the node on loopback and on its ports come after them and win.
    pub config: String,
}

/// Running nodes that share a folder, a cookie and a port mapper. They end, and their folder goes, on drop.
#[derive(Debug)]
pub struct LocalNodes {
    // Before the folder's name: fields are dropped in order, and the watchdog removes the folder.
    watchdog: Watchdog,
    folder: PathBuf,
    nodes: Vec<Node>,
    control: PathBuf,
}

/// Where one node is.
#[derive(Debug, Clone)]
struct Node {
    name: String,
    folder: PathBuf,
    amqp: u16,
    management: u16,
    variables: Vec<(&'static str, String)>,
}

/// What all nodes of a folder have in common.
struct Shared {
    folder: PathBuf,
    mapper: u16,
    path: String,
    /// Whoever knows it may run code in the node. It stands in files of mode 400 in a folder of mode 700, and nowhere
    /// else.
    cookie: String,
}

impl LocalNodes {
    /// The name of the node at `index` (from 0), as configurations of clusters have to know it beforehand.
    pub fn name(index: usize) -> String {
        format!("mqbench{}@localhost", index + 1)
    }

    /// Starts one node for each spec, all at once, and waits until all are ready. They form a cluster only if their
    /// configuration says so.
    ///
    /// # Errors
    /// Where a node does not come up, with the end of its log.
    pub fn start(
        installation: &Installation,
        host: &Host,
        specs: &[NodeSpec],
        attendant: &mut dyn Attendant,
    ) -> Result<Self, ProvisionError> {
        let mut start = 1;
        loop {
            match Self::start_once(installation, host, specs, attendant) {
                // Between the choice of a port and the node's use of it somebody else took it.
                Err(ProvisionError::NotStarted { said, .. })
                    if start < STARTS && said.contains("eaddrinuse") =>
                {
                    start += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn start_once(
        installation: &Installation,
        host: &Host,
        specs: &[NodeSpec],
        attendant: &mut dyn Attendant,
    ) -> Result<Self, ProvisionError> {
        let folder = new_folder(&host.temp)?;
        let mut ports = port::free(1 + specs.len() * PORTS_PER_NODE)?;
        let shared = Shared {
            folder: folder.clone(),
            mapper: ports.pop_front().unwrap_or_default(),
            path: joined_path(host)?,
            cookie: random_text()?,
        };
        let nodes = specs
            .iter()
            .enumerate()
            .map(|(index, spec)| Node::prepare(index, spec, &mut ports, &shared))
            .collect::<Result<Vec<_>, _>>()
            .inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
        let server = installation.server();
        let log = folder.join("watchdog.log");
        let watchdog = Watchdog::start(include_str!("nodes.sh"), &[&folder, &server], &log, host)
            .inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
        let started = Self {
            watchdog,
            folder,
            nodes,
            control: installation.control(),
        };
        let deadline = Monotonic.now() + BOOT_LIMIT;
        for node in &started.nodes {
            started.wait_for(node, deadline, attendant)?;
        }
        Ok(started)
    }

    /// An open port comes late in the boot and costs nothing to look for; only then is the node itself asked, which
    /// takes an Erlang machine of its own.
    fn wait_for(
        &self,
        node: &Node,
        deadline: Nanos,
        attendant: &mut dyn Attendant,
    ) -> Result<(), ProvisionError> {
        let listener = SocketAddr::from((Ipv4Addr::LOCALHOST, node.amqp));
        while !port::answers(listener) {
            node.check(deadline, attendant)?;
            std::thread::sleep(LOOK_EVERY);
        }
        while let Err(error) = self.run_control(node, &["await_startup"]) {
            node.check(deadline, attendant).map_err(|failure| {
                if matches!(failure, ProvisionError::TimedOut { .. }) {
                    error
                } else {
                    failure
                }
            })?;
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Where each node takes AMQP connections, as its default user.
    pub fn addresses(&self) -> Vec<Address> {
        self.nodes
            .iter()
            .map(|node| Address::local(node.amqp))
            .collect()
    }

    /// Where each node's management plugin answers.
    pub fn management(&self) -> Vec<SocketAddr> {
        self.nodes
            .iter()
            .map(|node| SocketAddr::from((Ipv4Addr::LOCALHOST, node.management)))
            .collect()
    }

    /// The folder of all nodes. Processes that descend from them carry it in their variable `MQBENCH_NODE`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs `rabbitmqctl` on the node at `index` and returns what it printed.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn control(&self, index: usize, arguments: &[&str]) -> Result<String, ProvisionError> {
        self.run_control(&self.nodes[index], arguments)
    }

    fn run_control(&self, node: &Node, arguments: &[&str]) -> Result<String, ProvisionError> {
        let output = Command::new(&self.control)
            .args(["--quiet", "--node", &node.name])
            .args(arguments)
            .env_clear()
            .envs(node.variables.iter().map(|(key, value)| (key, value)))
            .current_dir(&node.folder)
            .stdin(Stdio::null())
            .output()
            .map_err(ProvisionError::system("run", &self.control))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(ProvisionError::Refused {
            command: format!("rabbitmqctl {}", arguments.join(" ")),
            said: String::from_utf8_lossy(&said).trim().to_owned(),
        })
    }

    /// Ends the nodes, removes their folder, and waits for both.
    ///
    /// # Errors
    /// Where something is left.
    pub fn take_down(mut self) -> Result<(), ProvisionError> {
        self.watchdog
            .finish()
            .map_err(|reason| ProvisionError::LeftBehind {
                what: format!("the private node in {}", self.folder.display()),
                reason,
            })
    }
}

impl Node {
    fn prepare(
        index: usize,
        spec: &NodeSpec,
        ports: &mut VecDeque<u16>,
        shared: &Shared,
    ) -> Result<Self, ProvisionError> {
        let Shared {
            folder: parent,
            mapper,
            path,
            cookie,
        } = shared;
        let mut port = || ports.pop_front().unwrap_or_default();
        let (amqp, distribution, management, prometheus) = (port(), port(), port(), port());
        let name = LocalNodes::name(index);
        let folder = parent.join(format!("mqbench{}", index + 1));
        fs::create_dir(&folder).map_err(ProvisionError::system("create", &folder))?;
        let inside = |file: &str| folder.join(file).display().to_string();
        let variables = vec![
            ("MQBENCH_NODE", parent.display().to_string()),
            ("PATH", path.to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("HOME", inside("")),
            ("RABBITMQ_NODENAME", name.clone()),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", amqp.to_string()),
            ("RABBITMQ_DIST_PORT", distribution.to_string()),
            ("RABBITMQ_MNESIA_BASE", inside("data")),
            ("RABBITMQ_LOG_BASE", inside("log")),
            ("RABBITMQ_PID_FILE", inside("pid")),
            ("RABBITMQ_CONFIG_FILE", inside("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", inside("enabled_plugins")),
            // Nothing of this machine's own configuration may get in.
            ("RABBITMQ_CONF_ENV_FILE", inside("rabbitmq-env.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", inside("advanced.config")),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", mapper.to_string()),
            ("ERL_CRASH_DUMP_SECONDS", "0".to_owned()),
        ];
        let config = format!(
            "{}\n# mqbench: on loopback only\n\
             management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n\
             prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {prometheus}\n",
            spec.config
        );
        let mut settings = String::new();
        for (key, value) in &variables {
            let _ = writeln!(settings, "export {key}='{}'", value.replace('\'', r"'\''"));
        }
        for (file, text) in [
            ("rabbitmq.conf", config.as_str()),
            ("enabled_plugins", PLUGINS),
            (".erlang.cookie", cookie),
            ("env.sh", &settings),
        ] {
            let file = folder.join(file);
            fs::write(&file, text).map_err(ProvisionError::system("write", &file))?;
        }
        let cookie_file = folder.join(".erlang.cookie");
        fs::set_permissions(&cookie_file, fs::Permissions::from_mode(0o400))
            .map_err(ProvisionError::system("protect", &cookie_file))?;
        Ok(Self {
            name,
            folder,
            amqp,
            management,
            variables,
        })
    }

    /// Still worth waiting for.
    fn check(&self, deadline: Nanos, attendant: &dyn Attendant) -> Result<(), ProvisionError> {
        if attendant.interrupted() {
            return Err(ProvisionError::Interrupted);
        }
        let what = format!("the private node {}", self.name);
        if let Ok(code) = fs::read_to_string(self.folder.join("ended")) {
            let said = format!("it ended with code {}: {}", code.trim(), self.last_words());
            return Err(ProvisionError::NotStarted { what, said });
        }
        if Monotonic.now() >= deadline {
            return Err(ProvisionError::TimedOut {
                what,
                limit: BOOT_LIMIT,
                said: self.last_words(),
            });
        }
        Ok(())
    }

    /// The end of the node's output.
    fn last_words(&self) -> String {
        let text = fs::read(self.folder.join("out.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .collect();
        lines[lines.len().saturating_sub(30)..].join("\n    ")
    }
}

/// A new folder that only we may enter.
pub(super) fn new_folder(temp: &Path) -> Result<PathBuf, ProvisionError> {
    let temp = std::path::absolute(temp).map_err(ProvisionError::system("find", temp))?;
    let name = format!("mqbench-{}-{}", std::process::id(), &random_text()?[..8]);
    let folder = temp.join(name);
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .map_err(ProvisionError::system("create", &folder))?;
    Ok(folder)
}

/// 128 bits from the kernel, in hexadecimal.
fn random_text() -> Result<String, ProvisionError> {
    let mut random = [0; 16];
    let source = "/dev/urandom";
    fs::File::open(source)
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut random))
        .map_err(ProvisionError::system("read", source))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(random)))
}

/// The search path as the one text that child processes get, with the folders that every system has.
pub(super) fn joined_path(host: &Host) -> Result<String, ProvisionError> {
    let usual = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut folders = host.search_path.clone();
    folders.extend(usual);
    let joined = std::env::join_paths(folders).map_err(|error| ProvisionError::System {
        action: "use the search path",
        path: "PATH".into(),
        reason: error.to_string(),
    })?;
    Ok(joined.to_string_lossy().into_owned())
}
