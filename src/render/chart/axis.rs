//! Axes as values: where a number stands between the ends, and which numbers get a mark.

/// How numbers are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm.
    Log,
    /// Percentiles by how few are above them: 90, 99 and 99.9 stand equally far apart.
    Percentile,
}

/// One axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) scale: Scale,
    pub(super) min: f64,
    pub(super) max: f64,
    /// Marked numbers with their labels.
    pub(super) ticks: Vec<(f64, String)>,
    /// What is shown, with its unit.
    pub(super) name: String,
}

impl Axis {
    /// From 0 to a little above `max`.
    pub(super) fn linear(name: &str, max: f64, label: fn(f64) -> String) -> Self {
        let max = if max > 0.0 && max.is_finite() {
            max * 1.05
        } else {
            1.0
        };
        let step = nice_step(max / 5.0);
        let ticks = (0..)
            .map(|i| f64::from(i) * step)
            .take_while(|tick| *tick <= max)
            .map(|tick| (tick, label(tick)))
            .collect();
        Self {
            scale: Scale::Linear,
            min: 0.0,
            max,
            ticks,
            name: name.to_owned(),
        }
    }

    /// From at most `min` to at least `max`, both above zero, in marks of 1, 2 and 5 or of whole decades.
    pub(super) fn log(name: &str, min: f64, max: f64, label: fn(f64) -> String) -> Self {
        let min = if min > 0.0 && min.is_finite() {
            min
        } else {
            1.0
        };
        let max = if max.is_finite() {
            max.max(min * 1.001)
        } else {
            min * 10.0
        };
        let decades = max.log10() - min.log10();
        let marks: &[f64] = if decades < 0.5 {
            &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0]
        } else if decades < 3.0 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let first = min.log10().floor() as i32;
        let last = max.log10().ceil() as i32;
        let all: Vec<f64> = (first..=last)
            .flat_map(|power| marks.iter().map(move |mark| mark * 10_f64.powi(power)))
            .collect();
        let below = all
            .iter()
            .copied()
            .rfind(|tick| *tick <= min)
            .unwrap_or(min);
        let above = all.iter().copied().find(|tick| *tick >= max).unwrap_or(max);
        Self {
            scale: Scale::Log,
            min: below,
            max: above,
            ticks: all
                .into_iter()
                .filter(|tick| *tick >= below && *tick <= above)
                .map(|tick| (tick, label(tick)))
                .collect(),
            name: name.to_owned(),
        }
    }

    /// From the median to `max` (at least 99).
    pub(super) fn percentile(name: &str, max: f64) -> Self {
        let max = max.clamp(99.0, 99.999);
        let ticks = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999];
        Self {
            scale: Scale::Percentile,
            min: 50.0,
            max,
            ticks: ticks
                .into_iter()
                .filter(|tick| *tick <= max)
                .map(|tick| (tick, format!("{tick}")))
                .collect(),
            name: name.to_owned(),
        }
    }

    /// Where `value` stands: 0 at the lower end, 1 at the upper, never outside.
    pub(super) fn place(&self, value: f64) -> f64 {
        let at = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).log10(),
            Scale::Percentile => -(1.0 - value / 100.0).max(1e-9).log10(),
        };
        let (low, high) = (at(self.min), at(self.max));
        if high > low {
            ((at(value) - low) / (high - low)).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}

/// The next larger of 1, 2 and 5 times a power of ten.
fn nice_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|mark| mark * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(rough)
}

/// A number without superfluous digits, thousands as k and millions as M.
pub(super) fn short(value: f64) -> String {
    let (scaled, unit) = if value >= 1e6 {
        (value / 1e6, "M")
    } else if value >= 1e3 {
        (value / 1e3, "k")
    } else {
        (value, "")
    };
    let text = format!("{scaled:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Nanoseconds in the unit that fits, without superfluous digits.
pub(super) fn short_time(ns: f64) -> String {
    let (value, unit) = if ns < 1e3 {
        (ns, "ns")
    } else if ns < 1e6 {
        (ns / 1e3, "us")
    } else if ns < 1e9 {
        (ns / 1e6, "ms")
    } else {
        (ns / 1e9, "s")
    };
    let text = format!("{value:.2}");
    format!(
        "{} {unit}",
        text.trim_end_matches('0').trim_end_matches('.')
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        let rate = Axis::linear("messages a second", 21_300.0, short);
        let labels: Vec<&str> = rate.ticks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["0", "5k", "10k", "15k", "20k"]);
        let time = Axis::log("time", 1.3e6, 9.1e6, short_time);
        let labels: Vec<&str> = time.ticks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["1 ms", "2 ms", "5 ms", "10 ms"]);
        let narrow = Axis::log("time", 1.14e9, 1.3e9, short_time);
        let labels: Vec<&str> = narrow
            .ticks
            .iter()
            .map(|(_, label)| label.as_str())
            .collect();
        assert_eq!(labels, ["1 s", "1.2 s", "1.5 s"]);
    }

    #[test]
    fn percentiles_of_nines_stand_equally_far_apart() {
        let axis = Axis::percentile("percentile", 99.99);
        let gap = axis.place(99.0) - axis.place(90.0);
        assert!((axis.place(99.9) - axis.place(99.0) - gap).abs() < 1e-9);
        assert!((axis.place(50.0), axis.place(99.99)) == (0.0, 1.0));
    }

    #[test]
    fn no_value_breaks_an_axis() {
        for (min, max) in [
            (0.0, 0.0),
            (5.0, 5.0),
            (f64::NAN, f64::INFINITY),
            (1e-9, 1e12),
        ] {
            let axis = Axis::log("time", min, max, short_time);
            assert!(axis.place(3.0).is_finite() && !axis.ticks.is_empty());
            let axis = Axis::linear("rate", max, short);
            assert!(axis.place(3.0).is_finite() && axis.ticks.len() < 20);
        }
    }
}
