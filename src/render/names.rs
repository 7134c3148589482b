//! What variants are called in tables: in a matrix all of them set the same settings, so those stand once, in the head.

use crate::results::Run;

/// The first column of a table with a row for each variant.
pub(super) struct Names {
    /// What stands over it.
    pub(super) heading: String,
    /// For each variant.
    pub(super) labels: Vec<String>,
}

/// Names for the variants of a run.
pub(super) fn names(run: &Run) -> Names {
    let keys = |index: usize| -> Vec<&str> {
        let settings = &run.variants[index].plan.variant.settings;
        settings.iter().map(|(key, _)| key.as_str()).collect()
    };
    let with_settings: Vec<usize> = (0..run.variants.len())
        .filter(|index| !keys(*index).is_empty())
        .collect();
    let common = with_settings.first().map(|index| keys(*index));
    let common = common.filter(|common| with_settings.iter().all(|at| keys(*at) == *common));
    let Some(common) = common.filter(|_| run.variants.len() > 1) else {
        return Names {
            heading: if run.variants.len() > 1 {
                "Variant".to_owned()
            } else {
                "Run".to_owned()
            },
            labels: run.variants.iter().map(|v| spaced(&v.name)).collect(),
        };
    };
    let label = |index: usize| {
        let name = &run.variants[index].name;
        // The scenario as it is written has a name of its own, which stays.
        let parts: Option<Vec<&str>> = name
            .split(',')
            .zip(&common)
            .map(|(part, key)| part.strip_prefix(key)?.strip_prefix('='))
            .collect();
        match parts {
            Some(values) if values.len() == name.split(',').count() => values.join(", "),
            _ => spaced(name),
        }
    };
    Names {
        heading: common.join(", "),
        labels: (0..run.variants.len()).map(label).collect(),
    }
}

/// Variant names hold no spaces; with one after each comma they can be broken into lines.
pub(super) fn spaced(name: &str) -> String {
    name.replace(", ", ",").replace(',', ", ")
}
