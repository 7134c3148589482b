//! What producers and consumers say, held against itself and against the queues and exchanges that they use.

use super::check::{exchange_named, queue_named, undeclared_exchange, undeclared_queue};
use super::defaults;
use super::document::Place;
use super::reader::{Located, Setting};
use super::settings::{
    AckSetting, ConsumersSettings, ProducersSettings, RateSetting, Settings, ToSettings,
};
use crate::diagnostic::{Problems, quoted};
use crate::stamp::STAMP_LEN;
use crate::topology::{Binding, Exchange, ExchangeKind, Queue, QueueKind, Target, Topology};

/// Largest body in bytes: the most that any RabbitMQ takes, whatever its `max_message_size`.
pub(super) const LARGEST: u64 = 512 << 20;

/// One `[[producers]]`.
pub(super) fn producers(fleet: &ProducersSettings, settings: &Settings, problems: &mut Problems) {
    shared_connections(
        "producers",
        &fleet.count,
        &fleet.connections,
        &fleet.at,
        problems,
    );
    if let (Some(arrivals), true) = (fleet.arrivals.given(), fleet.rate.is_absent()) {
        problems.push(
            arrivals
                .at
                .problem("`arrivals` without `rate`", "a `rate` that the arrivals are spread around")
                .help("without a rate messages are sent as fast as the loop allows, and none is due at any time"),
        );
    }
    if let Some(size) = fleet.size.given() {
        if size.value.as_bytes() < STAMP_LEN as u64 {
            problems.push(
                size.at
                    .problem(
                        format!("`size = \"{}\"`", size.value),
                        format!("at least {STAMP_LEN}B"),
                    )
                    .help(format!(
                        "the first {STAMP_LEN} bytes of each body say whose message it is and when it was due and sent"
                    )),
            );
        } else if size.value.as_bytes() > LARGEST {
            problems.push(size.at.problem(
                format!("`size = \"{}\"`", size.value),
                "at most 512MiB, the most that RabbitMQ takes",
            ));
        }
    }
    match fleet.to.value() {
        Some(ToSettings::Queue(queue)) if queue_named(settings, &queue.value).is_none() => {
            undeclared_queue(&queue.value, &queue.at, settings, problems);
        }
        Some(ToSettings::Exchange { exchange, key }) => {
            check_exchange(fleet, exchange, key.as_ref(), settings, problems);
        }
        _ => {}
    }
}

fn check_exchange(
    fleet: &ProducersSettings,
    name: &Located<String>,
    key: Option<&Located<String>>,
    settings: &Settings,
    problems: &mut Problems,
) {
    let Some(exchange) = exchange_named(settings, &name.value) else {
        undeclared_exchange(&name.value, &name.at, settings, problems);
        return;
    };
    let Some(kind) = exchange.kind.value() else {
        return;
    };
    if matches!(kind, ExchangeKind::Direct | ExchangeKind::Topic) && key.is_none() {
        problems.push(fleet.to.at(&fleet.at).problem(
            format!(
                "no `key` for the {} exchange {}",
                kind.as_str(),
                quoted(&name.value)
            ),
            "`key = \"..\"`, by which it routes",
        ));
        return;
    }
    let (Some(mandatory), Some(existing)) =
        (fleet.mandatory.or(false), exchange.existing.or(false))
    else {
        return;
    };
    if existing
        || !topology(settings)
            .routes(&target(name, key), &fleet.headers)
            .is_empty()
    {
        return;
    }
    let shown = key.map_or_else(String::new, |key| {
        format!(" with key {}", quoted(&key.value))
    });
    let at = key.map_or(&name.at, |key| &key.at);
    let found = format!(
        "that messages to exchange {}{shown} reach no queue: the broker would drop all of them",
        quoted(&name.value)
    );
    if mandatory {
        problems.push(
            at.problem(
                found.replace("drop", "return"),
                "a queue that is bound to it",
            )
            .as_warning(),
        );
        return;
    }
    let help = match kind {
        ExchangeKind::Headers => format!(
            "give a queue `bind = [{{ exchange = \"{}\", arguments = {{ .. }} }}]` that the fleet's `headers` match",
            name.value
        ),
        ExchangeKind::Fanout => format!(
            "give a queue `bind = [{{ exchange = \"{}\" }}]`",
            name.value
        ),
        ExchangeKind::Direct | ExchangeKind::Topic => format!(
            "give a queue `bind = [{{ exchange = \"{}\", key = \"{}\" }}]`, or say `mandatory = true` if being returned \
             is what is to be measured",
            name.value,
            key.map_or("", |key| key.value.as_str())
        ),
    };
    problems.push(at.problem(found, "a queue that is bound to it").help(help));
}

fn target(exchange: &Located<String>, key: Option<&Located<String>>) -> Target {
    Target {
        exchange: exchange.value.clone(),
        key: key.map(|key| key.value.clone()).unwrap_or_default(),
    }
}

/// Just as much of the topology as routing looks at.
fn topology(settings: &Settings) -> Topology {
    let name = |setting: &Setting<String>| setting.value().cloned().unwrap_or_default();
    let mut topology = Topology::default();
    for exchange in &settings.exchanges {
        topology.exchanges.push(Exchange {
            name: name(&exchange.name),
            broker_name: String::new(),
            kind: exchange
                .kind
                .value()
                .copied()
                .unwrap_or(ExchangeKind::Direct),
            durable: true,
            auto_delete: false,
            arguments: Vec::new(),
            existing: false,
        });
    }
    for queue in &settings.queues {
        topology.queues.push(Queue {
            name: name(&queue.name),
            broker_name: String::new(),
            kind: QueueKind::Classic,
            durable: true,
            auto_delete: false,
            arguments: Vec::new(),
            existing: false,
        });
        for bind in &queue.bind {
            topology.bindings.push(Binding {
                exchange: name(&bind.exchange),
                queue: name(&queue.name),
                key: name(&bind.key),
                arguments: bind.arguments.clone(),
            });
        }
    }
    topology
}

/// Whether anything that the producers publish reaches the queue, as far as the scenario knows.
pub(super) fn is_fed(queue: &str, settings: &Settings) -> bool {
    let topology = topology(settings);
    settings.producers.iter().any(|fleet| {
        let to = match fleet.to.value() {
            Some(ToSettings::Queue(name)) => return name.value == queue,
            Some(ToSettings::Exchange { exchange, key }) => target(exchange, key.as_ref()),
            None => return true,
        };
        let reached = topology.routes(&to, &fleet.headers);
        let outside = exchange_named(settings, &to.exchange)
            .is_some_and(|exchange| exchange.existing.value() == Some(&true));
        outside
            || reached
                .iter()
                .any(|index| topology.queues[*index].name == queue)
    })
}

/// How many copies of each of a fleet's messages consumers get: one for each queue with consumers that they reach, and one
/// where nobody consumes. None where the scenario cannot know, for an exchange that was there before or a stream.
pub(super) fn copies(fleet: &ProducersSettings, settings: &Settings) -> Option<usize> {
    let consumed = |name: &str| {
        settings
            .consumers
            .iter()
            .any(|consumers| consumers.from.value().is_some_and(|from| from == name))
    };
    if settings.consumers.is_empty() {
        return Some(1);
    }
    let is_stream = |name: &str| {
        let of_it = settings
            .queues
            .iter()
            .find(|queue| queue.name.value().is_some_and(|n| n == name));
        of_it.is_some_and(|queue| queue.kind.value() == Some(&QueueKind::Stream))
    };
    let topology = topology(settings);
    let reached: Vec<&str> = match fleet.to.value()? {
        ToSettings::Queue(name) => vec![name.value.as_str()],
        ToSettings::Exchange { exchange, key } => {
            let found = exchange_named(settings, &exchange.value)?;
            if found.existing.value() == Some(&true) {
                return None;
            }
            let routes = topology.routes(&target(exchange, key.as_ref()), &fleet.headers);
            routes
                .into_iter()
                .map(|index| topology.queues[index].name.as_str())
                .collect()
        }
    };
    let reached: Vec<&str> = reached.into_iter().filter(|name| consumed(name)).collect();
    (!reached.iter().any(|name| is_stream(name))).then_some(reached.len())
}

/// One `[[consumers]]`.
pub(super) fn consumers(fleet: &ConsumersSettings, settings: &Settings, problems: &mut Problems) {
    shared_connections(
        "consumers",
        &fleet.count,
        &fleet.connections,
        &fleet.at,
        problems,
    );
    let (prefetch, ack) = (
        fleet.prefetch.or(defaults::PREFETCH),
        fleet.ack.or(AckSetting::Every(defaults::ACK_EVERY)),
    );
    if let (Some(prefetch), Some(AckSetting::Every(every))) = (prefetch, ack)
        && prefetch != 0
        && every > u32::from(prefetch)
    {
        problems.push(
            fleet
                .ack
                .at(fleet.prefetch.at(&fleet.at))
                .problem(
                    format!("an acknowledgement every {every} messages with a prefetch of {prefetch}"),
                    format!("at most every {prefetch}"),
                )
                .help("the broker sends no more than the prefetch until some are acknowledged: this would stand still"),
        );
    }
    if let (Some(AckSetting::Auto), Some(written)) = (ack, fleet.prefetch.given()) {
        problems.push(
            written
                .at
                .problem(
                    "`prefetch` together with `ack = \"auto\"`",
                    "that it has no effect: it bounds what is unacknowledged, and nothing is",
                )
                .as_warning(),
        );
    }
    let Some(from) = fleet.from.given() else {
        return;
    };
    let Some(queue) = queue_named(settings, &from.value) else {
        undeclared_queue(&from.value, &from.at, settings, problems);
        return;
    };
    if queue.kind.value() == Some(&QueueKind::Stream) {
        stream(fleet, &from.value, ack, prefetch, problems);
    }
    if queue.existing.or(false) == Some(false) && !is_fed(&from.value, settings) {
        problems.push(
            from.at
                .problem(
                    format!(
                        "queue {}, to which nothing is published",
                        quoted(&from.value)
                    ),
                    "that these consumers get nothing",
                )
                .as_warning(),
        );
    }
}

fn stream(
    fleet: &ConsumersSettings,
    queue: &str,
    ack: Option<AckSetting>,
    prefetch: Option<u16>,
    problems: &mut Problems,
) {
    if ack == Some(AckSetting::Auto) {
        problems.push(fleet.ack.at(&fleet.at).problem(
            format!("`ack = \"auto\"` on the stream {}", quoted(queue)),
            "`ack = \"each\"` or `{ every = N }`: the broker refuses to send a stream without acknowledgements",
        ));
    }
    if prefetch == Some(0) {
        problems.push(fleet.prefetch.at(&fleet.at).problem(
            format!("`prefetch = 0` on the stream {}", quoted(queue)),
            "1 or more: the broker refuses to send a stream without a prefetch",
        ));
    }
}

fn shared_connections(
    what: &str,
    count: &Setting<u32>,
    connections: &Setting<u32>,
    table: &Place,
    problems: &mut Problems,
) {
    let (Some(count_value), Some(written)) = (count.or(defaults::COUNT), connections.given())
    else {
        return;
    };
    if written.value > count_value {
        let at = connections.at(table);
        problems.push(at.problem(
            format!(
                "{} connections for `count = {count_value}` of these {what}",
                written.value
            ),
            format!("at most {count_value}: a connection without {what} does nothing"),
        ));
    }
}

/// The fleet's rate, where it has one; none where it goes as fast as it can; no answer where it is bad.
pub(super) fn rate(fleet: &ProducersSettings) -> Option<RateSetting> {
    fleet.rate.or(RateSetting::Max)
}
