//! A promise as a value: `delivery.p95 < 10ms`. Parses, prints, and says what has to be measured to judge it.
//!
//! Written in scenarios, judged by `analysis`. Knows nothing of how anything is measured.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::{Rate, Span};

/// One promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Claim {
    /// What is measured.
    pub metric: Metric,
    /// How it compares.
    pub comparison: Comparison,
    /// With what.
    pub limit: Limit,
}

/// What a claim can speak of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// Messages delivered a second; published and confirmed ones where nobody consumes.
    Throughput,
    /// A time, to one end, counted from one origin.
    Time {
        /// To the confirm or to the delivery.
        end: End,
        /// From due (response) or from sending (service).
        origin: Origin,
        /// Which value of the distribution.
        statistic: Statistic,
    },
    /// One of the ledger's totals.
    Total(Total),
}

/// The end of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The broker's confirm.
    Confirm,
    /// The delivery.
    Delivery,
}

/// The origin of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// When the message was due: a response time.
    Due,
    /// When it was sent: a service time.
    Sent,
}

/// A value of a distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// The percentile, above 0 and below 100.
    Percentile(f64),
    /// The greatest.
    Max,
    /// The mean.
    Mean,
}

macro_rules! totals {
    ($($variant:ident $name:literal $doc:literal;)*) => {
        /// A total of the ledger that a claim can speak of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Total { $(#[doc = $doc] $variant),* }

        impl Total {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name, as in `run.json`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

totals! {
    Planned "planned" "Due by the schedule.";
    Sent "sent" "Handed to the kernel.";
    Unsent "unsent" "Due but not sent.";
    Confirmed "confirmed" "Acked by the broker.";
    Nacked "nacked" "Nacked by the broker.";
    Returned "returned" "Returned as unroutable.";
    Unconfirmed "unconfirmed" "Sent with confirms on, never answered.";
    Unasked "unasked" "Sent without asking for a confirm.";
    Delivered "delivered" "Copies delivered, each counted once.";
    Undelivered "undelivered" "Copies owed and not delivered when the run ended.";
    DroppedByDesign "dropped_by_design" "Copies that topology or policy explains away.";
    Lost "lost" "Copies missing although their queue was proved empty.";
    LostConfirmed "lost_confirmed" "Lost although the broker confirmed them.";
    LostUnconfirmed "lost_unconfirmed" "Lost, never confirmed.";
    Duplicated "duplicated" "Second and later copies.";
    Redelivered "redelivered" "Deliveries that the broker marked as redelivered.";
    Reordered "reordered" "Deliveries behind a later message of the same producer.";
    Corrupt "corrupt" "Deliveries whose stamp was damaged.";
    Foreign "foreign" "Deliveries that are not of this run.";
}

/// How a measured value is held against the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Below.
    Less,
    /// At most.
    AtMost,
    /// Above.
    Greater,
    /// At least.
    AtLeast,
    /// Exactly.
    Equal,
}

/// What a measured value is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// For throughput.
    Rate(Rate),
    /// For times.
    Span(Span),
    /// For totals.
    Count(u64),
}

/// Text that is no claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no claim: {reason}")]
pub struct ClaimError {
    /// The text.
    pub found: String,
    /// What is wrong, what was expected, and the nearest valid word.
    pub reason: String,
}

impl Claim {
    /// Whether `left` keeps the claim against the limit, both in the metric's own unit.
    pub fn holds<T: PartialOrd>(&self, left: T, right: T) -> bool {
        match self.comparison {
            Comparison::Less => left < right,
            Comparison::AtMost => left <= right,
            Comparison::Greater => left > right,
            Comparison::AtLeast => left >= right,
            Comparison::Equal => left == right,
        }
    }
}

const COMPARISONS: [(&str, Comparison); 5] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl FromStr for Claim {
    type Err = ClaimError;

    fn from_str(text: &str) -> Result<Self, ClaimError> {
        let error = |reason: String| ClaimError {
            found: text.to_owned(),
            reason,
        };
        let (at, (symbol, comparison)) = COMPARISONS
            .iter()
            .filter_map(|entry| text.find(entry.0).map(|at| (at, *entry)))
            .min_by_key(|(at, (symbol, _))| (*at, std::cmp::Reverse(symbol.len())))
            .ok_or_else(|| error("expected `METRIC < LIMIT` with one of < <= > >= ==".into()))?;
        let metric = parse_metric(text[..at].trim()).map_err(error)?;
        let right = text[at + symbol.len()..].trim();
        let limit = match metric {
            Metric::Throughput => right
                .parse()
                .map(Limit::Rate)
                .map_err(|e| error(e.to_string()))?,
            Metric::Time { .. } => right
                .parse()
                .map(Limit::Span)
                .map_err(|e| error(e.to_string()))?,
            Metric::Total(_) => right.parse().map(Limit::Count).map_err(|_| {
                error(format!(
                    "found `{right}`, expected a whole number of messages"
                ))
            })?,
        };
        if !matches!(metric, Metric::Total(_)) && comparison == Comparison::Equal {
            return Err(error(
                "a measured rate or time is never exactly equal; use < or >=".into(),
            ));
        }
        Ok(Self {
            metric,
            comparison,
            limit,
        })
    }
}

const METRIC_FORM: &str = "expected `throughput`, a time such as `delivery.p95`, `confirm.p99.9`, \
    `delivery.service.p50` or `delivery.max`, or a total such as `lost`";

fn parse_metric(text: &str) -> Result<Metric, String> {
    if text == "throughput" {
        return Ok(Metric::Throughput);
    }
    if let Some(total) = Total::ALL.iter().find(|total| total.as_str() == text) {
        return Ok(Metric::Total(*total));
    }
    let unknown = || {
        let known = Total::ALL.iter().map(|total| total.as_str()).chain([
            "throughput",
            "delivery.p95",
            "confirm.p95",
        ]);
        let nearest = known
            .map(|word| (strsim::damerau_levenshtein(word, text), word))
            .min()
            .filter(|(distance, _)| *distance <= 3);
        match nearest {
            Some((_, word)) => {
                format!("unknown metric `{text}`, did you mean `{word}`? {METRIC_FORM}")
            }
            None => format!("unknown metric `{text}`, {METRIC_FORM}"),
        }
    };
    let (end, rest) = text.split_once('.').ok_or_else(unknown)?;
    let end = match end {
        "confirm" => End::Confirm,
        "delivery" => End::Delivery,
        _ => return Err(unknown()),
    };
    let (origin, statistic) = match rest.split_once('.') {
        Some(("response", statistic)) => (Origin::Due, statistic),
        Some(("service", statistic)) => (Origin::Sent, statistic),
        _ => (Origin::Due, rest),
    };
    let statistic = match statistic {
        "max" => Statistic::Max,
        "mean" => Statistic::Mean,
        percentile => percentile
            .strip_prefix('p')
            .and_then(|digits| digits.parse::<f64>().ok())
            .filter(|value| *value > 0.0 && *value < 100.0)
            .map(Statistic::Percentile)
            .ok_or_else(unknown)?,
    };
    Ok(Metric::Time {
        end,
        origin,
        statistic,
    })
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throughput => f.write_str("throughput"),
            Self::Total(total) => f.write_str(total.as_str()),
            Self::Time {
                end,
                origin,
                statistic,
            } => {
                f.write_str(match end {
                    End::Confirm => "confirm",
                    End::Delivery => "delivery",
                })?;
                f.write_str(match origin {
                    Origin::Due => ".response",
                    Origin::Sent => ".service",
                })?;
                match statistic {
                    Statistic::Percentile(value) => write!(f, ".p{value}"),
                    Statistic::Max => f.write_str(".max"),
                    Statistic::Mean => f.write_str(".mean"),
                }
            }
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => rate.fmt(f),
            Self::Span(span) => span.fmt(f),
            Self::Count(count) => count.fmt(f),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbol = COMPARISONS
            .iter()
            .find(|(_, comparison)| *comparison == self.comparison)
            .map_or("?", |c| c.0);
        write!(f, "{} {symbol} {}", self.metric, self.limit)
    }
}

impl From<Claim> for String {
    fn from(claim: Claim) -> Self {
        claim.to_string()
    }
}

impl TryFrom<String> for Claim {
    type Error = ClaimError;

    fn try_from(text: String) -> Result<Self, ClaimError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_parse_and_print_their_full_name() {
        for (text, shown) in [
            ("throughput >= 20k/s", "throughput >= 20k/s"),
            ("delivery.p95 < 10ms", "delivery.response.p95 < 10ms"),
            (
                "confirm.service.p99.9<=1.5s",
                "confirm.service.p99.9 <= 1.5s",
            ),
            ("delivery.max < 1s", "delivery.response.max < 1s"),
            ("lost == 0", "lost == 0"),
        ] {
            let claim: Claim = text.parse().expect(text);
            assert_eq!(claim.to_string(), shown);
            assert_eq!(shown.parse::<Claim>().as_ref(), Ok(&claim));
        }
    }

    #[test]
    fn what_is_no_claim_says_why() {
        for (text, part) in [
            ("latency.p95 < 10ms", "unknown metric"),
            ("lots == 0", "did you mean `lost`"),
            ("delivery.p95 < 10", "with its unit"),
            ("delivery.p100 < 10ms", "unknown metric"),
            ("throughput == 20k/s", "never exactly equal"),
            ("throughput", "expected `METRIC < LIMIT`"),
            ("lost == none", "whole number"),
        ] {
            let error = text.parse::<Claim>().expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
