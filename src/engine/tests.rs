//! The engine's promises on the virtual clock: exact, seeded, without sockets. The arithmetic stands in comments.

use std::collections::HashMap;

use super::simulator::{Fate, Service, Simulated, Truth, simulate};
use crate::address::Tls;
use crate::plan::{
    AckPolicy, Confirms, Connection, ConsumerFleet, DriverKind, Plan, ProducerFleet, Timing,
    Variant,
};
use crate::record::Series;
use crate::schedule::{Arrivals, Schedule};
use crate::topology::{Queue, QueueKind, Target, Topology};
use crate::units::{ByteSize, Rate, Span};

/// 2,000 messages a second for ten seconds after one of warm-up, confirms without a window, one queue.
pub(super) fn plan() -> Plan {
    Plan {
        scenario: "simulated".into(),
        title: "Simulated".into(),
        variant: Variant {
            index: 0,
            name: "base".into(),
            settings: vec![],
            base: true,
        },
        run: 7,
        seed: 42,
        driver: DriverKind::Amqp,
        connection: Connection {
            addresses: vec![],
            tls: Tls::default(),
            heartbeat: Span::ZERO,
            frame_max: 131_072,
            timeout: Span::from_secs(10),
        },
        topology: Topology {
            queues: vec![Queue {
                name: "q".into(),
                broker_name: "q".into(),
                kind: QueueKind::Classic,
                durable: true,
                auto_delete: false,
                arguments: vec![],
                existing: false,
            }],
            ..Topology::default()
        },
        producers: vec![ProducerFleet {
            name: "producers".into(),
            count: 3,
            connections: 3,
            target: Target {
                exchange: String::new(),
                key: "q".into(),
            },
            rate: Rate::per_second(2000),
            arrivals: Arrivals::Constant,
            size: ByteSize::bytes(1024),
            persistent: true,
            mandatory: false,
            confirms: Confirms::Unbounded,
            properties: crate::driver::Properties::default(),
            headers: vec![],
            messages: None,
        }],
        consumers: vec![ConsumerFleet {
            name: "consumers".into(),
            count: 2,
            connections: 2,
            queue: "q".into(),
            prefetch: 0,
            ack: AckPolicy::Every(1),
            think: Span::ZERO,
            arguments: vec![],
        }],
        timing: Timing {
            warmup: Span::from_secs(1),
            measure: Span::from_secs(10),
            drain: Span::from_secs(5),
            start_over: Span::ZERO,
            interval: Span::from_secs(1),
            overload: Span::from_secs(10),
        },
        max_backlog: ByteSize::bytes(1 << 30),
        claims: vec![],
    }
}

fn near(found: u64, expected: f64, tolerance: f64) {
    let error = (found as f64 - expected).abs() / expected;
    assert!(error <= tolerance, "found {found}, expected {expected}");
}

fn balances(simulated: &Simulated) {
    let t = &simulated.totals;
    assert_eq!(t.planned, t.sent + t.unsent);
    assert_eq!(
        t.sent,
        t.confirmed + t.nacked + t.returned + t.unconfirmed + t.unasked
    );
    let ended =
        t.delivered + t.undelivered + t.dropped_by_design + t.lost_confirmed + t.lost_unconfirmed;
    assert_eq!(t.owed, ended);
}

#[test]
fn a_fixed_delay_is_every_percentile() {
    let truth = Truth {
        delay: Span::from_ms(5),
        ..Truth::default()
    };
    let simulated = simulate(&plan(), &truth);
    for series in [
        Series::DeliveryResponse,
        Series::DeliveryService,
        Series::ConfirmResponse,
        Series::ConfirmService,
    ] {
        for percentile in [1.0, 50.0, 99.99] {
            near(simulated.percentile(series, percentile), 5e6, 0.001);
        }
        assert_eq!(simulated.times[&series].len(), 20_000, "{series:?}");
    }
    assert_eq!(simulated.percentile(Series::PacerLag, 100.0), 0);
    assert_eq!(simulated.burst_max, 1);
    balances(&simulated);
}

/// A server at 4,000/s that stands still for S = 1 s of T = 60 s, offered 2,000/s. The backlog of a stall is worked off
/// at mu - lambda, so a share f = S mu / ((mu - lambda) T) = 1 x 4000 / (2000 x 60) = 3.33% of the messages is late, from S
/// down to 0 evenly. Hence P95 = base, P99 = S (1 - 0.01 / f) = 0.700 s, P99.9 = S (1 - 0.001 / f) = 0.970 s.
#[test]
fn a_stall_shows_in_response_times_and_not_in_service_times_of_a_window() {
    let mut plan = plan();
    plan.timing.measure = Span::from_secs(60);
    let truth = Truth {
        service: Service::Fixed(Span::from_ns(250_000)),
        stalls: vec![(Span::from_secs(20), Span::from_secs(1))],
        ..Truth::default()
    };
    let open = simulate(&plan, &truth);
    near(
        open.percentile(Series::DeliveryResponse, 95.0),
        250_000.0,
        0.001,
    );
    near(open.percentile(Series::DeliveryResponse, 99.0), 0.7e9, 0.01);
    near(
        open.percentile(Series::DeliveryResponse, 99.9),
        0.97e9,
        0.01,
    );
    // With a window the producer waits, and only the few messages under way carry the stall as service time: this is
    // what tools report that stamp at sending.
    plan.producers[0].confirms = Confirms::Window(10);
    let windowed = simulate(&plan, &truth);
    near(
        windowed.percentile(Series::DeliveryResponse, 99.0),
        0.7e9,
        0.01,
    );
    assert!(windowed.percentile(Series::DeliveryService, 99.0) < 10_000_000);
    assert!(windowed.percentile(Series::Hold, 99.0) > 600_000_000);
    assert_eq!(
        windowed.percentile(Series::PacerLag, 100.0),
        0,
        "hold is the broker's, lag is ours"
    );
    balances(&windowed);
}

#[test]
fn confirms_withheld_for_two_seconds_are_two_seconds_of_hold_and_of_response_time() {
    let mut plan = plan();
    plan.producers[0].confirms = Confirms::Window(100);
    plan.producers[0].count = 1;
    plan.producers[0].connections = 1;
    let truth = Truth {
        withheld: vec![(Span::from_secs(4), Span::from_secs(2))],
        ..Truth::default()
    };
    let simulated = simulate(&plan, &truth);
    assert!(simulated.percentile(Series::ConfirmResponse, 100.0) >= 1_999_000_000);
    // The window of 100 is full after 50 ms; from then on the producer waits, until the 2 s are over.
    near(simulated.waited_ns.0, 1.95e9, 0.01);
    assert_eq!((simulated.waited_ns.1, simulated.waited_ns.2), (0, 0));
    assert_eq!(simulated.totals.unsent, 0);
}

/// Sojourn times of a FIFO server with Poisson arrivals and exponential service are exponential with rate mu - lambda
/// (Kleinrock, "Queueing systems" I, 1975, section 3.2). At 2,000 of 4,000 a second: P95 = ln 20 / 2000 = 1.498 ms. Runs
/// scatter by their own autocorrelation; 120,000 messages at load 0.5 keep within 5%.
#[test]
fn an_m_m_1_queue_has_exponential_response_times() {
    let mut plan = plan();
    plan.timing.measure = Span::from_secs(60);
    plan.producers[0].arrivals = Arrivals::Poisson;
    let truth = Truth {
        service: Service::Exponential(Span::from_ns(250_000)),
        ..Truth::default()
    };
    let simulated = simulate(&plan, &truth);
    near(
        simulated.percentile(Series::DeliveryResponse, 50.0),
        2_f64.ln() / 2000.0 * 1e9,
        0.05,
    );
    near(
        simulated.percentile(Series::DeliveryResponse, 95.0),
        20_f64.ln() / 2000.0 * 1e9,
        0.05,
    );
    near(
        simulated.percentile(Series::DeliveryResponse, 99.0),
        100_f64.ln() / 2000.0 * 1e9,
        0.08,
    );
}

/// Even arrivals at a server that is faster: every message finds it idle. A generator that sends in bursts would not.
#[test]
fn even_arrivals_at_a_faster_server_take_the_service_time_and_no_more() {
    let truth = Truth {
        service: Service::Fixed(Span::from_ns(450_000)),
        ..Truth::default()
    };
    let simulated = simulate(&plan(), &truth);
    let times = &simulated.times[&Series::DeliveryResponse];
    assert_eq!(
        times.iter_recorded().count(),
        1,
        "more than one value was recorded"
    );
    near(times.max(), 450_000.0, 0.001);
}

#[test]
fn every_message_with_a_fate_of_its_own_is_counted_exactly() {
    let mut fates = HashMap::new();
    let mut next = 0;
    let mut give = |fate, count: u64| {
        for _ in 0..count {
            // Spread over the producers, far from one another.
            fates.insert(((next % 3) as u32, 1000 + next * 10), fate);
            next += 1;
        }
    };
    give(Fate::Drop, 7);
    give(Fate::Duplicate, 5);
    give(Fate::Nack, 3);
    give(Fate::Return, 2);
    give(Fate::Swap, 11);
    give(Fate::Corrupt, 4);
    give(Fate::Withhold, 6);
    let mut plan = plan();
    plan.consumers[0].count = 1;
    plan.consumers[0].connections = 1;
    plan.producers[0].mandatory = true;
    let simulated = simulate(
        &plan,
        &Truth {
            fates,
            ..Truth::default()
        },
    );
    let t = simulated.totals;
    assert_eq!(t.planned, 22_000);
    assert_eq!((t.sent, t.unsent), (22_000, 0));
    assert_eq!((t.nacked, t.returned, t.unconfirmed), (3, 2, 6));
    assert_eq!(t.confirmed, 22_000 - 3 - 2 - 6);
    assert_eq!((t.duplicated, t.corrupt), (5, 4));
    // A damaged copy is a copy that never came: 7 dropped + 4 corrupt, all of them confirmed.
    assert_eq!((t.lost_confirmed, t.lost_unconfirmed), (7 + 4, 0));
    assert_eq!(t.owed, 22_000 - 2);
    // A swapped message comes after the next of the whole stream; it is behind a later one of its own producer only
    // where that next one was its own.
    assert_eq!(t.reordered, 0);
    balances(&simulated);
}

#[test]
fn swapped_messages_of_one_producer_are_reordered() {
    let fates = (0..11).map(|i| ((0, 1000 + i * 10), Fate::Swap)).collect();
    let mut plan = plan();
    (plan.producers[0].count, plan.producers[0].connections) = (1, 1);
    (plan.consumers[0].count, plan.consumers[0].connections) = (1, 1);
    let simulated = simulate(
        &plan,
        &Truth {
            fates,
            ..Truth::default()
        },
    );
    assert_eq!(simulated.totals.reordered, 11);
    assert_eq!(simulated.totals.delivered, 22_000);
}

#[test]
fn a_confirm_with_multiple_settles_all_up_to_it_at_one_time() {
    let mut plan = plan();
    (plan.producers[0].count, plan.producers[0].connections) = (1, 1);
    let simulated = simulate(
        &plan,
        &Truth {
            confirm_every: 50,
            ..Truth::default()
        },
    );
    // 22,000 messages, 440 confirms of 50: none is left over. The first of a batch waited for 49 gaps of 0.5 ms.
    assert_eq!(
        (simulated.totals.confirmed, simulated.totals.unconfirmed),
        (22_000, 0)
    );
    assert_eq!(
        simulated.times[&Series::ConfirmResponse].max() / 1_000_000,
        24
    );
    assert_eq!(
        simulated.percentile(Series::ConfirmResponse, 50.0) / 1_000_000,
        12
    );
}

#[test]
fn unanswered_messages_of_the_measure_phase_are_known_for_the_percentiles() {
    let fates = (0..400).map(|i| ((0, 1000 + i), Fate::Withhold)).collect();
    let mut plan = plan();
    (plan.producers[0].count, plan.producers[0].connections) = (1, 1);
    let simulated = simulate(
        &plan,
        &Truth {
            fates,
            ..Truth::default()
        },
    );
    // Sequences 1000 to 1399; the measure phase begins with sequence 2000 - none of these; and with those from 2000 on.
    assert_eq!(
        (simulated.totals.unconfirmed, simulated.unanswered_measured),
        (400, 0)
    );
    let fates = (0..400).map(|i| ((0, 1900 + i), Fate::Withhold)).collect();
    let simulated = simulate(
        &plan,
        &Truth {
            fates,
            ..Truth::default()
        },
    );
    assert_eq!(
        (simulated.totals.unconfirmed, simulated.unanswered_measured),
        (400, 300)
    );
}

#[test]
fn the_load_is_the_schedules_own_count_whatever_the_broker_does() {
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        let mut plan = plan();
        plan.producers[0].arrivals = arrivals;
        let schedule = Schedule {
            rate: Rate::per_second(2000).unwrap(),
            arrivals,
            seed: 42,
            fleet: 0,
        };
        let expected = schedule.count_before(Span::from_secs(11));
        // Half of the offered rate: the rest waits, and is sent in the drain or stays unsent; none is skipped.
        plan.producers[0].confirms = Confirms::Window(10);
        let slow = Truth {
            service: Service::Fixed(Span::from_ms(1)),
            ..Truth::default()
        };
        for truth in [Truth::default(), slow] {
            let simulated = simulate(&plan, &truth);
            assert_eq!(simulated.totals.planned, expected);
            balances(&simulated);
        }
    }
}

#[test]
fn a_server_at_half_of_the_offered_rate_makes_response_times_grow_with_the_due_time() {
    let mut plan = plan();
    plan.timing.drain = Span::from_secs(30);
    let truth = Truth {
        service: Service::Fixed(Span::from_ms(1)),
        ..Truth::default()
    };
    let simulated = simulate(&plan, &truth);
    // Slope (lambda - mu) / mu = 1 by due time: the last message, due at 11 s, has its answer at 22 s.
    near(simulated.times[&Series::DeliveryResponse].max(), 11e9, 0.01);
    near(
        simulated.percentile(Series::DeliveryResponse, 50.0),
        6e9,
        0.01,
    );
}

#[test]
fn the_same_plan_gives_the_same_numbers() {
    let mut plan = plan();
    plan.producers[0].arrivals = Arrivals::Poisson;
    let truth = Truth {
        service: Service::Exponential(Span::from_ns(250_000)),
        ..Truth::default()
    };
    let (one, two) = (simulate(&plan, &truth), simulate(&plan, &truth));
    assert_eq!(
        one.times[&Series::DeliveryResponse],
        two.times[&Series::DeliveryResponse]
    );
    assert_eq!(one.totals, two.totals);
}

struct Ignore;

impl crate::record::Observer for Ignore {
    fn observe(&mut self, _: &crate::record::RunEvent) {}
}

#[test]
fn a_load_lasts_until_the_measure_phase_is_over_though_its_last_message_was_due_before() {
    let mut plan = plan();
    // Due at 0 and at 0.6 s of 1 s.
    plan.producers[0].rate = Rate::new(10, 6_000_000_000);
    (plan.producers[0].count, plan.producers[0].connections) = (1, 1);
    plan.timing.warmup = Span::ZERO;
    plan.timing.measure = Span::from_secs(1);
    let driver = crate::driver::memory::Memory::default();
    let outcome = super::run(&driver, &plan, &super::StopSignal::new(), &mut Ignore);
    assert_eq!(outcome.stop, crate::results::Stop::Completed);
    assert_eq!((outcome.totals.planned, outcome.totals.confirmed), (2, 2));
    assert!(outcome.measured.seconds >= 1.0, "{:?}", outcome.measured);
}

#[test]
fn messages_returned_in_a_later_interval_than_they_were_sent_in_are_counted_once() {
    let mut plan = plan();
    plan.producers[0].mandatory = true;
    plan.producers[0].target.key = "nowhere".into();
    (plan.producers[0].count, plan.producers[0].connections) = (1, 1);
    plan.timing.warmup = Span::ZERO;
    plan.timing.measure = Span::from_ms(300);
    plan.timing.interval = Span::from_ms(10);
    let driver = crate::driver::memory::Memory::default();
    let outcome = super::run(&driver, &plan, &super::StopSignal::new(), &mut Ignore);
    assert_eq!(outcome.totals.planned, 600);
    assert_eq!(outcome.totals.returned, 600);
    assert_eq!((outcome.totals.owed, outcome.totals.confirmed), (0, 0));
}

#[test]
fn returned_messages_without_confirms_end_as_returned() {
    let mut plan = plan();
    plan.producers[0].mandatory = true;
    plan.producers[0].confirms = Confirms::Off;
    plan.producers[0].target.key = "nowhere".into();
    (plan.producers[0].count, plan.producers[0].connections) = (1, 1);
    plan.timing.warmup = Span::ZERO;
    plan.timing.measure = Span::from_ms(300);
    let driver = crate::driver::memory::Memory::default();
    let outcome = super::run(&driver, &plan, &super::StopSignal::new(), &mut Ignore);
    let t = outcome.totals;
    assert_eq!((t.sent, t.returned, t.unasked), (600, 600, 0));
    // Nothing waits on the broker, so nothing is a backlog.
    assert_eq!(outcome.stop, crate::results::Stop::Completed);
}

#[test]
fn a_message_that_expires_by_itself_is_dropped_by_design() {
    let mut plan = plan();
    assert_eq!(plan.layout().subscriptions[0].drops_by, None);
    plan.producers[0].properties.expiration = Some("50".into());
    assert_eq!(
        plan.layout().subscriptions[0].drops_by.as_deref(),
        Some("expiration")
    );
}
