//! From what was recorded to what it means: summaries, gates, claims, verdicts.
//!
//! Pure: works on a [`RunRecord`] alone, so that every number and verdict can be rebuilt from a results folder. Does not
//! measure, and does not format more than the figures that stand inside sentences. Called when a run ends and by
//! `mqbench report`.

pub mod figure;
mod gates;
mod summary;
mod verdict;

pub use gates::{gates, harness_was_late};
pub use summary::{quantile_at, summarize};
pub use verdict::{judge, overall};

use crate::results::{ClaimResult, RunRecord};

/// Fills in everything that follows from what was measured: each variant's summaries, gates and verdict, the results of
/// all claims, and the run's own verdict. What stood there is replaced, so that assessing twice is assessing once.
pub fn assess(record: &mut RunRecord) {
    let environment = record.run.environment.clone();
    let mut claims: Vec<ClaimResult> = Vec::new();
    for (variant, series) in record.run.variants.iter_mut().zip(&record.series) {
        variant.series = summarize(variant, series);
        variant.gates = gates(variant, series, &environment);
        let results: Vec<ClaimResult> = variant
            .plan
            .claims
            .iter()
            .map(|claim| judge(claim, variant, series))
            .collect();
        variant.verdict = overall(results.iter().map(|result| result.verdict));
        claims.extend(results);
    }
    record.run.verdict = overall(claims.iter().map(|result| result.verdict));
    record.run.claims = claims;
}
