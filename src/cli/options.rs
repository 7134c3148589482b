//! Options that several subcommands share, and what they mean to the library.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use mqbench::address::Address;
use mqbench::provision::{Attendant, Consent, Host, Provisioned, Request, Source, obtain};

use super::exit::Failure;
use super::talk;

/// The variable that names the broker.
pub(crate) const BROKER_VARIABLE: &str = "MQBENCH_BROKER";

/// Which broker.
#[derive(Debug, Args)]
pub(crate) struct BrokerOptions {
    /// The broker to measure: `auto`, an address, `local`, `local=DIR`, or `docker`.
    ///
    /// `auto` takes the first that can be had: the addresses in $MQBENCH_BROKER; those in the scenario's [connection];
    /// an installed rabbitmq-server, started as a private node on free ports of 127.0.0.1 and gone afterwards; docker
    /// compose, where an engine answers; and, only with --yes, whatever answers on localhost:5672.
    ///
    /// An address is `amqp://user:password@host:port/vhost` or `amqps://..`; the nodes of a cluster are separated by
    /// commas. For an address with a password better use $MQBENCH_BROKER: a command line is visible to all users.
    ///
    /// `local=DIR` takes the programs in DIR, DIR/bin or DIR/sbin for the private node.
    #[arg(long, value_name = "BROKER", default_value = "auto", value_parser = broker_choice)]
    pub(crate) broker: BrokerChoice,

    /// Answer yes to every question: use a broker of unknown owner on localhost:5672, start more than 1,000 runs.
    #[arg(long)]
    pub(crate) yes: bool,

    /// Say nothing on stderr but errors.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// What `--broker` says. Its own type, for a list of addresses is one value here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerChoice(pub(crate) Source);

fn broker_choice(text: &str) -> Result<BrokerChoice, String> {
    match text.split_once('=').unwrap_or((text, "")) {
        ("auto", "") => Ok(BrokerChoice(Source::Auto)),
        ("docker", "") => Ok(BrokerChoice(Source::Docker)),
        ("local", "") => Ok(BrokerChoice(Source::Local(None))),
        ("local", folder) => Ok(BrokerChoice(Source::Local(Some(PathBuf::from(folder))))),
        _ if text.contains("://") => {
            addresses(text).map(|addresses| BrokerChoice(Source::Address(addresses)))
        }
        _ => Err(
            "expected `auto`, `local`, `local=DIR`, `docker` or an address such as \
                  `amqp://user:password@host:port/vhost`"
                .to_owned(),
        ),
    }
}

/// Addresses on the command line. Its own type, for a list is one value here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressList(pub(crate) Vec<Address>);

pub(crate) fn address_list(text: &str) -> Result<AddressList, String> {
    addresses(text).map(AddressList)
}

/// Addresses separated by commas.
fn addresses(text: &str) -> Result<Vec<Address>, String> {
    text.split(',')
        .map(|address| Address::from_str(address.trim()).map_err(|error| error.to_string()))
        .collect()
}

/// Who carries the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DriverChoice {
    /// mqbench's own data path: stamps beside the system calls, least CPU
    Amqp,
    /// The reference client: what an application written with it would see
    Lapin,
}

/// What a result is printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a terminal
    Text,
    /// run.json
    Json,
    /// For a pull request or a wiki
    Markdown,
}

impl BrokerOptions {
    /// Gets the broker. `scenario` holds the addresses that the scenario names, if it does.
    pub(crate) fn obtain(
        &self,
        scenario: &[Address],
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Provisioned, Failure> {
        let request = Request {
            source: self.broker.0.clone(),
            named: named(scenario)?,
            consent: if self.yes {
                Consent::Given
            } else {
                Consent::Withheld
            },
        };
        let mut attendant = AtTerminal {
            quiet: self.quiet,
            interrupted,
        };
        let provisioned = obtain(&request, &host(), &mut attendant)?;
        attendant.say(&format!("broker: {}", provisioned.origin));
        Ok(provisioned)
    }
}

/// Addresses that stand somewhere else than on the command line.
pub(crate) fn named(scenario: &[Address]) -> Result<Option<(Vec<Address>, String)>, Failure> {
    if let Some(text) = std::env::var(BROKER_VARIABLE)
        .ok()
        .filter(|text| !text.is_empty())
    {
        let addresses = addresses(&text)
            .map_err(|error| Failure::usage(format!("${BROKER_VARIABLE}: {error}")))?;
        return Ok(Some((addresses, format!("${BROKER_VARIABLE}"))));
    }
    Ok((!scenario.is_empty()).then(|| (scenario.to_vec(), "the scenario".to_owned())))
}

/// This machine, as the environment describes it.
pub(crate) fn host() -> Host {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Host::new(std::env::split_paths(&path).collect(), std::env::temp_dir())
}

/// Passes on what is being done, and whether the user has had enough.
struct AtTerminal<'a> {
    quiet: bool,
    interrupted: &'a dyn Fn() -> bool,
}

impl Attendant for AtTerminal<'_> {
    fn say(&mut self, step: &str) {
        if !self.quiet {
            talk::say(step);
        }
    }

    fn interrupted(&self) -> bool {
        (self.interrupted)()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_a_word_a_folder_or_addresses() {
        let source = |text| broker_choice(text).map(|choice| choice.0);
        assert_eq!(source("auto"), Ok(Source::Auto));
        assert_eq!(source("local"), Ok(Source::Local(None)));
        assert_eq!(
            source("local=/opt/rmq"),
            Ok(Source::Local(Some("/opt/rmq".into())))
        );
        assert_eq!(source("docker"), Ok(Source::Docker));
        let Ok(Source::Address(addresses)) = source("amqp://a:b@one/,amqps://two:5671") else {
            panic!("two addresses");
        };
        assert_eq!(
            addresses.iter().map(|a| a.port).collect::<Vec<_>>(),
            [5672, 5671]
        );
        for wrong in ["", "dcoker", "auto=1", "docker=x", "http://a/"] {
            assert!(source(wrong).is_err(), "{wrong}");
        }
        let error = source("amqp://u:s3cret@host:x/").unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
