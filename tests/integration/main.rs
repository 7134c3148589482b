//! The integration tests: one binary, one topic a module.
#![allow(clippy::unwrap_used)]

mod architecture; // who imports whom, who may print: the sources held against the design
mod bad_days; // what goes wrong on the way: refused, disturbed, overloaded, out of room, over TLS
mod broker; // a RabbitMQ for tests
mod cli; // help, completions, mistakes, exit codes, signals
mod compose; // docker-compose.yml and the configuration that it mounts
mod contract; // what every driver promises, over memory, lapin and amqp
mod provision; // private brokers: where they listen, and that nothing of them stays
