//! mqbench: load tests for RabbitMQ with numbers that can be trusted.
//!
//! # Bird's-eye view
//!
//! ```text
//! scenario text -parse-> Scenario -resolve-> Plan -run(driver)-> RunRecord -assess-> verdicts -render-> bytes
//!                                              |
//!                                              +-> RunEvent -> observers (progress, store)
//! ```

pub mod address;
pub mod analysis;
pub mod campaign;
pub mod claim;
pub mod clock;
pub mod diagnostic;
pub mod driver;
pub mod engine;
pub mod host;
pub mod plan;
pub mod provision;
pub mod record;
pub mod render;
pub mod results;
pub mod scenario;
pub mod schedule;
pub mod stamp;
pub mod stats;
pub mod topology;
pub mod units;
