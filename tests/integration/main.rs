//! The integration tests: one binary, one topic a module.
#![allow(clippy::unwrap_used)]

mod cli; // help, completions, mistakes, exit codes, signals
mod compose; // docker-compose.yml and the configuration that it mounts
mod provision; // private brokers: where they listen, and that nothing of them stays
