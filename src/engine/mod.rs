//! Drives one plan over one driver: state machines, the loop that drives them, phases, and the account at the end.
//!
//! Knows targets and sources only by number; what they are on the broker is the plan's and the driver's business. Called
//! by `campaign` for real runs, and by tests through the [`simulator`] on a scripted clock.

mod account;
mod balance;
mod consumer;
mod control;
mod coordinator;
mod crew;
mod pacer;
mod producer;
pub mod simulator;
mod watch;
mod worker;

#[cfg(test)]
mod allocation;
#[cfg(test)]
mod tests;

use crate::driver::{BrokerIdentity, Capabilities};
use crate::results::{
    Censored, LimitWindows, Measured, OfferedWindows, Stop, Subscription, TimeAccount, Totals,
};

pub use control::StopSignal;
pub use coordinator::run;

/// What a run of one plan came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Why it ended.
    pub stop: Stop,
    /// Who answered; absent where nobody did.
    pub broker: Option<BrokerIdentity>,
    /// What the driver could tell.
    pub capabilities: Capabilities,
    /// The ledger over all phases.
    pub totals: Totals,
    /// The measure phase alone.
    pub measured: Measured,
    /// Where producers' time went.
    pub time_account: Vec<TimeAccount>,
    /// What each subscription was owed and got.
    pub subscriptions: Vec<Subscription>,
    /// Measured messages whose answer never came.
    pub censored: Vec<Censored>,
    /// Messages due and sent, second by second.
    pub offered: OfferedWindows,
    /// Exact counts against the claims' limits.
    pub limits: Vec<LimitWindows>,
    /// What could not be removed from the broker, and why.
    pub left_behind: Option<String>,
}
