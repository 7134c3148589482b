//! What can be had on this machine, and why not where it cannot. Starts nothing that outlives the question.

use super::{Host, Installation, compose, running};

/// One source of brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What stands behind `--broker` to get it.
    pub source: &'static str,
    /// Whether it can be had.
    pub availability: Availability,
    /// Which one, or why not.
    pub detail: String,
}

/// Whether a source can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// As things stand.
    Yes,
    /// Only where the user says so.
    WithConsent,
    /// Not here.
    No,
}

/// Looks at every source that needs no address, in the order in which `auto` takes them.
pub fn survey(host: &Host) -> Vec<Offer> {
    let offer = |source, found: Result<String, String>, availability| match found {
        Ok(detail) => Offer {
            source,
            availability,
            detail,
        },
        Err(detail) => Offer {
            source,
            availability: Availability::No,
            detail,
        },
    };
    vec![
        offer(
            "local",
            Installation::find(host)
                .and_then(|installation| installation.describe(host))
                .map_err(|error| error.to_string()),
            Availability::Yes,
        ),
        offer(
            "docker",
            compose::engine(host).map_err(|error| error.to_string()),
            Availability::Yes,
        ),
        offer(
            "running",
            running::look(host.common)
                .map(|found| {
                    format!(
                        "{found} on {}; it may be somebody's: --yes allows its use",
                        host.common
                    )
                })
                .map_err(|error| error.to_string()),
            Availability::WithConsent,
        ),
    ]
}
