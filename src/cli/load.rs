//! `mqbench load`: a run without a scenario file, with the letters of RabbitMQ's PerfTest.
//!
//! The letters become the library's options, those a scenario's text, which can be printed and is run like any other.

use std::path::Path;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use mqbench::provision::Source;
use mqbench::scenario::{self, LoadAck, LoadConfirms, LoadOptions};
use mqbench::topology::QueueKind;
use mqbench::units::{ByteSize, Rate, Span};

use super::exit::{Exit, Failure};
use super::options::{self, AddressList, BrokerChoice};
use super::run::{self, RunOptions};
use super::{check, talk};

const AFTER_HELP: &str = "\
Unlike PerfTest's, -r and -C are of all producers together, and the queue is new, has a name of its own on the broker, and
is gone afterwards, unless --predeclared says that it is there already.

Examples:
  mqbench load -x 2 -y 2 --rate 10k/s --size 1KiB --duration 30s
  mqbench load -x 1 -y 1 -c 500 -A 50 -q 200 -f persistent -s 1000 -z 60
  mqbench load -x 1 -y 0 -r 5000 -C 100000 -u orders --predeclared --uri amqp://rabbit.example/
  mqbench load -x 2 -y 2 -r 20k/s -c 500 --print-scenario > my.toml

Exit codes: as of `mqbench run`. Without claims there is nothing to pass or fail.";

/// Run a load that the command line describes, without a scenario file.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Producers.
    #[arg(short = 'x', long, value_name = "N", default_value_t = 1)]
    producers: u32,

    /// Consumers.
    #[arg(short = 'y', long, value_name = "N", default_value_t = 1)]
    consumers: u32,

    /// Messages a second of all producers together, e.g. `10k/s`; a bare number is per second [default: as fast as
    /// confirms allow, or as fast as it goes].
    #[arg(short = 'r', long, value_name = "RATE", value_parser = rate)]
    rate: Option<Rate>,

    /// The body of each message, e.g. `1KiB`; a bare number is bytes.
    #[arg(short = 's', long, value_name = "SIZE", default_value = "1KiB", value_parser = size)]
    size: ByteSize,

    /// How long is measured, e.g. `30s`; a bare number is seconds [default: 30s, or until --pmessages are sent].
    #[arg(short = 'z', long = "duration", visible_alias = "time", value_name = "TIME", value_parser = span)]
    duration: Option<Span>,

    /// Load before the measured time, e.g. `2s`; a bare number is seconds.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = span)]
    warmup: Span,

    /// Most time to wait afterwards for what is still owed, e.g. `10s`; a bare number is seconds.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    drain: Span,

    /// At most so many unconfirmed messages for each producer [default: no confirms].
    #[arg(short = 'c', long = "confirm", value_name = "N")]
    confirm: Option<u32>,

    /// Messages of all producers together, the warm-up's included [default: until the time is over].
    #[arg(short = 'C', long, value_name = "N")]
    pmessages: Option<u64>,

    /// At most so many unacknowledged messages for each consumer; 0 for no limit [default: 0, or 100 of a stream].
    #[arg(short = 'q', long, visible_alias = "qos", value_name = "N")]
    prefetch: Option<u16>,

    /// The broker takes a message as acknowledged when it was sent.
    #[arg(short = 'a', long = "autoack", conflicts_with = "multi_ack_every")]
    autoack: bool,

    /// One acknowledgement for so many messages.
    #[arg(short = 'A', long, value_name = "N", default_value_t = 1)]
    multi_ack_every: u32,

    /// A property of the messages; can be given several times.
    #[arg(short = 'f', long = "flag", value_name = "FLAG")]
    flags: Vec<Flag>,

    /// The queue.
    #[arg(short = 'u', long, value_name = "NAME", default_value = "load")]
    queue: String,

    /// What kind of queue.
    #[arg(
        long,
        value_name = "KIND",
        default_value = "classic",
        conflicts_with = "predeclared"
    )]
    queue_kind: Kind,

    /// The queue is there already and is used as it is found.
    #[arg(short = 'p', long)]
    predeclared: bool,

    /// The addresses of the broker, separated by commas: the same as --broker with an address.
    #[arg(long, value_name = "URI", conflicts_with = "broker", value_parser = options::address_list)]
    uri: Option<AddressList>,

    /// Print the scenario that this amounts to, and run nothing.
    #[arg(long)]
    print_scenario: bool,

    #[command(flatten)]
    run: RunOptions,
}

/// What PerfTest calls flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Flag {
    /// Delivery mode 2
    Persistent,
    /// Unroutable messages are returned
    Mandatory,
}

/// Kinds of queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// On one node
    Classic,
    /// Replicated by Raft
    Quorum,
    /// An append-only log
    Stream,
}

impl From<Kind> for QueueKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Classic => Self::Classic,
            Kind::Quorum => Self::Quorum,
            Kind::Stream => Self::Stream,
        }
    }
}

/// A text with a unit, or a bare number in the unit that PerfTest takes it in.
fn with_unit<T: FromStr>(text: &str, unit: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = if bare {
        format!("{text}{unit}")
    } else {
        text.to_owned()
    };
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn rate(text: &str) -> Result<Rate, String> {
    with_unit(text, "/s")
}

fn size(text: &str) -> Result<ByteSize, String> {
    with_unit(text, "B")
}

fn span(text: &str) -> Result<Span, String> {
    with_unit(text, "s")
}

pub(crate) fn run(arguments: &mut Arguments) -> Result<Exit, Failure> {
    let text = scenario::example_from(&arguments.options());
    let scenario = scenario::parse(Path::new("load.toml"), text.as_bytes(), &[])
        .map_err(|problems| check::failure(&problems))?;
    check::warn_of(&scenario);
    if arguments.print_scenario {
        talk::data(&text);
        return Ok(Exit::Passed);
    }
    if let Some(AddressList(addresses)) = arguments.uri.take() {
        arguments.run.broker.broker = BrokerChoice(Source::Address(addresses));
    }
    run::run_scenarios(&[scenario], &arguments.run)
}

impl Arguments {
    /// What the letters say, with PerfTest's defaults where they differ from the format's.
    fn options(&self) -> LoadOptions {
        LoadOptions {
            title: Some(self.title()),
            producers: Some(self.producers),
            consumers: Some(self.consumers),
            rate: self.rate,
            size: Some(self.size),
            duration: Some(self.measure()),
            warmup: Some(self.warmup),
            drain: Some(self.drain),
            queue: Some(self.queue.clone()),
            queue_kind: (!self.predeclared).then(|| self.queue_kind.into()),
            existing: self.predeclared.then_some(true),
            confirms: Some(self.confirm.map_or(LoadConfirms::Off, LoadConfirms::Window)),
            persistent: Some(self.flags.contains(&Flag::Persistent)),
            mandatory: Some(self.flags.contains(&Flag::Mandatory)),
            ack: Some(if self.autoack {
                LoadAck::Auto
            } else {
                LoadAck::Every(self.multi_ack_every)
            }),
            prefetch: self.prefetch(),
            messages: self.pmessages,
            ..LoadOptions::default()
        }
    }

    /// No limit, as PerfTest has it; but a stream is not read without one, and with `--autoack` there is nothing to limit.
    fn prefetch(&self) -> Option<u16> {
        let needs_none = self.autoack || self.queue_kind == Kind::Stream;
        self.prefetch.or((!needs_none).then_some(0))
    }

    /// With a number of messages the time is only the most that they may take.
    fn measure(&self) -> Span {
        let most = if self.pmessages.is_some() {
            Span::from_secs(24 * 3600)
        } else {
            Span::from_secs(30)
        };
        self.duration.unwrap_or(most)
    }

    fn title(&self) -> String {
        let rate = self
            .rate
            .map_or_else(|| "no rate".to_owned(), |rate| rate.to_string());
        format!(
            "{} producers, {} consumers, {rate}, {}",
            self.producers, self.consumers, self.size
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, Command};
    use super::*;

    fn scenario_of(line: &str) -> String {
        let words = ["mqbench", "load"]
            .into_iter()
            .chain(line.split_whitespace());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Load(arguments) => scenario::example_from(&arguments.options()),
            other => panic!("{other:?}"),
        }
    }

    fn accepted(text: &str) -> scenario::Scenario {
        scenario::parse(Path::new("load.toml"), text.as_bytes(), &[])
            .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    }

    #[test]
    fn perftests_letters_make_the_scenario_that_they_say() {
        let text = scenario_of(
            "-x 2 -y 3 -r 1000 -s 100 -z 60 -c 500 -C 5000 -q 200 -A 50 -f persistent -f mandatory -u orders",
        );
        for line in [
            "name = \"orders\"",
            "count = 2",
            "rate = \"1k/s\"",
            "size = \"100B\"",
            "persistent = true",
            "mandatory = true",
            "confirms = { window = 500 }",
            "messages = 5000",
            "count = 3",
            "prefetch = 200",
            "ack = { every = 50 }",
            "measure = \"1min\"",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "no `{line}` in\n{text}"
            );
        }
        accepted(&text);
    }

    #[test]
    fn every_load_without_a_mistake_is_a_scenario_without_one() {
        for line in [
            "",
            "-a",
            "-y 0",
            "-x 0 -u orders --predeclared",
            "--queue-kind stream",
            "--queue-kind quorum -f persistent -c 100 -r 2.5k/s",
            "-u a\"b\\c -C 10",
            "-s 1MiB --warmup 0s -z 5",
        ] {
            accepted(&scenario_of(line));
        }
    }
}
