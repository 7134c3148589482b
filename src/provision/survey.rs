//! What can be had on this machine, and why not where it cannot. Starts nothing that outlives the question.

use super::{Host, Installation, ProvisionError, compose, running};

/// One source of brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What it is.
    pub source: &'static str,
    /// What asks for it on the command line.
    pub option: &'static str,
    /// Whether it can be had.
    pub availability: Availability,
    /// Product and version, where it can be had.
    pub version: Option<String>,
    /// Where it is, or why it cannot be had.
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
    let local = Installation::find(host).and_then(|installation| {
        let version = installation.version(host)?;
        let place = format!("in {}", installation.folder().display());
        Ok((format!("RabbitMQ {version}"), place))
    });
    let docker =
        compose::engine(host).map(|engine| (format!("RabbitMQ, {}", compose::IMAGE), engine));
    let running = running::look(host.common).map(|found| {
        let caution = format!("answers on {}; it may be somebody's", host.common);
        (found, caution)
    });
    vec![
        offer("private node", "--broker local", Availability::Yes, local),
        offer(
            "docker compose",
            "--broker docker",
            Availability::Yes,
            docker,
        ),
        offer(
            "running broker",
            "--yes",
            Availability::WithConsent,
            running,
        ),
    ]
}

fn offer(
    source: &'static str,
    option: &'static str,
    availability: Availability,
    found: Result<(String, String), ProvisionError>,
) -> Offer {
    let (availability, version, detail) = match found {
        Ok((version, detail)) => (availability, Some(version), detail),
        Err(error) => (Availability::No, None, error.to_string()),
    };
    Offer {
        source,
        option,
        availability,
        version,
        detail,
    }
}
