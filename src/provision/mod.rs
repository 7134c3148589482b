//! Gets a broker to measure, and takes down what it started.
//!
//! Four sources, tried in this order where the choice is left open: an address that the caller was given, a private
//! node from an installed `rabbitmq-server`, `docker compose` where an engine answers, and, only with consent, whatever
//! answers on this machine's port 5672. What is started here listens on loopback only, lives in a folder of its own
//! under the temporary folder, and is taken down when [`Provisioned`] is dropped or when this process ends in whatever
//! way, `kill -9` included: a watchdog outside this process holds the other end of a pipe.
//!
//! Does not install anything (that is the business of `scripts/validate`), measures nothing, reads no environment
//! variable: what it has to know about the machine comes in as a [`Host`]. Called by the binary and by tests.

mod compose;
mod error;
mod installation;
mod local;
mod port;
mod running;
mod survey;
mod watchdog;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use error::ProvisionError;
pub use installation::Installation;
pub use local::{LocalNodes, NodeSpec};
pub use survey::{Availability, Offer, survey};

use crate::address::Address;

/// What the caller knows about this machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// The folders in which programs are looked for, as in `PATH`.
    pub search_path: Vec<PathBuf>,
    /// Folders in which RabbitMQ is looked for before that.
    pub usual_folders: Vec<PathBuf>,
    /// Where temporary folders are made.
    pub temp: PathBuf,
    /// Where a broker may be running that is not ours.
    pub common: SocketAddr,
}

impl Host {
    /// A machine where everything is at its usual place.
    pub fn new(search_path: Vec<PathBuf>, temp: PathBuf) -> Self {
        Self {
            search_path,
            usual_folders: installation::USUAL.iter().map(PathBuf::from).collect(),
            temp,
            common: SocketAddr::from((Ipv4Addr::LOCALHOST, 5672)),
        }
    }
}

/// Which broker is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The first that can be had, in the order of the module's documentation.
    Auto,
    /// These nodes.
    Address(Vec<Address>),
    /// A private node from the installation in this folder, or from whichever is found.
    Local(Option<PathBuf>),
    /// A container by `docker compose`.
    Docker,
}

/// Whether a broker that merely answers on this machine may be used: it may be somebody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// It may.
    Given,
    /// It may not.
    Withheld,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which broker.
    pub source: Source,
    /// Addresses that the surroundings name (`$MQBENCH_BROKER`, or the scenario's own): what [`Source::Auto`] takes
    /// before anything else, and how to call the place in which they stood.
    pub named: Option<(Vec<Address>, String)>,
    /// About a broker of unknown owner.
    pub consent: Consent,
}

/// Accompanies a provision: hears what is being done and can call it off.
pub trait Attendant {
    /// A step that takes time begins.
    fn say(&mut self, step: &str);
    /// The user has had enough. Asked several times a second.
    fn interrupted(&self) -> bool;
}

/// Says nothing and never calls off: for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unattended;

impl Attendant for Unattended {
    fn say(&mut self, _step: &str) {}
    fn interrupted(&self) -> bool {
        false
    }
}

/// A broker to measure. What was started for it is taken down on drop.
#[derive(Debug)]
pub struct Provisioned {
    /// Its nodes.
    pub addresses: Vec<Address>,
    /// Which broker this is, and why it was taken.
    pub origin: String,
    /// The management plugin's HTTP interface, where it is known.
    pub management: Option<SocketAddr>,
    started: Started,
}

/// What was started, if anything.
#[derive(Debug)]
enum Started {
    Nothing,
    Nodes(LocalNodes),
    Containers(compose::Containers),
}

impl Provisioned {
    /// The private nodes behind it, for those who need to look inside or to disturb them.
    pub fn nodes(&self) -> Option<&LocalNodes> {
        match &self.started {
            Started::Nodes(nodes) => Some(nodes),
            _ => None,
        }
    }

    /// Takes down what was started and waits until it is gone. Dropping does the same without a word.
    ///
    /// # Errors
    /// Where something of it is still there.
    pub fn take_down(self) -> Result<(), ProvisionError> {
        match self.started {
            Started::Nothing => Ok(()),
            Started::Nodes(nodes) => nodes.take_down(),
            Started::Containers(containers) => containers.take_down(),
        }
    }

    fn of_addresses(addresses: Vec<Address>, origin: String) -> Self {
        Self {
            addresses,
            origin,
            management: None,
            started: Started::Nothing,
        }
    }
}

/// Gets the broker that `request` asks for. Blocks until it is ready to take connections.
///
/// # Errors
/// Where the asked-for source cannot be had; for [`Source::Auto`] the reason of each.
pub fn obtain(
    request: &Request,
    host: &Host,
    attendant: &mut dyn Attendant,
) -> Result<Provisioned, ProvisionError> {
    match &request.source {
        Source::Address(addresses) => Ok(Provisioned::of_addresses(
            addresses.clone(),
            "the address given on the command line".to_owned(),
        )),
        Source::Local(folder) => {
            let installation = match folder {
                Some(folder) => Installation::in_folder(folder)?,
                None => Installation::find(host)?,
            };
            let why = "a private node was asked for";
            local_node(&installation, host, attendant, why)
        }
        Source::Docker => compose::start(host, attendant, "docker was asked for"),
        Source::Auto => automatic(request, host, attendant),
    }
}

/// The order of the module's documentation. A source that is there but fails to start is passed over with its reason.
fn automatic(
    request: &Request,
    host: &Host,
    attendant: &mut dyn Attendant,
) -> Result<Provisioned, ProvisionError> {
    if let Some((addresses, place)) = &request.named {
        return Ok(Provisioned::of_addresses(
            addresses.clone(),
            format!("the address in {place}"),
        ));
    }
    let mut reasons = Vec::new();
    let local = Installation::find(host).and_then(|installation| {
        let why = "no address was given, and rabbitmq-server is installed here";
        local_node(&installation, host, attendant, why)
    });
    match local {
        Err(error) if !matches!(error, ProvisionError::Interrupted) => {
            reasons.push(format!("private node: {error}"));
        }
        other => return other,
    }
    let why = "no address was given, and no private node could be started";
    match compose::start(host, attendant, why) {
        Err(error) if !matches!(error, ProvisionError::Interrupted) => {
            reasons.push(format!("docker compose: {error}"));
        }
        other => return other,
    }
    match running::look(host.common) {
        Err(error) => reasons.push(format!("running broker: {error}")),
        Ok(found) => match request.consent {
            Consent::Given => {
                let address = Address::local(host.common.port());
                let origin = format!(
                    "{found}, which was already running on {}: nothing else could be had, and its use was allowed (--yes)",
                    host.common
                );
                return Ok(Provisioned::of_addresses(vec![address], origin));
            }
            Consent::Withheld => reasons.push(format!(
                "running broker: {found} answers on {}, but it may be somebody's: --yes allows its use",
                host.common
            )),
        },
    }
    Err(ProvisionError::Nothing { reasons })
}

fn local_node(
    installation: &Installation,
    host: &Host,
    attendant: &mut dyn Attendant,
    why: &str,
) -> Result<Provisioned, ProvisionError> {
    attendant.say(&format!(
        "starting a private RabbitMQ node from {} (10 s or so)",
        installation.folder().display()
    ));
    let nodes = LocalNodes::start(installation, host, &[NodeSpec::default()], attendant)?;
    Ok(Provisioned {
        addresses: nodes.addresses(),
        origin: format!(
            "a private node of the RabbitMQ in {}: {why}",
            installation.folder().display()
        ),
        management: nodes.management().first().copied(),
        started: Started::Nodes(nodes),
    })
}
