//! mqbench: load tests for RabbitMQ with numbers that can be trusted.
//!
//! # Bird's-eye view
//!
//! ```text
//! scenario text -parse-> Scenario -resolve-> Plan -run(driver)-> RunRecord -assess-> verdicts -render-> bytes
//!                                             |
//!                                             +-> RunEvent -> observers (progress, store)
//! ```
//!
//! Each arrow is a function, each noun a plain value that can be printed, compared, and made by hand in a test. Left of
//! the run and right of the record everything is pure. Running and reporting are joined only by files: every table, chart
//! and verdict can be rebuilt from a results folder.
//!
//! The hard part is pure too. Producers and consumers are state machines without I/O; one loop
//! ([`engine`]'s worker) drives them over real sockets, and the [`engine::simulator`] drives the same code on a virtual
//! clock, so that every promise about pacing, windows, ledgers and histograms has an exact test.
//!
//! # Code map, in reading order
//!
//! | module | what it is | may import |
//! |---|---|---|
//! | [`units`] | rates, sizes, spans: parse, print, arithmetic | nothing |
//! | [`clock`] | the only reader of time | units |
//! | [`stamp`] | the 40 bytes at the head of each message | clock |
//! | [`topology`] | exchanges, queues, bindings, and which queues a publish reaches | nothing |
//! | [`address`] | where a broker is; never prints a password | nothing |
//! | [`claim`] | a promise as a value: `delivery.p95 < 10ms` | units |
//! | [`diagnostic`] | a problem in a user's file | nothing |
//! | [`schedule`] | when messages are due: from index to due time | units |
//! | [`scenario`] | what the user wrote, and all its problems at once | the above |
//! | [`driver`] | the boundary to what speaks to a broker, and the drivers behind it | units, clock, stamp, topology, address |
//! | [`plan`] | what will be done: everything filled in, laid out over workers | the above, record's shapes |
//! | [`record`] | recorders, intervals, the ledger's bits, run events | clock, stamp, units |
//! | [`host`] | the load machine's own health | clock, units |
//! | [`results`] | the run on disk | record, plan, driver's identity and capabilities |
//! | [`engine`] | state machines, the worker's loop, phases, the account at the end | plan, schedule, driver, record, results' shapes, host |
//! | [`analysis`] | summaries, gates, claims, verdicts | results, record, plan, claim |
//! | [`render`] | one file a format | analysis, results, record, plan |
//! | [`campaign`] | the variants of a scenario, saved as they go | engine, analysis, plan, results, driver |
//! | [`provision`] | gets a broker to measure | address, clock, units |
//!
//! The binary (`main.rs`, `cli/`) uses the library by its name and is the only place that prints, exits, or reads
//! environment variables. A test reads every `use crate::` and holds it against the table.
//!
//! # A message's way
//!
//! A pacer notices that a message is due and gives it, with its own due time, to the producer whose turn it is. If the
//! window, the socket or the broker keeps it waiting, that is *hold*, on record by cause; what the harness was late
//! itself is *pacer lag*. The driver encodes it into the connection's buffer and writes the `sent` time into its stamp just
//! before the system call. The consumer's driver stamps the arrival right after the read, before it parses. Response
//! times count from the due time, service times from the sending; both are recorded in histograms of the worker, which the
//! coordinator exchanges at each interval's end. A bit in the ledger says that this copy came.
//!
//! Every subscription belongs to one worker and every producer to one, so that no tally has two writers and nothing on
//! the load path crosses threads.
//!
//! # Invariants
//!
//! 1. Only [`driver::lapin`] knows lapin. Exchanges, queues, bindings and routing keys are words of `topology`,
//!    `scenario`, `plan` and `driver`; the engine knows targets and sources by number.
//! 2. A driver moves bytes and reports what happened. It never paces or records a time; it waits only inside
//!    [`driver::Port::pump`]; the one time that it reads is the edge stamp.
//! 3. The library never prints, never exits, never reads an environment variable, never reads time outside [`clock`].
//! 4. Totals are the sum of the intervals. There is no second set of counters to disagree with the first.
//! 5. A number never travels without its health: validity stands beside it in the record and in every rendering.
//! 6. Nothing on a broker that this program did not make is ever purged, deleted or consumed unless the scenario says so:
//!    what a run declares carries the run's suffix and is removed at teardown; `existing = true` is used as it is found.

pub mod units;

pub mod clock;

pub mod stamp;

pub mod topology;

pub mod address;

pub mod claim;

pub mod diagnostic;

pub mod schedule;

pub mod scenario;

pub mod driver;

pub mod plan;

pub mod record;

pub mod host;

pub mod results;

pub mod engine;

pub mod analysis;

pub mod render;

pub mod campaign;

pub mod provision;
