//! The command line: one subcommand a file, and the only place that prints, exits or reads environment variables.
//!
//! Data goes to stdout, talk to stderr. Knows nothing of how a run is made or judged: each subcommand turns its
//! arguments into values of the library, calls it, and turns the outcome into text and an exit code.

mod broker;
mod check;
mod clean;
mod completions;
mod exit;
mod load;
mod options;
mod progress;
mod report;
mod run;
mod signal;
mod talk;

use clap::{Parser, Subcommand};

pub(crate) use exit::Exit;
use exit::Failure;

/// The allocator that `main.rs` installs, named in every record.
pub(crate) const ALLOCATOR: &str = "mimalloc";

const ABOUT: &str = "Load tests and benchmarks for RabbitMQ, with numbers that can be trusted";

const LONG_ABOUT: &str = "\
Load tests and benchmarks for RabbitMQ, with numbers that can be trusted.

A scenario file drives fleets of producers and consumers; the run measures throughput and response times from the time \
each message was due, accounts for every message, and ends in a verdict on the claims that the scenario makes.";

const AFTER_HELP: &str = "\
Exit codes (where several apply, the first of 130, 2, 3, 1, 4, 5, 0):
    0  every claim passed, or none was made
    1  a claim failed
    2  the scenario or the command line is wrong
    3  the broker or this machine failed
    4  invalid: the harness could not be trusted
    5  inconclusive: the run cannot tell
  130  interrupted (what was measured is saved)

Ctrl-C once stops the load, waits for what is owed, and saves; twice stops now.

Environment:
  MQBENCH_BROKER  addresses of the broker that `--broker auto` takes before all others, separated by commas.
                  Better than --broker for an address with a password: a command line is visible to all users.
  MQBENCH_LOG     what to log to stderr, e.g. `debug` or `mqbench=trace` [default: warn,lapin=error]

Examples:
  mqbench run scenarios/quick.toml
  mqbench run scenarios/adr-003.toml --broker amqp://me@rabbit.example:5672/ --set timing.measure=60s
  mqbench load -x 2 -y 2 --rate 10k/s --size 1KiB --duration 30s";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "mqbench",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_long_help = AFTER_HELP,
    after_help = "`mqbench --help` lists exit codes, environment variables and examples.",
    disable_help_subcommand = true,
    max_term_width = 120,
    propagate_version = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Check(check::Arguments),
    Load(load::Arguments),
    Report(report::Arguments),
    Broker(broker::Arguments),
    Clean(clean::Arguments),
    Completions(completions::Arguments),
}

/// Parses the command line, does what it says, and tells how it went.
pub(crate) fn main() -> Exit {
    let mut cli = Cli::parse();
    talk::start_log();
    let outcome = match &mut cli.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Load(arguments) => load::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Broker(arguments) => broker::run(arguments),
        Command::Clean(arguments) => clean::run(arguments),
        Command::Completions(arguments) => completions::run(arguments),
    };
    outcome.unwrap_or_else(|failure: Failure| {
        talk::error(&failure.message);
        failure.exit
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_says_what_it_is_for() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            assert!(
                command.get_after_long_help().is_some() || command.get_after_help().is_some(),
                "{} shows no example",
                command.get_name()
            );
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
        }
    }
}
