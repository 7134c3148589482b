//! The load path allocates nothing once it runs: counted over whole turns of the worker's loop (FIDELITY 15). What the
//! drivers do inside a turn is counted in their own tests.

use std::sync::Arc;

use super::control::Control;
use super::crew::crew;
use super::tests::plan;
use super::worker::Worker;
use crate::clock::{Clock, Nanos, Scripted};
use crate::driver::{Admission, Answer, Delivery, DriverError, Event, Port, Settlement};
use crate::plan::{Confirms, WorkerPlan};
use crate::record::recorder::{MeasureWindows, Recorder, SheetShape};
use crate::stamp::Stamp;
use crate::units::Span;

/// Confirms and delivers at the next pump whatever was flushed, from memory that it took at the start.
struct Echo {
    clock: Scripted,
    queued: Vec<(u32, Stamp, u64)>,
    answers: Vec<Event>,
    tags: [u64; 8],
    delivered: u64,
}

impl Port for Echo {
    fn open(&mut self, _: u32, _: Nanos) -> Result<(), DriverError> {
        Ok(())
    }

    fn queue(&mut self, producer: u32, stamp: &Stamp, size: u64) -> Admission {
        self.queued.push((producer, *stamp, size));
        Admission::Taken
    }

    fn settle(&mut self, _: u32, _: u64, _: bool, _: Settlement) {}

    fn flush(&mut self, events: &mut Vec<Event>) {
        let at = self.clock.now();
        for (producer, mut stamp, size) in self.queued.drain(..) {
            stamp.sent = at;
            let tag = &mut self.tags[producer as usize];
            *tag += 1;
            self.delivered += 1;
            events.push(Event::Sent {
                producer,
                messages: 1,
                at,
            });
            self.answers.push(Event::Settled {
                producer,
                tag: *tag,
                multiple: false,
                answer: Answer::Ack,
                at,
            });
            let delivery = Delivery {
                tag: self.delivered,
                redelivered: false,
                body_len: size,
                stamp: Ok(stamp),
                at,
            };
            self.answers.push(Event::Delivered {
                consumer: 0,
                delivery,
            });
        }
    }

    fn pump(&mut self, until: Nanos, events: &mut Vec<Event>) {
        self.clock.set(until.max(self.clock.now()));
        events.append(&mut self.answers);
    }

    fn close(&mut self, _: Nanos) {}

    fn unwritten(&self) -> u64 {
        0
    }
}

#[test]
fn no_turn_of_a_running_worker_allocates() {
    let mut plan = plan();
    plan.producers[0].confirms = Confirms::Window(100);
    plan.timing.measure = Span::from_secs(600);
    let mut layout = plan.layout();
    // Both halves in one worker, so that one loop does everything there is to do.
    let (publishing, receiving) = (layout.workers[0].clone(), layout.workers[1].clone());
    layout.workers = vec![WorkerPlan {
        consumers: receiving.consumers,
        slots: [publishing.slots, receiving.slots].concat(),
        ..publishing
    }];
    let start = Nanos(1_000_000_000);
    let clock = Scripted::at(start);
    let measure = start + plan.timing.warmup;
    let windows = MeasureWindows {
        start: measure,
        end: measure + plan.timing.measure,
        window: Span::from_secs(1),
    };
    let shape = SheetShape {
        slots: layout.workers[0].slots.clone(),
        limits: plan.time_limits(),
        windows: windows.count(),
    };
    let (recorder, mut collector) = Recorder::new(&shape);
    let port = Echo {
        clock: clock.clone(),
        queued: Vec::with_capacity(1024),
        answers: Vec::with_capacity(4096),
        tags: [0; 8],
        delivered: 0,
    };
    let crew = crew(&plan, &layout, 0, start, windows);
    let mut worker = Worker::new(
        port,
        clock.clone(),
        crew,
        recorder,
        Arc::new(Control::default()),
    );
    let mut turns = |seconds: u64| {
        let until = clock.now() + Span::from_secs(seconds);
        while clock.now() < until {
            let wake = worker.turn();
            worker.wait(wake);
        }
    };
    // The first second is where everything takes its place.
    turns(1);
    let before = collector
        .collect()
        .slots
        .iter()
        .map(|slot| slot.counts.sent)
        .sum::<u64>();
    // 120 s at 2,000/s over three producers: each fills and gives back more than one page of its tallies.
    let counted = allocation_counter::measure(|| turns(120));
    let sent = collector
        .collect()
        .slots
        .iter()
        .map(|slot| slot.counts.sent)
        .sum::<u64>();
    assert!(before > 1_900 && sent > 239_000, "{before}, {sent}");
    // One page of 8 KiB for each of the six tallies (three producers' confirms, what came of three producers), once:
    // a full page is cleared and used again, but the first to fill finds no cleared one.
    assert!(counted.count_total <= 12, "{counted:?}");
}
