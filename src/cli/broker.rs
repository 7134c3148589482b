//! `mqbench broker`: what can be had here.

use clap::Args;
use comfy_table::Table;

use mqbench::provision::{Availability, survey};

use super::exit::{Exit, Failure};
use super::{options, talk};

/// List the brokers that can be had on this machine, and why not where they cannot.
///
/// Starts nothing. Ends with 0 where `--broker auto` would find a broker, else with 3.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mqbench broker")]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments) -> Result<Exit, Failure> {
    let named = options::named(&[])?;
    let mut table = Table::new();
    table.set_header(["--broker", "available", "which, or why not"]);
    table.add_row(match &named {
        Some((addresses, place)) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            [
                "auto",
                "yes",
                &format!("{} in {place}", addresses.join(", ")),
            ]
            .map(str::to_owned)
        }
        None => [
            "auto",
            "no",
            "$MQBENCH_BROKER is not set; then as below, in this order",
        ]
        .map(str::to_owned),
    });
    let offers = survey(&options::host());
    for offer in &offers {
        let available = match offer.availability {
            Availability::Yes => "yes",
            Availability::WithConsent => "with --yes",
            Availability::No => "no",
        };
        table.add_row([offer.source, available, &offer.detail]);
    }
    talk::data(&format!("{table}\n"));
    let any = named.is_some()
        || offers
            .iter()
            .any(|offer| offer.availability == Availability::Yes);
    Ok(if any { Exit::Passed } else { Exit::Broken })
}
