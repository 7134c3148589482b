//! Reads the tables that describe load: producers and consumers.

use super::broker::routing_key;
use super::document::{Node, Place, Table, Tree};
use super::reader::{Located, Reader, Setting, listed, mismatch, quantity, whole};
use super::settings::{
    ACK, AckSetting, CONFIRMS, CONSUMERS, ConfirmsSetting, ConsumersSettings, PRODUCERS,
    PROPERTIES, ProducersSettings, RateSetting, TO, ToSettings,
};
use crate::diagnostic::{Problems, nearest};
use crate::driver::Properties;
use crate::schedule::Arrivals;

const MOST: i64 = u32::MAX as i64;

/// `[[producers]]`.
pub(super) fn producers(table: &Table, at: &Place, problems: &mut Problems) -> ProducersSettings {
    let mut reader = Reader::new("[[producers]]", table, at, PRODUCERS, problems);
    let name = fleet_name(&mut reader);
    let to = target(&mut reader);
    let count = reader.whole("count", 1..=MOST, "a whole number of producers, 1 or more");
    let connections = reader.whole(
        "connections",
        1..=MOST,
        "a whole number of connections, 1 or more",
    );
    let rate = reader.setting("rate", |node| match &node.value {
        Tree::Text(text) if text == "max" => Ok(RateSetting::Max),
        _ => quantity(node)
            .map(RateSetting::Rate)
            .map_err(|expected| format!("{expected}, or `\"max\"`")),
    });
    let confirms = choice(
        &mut reader,
        "confirms",
        &[
            ("off", ConfirmsSetting::Off),
            ("unbounded", ConfirmsSetting::Unbounded),
        ],
        (CONFIRMS[0], ConfirmsSetting::Window),
        "a window of 1 or more messages for each producer",
    );
    let properties = properties(&mut reader);
    ProducersSettings {
        at: at.clone(),
        name,
        count,
        connections,
        to,
        rate,
        arrivals: reader.word(
            "arrivals",
            &[
                ("constant", Arrivals::Constant),
                ("poisson", Arrivals::Poisson),
            ],
        ),
        size: reader.quantity("size"),
        persistent: reader.flag("persistent"),
        mandatory: reader.flag("mandatory"),
        confirms,
        properties,
        headers: reader.arguments("headers"),
        messages: reader.whole(
            "messages",
            1..=i64::MAX,
            "a whole number of messages of the whole fleet, 1 or more",
        ),
    }
}

/// `[[consumers]]`.
pub(super) fn consumers(table: &Table, at: &Place, problems: &mut Problems) -> ConsumersSettings {
    let mut reader = Reader::new("[[consumers]]", table, at, CONSUMERS, problems);
    let name = fleet_name(&mut reader);
    let from = reader.text("from", "the name of a declared queue");
    if from.is_absent() {
        reader.missing("from", "`from = \"..\"` with the name of a declared queue");
    }
    let ack = choice(
        &mut reader,
        "ack",
        &[("auto", AckSetting::Auto), ("each", AckSetting::Every(1))],
        (ACK[0], AckSetting::Every),
        "a whole number of messages, 1 or more",
    );
    ConsumersSettings {
        at: at.clone(),
        name,
        count: reader.whole("count", 1..=MOST, "a whole number of consumers, 1 or more"),
        connections: reader.whole(
            "connections",
            1..=MOST,
            "a whole number of connections, 1 or more",
        ),
        from,
        prefetch: reader.whole(
            "prefetch",
            0..=65535,
            "a whole number from 0 (no limit) to 65535",
        ),
        ack,
        think: reader.quantity("think"),
        arguments: reader.arguments("arguments"),
    }
}

fn fleet_name(reader: &mut Reader<'_, '_>) -> Setting<String> {
    let name = reader.text("name", "the fleet's name, such as `\"api\"`");
    if name.is_absent() {
        reader.missing(
            "name",
            "`name = \"..\"`, under which results show the fleet",
        );
    }
    name
}

/// `to = { queue }` or `to = { exchange, key }`.
fn target(reader: &mut Reader<'_, '_>) -> Setting<ToSettings> {
    const FORM: &str = "`to = { queue = \"..\" }` or `to = { exchange = \"..\", key = \"..\" }`";
    let Some(node) = reader.node("to") else {
        reader.missing("to", FORM);
        return Setting::Absent;
    };
    let Some(table) = node.as_table() else {
        let mut problem = mismatch("to", node, FORM);
        if let Tree::Text(text) = &node.value {
            problem = problem.help(format!(
                "for a queue of that name: `to = {{ queue = \"{text}\" }}`"
            ));
        }
        reader.report(problem);
        return Setting::Bad;
    };
    let before = reader.problems().errors();
    let mut inner = Reader::new("`to`", table, &node.at, TO, reader.problems());
    let queue = inner.text("queue", "the name of a declared queue");
    let exchange = inner.text("exchange", "the name of a declared exchange");
    let key = routing_key(&mut inner);
    let to = match (queue, exchange) {
        (Setting::Given(queue), Setting::Absent) if key.is_absent() => ToSettings::Queue(queue),
        (Setting::Absent, Setting::Given(exchange)) => ToSettings::Exchange {
            exchange,
            key: key.given().cloned(),
        },
        (Setting::Given(_), _) => {
            inner.report(
                node.at
                    .problem("`queue` together with `exchange` or `key` in `to`", FORM)
                    .help("a message to a queue goes through the default exchange, whose key is the queue's name"),
            );
            return Setting::Bad;
        }
        (Setting::Absent, Setting::Absent) => {
            inner.report(
                node.at
                    .problem("neither `queue` nor `exchange` in `to`", FORM),
            );
            return Setting::Bad;
        }
        _ => return Setting::Bad,
    };
    if inner.problems().errors() > before {
        return Setting::Bad;
    }
    Setting::Given(Located {
        value: to,
        at: node.at.clone(),
    })
}

/// A word, or a table with one number in it: `"off"` or `{ window = 500 }`.
fn choice<T: Copy>(
    reader: &mut Reader<'_, '_>,
    key: &str,
    words: &[(&str, T)],
    (inner, make): (&str, fn(u32) -> T),
    expected_number: &str,
) -> Setting<T> {
    let Some(node) = reader.node(key) else {
        return Setting::Absent;
    };
    let form = format!(
        "{}, or `{{ {inner} = N }}`",
        words
            .iter()
            .map(|(word, _)| format!("`\"{word}\"`"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    match &node.value {
        Tree::Table(table) => {
            let before = reader.problems().errors();
            let what = format!("`{key}`");
            let mut reader = Reader::new(&what, table, &node.at, &[inner], reader.problems());
            let number: Setting<u32> = reader.whole(inner, 1..=MOST, expected_number);
            if number.is_absent() && reader.problems().errors() == before {
                reader.missing(inner, &form);
            }
            match number {
                Setting::Given(number) if reader.problems().errors() == before => {
                    given(make(number.value), node)
                }
                _ => Setting::Bad,
            }
        }
        Tree::Text(text) if words.iter().any(|(word, _)| word == text) => words
            .iter()
            .find(|(word, _)| word == text)
            .map_or(Setting::Bad, |(_, value)| given(*value, node)),
        _ => {
            let mut problem = mismatch(key, node, form);
            if let Tree::Text(text) = &node.value
                && let Some(near) = nearest(text, words.iter().map(|(word, _)| *word))
            {
                problem = problem.help(format!("did you mean `\"{near}\"`?"));
            } else if let Tree::Whole(number) = &node.value {
                problem = problem.help(format!("did you mean `{{ {inner} = {number} }}`?"));
            }
            reader.report(problem);
            Setting::Bad
        }
    }
}

fn given<T>(value: T, node: &Node) -> Setting<T> {
    Setting::Given(Located {
        value,
        at: node.at.clone(),
    })
}

/// `properties`.
fn properties(reader: &mut Reader<'_, '_>) -> Properties {
    let Some(node) = reader.node("properties") else {
        return Properties::default();
    };
    let Some(table) = node.as_table() else {
        reader.report(mismatch(
            "properties",
            node,
            format!("a table with {}", listed(PROPERTIES.iter().copied())),
        ));
        return Properties::default();
    };
    let mut reader = Reader::new(
        "`properties`",
        table,
        &node.at,
        PROPERTIES,
        reader.problems(),
    );
    let priority: Setting<u8> = reader.whole("priority", 0..=255, "a whole number from 0 to 255");
    let expiration = reader.setting("expiration", |node| match &node.value {
        Tree::Text(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(text.clone())
        }
        Tree::Whole(_) => whole::<u32>(node, &(0..=MOST))
            .map(|ms| ms.to_string())
            .ok_or_else(|| "milliseconds as digits, such as `\"60000\"`".to_owned()),
        _ => Err("milliseconds as digits, such as `\"60000\"`".into()),
    });
    let mut short = |key: &str| -> Option<String> {
        reader
            .setting(key, |node| match &node.value {
                Tree::Text(text) if text.len() <= 255 => Ok(text.clone()),
                _ => Err("a text of at most 255 bytes".into()),
            })
            .value()
            .cloned()
    };
    Properties {
        content_type: short("content_type"),
        content_encoding: short("content_encoding"),
        priority: priority.value().copied(),
        correlation_id: short("correlation_id"),
        reply_to: short("reply_to"),
        expiration: expiration.value().cloned(),
        message_id: short("message_id"),
        kind: short("type"),
        user_id: short("user_id"),
        app_id: short("app_id"),
    }
}
