//! The run on disk: what a results folder holds, as values ([`RunRecord`]), and the store that writes and reads them.
//!
//! Everything right of here is pure and works from a [`RunRecord`] alone. The fields and units of every file are
//! documented in `results/README.md`.

mod columns;
mod environment;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod hlog;
mod journal;
mod load;
mod run;
mod series;
mod store;

pub use crate::driver::Edge;
pub(crate) use columns::decimal_text;
pub use columns::{interval_header, interval_record};
pub use environment::environment;
pub use error::StoreError;
pub(crate) use hlog::tag as series_tag;
pub use journal::{Leftover, leftovers};
pub use load::load;
pub use run::*;
pub use series::{Accumulator, stream_tags};
pub use store::{Store, VariantWriter, variant_folder};

#[cfg(test)]
mod tests;
