//! Reads the tables that describe the broker's side and the course of a run: exchanges, queues, timing, connection.

use super::document::{Place, Table, Tree};
use super::reader::{Located, Reader, Setting, mismatch};
use super::settings::{
    BIND, BindSettings, CONNECTION, ConnectionSettings, EXCHANGE, ExchangeSettings, QUEUE,
    QueueSettings, TIMING, TLS, TimingSettings, TlsSettings,
};
use crate::address::Address;
use crate::diagnostic::Problems;
use crate::topology::{ExchangeKind, QueueKind};

/// `[[exchange]]`.
pub(super) fn exchange(table: &Table, at: &Place, problems: &mut Problems) -> ExchangeSettings {
    let mut reader = Reader::new("[[exchange]]", table, at, EXCHANGE, problems);
    let name = reader.text("name", "the exchange's name, such as `\"tasks\"`");
    if name.is_absent() {
        reader.missing(
            "name",
            "`name = \"..\"`, which bindings and producers refer to",
        );
    }
    let kind = reader.word(
        "kind",
        &[
            ("direct", ExchangeKind::Direct),
            ("fanout", ExchangeKind::Fanout),
            ("topic", ExchangeKind::Topic),
            ("headers", ExchangeKind::Headers),
        ],
    );
    if kind.is_absent() {
        reader.missing(
            "kind",
            "`kind = \"direct\"`, `\"fanout\"`, `\"topic\"` or `\"headers\"`",
        );
    }
    ExchangeSettings {
        at: at.clone(),
        name,
        kind,
        durable: reader.flag("durable"),
        auto_delete: reader.flag("auto_delete"),
        arguments: reader.arguments("arguments"),
        existing: reader.flag("existing"),
    }
}

/// `[[queue]]`.
pub(super) fn queue(table: &Table, at: &Place, problems: &mut Problems) -> QueueSettings {
    let mut reader = Reader::new("[[queue]]", table, at, QUEUE, problems);
    let name = reader.text("name", "the queue's name, such as `\"send.email\"`");
    if name.is_absent() {
        reader.missing("name", "`name = \"..\"`, which fleets refer to");
    }
    let kind = reader.word(
        "kind",
        &[
            ("classic", QueueKind::Classic),
            ("quorum", QueueKind::Quorum),
            ("stream", QueueKind::Stream),
        ],
    );
    let durable = reader.flag("durable");
    let auto_delete = reader.flag("auto_delete");
    let arguments = reader.arguments("arguments");
    let existing = reader.flag("existing");
    let bindings = reader.tables("bind");
    QueueSettings {
        at: at.clone(),
        name,
        kind,
        durable,
        auto_delete,
        arguments,
        existing,
        bind: bindings
            .into_iter()
            .map(|(table, at)| bind(table, &at, problems))
            .collect(),
    }
}

fn bind(table: &Table, at: &Place, problems: &mut Problems) -> BindSettings {
    let mut reader = Reader::new("`bind`", table, at, BIND, problems);
    let exchange = reader.text("exchange", "the name of an exchange");
    if exchange.is_absent() {
        reader.missing(
            "exchange",
            "`{ exchange = \"..\", key = \"..\" }` with the name of a declared exchange",
        );
    }
    let key = routing_key(&mut reader);
    BindSettings {
        at: at.clone(),
        exchange,
        key,
        arguments: reader.arguments("arguments"),
    }
}

/// A routing or binding key, which may be empty.
pub(super) fn routing_key(reader: &mut Reader<'_, '_>) -> Setting<String> {
    reader.setting("key", |node| match &node.value {
        Tree::Text(key) if key.len() <= 255 => Ok(key.clone()),
        Tree::Text(key) => Err(format!(
            "at most 255 bytes (AMQP's limit), this one has {}",
            key.len()
        )),
        _ => Err("a text such as `\"send.email\"`".into()),
    })
}

/// `[timing]`.
pub(super) fn timing(
    table: Option<(&Table, Place)>,
    root: &Place,
    problems: &mut Problems,
) -> TimingSettings {
    let nothing = Table::default();
    let (table, at) = table.unwrap_or((&nothing, root.clone()));
    let mut reader = Reader::new("[timing]", table, &at, TIMING, problems);
    TimingSettings {
        warmup: reader.quantity("warmup"),
        measure: reader.quantity("measure"),
        drain: reader.quantity("drain"),
        start_over: reader.quantity("start_over"),
        interval: reader.quantity("interval"),
        overload: reader.quantity("overload"),
        at,
    }
}

/// `[connection]`.
pub(super) fn connection(
    table: Option<(&Table, Place)>,
    root: &Place,
    problems: &mut Problems,
) -> ConnectionSettings {
    let nothing = Table::default();
    let (table, at) = table.unwrap_or((&nothing, root.clone()));
    let mut reader = Reader::new("[connection]", table, &at, CONNECTION, problems);
    let uris = addresses(&mut reader);
    let heartbeat = reader.quantity("heartbeat");
    let frame_max = reader.whole(
        "frame_max",
        8192..=i64::from(i32::MAX),
        "a number of bytes, 8192 or more (RabbitMQ 4 resets connections that ask for less)",
    );
    let timeout = reader.quantity("timeout");
    let tls = reader.subtable("tls");
    ConnectionSettings {
        uris,
        tls: tls.map(|(table, at)| read_tls(table, &at, problems)),
        heartbeat,
        frame_max,
        timeout,
    }
}

/// Addresses are never quoted in a message: they may hold a password.
fn addresses(reader: &mut Reader<'_, '_>) -> Vec<Located<Address>> {
    const EXPECTED: &str = "a list such as `[\"amqp://host:5672/vhost\"]`";
    let Some(node) = reader.node("uris") else {
        return Vec::new();
    };
    let Tree::List(items) = &node.value else {
        reader.report(mismatch("uris", node, EXPECTED));
        return Vec::new();
    };
    if items.is_empty() {
        reader.report(
            node.at
                .problem("an empty list of addresses", EXPECTED)
                .help("leave `uris` out to give the address with `--broker`"),
        );
    }
    let mut addresses = Vec::new();
    for item in items {
        let parsed = match &item.value {
            Tree::Text(text) => text.parse::<Address>().map_err(|error| error.reason),
            _ => Err(item.kind().to_owned()),
        };
        match parsed {
            Ok(value) => addresses.push(Located {
                value,
                at: item.at.clone(),
            }),
            Err(reason) => reader.report(item.at.problem(
                format!("what is no AMQP address ({reason})"),
                "`amqp://user@host:port/vhost` or `amqps://..`",
            )),
        }
    }
    addresses
}

fn read_tls(table: &Table, at: &Place, problems: &mut Problems) -> TlsSettings {
    const FILE: &str = "the path of a PEM file, from the folder of the scenario";
    let mut reader = Reader::new("`tls`", table, at, TLS, problems);
    TlsSettings {
        at: at.clone(),
        ca: reader.text("ca", FILE),
        certificate: reader.text("certificate", FILE),
        key: reader.text("key", FILE),
        verify: reader.flag("verify"),
    }
}
