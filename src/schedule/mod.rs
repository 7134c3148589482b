//! When messages are due: pure, seeded functions from index to due time.
//!
//! A [`Schedule`] knows a fleet's rate, its arrival process and the seed, and nothing of clocks: offsets are whole
//! nanoseconds after the start of the load. Called by the engine's pacers and by whoever has to know how many messages
//! the plan holds.

use serde::{Deserialize, Serialize};

/// How due times are spread around a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// Evenly.
    #[default]
    Constant,
    /// As independent clients would: exponential gaps.
    Poisson,
}
