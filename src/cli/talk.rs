//! What is said to the person at the terminal: always on stderr, so that stdout holds data only.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{IsTerminal, Write};

/// Prints data.
pub(crate) fn data(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // A reader that has seen enough (`| head`) is no failure of ours.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// Tells the user something.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Tells the user what went wrong.
pub(crate) fn error(text: &str) {
    say(&format!("mqbench: {text}"));
}

/// Asks a question to which only `y` or `yes` is a yes. Where nobody can answer, the answer is no.
pub(crate) fn ask(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    let _ = write!(std::io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

/// Sends the library's log to stderr, as `$MQBENCH_LOG` filters it.
pub(crate) fn start_log() {
    // lapin warns of each return, which is data here.
    let filter = tracing_subscriber::EnvFilter::try_from_env("MQBENCH_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,lapin=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
