//! The integration tests: one binary, one topic a module.

mod provision; // private brokers: where they listen, and that nothing of them stays
