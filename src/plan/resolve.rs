//! From a scenario to plans: fills in what is not written, names everything on the broker.

use std::path::Path;

use super::matrix;
use super::{
    AckPolicy, Confirms, Connection, ConsumerFleet, DriverKind, Plan, ProducerFleet, Timing,
};
use crate::address::{Address, Tls};
use crate::diagnostic::Problems;
use crate::scenario::{
    AckSetting, ConfirmsSetting, ConsumersSettings, DriverSetting, MOST_RUNS, ProducersSettings,
    RateSetting, Scenario, Setting, Settings, ToSettings, defaults,
};
use crate::topology::{
    Arguments, Binding, Exchange, ExchangeKind, Queue, QueueKind, Target, Topology, Value,
};
use crate::units::Span;

/// What the command line decides about all plans of a scenario.
#[derive(Debug, Clone)]
pub struct Choices {
    /// From which all that is random is drawn.
    pub seed: u64,
    /// Number of the first run; variant `i` gets `run + i`.
    pub run: u32,
    /// The driver; none for the scenario's, or [`DriverKind::Amqp`] where it names none.
    pub driver: Option<DriverKind>,
    /// The broker's addresses; empty for the scenario's.
    pub addresses: Vec<Address>,
    /// Length of an interval; none for the scenario's, or [`defaults::INTERVAL`].
    pub interval: Option<Span>,
    /// Whether more than [`MOST_RUNS`] runs are fine.
    pub many_runs: ManyRuns,
}

/// Whether more runs than [`MOST_RUNS`] were agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ManyRuns {
    /// They are refused.
    #[default]
    Refused,
    /// They were agreed to, by `--yes`.
    Agreed,
}

/// The plans of a scenario, in the order in which they are run: the scenario as written first, then the other
/// combinations of the matrix, whose first setting changes slowest.
///
/// # Errors
/// A matrix of more than [`MOST_RUNS`] runs that nobody agreed to, and combinations that contradict themselves.
pub fn resolve(scenario: &Scenario, choices: &Choices) -> Result<Vec<Plan>, Problems> {
    let runs = scenario.combinations();
    if runs > MOST_RUNS && choices.many_runs == ManyRuns::Refused {
        return Err(scenario.too_many_runs().into());
    }
    matrix::expand(scenario, |settings| one(scenario, settings, choices))
}

/// The suffix of every name on the broker that a run declares.
pub fn suffix(run: u32) -> String {
    format!(".mqb-{run:08x}")
}

/// The plan of one combination, as the scenario's first run and without claims.
fn one(scenario: &Scenario, settings: &Settings, choices: &Choices) -> Plan {
    let mut plan = Plan {
        scenario: scenario.name.clone(),
        title: scenario.title.clone(),
        variant: matrix::base(),
        run: choices.run,
        seed: choices.seed,
        driver: choices.driver.unwrap_or(match settings.driver.value() {
            Some(DriverSetting::Lapin) => DriverKind::Lapin,
            Some(DriverSetting::Amqp) | None => DriverKind::Amqp,
        }),
        connection: connection(settings, scenario.file.parent(), choices),
        topology: topology(settings),
        producers: settings.producers.iter().map(producers).collect(),
        consumers: Vec::new(),
        timing: timing(settings, choices),
        max_backlog: filled(&settings.max_backlog, defaults::MAX_BACKLOG),
        claims: Vec::new(),
    };
    plan.consumers = settings
        .consumers
        .iter()
        .map(|fleet| consumers(fleet, &plan.topology))
        .collect();
    number(&mut plan, choices.run);
    plan
}

/// Gives a plan its run's number, and with it the names on the broker of all that it declares.
pub(super) fn number(plan: &mut Plan, run: u32) {
    plan.run = run;
    let suffix = suffix(run);
    let name = |name: &str, existing: bool| {
        if existing {
            name.to_owned()
        } else {
            format!("{name}{suffix}")
        }
    };
    for exchange in &mut plan.topology.exchanges {
        exchange.broker_name = name(&exchange.name, exchange.existing);
    }
    for queue in &mut plan.topology.queues {
        queue.broker_name = name(&queue.name, queue.existing);
    }
}

/// The value, or the default where nothing is written. Settings with problems never come this far.
fn filled<T: Clone>(setting: &Setting<T>, default: T) -> T {
    setting.value().cloned().unwrap_or(default)
}

fn topology(settings: &Settings) -> Topology {
    let mut topology = Topology::default();
    for exchange in &settings.exchanges {
        topology.exchanges.push(Exchange {
            name: filled(&exchange.name, String::new()),
            broker_name: String::new(),
            kind: filled(&exchange.kind, ExchangeKind::Direct),
            durable: filled(&exchange.durable, defaults::DURABLE),
            auto_delete: filled(&exchange.auto_delete, false),
            arguments: exchange.arguments.clone(),
            existing: filled(&exchange.existing, false),
        });
    }
    for queue in &settings.queues {
        let name = filled(&queue.name, String::new());
        for bind in &queue.bind {
            topology.bindings.push(Binding {
                exchange: filled(&bind.exchange, String::new()),
                queue: name.clone(),
                key: filled(&bind.key, String::new()),
                arguments: bind.arguments.clone(),
            });
        }
        topology.queues.push(Queue {
            name,
            broker_name: String::new(),
            kind: filled(&queue.kind, QueueKind::Classic),
            durable: filled(&queue.durable, defaults::DURABLE),
            auto_delete: filled(&queue.auto_delete, false),
            arguments: queue.arguments.clone(),
            existing: filled(&queue.existing, false),
        });
    }
    topology
}

fn producers(fleet: &ProducersSettings) -> ProducerFleet {
    let count = filled(&fleet.count, defaults::COUNT);
    let target = match fleet.to.value() {
        Some(ToSettings::Queue(queue)) => Target {
            exchange: String::new(),
            key: queue.value.clone(),
        },
        Some(ToSettings::Exchange { exchange, key }) => Target {
            exchange: exchange.value.clone(),
            key: key
                .as_ref()
                .map(|key| key.value.clone())
                .unwrap_or_default(),
        },
        None => Target {
            exchange: String::new(),
            key: String::new(),
        },
    };
    ProducerFleet {
        name: filled(&fleet.name, String::new()),
        count,
        connections: filled(&fleet.connections, count),
        target,
        rate: match fleet.rate.value() {
            Some(RateSetting::Rate(rate)) => Some(*rate),
            Some(RateSetting::Max) | None => None,
        },
        arrivals: fleet.arrivals.value().copied().unwrap_or_default(),
        size: filled(&fleet.size, defaults::SIZE),
        persistent: filled(&fleet.persistent, defaults::PERSISTENT),
        mandatory: filled(&fleet.mandatory, false),
        confirms: match fleet.confirms.value() {
            Some(ConfirmsSetting::Off) => Confirms::Off,
            Some(ConfirmsSetting::Unbounded) => Confirms::Unbounded,
            Some(ConfirmsSetting::Window(window)) => Confirms::Window(*window),
            None => Confirms::Window(defaults::WINDOW),
        },
        properties: fleet.properties.clone(),
        headers: fleet.headers.clone(),
        messages: fleet.messages.value().copied(),
    }
}

fn consumers(fleet: &ConsumersSettings, topology: &Topology) -> ConsumerFleet {
    let count = filled(&fleet.count, defaults::COUNT);
    let queue = filled(&fleet.from, String::new());
    ConsumerFleet {
        name: filled(&fleet.name, String::new()),
        count,
        connections: filled(&fleet.connections, count),
        prefetch: filled(&fleet.prefetch, defaults::PREFETCH),
        ack: match fleet.ack.value() {
            Some(AckSetting::Auto) => AckPolicy::Auto,
            Some(AckSetting::Every(every)) => AckPolicy::Every(*every),
            None => AckPolicy::Every(defaults::ACK_EVERY),
        },
        think: filled(&fleet.think, Span::ZERO),
        arguments: consume_arguments(&fleet.arguments, topology, &queue),
        queue,
    }
}

/// A stream of our own is read from its start, so that no message is missed however early it came; one that is used as
/// it is found, from where it ends.
fn consume_arguments(given: &Arguments, topology: &Topology, queue: &str) -> Arguments {
    const OFFSET: &str = "x-stream-offset";
    let mut arguments = given.clone();
    if let Some((_, queue)) = topology.queue(queue)
        && queue.kind == QueueKind::Stream
        && !arguments.iter().any(|(key, _)| key == OFFSET)
    {
        let offset = if queue.existing { "next" } else { "first" };
        arguments.push((OFFSET.to_owned(), Value::Text(offset.to_owned())));
    }
    arguments
}

fn timing(settings: &Settings, choices: &Choices) -> Timing {
    let written = &settings.timing;
    let warmup = filled(&written.warmup, defaults::WARMUP);
    let measure = filled(&written.measure, defaults::MEASURE);
    let quarter = Span::from_ns(warmup.saturating_add(measure).as_ns() / 4);
    Timing {
        warmup,
        measure,
        drain: filled(&written.drain, defaults::DRAIN),
        start_over: filled(&written.start_over, Span::ZERO),
        interval: choices
            .interval
            .unwrap_or_else(|| filled(&written.interval, defaults::INTERVAL)),
        overload: filled(&written.overload, defaults::OVERLOAD.min(quarter)),
    }
}

/// Files are looked for from the folder of the scenario.
fn connection(settings: &Settings, folder: Option<&Path>, choices: &Choices) -> Connection {
    let written = &settings.connection;
    let folder = folder.unwrap_or_else(|| Path::new(""));
    let addresses = if choices.addresses.is_empty() {
        written.uris.iter().map(|uri| uri.value.clone()).collect()
    } else {
        choices.addresses.clone()
    };
    let tls = written.tls.as_ref().map_or_else(Tls::default, |tls| {
        let file = |setting: &Setting<String>| setting.value().map(|file| folder.join(file));
        Tls {
            ca: file(&tls.ca),
            certificate: file(&tls.certificate),
            key: file(&tls.key),
            verify: filled(&tls.verify, true),
        }
    });
    Connection {
        addresses,
        tls,
        heartbeat: filled(&written.heartbeat, defaults::HEARTBEAT),
        frame_max: filled(&written.frame_max, defaults::FRAME_MAX),
        timeout: filled(&written.timeout, defaults::TIMEOUT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{LoopKind, outlook};
    use crate::units::ByteSize;

    fn choices() -> Choices {
        Choices {
            seed: 7,
            run: 0xabc,
            driver: None,
            addresses: Vec::new(),
            interval: None,
            many_runs: ManyRuns::Refused,
        }
    }

    fn shipped(name: &str) -> Scenario {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("scenarios")
            .join(name);
        crate::scenario::read(&path, &[]).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn the_decision_record_becomes_eighteen_runs_with_the_claims_on_the_base() {
        let plans = resolve(&shipped("adr-003.toml"), &choices()).unwrap();
        assert_eq!(plans.len(), 18);
        let base = &plans[0];
        assert_eq!(base.variant.name, "base");
        assert!(base.variant.base);
        assert_eq!(base.claims.len(), 5);
        assert_eq!(base.producers[0].loop_kind(), LoopKind::Windowed);
        assert!(plans[1..].iter().all(|plan| plan.claims.is_empty()));
        assert_eq!(
            plans[1].variant.name,
            "persistent=true,confirms=off,size=64B"
        );
        assert_eq!(
            plans[17].variant.name,
            "persistent=false,confirms=window-500,size=16KiB"
        );
        assert_eq!(plans[17].run, 0xabc + 17);
        assert_eq!(
            plans[17].topology.queues[0].broker_name,
            "send.email.mqb-00000acd"
        );
        assert_eq!(plans[17].producers[0].size, ByteSize::bytes(16 << 10));
        let outlook = outlook(&plans);
        assert_eq!((outlook.runs, outlook.duration), (18, Span::from_secs(270)));
        assert_eq!(outlook.most_bytes, 256 << 20);
    }

    #[test]
    fn the_quick_scenario_takes_less_than_twenty_seconds() {
        let plans = resolve(&shipped("quick.toml"), &choices()).unwrap();
        assert!(outlook(&plans).duration < Span::from_secs(20));
    }
}
