//! Quantities as users write them: rates, byte sizes and spans of time.
//!
//! Each type parses what a person would type, prints the shortest text that parses back to the same value, and holds an
//! exact integer inside, so that no figure drifts between the scenario, the plan and the report. Used by scenario files
//! and by the command line alike; knows nothing of what is measured with them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Text that is not a quantity of the asked kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found `{found}`, expected {expected}")]
pub struct UnitError {
    /// The text as it was given.
    pub found: String,
    /// What would have been understood, with an example.
    pub expected: &'static str,
}

/// How many messages in how much time: an exact fraction, never a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    messages: u64,
    per_ns: u64,
}

const RATE_FORM: &str = "a rate above zero such as `21k/s`, `1.5M/s`, `0.2/s`, `30/min` or `10/h` (no unit means per second)";

impl Rate {
    /// So many messages each second; `None` for zero.
    pub fn per_second(messages: u64) -> Option<Self> {
        Self::new(messages, NS_PER_SECOND)
    }

    /// `messages` in each `per_ns` nanoseconds, reduced; `None` where either is zero.
    pub fn new(messages: u64, per_ns: u64) -> Option<Self> {
        if messages == 0 || per_ns == 0 {
            return None;
        }
        let divisor = gcd(messages, per_ns);
        Some(Self {
            messages: messages / divisor,
            per_ns: per_ns / divisor,
        })
    }

    /// Messages a second.
    pub fn as_per_second(self) -> f64 {
        self.messages as f64 * NS_PER_SECOND as f64 / self.per_ns as f64
    }

    /// Mean gap between two messages in nanoseconds.
    pub fn mean_gap_ns(self) -> f64 {
        self.per_ns as f64 / self.messages as f64
    }

    /// When message `index` of an even stream is due, in nanoseconds after the first: `floor(index * per / messages)`,
    /// from the index and so without drift. Saturates at the largest `u64`.
    pub fn offset_ns(self, index: u64) -> u64 {
        let exact = u128::from(index) * u128::from(self.per_ns) / u128::from(self.messages);
        u64::try_from(exact).unwrap_or(u64::MAX)
    }

    /// How many messages of an even stream are due before `span` has passed (the first is due at 0).
    pub fn count_before(self, span: Span) -> u64 {
        // offset(i) < span  <=>  i*per/messages < span  <=>  i < ceil(span*messages/per)
        let product = u128::from(span.as_ns()) * u128::from(self.messages);
        u64::try_from(product.div_ceil(u128::from(self.per_ns))).unwrap_or(u64::MAX)
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError {
            found: text.to_owned(),
            expected: RATE_FORM,
        };
        let (number, unit) = match text.split_once('/') {
            Some((number, unit)) => (number.trim(), unit.trim()),
            None => (text.trim(), "s"),
        };
        let per_ns = match unit {
            "s" | "sec" | "second" => NS_PER_SECOND,
            "ms" => 1_000_000,
            "min" | "minute" => 60 * NS_PER_SECOND,
            "h" | "hour" => 3600 * NS_PER_SECOND,
            _ => return Err(error()),
        };
        let (number, scale) = match number.as_bytes().last() {
            Some(b'k' | b'K') => (&number[..number.len() - 1], 1_000),
            Some(b'M' | b'm') => (&number[..number.len() - 1], 1_000_000),
            _ => (number, 1),
        };
        let (digits, divisor) = decimal(number).ok_or_else(error)?;
        let messages = digits.checked_mul(scale).ok_or_else(error)?;
        let per_ns = per_ns.checked_mul(divisor).ok_or_else(error)?;
        Self::new(messages, per_ns).ok_or_else(error)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, ns) in [
            ("s", NS_PER_SECOND),
            ("min", 60 * NS_PER_SECOND),
            ("h", 3600 * NS_PER_SECOND),
        ] {
            // Up to three decimals must be exact in this unit, or the next larger one is tried.
            let thousandths = u128::from(self.messages) * u128::from(ns) * 1000;
            if thousandths % u128::from(self.per_ns) == 0 {
                let thousandths = thousandths / u128::from(self.per_ns);
                let (scaled, suffix) = match thousandths {
                    t if t % 1_000_000_000 == 0 => (t / 1_000_000, "M"),
                    t if t % 100_000 == 0 && t >= 1_000_000 => (t / 1000, "k"),
                    t => (t, ""),
                };
                return write!(f, "{}{suffix}/{unit}", thousandths_text(scaled));
            }
        }
        write!(f, "{}/s", self.as_per_second())
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

const SIZE_FORM: &str = "a size such as `64B`, `1KiB`, `16MiB` or `2GiB` (`kB`, `MB`, `GB` are thousands; no unit means bytes)";

const SIZE_UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError {
            found: text.to_owned(),
            expected: SIZE_FORM,
        };
        let trimmed = text.trim();
        let (number, scale) = SIZE_UNITS
            .iter()
            .find_map(|(unit, scale)| {
                trimmed
                    .strip_suffix(unit)
                    .map(|number| (number.trim_end(), *scale))
            })
            .unwrap_or((trimmed, 1));
        let (digits, divisor) = decimal(number).ok_or_else(error)?;
        let product = u128::from(digits) * u128::from(scale);
        if product % u128::from(divisor) != 0 {
            return Err(error());
        }
        u64::try_from(product / u128::from(divisor))
            .map(Self)
            .map_err(|_| error())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = SIZE_UNITS
            .iter()
            .find(|(unit, scale)| {
                *unit != "KB" && self.0 >= *scale && self.0.is_multiple_of(*scale)
            })
            .unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

/// A length of time in whole nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

const SPAN_FORM: &str = "a time with its unit, such as `250us`, `10ms`, `1.5s`, `2min` or `1h`";

const SPAN_UNITS: [(&str, u64); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("min", 60 * NS_PER_SECOND),
    ("sec", NS_PER_SECOND),
    ("s", NS_PER_SECOND),
    ("m", 60 * NS_PER_SECOND),
    ("h", 3600 * NS_PER_SECOND),
];

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// So many nanoseconds.
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// So many milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * NS_PER_SECOND)
    }

    /// The length in nanoseconds.
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// The length in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NS_PER_SECOND as f64
    }

    /// The same length for the standard library.
    pub const fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }

    /// The sum, at most the largest representable span (584 years).
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError {
            found: text.to_owned(),
            expected: SPAN_FORM,
        };
        let trimmed = text.trim();
        let (number, scale) = SPAN_UNITS
            .iter()
            .find_map(|(unit, scale)| {
                trimmed
                    .strip_suffix(unit)
                    .map(|number| (number.trim_end(), *scale))
            })
            .ok_or_else(error)?;
        let (digits, divisor) = decimal(number).ok_or_else(error)?;
        let ns = u128::from(digits) * u128::from(scale) / u128::from(divisor);
        u64::try_from(ns).map(Self).map_err(|_| error())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            ("h", 3600 * NS_PER_SECOND),
            ("min", 60 * NS_PER_SECOND),
            ("s", NS_PER_SECOND),
        ];
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if let Some((unit, scale)) = units
            .iter()
            .find(|(_, scale)| self.0.is_multiple_of(*scale))
        {
            return write!(f, "{}{unit}", self.0 / scale);
        }
        for (unit, scale) in [("s", NS_PER_SECOND), ("ms", 1_000_000), ("us", 1_000)] {
            if self.0 >= scale && self.0.is_multiple_of(scale / 1000) {
                return write!(
                    f,
                    "{}{unit}",
                    thousandths_text(u128::from(self.0 / (scale / 1000)))
                );
            }
        }
        write!(f, "{}ns", self.0)
    }
}

/// Serializes as the text that a user would write, so that records read like scenarios.
macro_rules! serde_as_text {
    ($($kind:ty),*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(Rate, ByteSize, Span);

/// Digits with at most one point: the digits as an integer and the power of ten to divide by.
fn decimal(text: &str) -> Option<(u64, u64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let joined: String = whole
        .chars()
        .chain(fraction.chars())
        .filter(|c| *c != '_')
        .collect();
    if joined.is_empty() || fraction.len() > 9 || !joined.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((
        joined.parse().ok()?,
        10_u64.pow(fraction.chars().filter(|c| *c != '_').count() as u32),
    ))
}

fn thousandths_text(thousandths: u128) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_parse_exactly_and_print_what_parses_back() {
        for (text, messages, per_ns, shown) in [
            ("21k/s", 21_000, NS_PER_SECOND, "21k/s"),
            ("20000", 20_000, NS_PER_SECOND, "20k/s"),
            ("1.5M/s", 1_500_000, NS_PER_SECOND, "1500k/s"),
            ("2M/s", 2_000_000, NS_PER_SECOND, "2M/s"),
            ("0.2/s", 1, 5 * NS_PER_SECOND, "0.2/s"),
            ("999/s", 999, NS_PER_SECOND, "999/s"),
            ("1/min", 1, 60 * NS_PER_SECOND, "1/min"),
            ("10_000/s", 10_000, NS_PER_SECOND, "10k/s"),
        ] {
            let rate: Rate = text.parse().expect(text);
            assert_eq!(
                rate,
                Rate::new(messages, per_ns).expect("not zero"),
                "{text}"
            );
            assert_eq!(rate.to_string(), shown);
            assert_eq!(rate.to_string().parse::<Rate>().as_ref(), Ok(&rate));
        }
        for text in [
            "0/s",
            "-5/s",
            "fast",
            "20k/fortnight",
            "",
            "/s",
            "1.2.3/s",
            "k/s",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_billionth_message_is_due_where_the_exact_fraction_says() {
        let thirty_k = Rate::per_second(30_000).expect("not zero");
        // 10^9 / 30,000 per second = 33,333.333.. s
        assert_eq!(thirty_k.offset_ns(1_000_000_000), 33_333_333_333_333);
        let seven = Rate::per_second(7).expect("not zero");
        // 10^9 / 7 = 142,857,142.857142857 s
        assert_eq!(seven.offset_ns(1_000_000_000), 142_857_142_857_142_857);
    }

    #[test]
    fn a_span_holds_as_many_messages_as_fall_due_before_its_end() {
        let rate = Rate::per_second(3).expect("not zero");
        for ns in [
            1,
            333_333_333,
            333_333_334,
            666_666_666,
            666_666_667,
            NS_PER_SECOND,
            NS_PER_SECOND + 1,
        ] {
            let counted = (0..).take_while(|i| rate.offset_ns(*i) < ns).count() as u64;
            assert_eq!(rate.count_before(Span::from_ns(ns)), counted, "{ns} ns");
        }
    }

    #[test]
    fn sizes_parse_and_print() {
        for (text, bytes, shown) in [
            ("64B", 64, "64B"),
            ("1KiB", 1024, "1KiB"),
            ("1.5KiB", 1536, "1536B"),
            ("16MiB", 16 << 20, "16MiB"),
            ("2kB", 2000, "2kB"),
            ("512", 512, "512B"),
            ("0", 0, "0B"),
        ] {
            let size: ByteSize = text.parse().expect(text);
            assert_eq!((size.as_bytes(), size.to_string().as_str()), (bytes, shown));
        }
        for text in ["1kib", "1.5B", "-1", "KiB", "1 TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans_parse_and_print() {
        for (text, ns, shown) in [
            ("10ms", 10_000_000, "10ms"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("2min", 120 * NS_PER_SECOND, "2min"),
            ("90s", 90 * NS_PER_SECOND, "90s"),
            ("1h", 3600 * NS_PER_SECOND, "1h"),
            ("250us", 250_000, "250us"),
            ("1234567ns", 1_234_567, "1234.567us"),
            ("0s", 0, "0s"),
        ] {
            let span: Span = text.parse().expect(text);
            assert_eq!((span.as_ns(), span.to_string().as_str()), (ns, shown));
        }
        for text in ["10", "ten ms", "1d", "-1s", ""] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
