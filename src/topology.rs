//! Exchanges, queues and bindings as values, and the pure [`Topology::routes`]: which queues a publish reaches.
//!
//! Knows the AMQP 0-9-1 routing rules and nothing of connections. The scenario writes topologies, the plan names them,
//! a driver's `Admin` puts them on a broker; the engine hands them on unopened.

use serde::{Deserialize, Serialize};

/// One value of an argument or header table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A truth value (`t`).
    Bool(bool),
    /// A signed integer (`l`, or `I` where it fits and the broker wants one).
    Int(i64),
    /// A double (`d`).
    Float(f64),
    /// A string (`S`).
    Text(String),
    /// An array (`A`).
    List(Vec<Value>),
}

/// Arguments or headers, in the order written.
pub type Arguments = Vec<(String, Value)>;

/// The four exchange types of AMQP 0-9-1, section 3.1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExchangeKind {
    /// Routing key equals binding key.
    Direct,
    /// Every binding.
    Fanout,
    /// Routing key matches a pattern of words, `*` and `#`.
    Topic,
    /// The message's headers match the binding's arguments, by `x-match` `all` or `any`.
    Headers,
}

impl ExchangeKind {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }
}

/// An exchange.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// The name in the scenario, shown in results.
    pub name: String,
    /// The name on the broker: with the run's suffix, or the same where the exchange is used as it is found.
    pub broker_name: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Survives a restart of the broker.
    pub durable: bool,
    /// Goes with its last binding.
    pub auto_delete: bool,
    /// Further arguments of the declaration.
    pub arguments: Arguments,
    /// Used as it is found, never declared, never deleted.
    pub existing: bool,
}

/// The queue types of RabbitMQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueKind {
    /// One node, in memory and on disk.
    Classic,
    /// Replicated by Raft; always durable.
    Quorum,
    /// An append-only log that consumers read without removing.
    Stream,
}

impl QueueKind {
    /// The value of `x-queue-type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }
}

/// A queue (or stream).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// The name in the scenario, shown in results.
    pub name: String,
    /// The name on the broker: with the run's suffix, or the same where the queue is used as it is found.
    pub broker_name: String,
    /// Its type.
    pub kind: QueueKind,
    /// The queue survives a restart; says nothing of its messages.
    pub durable: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// Further arguments of the declaration, without `x-queue-type`.
    pub arguments: Arguments,
    /// Used as it is found, never declared, never purged, never deleted.
    pub existing: bool,
}

/// A rule by which an exchange passes messages to a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// The exchange's name in the scenario.
    pub exchange: String,
    /// The queue's name in the scenario.
    pub queue: String,
    /// The binding key; empty where the type has no use for one.
    pub key: String,
    /// Arguments: for `headers` exchanges what must match.
    pub arguments: Arguments,
}

/// Where a publish goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The exchange's name in the scenario; empty for the default exchange.
    pub exchange: String,
    /// The routing key; on the default exchange the queue's name in the scenario.
    pub key: String,
}

/// Everything that a run needs on the broker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// Exchanges, in order of declaration.
    pub exchanges: Vec<Exchange>,
    /// Queues, in order of declaration.
    pub queues: Vec<Queue>,
    /// Bindings, in order of declaration.
    pub bindings: Vec<Binding>,
}

impl Topology {
    /// The queue of this name in the scenario, and its index.
    pub fn queue(&self, name: &str) -> Option<(usize, &Queue)> {
        self.queues
            .iter()
            .enumerate()
            .find(|(_, queue)| queue.name == name)
    }

    /// The exchange of this name in the scenario.
    pub fn exchange(&self, name: &str) -> Option<&Exchange> {
        self.exchanges.iter().find(|exchange| exchange.name == name)
    }

    /// The bindings that a run makes. Between an exchange and a queue that both exist already, a binding only says what is
    /// there.
    pub fn own_bindings(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.iter().filter(|binding| {
            let exchange = self.exchange(&binding.exchange).is_some_and(|e| e.existing);
            let queue = self.queue(&binding.queue).is_some_and(|(_, q)| q.existing);
            !(exchange && queue)
        })
    }

    /// The exchange and key under which the broker knows `target`.
    pub fn on_broker(&self, target: &Target) -> (String, String) {
        if target.exchange.is_empty() {
            let key = self
                .queue(&target.key)
                .map_or(&target.key, |(_, queue)| &queue.broker_name);
            return (String::new(), key.clone());
        }
        let exchange = self
            .exchange(&target.exchange)
            .map_or(&target.exchange, |exchange| &exchange.broker_name);
        (exchange.clone(), target.key.clone())
    }

    /// Indices of the distinct queues that a publish to `target` with these headers reaches, ascending: a queue bound
    /// twice gets one copy (AMQP 0-9-1, section 3.1.4). An exchange that is used as found may have bindings of its
    /// own that are not known here.
    pub fn routes(&self, target: &Target, headers: &Arguments) -> Vec<usize> {
        if target.exchange.is_empty() {
            return self
                .queue(&target.key)
                .map(|(index, _)| index)
                .into_iter()
                .collect();
        }
        let Some(exchange) = self.exchange(&target.exchange) else {
            return Vec::new();
        };
        let mut reached: Vec<usize> = self
            .bindings
            .iter()
            .filter(|binding| binding.exchange == exchange.name)
            .filter(|binding| match exchange.kind {
                ExchangeKind::Direct => binding.key == target.key,
                ExchangeKind::Fanout => true,
                ExchangeKind::Topic => topic_matches(&binding.key, &target.key),
                ExchangeKind::Headers => headers_match(&binding.arguments, headers),
            })
            .filter_map(|binding| self.queue(&binding.queue).map(|(index, _)| index))
            .collect();
        reached.sort_unstable();
        reached.dedup();
        reached
    }
}

/// Whether a topic pattern of words, `*` (exactly one word) and `#` (any number of words) matches a routing key.
fn topic_matches(pattern: &str, key: &str) -> bool {
    fn words(text: &str) -> Vec<&str> {
        if text.is_empty() {
            Vec::new()
        } else {
            text.split('.').collect()
        }
    }
    fn matches(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), _) => {
                (0..=key.len()).any(|skipped| matches(rest, &key[skipped..]))
            }
            (Some((&word, rest)), Some((&first, others))) => {
                (word == "*" || word == first) && matches(rest, others)
            }
            _ => false,
        }
    }
    matches(&words(pattern), &words(key))
}

/// Whether headers satisfy a binding: all of its arguments, or any with `x-match = any`. Arguments that start with
/// `x-` are left out, as RabbitMQ does for `all` and `any`.
fn headers_match(arguments: &Arguments, headers: &Arguments) -> bool {
    let any = arguments
        .iter()
        .any(|(key, value)| key == "x-match" && *value == Value::Text("any".into()));
    let mut wanted = arguments.iter().filter(|(key, _)| !key.starts_with("x-"));
    let found =
        |(key, value): &(String, Value)| headers.iter().any(|(k, v)| k == key && v == value);
    if any {
        wanted.any(found)
    } else {
        wanted.all(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_patterns_match_as_the_specification_says() {
        for (pattern, key, expected) in [
            ("user.*", "user.created", true),
            ("user.*", "user", false),
            ("user.*", "user.created.eu", false),
            ("#", "", true),
            ("#", "a.b.c", true),
            ("user.#", "user", true),
            ("user.#", "user.created.eu", true),
            ("*.created", "user.created", true),
            ("#.created", "created", true),
            ("a.#.b.#.c", "a.x.b.c", true),
            ("a.#.b", "a.c", false),
            ("", "", true),
            ("*", "", false),
        ] {
            assert_eq!(topic_matches(pattern, key), expected, "{pattern} on {key}");
        }
    }

    fn topology(kind: ExchangeKind, bindings: &[(&str, &str, Arguments)]) -> Topology {
        let exchange = Exchange {
            name: "x".into(),
            broker_name: "x.run".into(),
            kind,
            durable: true,
            auto_delete: false,
            arguments: Vec::new(),
            existing: false,
        };
        let queue = |name: &str| Queue {
            name: name.into(),
            broker_name: format!("{name}.run"),
            kind: QueueKind::Classic,
            durable: true,
            auto_delete: false,
            arguments: Vec::new(),
            existing: false,
        };
        Topology {
            exchanges: vec![exchange],
            queues: vec![queue("a"), queue("b")],
            bindings: bindings
                .iter()
                .map(|(queue, key, arguments)| Binding {
                    exchange: "x".into(),
                    queue: (*queue).into(),
                    key: (*key).into(),
                    arguments: arguments.clone(),
                })
                .collect(),
        }
    }

    fn to(exchange: &str, key: &str) -> Target {
        Target {
            exchange: exchange.into(),
            key: key.into(),
        }
    }

    #[test]
    fn a_queue_bound_twice_is_reached_once() {
        let topology = topology(
            ExchangeKind::Topic,
            &[
                ("b", "user.*", vec![]),
                ("b", "#", vec![]),
                ("a", "payment.*", vec![]),
            ],
        );
        assert_eq!(topology.routes(&to("x", "user.created"), &vec![]), [1]);
        assert_eq!(topology.routes(&to("x", "payment.failed"), &vec![]), [0, 1]);
    }

    #[test]
    fn the_default_exchange_routes_to_the_queue_of_that_name() {
        let topology = topology(ExchangeKind::Direct, &[]);
        assert_eq!(topology.routes(&to("", "b"), &vec![]), [1]);
        assert_eq!(
            topology.routes(&to("", "nowhere"), &vec![]),
            [] as [usize; 0]
        );
        assert_eq!(
            topology.on_broker(&to("", "b")),
            (String::new(), "b.run".into())
        );
        assert_eq!(
            topology.on_broker(&to("x", "k")),
            ("x.run".into(), "k".into())
        );
    }

    #[test]
    fn headers_match_all_or_any() {
        let text = |key: &str, value: &str| (key.to_owned(), Value::Text(value.into()));
        let both = vec![text("format", "pdf"), text("type", "report")];
        let mut any = both.clone();
        any.push(text("x-match", "any"));
        let topology = topology(ExchangeKind::Headers, &[("a", "", both), ("b", "", any)]);
        let headers = vec![text("format", "pdf")];
        assert_eq!(topology.routes(&to("x", ""), &headers), [1]);
        assert_eq!(
            topology.routes(
                &to("x", ""),
                &vec![text("format", "pdf"), text("type", "report")]
            ),
            [0, 1]
        );
    }
}
