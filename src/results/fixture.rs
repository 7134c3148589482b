//! Fixed run records for tests: one kept in every way, and one with everything that can go wrong in it.
//!
//! Deterministic to the last digit: the golden files of every rendering are made from these.

use hdrhistogram::Histogram;

use super::{
    Accumulator, Broker, Censored, Environment, FORMAT, Harness, LimitWindows, Measured, Run,
    RunRecord, Stop, Subscription, TimeAccount, Totals, VERSION, VariantRun, VariantSeries,
    variant_folder,
};
use crate::address::Tls;
use crate::claim::Claim;
use crate::driver::{BrokerIdentity, Capabilities, Edge, Properties};
use crate::plan::{
    AckPolicy, Confirms, Connection, ConsumerFleet, DriverKind, Plan, ProducerFleet, Timing,
    Variant,
};
use crate::record::{Counts, Interval, Phase, Series, SeriesInterval, Stream};
use crate::schedule::Arrivals;
use crate::topology::{Queue, QueueKind, Target, Topology};
use crate::units::{ByteSize, Rate, Span};

const MS: u64 = 1_000_000;
const RATE: u64 = 1000;
const WARMUP_S: u64 = 2;
const MEASURE_S: u64 = 10;

/// Words that break a careless renderer.
pub(crate) const HOSTILE: &str = "<script>alert(\"1\")</script>, 'quoted' & \u{1b}[31m]]>";

fn claims(texts: &[&str]) -> Vec<Claim> {
    texts
        .iter()
        .map(|text| text.parse().expect("a claim"))
        .collect()
}

fn plan(index: usize, name: &str, settings: &[(&str, &str)], texts: &[&str]) -> Plan {
    Plan {
        scenario: "work-queue".into(),
        title: "Persistent work queue with confirms".into(),
        variant: Variant {
            index,
            name: name.into(),
            settings: settings
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
            base: index == 0,
        },
        run: 7 + index as u32,
        seed: 42,
        driver: DriverKind::Amqp,
        connection: Connection {
            addresses: Vec::new(),
            tls: Tls::default(),
            heartbeat: Span::from_secs(30),
            frame_max: 131_072,
            timeout: Span::from_secs(10),
        },
        topology: Topology {
            exchanges: Vec::new(),
            queues: vec![Queue {
                name: "send.email".into(),
                broker_name: "send.email.mqb-00000007".into(),
                kind: QueueKind::Classic,
                durable: true,
                auto_delete: false,
                arguments: Vec::new(),
                existing: false,
            }],
            bindings: Vec::new(),
        },
        producers: vec![fleet("api")],
        consumers: vec![ConsumerFleet {
            name: "workers".into(),
            count: 4,
            connections: 4,
            queue: "send.email".into(),
            prefetch: 200,
            ack: AckPolicy::Every(1),
            think: Span::ZERO,
            arguments: Vec::new(),
        }],
        timing: Timing {
            warmup: Span::from_secs(WARMUP_S),
            measure: Span::from_secs(MEASURE_S),
            drain: Span::from_secs(3),
            start_over: Span::ZERO,
            interval: Span::from_secs(1),
            overload: Span::from_secs(10),
        },
        max_backlog: ByteSize::bytes(256 << 20),
        claims: claims(texts),
    }
}

fn fleet(name: &str) -> ProducerFleet {
    ProducerFleet {
        name: name.into(),
        count: 4,
        connections: 4,
        target: Target {
            exchange: String::new(),
            key: "send.email".into(),
        },
        rate: Rate::per_second(RATE),
        arrivals: Arrivals::Poisson,
        size: ByteSize::bytes(1024),
        persistent: true,
        mandatory: false,
        confirms: Confirms::Window(500),
        properties: Properties::default(),
        headers: Vec::new(),
        messages: None,
    }
}

fn streams() -> Vec<Stream> {
    vec![
        Stream {
            fleet: "api".into(),
            queue: None,
        },
        Stream {
            fleet: "workers".into(),
            queue: Some("send.email".into()),
        },
    ]
}

/// A distribution with a tail: `n` values from `base` up, the last hundredth ten times as long.
fn values(n: u64, base: u64, interval: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 60_000 * MS, 3).expect("bounds");
    for i in 0..n {
        let wobble = base / 8 * (interval % 5) / 4;
        let body = base + wobble + i * base / n;
        let value = if i * 100 >= n * 99 { body * 10 } else { body };
        histogram.record(value).expect("in range");
    }
    histogram
}

/// How one fixed variant differs from the next.
struct Shape {
    /// Messages sent and delivered of 1000 planned, each second.
    sent: u64,
    delivered: u64,
    /// Typical time to delivery, ns.
    base: u64,
    intervals: u64,
    with_schedule: bool,
}

/// The intervals of a variant: two seconds of warm-up, ten of measurement.
fn intervals(shape: &Shape, streams: &[Stream]) -> Vec<Interval> {
    (0..shape.intervals)
        .map(|index| {
            let measured = index >= WARMUP_S;
            let mut series = Vec::new();
            let mut push = |stream, kind, n, base| {
                series.push(SeriesInterval {
                    stream,
                    series: kind,
                    measured,
                    histogram: values(n, base, index),
                });
            };
            for (at, stream) in streams.iter().enumerate() {
                let share = streams
                    .iter()
                    .filter(|s| s.queue.is_some() == stream.queue.is_some());
                let share = share.count() as u64;
                if stream.queue.is_some() {
                    let n = shape.delivered / share;
                    push(Some(at), Series::DeliveryService, n, shape.base * 9 / 10);
                    if shape.with_schedule {
                        push(Some(at), Series::DeliveryResponse, n, shape.base);
                    }
                } else {
                    let n = shape.sent / share;
                    push(Some(at), Series::ConfirmService, n, shape.base / 2);
                    if shape.with_schedule {
                        push(Some(at), Series::ConfirmResponse, n, shape.base * 6 / 10);
                        push(Some(at), Series::PacerLag, n, 40_000);
                        push(Some(at), Series::Hold, n, shape.base / 10);
                    }
                }
            }
            push(None, Series::Hiccup, 1000, 30_000);
            let mut counts = vec![Counts::default(); streams.len()];
            counts[0] = Counts {
                planned: RATE,
                sent: shape.sent,
                confirmed: shape.sent,
                sent_bytes: shape.sent * 1024,
                ..Counts::default()
            };
            let last = streams.len() - 1;
            counts[last].delivered = shape.delivered;
            counts[last].delivered_bytes = shape.delivered * 1024;
            Interval {
                index: index as u32,
                start_ns: index * 1000 * MS,
                end_ns: (index + 1) * 1000 * MS,
                phase: if measured {
                    Phase::Measure
                } else {
                    Phase::Warmup
                },
                counts,
                series,
                in_flight: 12 + index,
                unconfirmed: 4,
                blocked: 0,
                held: 0,
            }
        })
        .collect()
}

/// The intervals of [`kept`], as the engine would have handed them over.
pub(crate) fn kept_intervals() -> Vec<Interval> {
    intervals(&KEPT, &streams())
}

const KEPT: Shape = Shape {
    sent: RATE,
    delivered: RATE,
    base: MS,
    intervals: WARMUP_S + MEASURE_S,
    with_schedule: true,
};

fn sums(intervals: &[Interval], streams: &[Stream]) -> VariantSeries {
    let mut sums = Accumulator::new(streams);
    for interval in intervals {
        sums.add(interval).expect("bounds are the same throughout");
    }
    sums.finish()
}

fn variant(plan: Plan, shape: &Shape, streams: Vec<Stream>, variants: usize) -> VariantRun {
    let seconds = shape.intervals;
    let measured_seconds = seconds.saturating_sub(WARMUP_S);
    let totals = Totals {
        planned: RATE * seconds,
        sent: shape.sent * seconds,
        unsent: (RATE - shape.sent) * seconds,
        confirmed: shape.sent * seconds,
        owed: shape.sent * seconds,
        delivered: shape.delivered * seconds,
        undelivered: (shape.sent - shape.delivered) * seconds,
        ..Totals::default()
    };
    let name = plan.variant.name.clone();
    VariantRun {
        folder: variant_folder(variants, plan.variant.index, &name),
        loops: plan
            .producers
            .iter()
            .map(ProducerFleet::loop_kind)
            .collect(),
        started: "2026-11-24T03:59:40.25Z".into(),
        stop: Stop::Completed,
        measured: Some(Measured {
            seconds: measured_seconds as f64,
            planned: RATE * measured_seconds,
            sent: shape.sent * measured_seconds,
            confirmed: shape.sent * measured_seconds,
            owed: shape.sent * measured_seconds,
            delivered: shape.delivered * measured_seconds,
            offered_rate: shape.with_schedule.then_some(RATE as f64),
            sent_rate: shape.sent as f64,
            confirmed_rate: shape.sent as f64,
            delivered_rate: shape.delivered as f64,
            delivered_bytes_rate: (shape.delivered * 1024) as f64,
        }),
        time_account: vec![TimeAccount {
            fleet: "api".into(),
            window_ns: 120 * MS,
            socket_ns: 3 * MS,
            blocked_ns: 0,
            unsent_hold_ns: 0,
            burst_max: 9,
        }],
        subscriptions: vec![Subscription {
            name: "send.email".into(),
            owed: totals.owed,
            delivered: totals.delivered,
            undelivered: totals.undelivered,
            ready_at_end: Some(0),
            ..Subscription::default()
        }],
        totals: Some(totals),
        censored: Vec::new(),
        offered: super::OfferedWindows::default(),
        limits: vec![LimitWindows {
            series: Series::DeliveryResponse,
            limit_ns: 10 * MS,
            due: vec![RATE; MEASURE_S as usize],
            above: vec![10; MEASURE_S as usize],
        }],
        series: Vec::new(),
        gates: Vec::new(),
        verdict: None,
        streams,
        name,
        plan,
    }
}

fn run(title: &str, variants: Vec<VariantRun>) -> Run {
    Run {
        format: FORMAT.into(),
        version: VERSION,
        scenario: "work-queue".into(),
        title: title.into(),
        about: Some(
            "ADR-003 claims about 20,000 msg/s on a single node with P95 below 10 ms.".into(),
        ),
        started: "2026-11-24T03:59:39Z".into(),
        ended: Some("2026-11-24T03:59:57Z".into()),
        seed: 42,
        verdict: None,
        claims: Vec::new(),
        harness: Harness {
            version: "0.1.0".into(),
            profile: "release".into(),
            driver: "amqp".into(),
            capabilities: Capabilities {
                edge: Edge::Socket,
                confirm_batches: true,
            },
            allocator: "mimalloc".into(),
        },
        environment: Environment {
            host: "bench-1".into(),
            os: "Debian GNU/Linux 12".into(),
            kernel: "6.1.0-31-amd64".into(),
            cpu: "AMD EPYC 7763".into(),
            cpus: 2,
            memory: 8 << 30,
            clocksource: "tsc".into(),
            clock_resolution_ns: 1,
            clock_read_ns: 30,
        },
        broker: Broker {
            identity: BrokerIdentity {
                product: "RabbitMQ".into(),
                version: "4.3.0".into(),
                platform: "Erlang/OTP 27".into(),
                cluster: Some("rabbit@bench-1".into()),
            },
            addresses: vec!["amqp://guest@127.0.0.1:5743/%2f".into()],
            origin: "a node of our own, started from the installed rabbitmq-server".into(),
        },
        variants,
        notes: Vec::new(),
    }
}

/// One variant whose claims are all kept. Not yet assessed.
pub(crate) fn kept() -> RunRecord {
    let texts = ["throughput >= 950/s", "delivery.p95 < 10ms", "lost == 0"];
    let plan = plan(0, "base", &[], &texts);
    RunRecord {
        series: vec![sums(&kept_intervals(), &streams())],
        run: run(
            "Persistent work queue with confirms",
            vec![variant(plan, &KEPT, streams(), 1)],
        ),
    }
}

/// Four variants: one with unanswered messages and a broken claim, one with two consumer fleets whose harness was late
/// and whose books do not balance, a closed loop, and one that was killed. Hostile words wherever users have a say. Not
/// yet assessed.
pub(crate) fn bad_day() -> RunRecord {
    let censored = Shape {
        sent: 1000,
        delivered: 970,
        base: 8 * MS,
        ..KEPT
    };
    let late = Shape {
        sent: 900,
        delivered: 900,
        base: 2 * MS,
        ..KEPT
    };
    let closed = Shape {
        with_schedule: false,
        base: 3 * MS,
        ..KEPT
    };
    let killed = Shape {
        intervals: 4,
        ..KEPT
    };

    let texts = [
        "throughput >= 950/s",
        "delivery.p95 < 10ms",
        "delivery.p99 < 1s",
        "lost == 0",
    ];
    let mut first = variant(
        plan(0, "base", &[("size", "1KiB")], &texts),
        &censored,
        streams(),
        4,
    );
    first.censored = vec![Censored {
        stream: 1,
        series: Series::DeliveryResponse,
        count: 300,
    }];

    let (second, many) = harness_late(&late);
    let mut unpaced = plan(
        2,
        "rate=none",
        &[("rate", "none")],
        &["throughput >= 950/s"],
    );
    unpaced.producers[0].rate = None;
    let third = variant(unpaced, &closed, streams(), 4);
    let fourth = unfinished(&killed);

    let mut whole = run(HOSTILE, vec![first, second, third, fourth]);
    whole.ended = None;
    whole.about = Some(HOSTILE.into());
    whole.notes = vec![format!("the broker said {HOSTILE}")];
    RunRecord {
        series: vec![
            sums(&intervals(&censored, &streams()), &streams()),
            sums(&intervals(&late, &many), &many),
            sums(&intervals(&closed, &streams()), &streams()),
            sums(&intervals(&killed, &streams()), &streams()),
        ],
        run: whole,
    }
}

fn harness_late(late: &Shape) -> (VariantRun, Vec<Stream>) {
    let mut many = streams();
    many.push(Stream {
        fleet: HOSTILE.into(),
        queue: Some("send.email".into()),
    });
    let name = "key=<script>alert(1)</script>,size=\"16KiB\"";
    let hostile = plan(
        1,
        name,
        &[("key", HOSTILE), ("size", "16KiB")],
        &["throughput >= 950/s"],
    );
    let mut second = variant(hostile, late, many.clone(), 4);
    second.time_account[0].window_ns = 0;
    let totals = second.totals.as_mut().expect("set above");
    totals.planned += 1;
    totals.corrupt = 2;
    totals.out_of_range = 1;

    (second, many)
}

fn unfinished(killed: &Shape) -> VariantRun {
    let mut fourth = variant(
        plan(3, "size=64B", &[("size", "64B")], &["delivery.max < 1s"]),
        killed,
        streams(),
        4,
    );
    fourth.stop = Stop::Unfinished;
    fourth.totals = None;
    fourth.measured = None;
    fourth
}
