//! One measurement: a plan made by hand, run through the engine, and what it cost this process.

use mqbench::address::{Address, Tls};
use mqbench::driver::{ConnectOptions, Properties, amqp::Amqp, lapin::Lapin};
use mqbench::engine::simulator::{Truth, simulate};
use mqbench::engine::{self, StopSignal};
use mqbench::plan::{
    AckPolicy, Confirms, Connection, ConsumerFleet, DriverKind, Plan, ProducerFleet, Timing,
    Variant,
};
use mqbench::record::{Observer, Phase, RunEvent, Series};
use mqbench::schedule::Arrivals;
use mqbench::topology::{Queue, QueueKind, Target, Topology};
use mqbench::units::{ByteSize, Rate, Span};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::Outcome;

/// Runs one row of the table with one driver and prints what it cost as a JSON line. `rest` may hold a number of
/// messages instead of the row's time.
pub(crate) fn run(row: &str, driver: &str, broker: &str, rest: &[&str]) -> Outcome {
    let messages = rest.first().map(|text| text.parse()).transpose()?;
    let plan = plan(row, broker.parse()?, messages)?;
    let mut watch = Watch::default();
    let options = ConnectOptions {
        addresses: plan.connection.addresses.clone(),
        tls: plan.connection.tls.clone(),
        heartbeat: plan.connection.heartbeat,
        frame_max: plan.connection.frame_max,
        timeout: plan.connection.timeout,
    };
    let stop = StopSignal::new();
    let before = processor_ns();
    let outcome = match driver {
        "amqp" => engine::run(&Amqp::new(options), &plan, &stop, &mut watch),
        "lapin" => engine::run(&Lapin::new(options), &plan, &stop, &mut watch),
        other => return Err(format!("no driver {other}: amqp or lapin").into()),
    };
    let processor = processor_ns() - before;
    let delivered = outcome.totals.delivered.max(1);
    println!(
        "{}",
        json!({
            "row": row,
            "driver": driver,
            "broker": outcome.broker.map(|broker| format!("{} {}", broker.product, broker.version)),
            "stop": outcome.stop,
            "planned": outcome.totals.planned,
            "sent": outcome.totals.sent,
            "delivered": outcome.totals.delivered,
            "lost": outcome.totals.lost_confirmed + outcome.totals.lost_unconfirmed,
            "delivered_per_s": outcome.measured.delivered_rate.round(),
            "cpu_us_per_message": processor as f64 / 1000.0 / delivered as f64,
            "windows_planned": outcome.offered.planned,
            "windows_sent": outcome.offered.sent,
            "pacer_lag_p99_us": watch.p99_us(Series::PacerLag),
            "hiccup_p99_us": watch.p99_us(Series::Hiccup),
            "resident_mib": watch.resident_kib as f64 / 1024.0,
            "threads": watch.threads,
        })
    );
    Ok(())
}

/// The engine without a driver: so many messages through the simulator. For counting instructions.
pub(crate) fn core(messages: &str) -> Outcome {
    let mut plan = plan("paced", Address::local(5672), None)?;
    plan.timing.warmup = Span::ZERO;
    plan.timing.measure = Span::from_ns(messages.parse::<u64>()? * 250_000);
    let simulated = simulate(&plan, &Truth::default());
    println!(
        "{}",
        json!({ "row": "core", "delivered": simulated.totals.delivered })
    );
    Ok(())
}

fn processor_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sums what the benchmark shows of the run, and looks at this process in the middle of it.
#[derive(Default)]
struct Watch {
    times: std::collections::HashMap<Series, hdrhistogram::Histogram<u64>>,
    resident_kib: u64,
    threads: u64,
}

impl Watch {
    fn p99_us(&self, series: Series) -> Option<f64> {
        Some(self.times.get(&series)?.value_at_quantile(0.99) as f64 / 1000.0)
    }
}

impl Observer for Watch {
    fn observe(&mut self, event: &RunEvent) {
        let RunEvent::Interval(interval) = event else {
            return;
        };
        if interval.phase != Phase::Measure {
            return;
        }
        for part in interval.series.iter().filter(|part| part.measured) {
            let sum = self
                .times
                .entry(part.series)
                .or_insert_with(mqbench::record::recorder::histogram);
            // All have the same bounds.
            let _ = sum.add(&part.histogram);
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        self.resident_kib = self.resident_kib.max(field("VmRSS:"));
        self.threads = self.threads.max(field("Threads:"));
    }
}

struct Shape {
    rate: Option<Rate>,
    size: u64,
    confirms: Confirms,
    ack: AckPolicy,
    prefetch: u16,
    count: u32,
    measure: Span,
}

fn shape(row: &str) -> Result<Shape, String> {
    let base = Shape {
        rate: None,
        size: 1024,
        confirms: Confirms::Window(500),
        ack: AckPolicy::Every(50),
        prefetch: 500,
        count: 1,
        measure: Span::from_secs(6),
    };
    Ok(match row {
        "flood" => Shape {
            size: 64,
            confirms: Confirms::Off,
            ack: AckPolicy::Auto,
            prefetch: 0,
            ..base
        },
        "closed" => base,
        "paced" => Shape {
            rate: Rate::per_second(4000),
            ack: AckPolicy::Every(1),
            ..base
        },
        "idle" => Shape {
            rate: Rate::per_second(1),
            ack: AckPolicy::Every(1),
            count: 500,
            measure: Span::from_secs(3),
            ..base
        },
        other => return Err(format!("no row {other}: flood, closed, paced or idle")),
    })
}

fn plan(row: &str, broker: Address, messages: Option<u64>) -> Result<Plan, String> {
    let shape = shape(row)?;
    let run = std::process::id();
    let queue = Queue {
        name: "q".into(),
        broker_name: format!("bench.mqb-{run:08x}"),
        kind: QueueKind::Classic,
        durable: true,
        auto_delete: false,
        arguments: vec![],
        existing: false,
    };
    // With a number of messages nothing is warmed up: counts are to be the same every time.
    let (warmup, measure) = match messages {
        Some(_) => (Span::ZERO, Span::from_secs(600)),
        None => (Span::from_secs(1), shape.measure),
    };
    Ok(Plan {
        scenario: "bench".into(),
        title: row.into(),
        variant: Variant {
            index: 0,
            name: "base".into(),
            settings: vec![],
            base: true,
        },
        run,
        seed: 1,
        driver: DriverKind::Amqp,
        connection: Connection {
            addresses: vec![broker],
            tls: Tls::default(),
            heartbeat: Span::from_secs(60),
            frame_max: 131_072,
            timeout: Span::from_secs(30),
        },
        topology: Topology {
            queues: vec![queue],
            ..Topology::default()
        },
        producers: vec![producers(&shape, messages)],
        consumers: vec![consumers(&shape)],
        timing: Timing {
            warmup,
            measure,
            drain: Span::from_secs(30),
            start_over: Span::ZERO,
            interval: Span::from_secs(1),
            overload: Span::from_secs(60),
        },
        max_backlog: ByteSize::bytes(1 << 30),
        claims: vec![],
    })
}

fn producers(shape: &Shape, messages: Option<u64>) -> ProducerFleet {
    ProducerFleet {
        name: "producers".into(),
        count: shape.count,
        connections: shape.count,
        target: Target {
            exchange: String::new(),
            key: "q".into(),
        },
        rate: shape.rate,
        arrivals: Arrivals::Constant,
        size: ByteSize::bytes(shape.size),
        persistent: shape.confirms != Confirms::Off,
        mandatory: false,
        confirms: shape.confirms,
        properties: Properties::default(),
        headers: vec![],
        messages,
    }
}

fn consumers(shape: &Shape) -> ConsumerFleet {
    ConsumerFleet {
        name: "consumers".into(),
        count: shape.count,
        connections: shape.count,
        queue: "q".into(),
        prefetch: shape.prefetch,
        ack: shape.ack,
        think: Span::ZERO,
        arguments: vec![],
    }
}
