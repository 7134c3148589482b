//! How a run ended, where it did not end as planned: said once, under the verdict.

use super::names::spaced;
use crate::results::{Run, Stop, VariantRun};

/// One sentence for each cause; variants that ended for the same cause share it.
pub(super) fn ends(run: &Run) -> Vec<String> {
    let mut causes: Vec<(String, Vec<&VariantRun>)> = Vec::new();
    for variant in &run.variants {
        let Some(how) = how(variant) else {
            continue;
        };
        match causes.iter_mut().find(|(other, _)| *other == how) {
            Some((_, variants)) => variants.push(variant),
            None => causes.push((how, vec![variant])),
        }
    }
    let all = run.variants.len();
    causes
        .into_iter()
        .map(|(how, variants)| {
            let name = |at: usize| spaced(&variants[at].name);
            match variants.len() {
                _ if all == 1 => format!("The run {how}"),
                1 => format!("{} {how}", name(0)),
                2 => format!("{} and {}: each {how}", name(0), name(1)),
                several => format!(
                    "{several} of {all} variants, {} among them: each {how}",
                    name(0)
                ),
            }
        })
        .collect()
}

fn how(variant: &VariantRun) -> Option<String> {
    Some(match &variant.stop {
        Stop::Completed | Stop::MessagesSent => return None,
        Stop::Unfinished if variant.started.is_empty() => "was not started".to_owned(),
        Stop::Unfinished => "did not come to its end: it was killed or still lasts, and this is what was saved of it".to_owned(),
        Stop::Interrupted => "was interrupted".to_owned(),
        Stop::Overloaded { detail } => format!("was ended as OVERLOADED: {detail}"),
        Stop::BacklogFull { detail } => format!("was ended, for the backlog was full: {detail}"),
        Stop::BrokerFailed { detail } => format!("was ended by the broker: {detail}"),
        Stop::SystemFailed { detail } => format!("was ended by this machine: {detail}"),
    })
}

/// The word for a table; empty where the run ended as planned.
pub(super) const fn end_word(stop: &Stop) -> &'static str {
    match stop {
        Stop::Completed | Stop::MessagesSent => "",
        Stop::Unfinished => "unfinished",
        Stop::Interrupted => "interrupted",
        Stop::Overloaded { .. } => "OVERLOADED",
        Stop::BacklogFull { .. } => "backlog full",
        Stop::BrokerFailed { .. } => "broker failed",
        Stop::SystemFailed { .. } => "machine failed",
    }
}

/// The run's own notes, without those that only say again how a variant ended.
pub(super) fn further_notes(run: &Run) -> Vec<String> {
    let repeats = |note: &String| {
        run.variants.iter().any(|variant| match &variant.stop {
            Stop::Overloaded { detail }
            | Stop::BacklogFull { detail }
            | Stop::BrokerFailed { detail }
            | Stop::SystemFailed { detail } => note.contains(detail.as_str()),
            Stop::Completed | Stop::MessagesSent | Stop::Unfinished | Stop::Interrupted => false,
        })
    };
    run.notes
        .iter()
        .filter(|note| !repeats(note))
        .cloned()
        .collect()
}
