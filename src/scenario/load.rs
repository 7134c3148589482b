//! The scenario that a `mqbench load` command line amounts to.
//!
//! Those who come from PerfTest give flags instead of a file. The flags become a scenario's text and nothing else, so
//! that one way leads from there to the plan, and a user can print the text, keep it and go on with it. Called by the
//! command line; the text is parsed like any other.

use std::fmt::Write as _;

use super::defaults;
use crate::schedule::Arrivals;
use crate::topology::{ExchangeKind, QueueKind};
use crate::units::{ByteSize, Rate, Span};

/// What a `load` command line says; what it leaves out takes the format's defaults, but for one producer and one
/// consumer on one queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadOptions {
    /// A line for the head of a report; absent for one that says no more than that there is no file.
    pub title: Option<String>,
    /// Number of producers; 0 for none at all, absent for one.
    pub producers: Option<u32>,
    /// Number of consumers; 0 for none at all, absent for one.
    pub consumers: Option<u32>,
    /// Of all producers together; absent for as fast as confirms allow.
    pub rate: Option<Rate>,
    /// How the rate is spread.
    pub arrivals: Option<Arrivals>,
    /// Bytes of each body.
    pub size: Option<ByteSize>,
    /// Length of the measure phase.
    pub duration: Option<Span>,
    /// Load before it that is not measured.
    pub warmup: Option<Span>,
    /// Most time to wait for what is owed at the end.
    pub drain: Option<Span>,
    /// The queue's name; absent for `load`.
    pub queue: Option<String>,
    /// The queue's type.
    pub queue_kind: Option<QueueKind>,
    /// Queue and exchange are used as they are found (PerfTest's `--predeclared`).
    pub existing: Option<bool>,
    /// The exchange to publish through; absent for the default exchange.
    pub exchange: Option<String>,
    /// Its type; absent for `direct`.
    pub exchange_kind: Option<ExchangeKind>,
    /// The routing key; absent for the queue's name.
    pub key: Option<String>,
    /// Publisher confirms.
    pub confirms: Option<LoadConfirms>,
    /// Whether messages survive a restart of the broker.
    pub persistent: Option<bool>,
    /// Whether unroutable messages are returned.
    pub mandatory: Option<bool>,
    /// Acknowledgements.
    pub ack: Option<LoadAck>,
    /// Most unacknowledged deliveries of each consumer; 0 for no limit.
    pub prefetch: Option<u16>,
    /// Work of a consumer on each message.
    pub think: Option<Span>,
    /// Most messages of all producers together.
    pub messages: Option<u64>,
    /// Most bytes that may wait on the broker.
    pub max_backlog: Option<ByteSize>,
    /// Claims to judge the run by.
    pub claims: Vec<String>,
}

/// Publisher confirms, as a command line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadConfirms {
    /// Not asked for.
    Off,
    /// Asked for and never waited for.
    Unbounded,
    /// At most so many outstanding for each producer.
    Window(u32),
}

/// Acknowledgements, as a command line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadAck {
    /// By the broker, when it has sent a message.
    Auto,
    /// One for so many messages.
    Every(u32),
}

/// The text of the scenario. What the options say is held to nothing here: the text may have problems like any other.
pub fn example_from(options: &LoadOptions) -> String {
    let mut text = String::new();
    let title = options.title.as_deref();
    line(
        &mut text,
        "title",
        &quote(title.unwrap_or("A load without a scenario file")),
    );
    if !options.claims.is_empty() {
        let claims: Vec<String> = options.claims.iter().map(|claim| quote(claim)).collect();
        line(&mut text, "claims", &format!("[{}]", claims.join(", ")));
    }
    if let Some(backlog) = options.max_backlog {
        line(&mut text, "max_backlog", &quote(&backlog.to_string()));
    }
    let queue = options.queue.as_deref().unwrap_or("load");
    let key = options.key.as_deref().unwrap_or(queue);
    exchange(&mut text, options);
    text.push_str("\n[[queue]]\n");
    line(&mut text, "name", &quote(queue));
    // A queue that is there already is of the kind that it is.
    if options.queue_kind.is_some() || options.existing != Some(true) {
        let kind = options.queue_kind.unwrap_or(QueueKind::Classic);
        line(&mut text, "kind", &quote(kind.as_str()));
    }
    existing(&mut text, options);
    if let Some(exchange) = &options.exchange {
        let bind = match options.exchange_kind {
            Some(ExchangeKind::Headers) => {
                format!(
                    "[{{ exchange = {}, arguments = {HEADERS} }}]",
                    quote(exchange)
                )
            }
            _ => format!(
                "[{{ exchange = {}, key = {} }}]",
                quote(exchange),
                quote(key)
            ),
        };
        line(&mut text, "bind", &bind);
    }
    if options.producers != Some(0) {
        producers(&mut text, options, queue, key);
    }
    if options.consumers != Some(0) {
        consumers(&mut text, options, queue);
    }
    text.push_str("\n[timing]\n");
    for (name, value, default) in [
        ("warmup", options.warmup, defaults::WARMUP),
        ("measure", options.duration, defaults::MEASURE),
        ("drain", options.drain, defaults::DRAIN),
    ] {
        line(
            &mut text,
            name,
            &quote(&value.unwrap_or(default).to_string()),
        );
    }
    text
}

/// What the messages of a load through a headers exchange carry, and its queue wants.
const HEADERS: &str = "{ load = true }";

fn exchange(text: &mut String, options: &LoadOptions) {
    let Some(name) = &options.exchange else {
        return;
    };
    text.push_str("\n[[exchange]]\n");
    line(text, "name", &quote(name));
    let kind = options.exchange_kind.unwrap_or(ExchangeKind::Direct);
    line(text, "kind", &quote(kind.as_str()));
    existing(text, options);
}

fn existing(text: &mut String, options: &LoadOptions) {
    if options.existing == Some(true) {
        line(text, "existing", "true");
    }
}

fn producers(text: &mut String, options: &LoadOptions, queue: &str, key: &str) {
    text.push_str("\n[[producers]]\nname = \"producers\"\n");
    let count = options.producers.unwrap_or(defaults::COUNT);
    line(text, "count", &count.to_string());
    let to = match &options.exchange {
        Some(exchange) => format!("{{ exchange = {}, key = {} }}", quote(exchange), quote(key)),
        None => format!("{{ queue = {} }}", quote(queue)),
    };
    line(text, "to", &to);
    if let Some(rate) = options.rate {
        line(text, "rate", &quote(&rate.to_string()));
    }
    if let Some(arrivals) = options.arrivals {
        let word = match arrivals {
            Arrivals::Constant => "constant",
            Arrivals::Poisson => "poisson",
        };
        line(text, "arrivals", &quote(word));
    }
    let size = options.size.unwrap_or(defaults::SIZE);
    line(text, "size", &quote(&size.to_string()));
    let persistent = options.persistent.unwrap_or(defaults::PERSISTENT);
    line(text, "persistent", &persistent.to_string());
    if let Some(mandatory) = options.mandatory {
        line(text, "mandatory", &mandatory.to_string());
    }
    let confirms = options
        .confirms
        .unwrap_or(LoadConfirms::Window(defaults::WINDOW));
    let confirms = match confirms {
        LoadConfirms::Off => quote("off"),
        LoadConfirms::Unbounded => quote("unbounded"),
        LoadConfirms::Window(window) => format!("{{ window = {window} }}"),
    };
    line(text, "confirms", &confirms);
    if options.exchange.is_some() && options.exchange_kind == Some(ExchangeKind::Headers) {
        line(text, "headers", HEADERS);
    }
    if let Some(messages) = options.messages {
        line(text, "messages", &messages.to_string());
    }
}

fn consumers(text: &mut String, options: &LoadOptions, queue: &str) {
    text.push_str("\n[[consumers]]\nname = \"consumers\"\n");
    let count = options.consumers.unwrap_or(defaults::COUNT);
    line(text, "count", &count.to_string());
    line(text, "from", &quote(queue));
    let ack = options.ack.unwrap_or(LoadAck::Every(defaults::ACK_EVERY));
    // With auto-ack a prefetch means nothing: written only where it was asked for.
    let prefetch = match ack {
        LoadAck::Auto => options.prefetch,
        LoadAck::Every(_) => Some(options.prefetch.unwrap_or(defaults::PREFETCH)),
    };
    if let Some(prefetch) = prefetch {
        line(text, "prefetch", &prefetch.to_string());
    }
    let ack = match ack {
        LoadAck::Auto => quote("auto"),
        LoadAck::Every(1) => quote("each"),
        LoadAck::Every(every) => format!("{{ every = {every} }}"),
    };
    line(text, "ack", &ack);
    if let Some(think) = options.think {
        line(text, "think", &quote(&think.to_string()));
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{key} = {value}");
}

/// A TOML string.
fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::plan::{AckPolicy, Choices, Confirms, ManyRuns, resolve};

    fn plan_of(options: &LoadOptions) -> crate::plan::Plan {
        let text = example_from(options);
        let scenario = super::super::parse(Path::new("load"), text.as_bytes(), &[])
            .unwrap_or_else(|problems| panic!("{text}\n{problems}"));
        assert!(scenario.warnings.is_empty(), "{}", scenario.warnings);
        let choices = Choices {
            seed: 1,
            run: 1,
            driver: None,
            addresses: Vec::new(),
            interval: None,
            many_runs: ManyRuns::Refused,
        };
        resolve(&scenario, &choices).unwrap().remove(0)
    }

    #[test]
    fn no_options_at_all_are_one_producer_and_one_consumer_on_one_queue() {
        let plan = plan_of(&LoadOptions::default());
        assert_eq!(plan.producers[0].count, 1);
        assert_eq!(plan.consumers[0].queue, "load");
        insta::assert_snapshot!(
            "load_without_options",
            example_from(&LoadOptions::default())
        );
    }

    #[test]
    fn every_option_arrives_in_the_plan() {
        for kind in [
            ExchangeKind::Direct,
            ExchangeKind::Fanout,
            ExchangeKind::Topic,
            ExchangeKind::Headers,
        ] {
            let options = LoadOptions {
                title: Some("A \"load\"".into()),
                producers: Some(2),
                consumers: Some(3),
                rate: "10k/s".parse().ok(),
                arrivals: Some(Arrivals::Poisson),
                size: Some(ByteSize::bytes(64)),
                duration: Some(Span::from_secs(3)),
                warmup: Some(Span::from_ms(1500)),
                drain: Some(Span::from_secs(2)),
                queue: Some("q \"1\"\\".into()),
                queue_kind: Some(QueueKind::Quorum),
                existing: Some(true),
                exchange: Some("x".into()),
                exchange_kind: Some(kind),
                key: Some("k".into()),
                confirms: Some(LoadConfirms::Window(7)),
                persistent: Some(false),
                mandatory: Some(true),
                ack: Some(LoadAck::Every(5)),
                prefetch: Some(50),
                think: Some(Span::from_ms(2)),
                messages: Some(1000),
                max_backlog: Some(ByteSize::bytes(1 << 20)),
                claims: vec!["lost == 0".into()],
            };
            let plan = plan_of(&options);
            let producers = &plan.producers[0];
            assert_eq!((producers.count, producers.rate), (2, options.rate));
            assert_eq!(producers.target.exchange, "x");
            assert_eq!(
                (producers.size.as_bytes(), producers.persistent),
                (64, false)
            );
            assert_eq!(producers.confirms, Confirms::Window(7));
            assert_eq!(
                (producers.mandatory, producers.messages),
                (true, Some(1000))
            );
            assert_eq!(
                plan.topology.routes(&producers.target, &producers.headers),
                [0]
            );
            let queue = &plan.topology.queues[0];
            assert_eq!((queue.name.as_str(), queue.existing), ("q \"1\"\\", true));
            let consumers = &plan.consumers[0];
            assert_eq!((consumers.count, consumers.prefetch), (3, 50));
            assert_eq!(consumers.ack, AckPolicy::Every(5));
            assert_eq!(consumers.think, Span::from_ms(2));
            assert_eq!(plan.timing.warmup, Span::from_ms(1500));
            assert_eq!(
                (plan.timing.measure, plan.claims.len()),
                (Span::from_secs(3), 1)
            );
        }
    }

    #[test]
    fn either_side_may_be_left_out() {
        let one_sided = |producers, consumers| LoadOptions {
            producers,
            consumers,
            existing: Some(true),
            confirms: Some(LoadConfirms::Off),
            ack: Some(LoadAck::Auto),
            ..LoadOptions::default()
        };
        assert!(plan_of(&one_sided(Some(1), Some(0))).consumers.is_empty());
        assert!(plan_of(&one_sided(Some(0), Some(1))).producers.is_empty());
    }
}
