//! `mqbench clean`: removes from a broker what earlier runs left there.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use mqbench::address::{Address, Tls};
use mqbench::driver::amqp::Amqp;
use mqbench::driver::{Admin, ConnectOptions, Driver};
use mqbench::results::{Leftover, leftovers};
use mqbench::scenario::defaults;

use super::exit::{Exit, Failure};
use super::{options, talk};

/// Remove queues and exchanges that killed runs left on a broker.
///
/// A run notes in its folder what it is about to declare and strikes it out when it is gone again. What is still noted
/// there, and belongs to no run that is going on, is shown and, after a yes, deleted. Nothing that a scenario marks as
/// existing, and nothing that mqbench did not make, is ever touched.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mqbench clean
  MQBENCH_BROKER=amqp://me:secret@rabbit.example/ mqbench clean --yes

Exit codes: 0 nothing is left, 1 something was left where it was, 3 the broker failed.")]
pub(crate) struct Arguments {
    /// The folder below which results were left.
    #[arg(long, short = 'o', value_name = "DIR", default_value = "results")]
    out: PathBuf,

    /// Where to connect for what was left there: an address, or several separated by commas. Results hold no
    /// passwords, so one is needed wherever it is not guest's [default: $MQBENCH_BROKER, or the run's address as guest].
    #[arg(long, value_name = "BROKER", value_parser = options::address_list)]
    broker: Option<options::AddressList>,

    /// Delete without asking.
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let (running, left): (Vec<_>, Vec<_>) = leftovers(&arguments.out)
        .into_iter()
        .partition(|leftover| leftover.running);
    for leftover in &running {
        talk::say(&format!(
            "still running, left alone: {}",
            leftover.folder.display()
        ));
    }
    if left.is_empty() {
        talk::say(&format!(
            "nothing is left behind by the runs in {}",
            arguments.out.display()
        ));
        return Ok(Exit::Passed);
    }
    for leftover in &left {
        talk::data(&listing(leftover));
    }
    if !arguments.yes && !talk::ask("delete all of these?") {
        talk::say("nothing was deleted; --yes deletes without asking");
        return Ok(Exit::Failed);
    }
    let named = match &arguments.broker {
        Some(list) => Some(list.0.clone()),
        None => options::named(&[])?.map(|(addresses, _)| addresses),
    };
    let mut exit = Exit::Passed;
    for leftover in &left {
        match remove(leftover, named.as_deref()) {
            Ok(()) => talk::say(&format!("deleted what {} left", leftover.folder.display())),
            Err(error) => {
                talk::error(&format!("{}: {error}", leftover.folder.display()));
                exit = Exit::Broken;
            }
        }
    }
    Ok(exit)
}

/// What would be deleted, a line each.
fn listing(leftover: &Leftover) -> String {
    let mut text = format!(
        "{} on {}\n",
        leftover.folder.display(),
        leftover.addresses.join(", ")
    );
    for queue in &leftover.topology.queues {
        let _ = writeln!(text, "  queue {}", queue.broker_name);
    }
    for exchange in &leftover.topology.exchanges {
        let _ = writeln!(text, "  exchange {}", exchange.broker_name);
    }
    text
}

/// Deletes it on the broker, then strikes it out of the journal.
fn remove(leftover: &Leftover, named: Option<&[Address]>) -> Result<(), String> {
    let driver = Amqp::new(ConnectOptions {
        addresses: match named {
            Some(addresses) => addresses.to_vec(),
            None => addresses(leftover)?,
        },
        tls: Tls::default(),
        heartbeat: defaults::HEARTBEAT,
        frame_max: defaults::FRAME_MAX,
        timeout: defaults::TIMEOUT,
    });
    let mut admin = driver.admin().map_err(|error| error.to_string())?;
    admin
        .remove(&leftover.topology)
        .map_err(|error| error.to_string())?;
    leftover.forget().map_err(|error| error.to_string())
}

/// Where the run was, as guest: its record holds users but no passwords.
fn addresses(leftover: &Leftover) -> Result<Vec<Address>, String> {
    leftover
        .addresses
        .iter()
        .map(|text| {
            let address: Address = text.parse().map_err(|error| format!("{error}"))?;
            if address.user == "guest" {
                return Ok(Address {
                    password: "guest".to_owned(),
                    ..address
                });
            }
            Err(format!(
                "the password for {text} is not known; give the address with --broker or ${}",
                options::BROKER_VARIABLE
            ))
        })
        .collect()
}
