//! The benchmark's parts: one measurement in a process of its own, and the sitting that alternates them.

pub(crate) mod child;
pub(crate) mod sitting;

/// What goes wrong is told and ends the benchmark.
pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;
