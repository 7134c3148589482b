//! What a person sees while a run lasts: a live view where stderr is a terminal, else a plain line for each interval.
//!
//! Shows what it is told by the run's events and computes nothing that ends up in a result. Drawing happens in
//! indicatif's own thread, four times a second at most, so that the coordinator is never held up by a terminal.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use mqbench::record::{Counts, Interval, Observer, Phase, RunEvent, Series};

use super::talk;

/// Draws per second on a terminal.
const REFRESH_HZ: u8 = 4;

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Redrawn in place.
    Live,
    /// A line for each interval.
    Lines,
    /// Nowhere.
    Silent,
}

impl Style {
    /// What suits stderr as it is.
    pub(crate) fn for_stderr(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Silent,
            (false, true) => Self::Live,
            (false, false) => Self::Lines,
        }
    }
}

/// Shows how a run gets on.
pub(crate) struct Progress {
    style: Style,
    status: Arc<Mutex<Status>>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Shows nothing before the first [`RunEvent::Begin`].
    pub(crate) fn new(style: Style) -> Self {
        Self {
            style,
            status: Arc::default(),
            bar: None,
        }
    }

    fn begin(&mut self, headline: &str) {
        self.end();
        *lock(&self.status) = Status {
            headline: headline.to_owned(),
            ..Status::default()
        };
        match self.style {
            Style::Live => self.bar = Some(live_view(&self.status)),
            Style::Lines => talk::say(headline),
            Style::Silent => {}
        }
    }

    /// Nothing more comes: takes the live view off the terminal.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match (&self.bar, self.style) {
            (Some(bar), _) => bar.suspend(|| talk::say(text)),
            (None, Style::Lines | Style::Live) => talk::say(text),
            (None, Style::Silent) => {}
        }
    }
}

impl Observer for Progress {
    fn observe(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Begin(headline) => self.begin(headline),
            // Named in the report.
            RunEvent::Broker(_) => {}
            RunEvent::Phase(phase, length_ns) => {
                lock(&self.status).phase = Some(CurrentPhase {
                    phase: *phase,
                    began: Instant::now(),
                    length: length_ns.map(Duration::from_nanos),
                });
            }
            RunEvent::Interval(interval) => {
                let sample = Sample::of(interval);
                if self.style == Style::Lines {
                    self.line(&sample.line());
                }
                lock(&self.status).sample = Some(sample);
            }
            RunEvent::Note(text) => self.line(&format!("  note: {text}")),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn lock(status: &Mutex<Status>) -> MutexGuard<'_, Status> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

fn live_view(status: &Arc<Mutex<Status>>) -> ProgressBar {
    let key = |line: fn(&Status) -> String| {
        let status = Arc::clone(status);
        move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&line(&lock(&status)));
        }
    };
    // The template is a constant; were it refused, the default style would be drawn.
    let style =
        ProgressStyle::with_template("{spinner} {headline}\n  {phase}\n  {rates}\n  {times}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner())
            .with_key("headline", key(|status| status.headline.clone()))
            .with_key("phase", key(|status| status.phase_line(Instant::now())))
            .with_key(
                "rates",
                key(|status| {
                    status
                        .sample
                        .as_ref()
                        .map(Sample::rates)
                        .unwrap_or_default()
                }),
            )
            .with_key(
                "times",
                key(|status| {
                    status
                        .sample
                        .as_ref()
                        .map(Sample::times)
                        .unwrap_or_default()
                }),
            );
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(REFRESH_HZ));
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(1000 / u64::from(REFRESH_HZ)));
    bar
}

/// What the live view shows.
#[derive(Debug, Default)]
struct Status {
    headline: String,
    phase: Option<CurrentPhase>,
    sample: Option<Sample>,
}

#[derive(Debug)]
struct CurrentPhase {
    phase: Phase,
    began: Instant,
    length: Option<Duration>,
}

impl Status {
    fn phase_line(&self, now: Instant) -> String {
        let Some(current) = &self.phase else {
            return "starting".to_owned();
        };
        let elapsed = now.saturating_duration_since(current.began);
        let mut line = format!("{}  {:.0} s", current.phase.as_str(), elapsed.as_secs_f64());
        if let Some(length) = current.length {
            let left = length.saturating_sub(elapsed).as_secs_f64();
            let most = if current.phase == Phase::Drain {
                "at most "
            } else {
                ""
            };
            let _ = write!(
                line,
                " of {most}{:.0} s, {left:.0} s left",
                length.as_secs_f64()
            );
        }
        line
    }
}

/// One interval as it is shown.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    end_s: f64,
    phase: Phase,
    seconds: f64,
    counts: Counts,
    quantiles: Option<(Series, [u64; 3])>,
    in_flight: u64,
    unconfirmed: u64,
    held: u64,
    blocked: u32,
}

impl Sample {
    fn of(interval: &Interval) -> Self {
        let mut counts = Counts::default();
        for stream in &interval.counts {
            counts += *stream;
        }
        Self {
            end_s: interval.end_ns as f64 / 1e9,
            phase: interval.phase,
            seconds: interval.end_ns.saturating_sub(interval.start_ns) as f64 / 1e9,
            counts,
            quantiles: quantiles(interval),
            in_flight: interval.in_flight,
            unconfirmed: interval.unconfirmed,
            held: interval.held,
            blocked: interval.blocked,
        }
    }

    fn rates(&self) -> String {
        let rate = |count: u64| {
            let seconds = if self.seconds > 0.0 {
                self.seconds
            } else {
                1.0
            };
            format!("{:.0}/s", count as f64 / seconds)
        };
        format!(
            "offered {}  sent {}  confirmed {}  delivered {}",
            rate(self.counts.planned),
            rate(self.counts.sent),
            rate(self.counts.confirmed),
            rate(self.counts.delivered),
        )
    }

    fn times(&self) -> String {
        let mut text = String::new();
        if let Some((series, [p50, p95, p99])) = self.quantiles {
            let _ = write!(
                text,
                "{} P50 {} P95 {} P99 {}  ",
                series.tag(),
                time(p50),
                time(p95),
                time(p99)
            );
        }
        let _ = write!(
            text,
            "in flight {}  unconfirmed {}  held {}  blocked producers {}",
            self.in_flight, self.unconfirmed, self.held, self.blocked
        );
        text
    }

    fn line(&self) -> String {
        format!(
            "  {:>6.1} s  {:<8}  {}  {}",
            self.end_s,
            self.phase.as_str(),
            self.rates(),
            self.times()
        )
    }
}

/// P50, P95 and P99 over all streams of the series that says most: response before service time, delivery before
/// confirm.
fn quantiles(interval: &Interval) -> Option<(Series, [u64; 3])> {
    let shown = [
        Series::DeliveryResponse,
        Series::DeliveryService,
        Series::ConfirmResponse,
        Series::ConfirmService,
    ];
    shown.into_iter().find_map(|series| {
        let mut parts = interval
            .series
            .iter()
            .filter(|part| part.series == series && !part.histogram.is_empty());
        let mut sum: Histogram<u64> = parts.next()?.histogram.clone();
        for part in parts {
            sum.add(&part.histogram).ok()?;
        }
        Some((
            series,
            [0.5, 0.95, 0.99].map(|quantile| sum.value_at_quantile(quantile)),
        ))
    })
}

/// Three digits and a unit.
fn time(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000_000 => (ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let digits = match value {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqbench::record::SeriesInterval;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        values
            .into_iter()
            .for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    fn interval() -> Interval {
        let part = |series, stream, values: std::ops::Range<u64>| SeriesInterval {
            stream: Some(stream),
            series,
            measured: true,
            histogram: histogram(values.map(|value| value * 1_000_000)),
        };
        Interval {
            index: 3,
            start_ns: 3_000_000_000,
            end_ns: 5_000_000_000,
            phase: Phase::Measure,
            counts: vec![
                Counts {
                    planned: 400,
                    sent: 390,
                    confirmed: 380,
                    ..Counts::default()
                },
                Counts {
                    delivered: 300,
                    ..Counts::default()
                },
                Counts {
                    delivered: 70,
                    ..Counts::default()
                },
            ],
            series: vec![
                part(Series::ConfirmResponse, 0, 900..999),
                part(Series::DeliveryResponse, 1, 1..51),
                part(Series::DeliveryResponse, 2, 51..101),
            ],
            in_flight: 20,
            unconfirmed: 10,
            blocked: 1,
            held: 10,
        }
    }

    #[test]
    fn a_line_holds_rates_over_the_interval_and_percentiles_over_all_streams() {
        // 400 messages in 2 s; the times 1..=100 ms.
        assert_eq!(
            Sample::of(&interval()).line(),
            "     5.0 s  measure   offered 200/s  sent 195/s  confirmed 190/s  delivered 185/s  \
             delivery-response P50 50.0 ms P95 95.0 ms P99 99.0 ms  \
             in flight 20  unconfirmed 10  held 10  blocked producers 1"
        );
    }

    #[test]
    fn an_interval_without_times_has_a_line_as_well() {
        let mut empty = interval();
        empty.series.clear();
        empty.end_ns = empty.start_ns;
        assert!(!Sample::of(&empty).line().contains("P50"));
    }

    #[test]
    fn a_phase_shows_what_is_elapsed_and_left() {
        let began = Instant::now();
        let mut status = Status::default();
        assert_eq!(status.phase_line(began), "starting");
        status.phase = Some(CurrentPhase {
            phase: Phase::Measure,
            began,
            length: Some(Duration::from_secs(10)),
        });
        let later = began + Duration::from_secs(4);
        assert_eq!(status.phase_line(later), "measure  4 s of 10 s, 6 s left");
        let too_late = began + Duration::from_secs(12);
        assert_eq!(
            status.phase_line(too_late),
            "measure  12 s of 10 s, 0 s left"
        );
    }

    #[test]
    fn times_have_three_digits_and_the_unit_that_suits_them() {
        for (ns, text) in [
            (0, "0.00 us"),
            (9_410, "9.41 us"),
            (94_100, "94.1 us"),
            (941_000, "941 us"),
            (9_410_000, "9.41 ms"),
            (12_000_000_000, "12.0 s"),
        ] {
            assert_eq!(time(ns), text);
        }
    }
}
