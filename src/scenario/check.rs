//! Settings held against each other: names that must exist, and pairs that cannot both be meant.
//!
//! Sees one combination of the matrix at a time, as it is written. A setting that is bad in itself was reported when it
//! was read; nothing is concluded from it here.

use std::collections::HashSet;

use super::document::Place;
use super::reader::{Setting, listed};
use super::settings::{ConnectionSettings, Settings, TimingSettings};
use super::{check_fleet, defaults};
use crate::diagnostic::{Problems, nearest, quoted};
use crate::scenario::settings::{BindSettings, ExchangeSettings, QueueSettings};
use crate::topology::{ExchangeKind, QueueKind};
use crate::units::{ByteSize, Span};

/// Bytes that the run's suffix takes of a name's 255: `.mqb-` and eight digits.
const SUFFIX: usize = 13;
/// AMQP's short string.
const LONGEST_NAME: usize = 255;

/// Reports everything that contradicts itself in one combination.
pub(super) fn settings(settings: &Settings, root: &Place, problems: &mut Problems) {
    let exchanges = settings.exchanges.iter().map(|exchange| &exchange.name);
    distinct("[[exchange]]", exchanges, problems);
    distinct(
        "[[queue]]",
        settings.queues.iter().map(|queue| &queue.name),
        problems,
    );
    let producers = settings.producers.iter().map(|fleet| &fleet.name);
    distinct("[[producers]]", producers, problems);
    let consumers = settings.consumers.iter().map(|fleet| &fleet.name);
    distinct("[[consumers]]", consumers, problems);
    if settings.producers.is_empty() && settings.consumers.is_empty() && problems.errors() == 0 {
        problems.push(root.problem(
            "neither `[[producers]]` nor `[[consumers]]`, so there is nothing to do",
            "at least one fleet of either",
        ));
    }
    for exchange in &settings.exchanges {
        check_exchange(exchange, problems);
    }
    for queue in &settings.queues {
        check_queue(queue, settings, problems);
    }
    for fleet in &settings.producers {
        check_fleet::producers(fleet, settings, problems);
    }
    for fleet in &settings.consumers {
        check_fleet::consumers(fleet, settings, problems);
    }
    timing(&settings.timing, problems);
    connection(&settings.connection, problems);
    backlog(settings, problems);
}

/// Each name once.
fn distinct<'s>(
    what: &str,
    names: impl Iterator<Item = &'s Setting<String>>,
    problems: &mut Problems,
) {
    let mut seen = HashSet::new();
    for name in names.filter_map(Setting::given) {
        if !seen.insert(&name.value) {
            problems.push(name.at.problem(
                format!("a second {what} named {}", quoted(&name.value)),
                "a name of its own for each",
            ));
        }
    }
}

/// A name on the broker: short enough with the run's suffix, and not one that the broker keeps for itself.
fn broker_name(name: &Setting<String>, existing: &Setting<bool>, problems: &mut Problems) {
    let (Some(name), Some(existing)) = (name.given(), existing.or(false)) else {
        return;
    };
    let most = if existing {
        LONGEST_NAME
    } else {
        LONGEST_NAME - SUFFIX
    };
    if name.value.len() > most {
        problems.push(name.at.problem(
            format!("a name of {} bytes", name.value.len()),
            format!("at most {most} bytes: the broker takes {LONGEST_NAME}, and a run puts {SUFFIX} behind the names it makes"),
        ));
    }
    if name.value.starts_with("amq.") && !existing {
        problems.push(
            name.at
                .problem(
                    format!(
                        "{}, a name that is reserved for the broker",
                        quoted(&name.value)
                    ),
                    "a name that does not start with `amq.`",
                )
                .help("to use what the broker has under that name, say `existing = true`"),
        );
    }
}

/// What is used as it is found is not declared, so how to declare it means nothing.
fn unused_with_existing(
    existing: &Setting<bool>,
    written: &[(&str, Option<&Place>)],
    problems: &mut Problems,
) {
    if existing.value() != Some(&true) {
        return;
    }
    for (key, at) in written {
        if let Some(at) = at {
            problems.push(at.problem(
                format!("`{key}` together with `existing = true`"),
                format!("no `{key}`: what exists is used as it is found"),
            ));
        }
    }
}

fn check_exchange(exchange: &ExchangeSettings, problems: &mut Problems) {
    broker_name(&exchange.name, &exchange.existing, problems);
    let arguments = (!exchange.arguments.is_empty()).then_some(&exchange.at);
    unused_with_existing(
        &exchange.existing,
        &[
            ("durable", exchange.durable.given().map(|flag| &flag.at)),
            (
                "auto_delete",
                exchange.auto_delete.given().map(|flag| &flag.at),
            ),
            ("arguments", arguments),
        ],
        problems,
    );
}

fn check_queue(queue: &QueueSettings, settings: &Settings, problems: &mut Problems) {
    broker_name(&queue.name, &queue.existing, problems);
    let arguments = (!queue.arguments.is_empty()).then_some(&queue.at);
    unused_with_existing(
        &queue.existing,
        &[
            ("durable", queue.durable.given().map(|flag| &flag.at)),
            (
                "auto_delete",
                queue.auto_delete.given().map(|flag| &flag.at),
            ),
            ("arguments", arguments),
        ],
        problems,
    );
    if queue.arguments.iter().any(|(key, _)| key == "x-queue-type") {
        problems.push(queue.at.problem(
            "the argument `x-queue-type`",
            "`kind = \"classic\"`, `\"quorum\"` or `\"stream\"` instead",
        ));
    }
    let kind = queue.kind.or(QueueKind::Classic);
    if let (Some(kind @ (QueueKind::Quorum | QueueKind::Stream)), Some(durable)) =
        (kind, queue.durable.given())
        && !durable.value
    {
        problems.push(durable.at.problem(
            format!("`durable = false` for a {} queue", kind.as_str()),
            "no `durable`: quorum queues and streams always survive a restart",
        ));
    }
    if let (Some(QueueKind::Stream), Some(flag)) = (kind, queue.auto_delete.given())
        && flag.value
    {
        problems.push(flag.at.problem(
            "`auto_delete = true` for a stream",
            "no `auto_delete`: a stream does not go with its consumers",
        ));
    }
    for bind in &queue.bind {
        check_bind(bind, settings, problems);
    }
}

fn check_bind(bind: &BindSettings, settings: &Settings, problems: &mut Problems) {
    let Some(name) = bind.exchange.given() else {
        return;
    };
    let Some(exchange) = exchange_named(settings, &name.value) else {
        undeclared_exchange(&name.value, &name.at, settings, problems);
        return;
    };
    if let Some(kind @ (ExchangeKind::Direct | ExchangeKind::Topic)) = exchange.kind.value()
        && bind.key.is_absent()
    {
        problems.push(bind.at.problem(
            format!(
                "no `key` in a binding to the {} exchange {}",
                kind.as_str(),
                quoted(&name.value)
            ),
            "`key = \"..\"`, the routing key that the queue is to get",
        ));
    }
    if let (Some(ExchangeKind::Headers), true) = (exchange.kind.value(), bind.arguments.is_empty())
    {
        problems.push(bind.at.problem(
            format!(
                "no `arguments` in a binding to the headers exchange {}",
                quoted(&name.value)
            ),
            "`arguments = { x-match = \"all\", .. }`, the headers that the queue is to get",
        ));
    }
}

/// The exchange of this name.
pub(super) fn exchange_named<'s>(
    settings: &'s Settings,
    name: &str,
) -> Option<&'s ExchangeSettings> {
    settings
        .exchanges
        .iter()
        .find(|exchange| exchange.name.value().is_some_and(|own| own == name))
}

/// The queue of this name.
pub(super) fn queue_named<'s>(settings: &'s Settings, name: &str) -> Option<&'s QueueSettings> {
    settings
        .queues
        .iter()
        .find(|queue| queue.name.value().is_some_and(|own| own == name))
}

/// Reports an exchange that is used and not declared.
pub(super) fn undeclared_exchange(
    name: &str,
    at: &Place,
    settings: &Settings,
    problems: &mut Problems,
) {
    if settings
        .exchanges
        .iter()
        .any(|exchange| exchange.name.is_bad())
    {
        return;
    }
    let known = || {
        let names = settings.exchanges.iter();
        names.filter_map(|exchange| exchange.name.value().map(String::as_str))
    };
    let declared = known().next().is_some();
    let problem = at.problem(
        format!("exchange {}, which is not declared", quoted(name)),
        if declared {
            format!("a declared exchange: {}", listed(known()))
        } else {
            "a declared exchange, and this scenario has none".to_owned()
        },
    );
    problems.push(match nearest(name, known()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help(format!(
            "add `[[exchange]]` with `name = \"{name}\"` and `kind = \"direct\"` (or fanout, topic, headers), and \
             `existing = true` if the broker has it already"
        )),
    });
}

/// Reports a queue that is used and not declared.
pub(super) fn undeclared_queue(
    name: &str,
    at: &Place,
    settings: &Settings,
    problems: &mut Problems,
) {
    if settings.queues.iter().any(|queue| queue.name.is_bad()) {
        return;
    }
    let known = || {
        let names = settings.queues.iter();
        names.filter_map(|queue| queue.name.value().map(String::as_str))
    };
    let declared = known().next().is_some();
    let problem = at.problem(
        format!("queue {}, which is not declared", quoted(name)),
        if declared {
            format!("a declared queue: {}", listed(known()))
        } else {
            "a declared queue, and this scenario has none".to_owned()
        },
    );
    problems.push(match nearest(name, known()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help(format!(
            "add `[[queue]]` with `name = \"{name}\"`, and `existing = true` if the broker has it already"
        )),
    });
}

fn timing(timing: &TimingSettings, problems: &mut Problems) {
    for (key, setting, least) in [
        ("measure", &timing.measure, Span::from_ms(1)),
        ("interval", &timing.interval, Span::from_ms(10)),
        ("overload", &timing.overload, Span::from_ms(1)),
    ] {
        if let Some(span) = setting.given()
            && span.value < least
        {
            problems.push(span.at.problem(
                format!("`{key} = \"{}\"`", span.value),
                format!("at least {least}"),
            ));
        }
    }
    let (Some(interval), Some(measure)) = (
        timing.interval.or(defaults::INTERVAL),
        timing.measure.or(defaults::MEASURE),
    ) else {
        return;
    };
    if interval > measure && measure >= Span::from_ms(10) {
        problems.push(timing.interval.at(timing.measure.at(&timing.at)).problem(
            format!("an interval of {interval} for a measure phase of {measure}"),
            "an interval that is no longer than what is measured",
        ));
    }
}

fn connection(connection: &ConnectionSettings, problems: &mut Problems) {
    if let Some(heartbeat) = connection.heartbeat.given() {
        let ns = heartbeat.value.as_ns();
        if ns % 1_000_000_000 != 0 || ns / 1_000_000_000 > u64::from(u16::MAX) {
            problems.push(heartbeat.at.problem(
                format!("`heartbeat = \"{}\"`", heartbeat.value),
                "whole seconds up to 65535, or `\"0s\"` for none",
            ));
        }
    }
    if let Some(timeout) = connection.timeout.given()
        && timeout.value == Span::ZERO
    {
        problems.push(
            timeout
                .at
                .problem("`timeout = \"0s\"`", "a time above zero, such as `\"10s\"`"),
        );
    }
    for uri in &connection.uris {
        if uri.value.password != "guest" {
            problems.push(
                uri.at
                    .problem("a password in a scenario", "an address without one")
                    .help("files get shared: give the address with `--broker` or in $MQBENCH_BROKER instead")
                    .as_warning(),
            );
        }
    }
    let Some(tls) = &connection.tls else {
        return;
    };
    for (here, missing, name, other) in [
        (&tls.certificate, &tls.key, "certificate", "key"),
        (&tls.key, &tls.certificate, "key", "certificate"),
    ] {
        if let (Some(file), true) = (here.given(), missing.is_absent()) {
            problems.push(file.at.problem(
                format!("`{name}` without `{other}`"),
                "both, for a client certificate is of use only with its key",
            ));
        }
    }
    if let (Some(verify), Some(_)) = (tls.verify.given(), tls.ca.given())
        && !verify.value
    {
        problems.push(verify.at.problem(
            "`verify = false` together with `ca`",
            "only one of them: without verifying, nothing is held against the CA",
        ));
    }
    if !connection.uris.is_empty() && connection.uris.iter().all(|uri| !uri.value.tls) {
        problems.push(tls.at.problem(
            "`tls` although no address starts with `amqps://`",
            "`amqps://` addresses, or no `tls`",
        ));
    }
}

fn backlog(settings: &Settings, problems: &mut Problems) {
    let Some(backlog) = settings.max_backlog.or(defaults::MAX_BACKLOG) else {
        return;
    };
    for fleet in &settings.producers {
        if let Some(size) = fleet.size.or(defaults::SIZE)
            && size > backlog
            && size <= ByteSize::bytes(check_fleet::LARGEST)
        {
            problems.push(settings.max_backlog.at(fleet.size.at(&fleet.at)).problem(
                format!("messages of {size} with a `max_backlog` of {backlog}"),
                "room for at least one message",
            ));
        }
    }
}
