//! What the load path costs, both drivers alternating on one RabbitMQ in one sitting. Run by `scripts/bench`.
//!
//! Every measurement is a process of its own (this program again, with `child`), so that processor time, memory and
//! threads are its alone. Prints one JSON line for each measurement on stdout and tables on stderr. Asserts nothing but
//! counts: instructions a message may not rise by more than 3% over `benches/instructions.json`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark talks to people"
)]

mod bench;

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["child", row, driver, broker, rest @ ..] => bench::child::run(row, driver, broker, rest),
        ["core", messages] => bench::child::core(messages),
        options => bench::sitting::run(options),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
