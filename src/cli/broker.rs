//! `mqbench broker`: what can be had here.

use clap::Args;
use comfy_table::presets::ASCII_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};

use mqbench::provision::{Availability, survey};

use super::exit::{Exit, Failure};
use super::{options, talk};

/// List the brokers that can be had on this machine, and why not where they cannot.
///
/// The order is that of `--broker auto`. Starts nothing. Ends with 0 where `--broker auto` would find a broker, else with 3.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mqbench broker")]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments) -> Result<Exit, Failure> {
    let named = options::named(&[])?;
    let mut table = Table::new();
    table
        .load_style(ASCII_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(110);
    table.set_header([
        "source",
        "asked for by",
        "available",
        "version",
        "which, or why not",
    ]);
    let (available, detail) = match &named {
        Some((addresses, _)) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            ("yes", addresses.join(", "))
        }
        None => ("no", "not set".to_owned()),
    };
    table.add_row(["$MQBENCH_BROKER", "", available, "", &detail]);
    let offers = survey(&options::host());
    for offer in &offers {
        let available = match offer.availability {
            Availability::Yes => "yes",
            Availability::WithConsent => "with --yes",
            Availability::No => "no",
        };
        let version = offer.version.as_deref().unwrap_or_default();
        table.add_row([
            offer.source,
            offer.option,
            available,
            version,
            &offer.detail,
        ]);
    }
    talk::data(&format!("{table}\n"));
    let any = named.is_some()
        || offers
            .iter()
            .any(|offer| offer.availability == Availability::Yes);
    Ok(if any { Exit::Passed } else { Exit::Broken })
}
