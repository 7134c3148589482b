//! More load than fits, halves of a load, messages that others left, and a harness that was itself held up.

use std::time::Duration;

use super::{Ended, Folder, STEADY, start, start_both, uri};
use crate::broker;

fn run_both(folder: &Folder, scenario: &str) -> Vec<Ended> {
    let file = folder.scenario("load", scenario);
    let broker = uri(&broker::shared());
    let runs = start_both(folder, &file, &broker);
    runs.into_iter().map(super::Running::end).collect()
}

fn shorter(measure: &str) -> String {
    STEADY.replace("measure = \"40s\"", &format!("measure = \"{measure}\""))
}

#[test]
fn more_than_the_broker_takes_ends_overloaded_and_fails() {
    let folder = Folder::new("overload");
    // One unconfirmed message at a time is a few thousand a second at the most, on any machine.
    let scenario = r#"
claims = ["throughput >= 190k/s", "confirm.p99 < 500ms"]
[[queue]]
name = "overload"
[[producers]]
name = "publishers"
to = { queue = "overload" }
rate = "200k/s"
confirms = { window = 1 }
[[consumers]]
name = "workers"
from = "overload"
[timing]
warmup = "250ms"
measure = "20s"
interval = "250ms"
overload = "1s"
"#;
    for ended in run_both(&folder, scenario) {
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert_eq!(ended.variant()["stop"]["reason"], "overloaded");
        assert!(ended.stderr.contains("overloaded"), "{ended:?}");
        ended.assert_saved();
        ended.assert_balanced();
        assert!(ended.total("unsent") > 0);
        let verdicts = ended.claim_verdicts();
        assert_eq!(verdicts, ["FAIL", "FAIL"], "{:?}", ended.variant()["gates"]);
        // The limit was not waited for longer than it takes to notice.
        let last = ended.column("end_s").last().copied().unwrap();
        assert!(last < 10.0, "{last}");
    }
}

#[test]
fn a_flood_ends_when_its_backlog_is_full() {
    let folder = Folder::new("flood");
    let scenario = r#"
max_backlog = "4MiB"
[[queue]]
name = "flood"
[[producers]]
name = "publishers"
to = { queue = "flood" }
size = "4KiB"
confirms = "off"
persistent = false
[timing]
warmup = "0s"
measure = "60s"
interval = "100ms"
"#;
    for ended in run_both(&folder, scenario) {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let stop = ended.variant()["stop"].clone();
        assert_eq!(stop["reason"], "backlog-full", "{stop}");
        assert!(stop["detail"].as_str().unwrap().contains("4MiB"), "{stop}");
        ended.assert_saved();
        ended.assert_balanced();
        assert!(ended.total("sent") > 1024);
        assert_eq!(ended.total("undelivered"), ended.total("sent"));
        assert!(ended.stdout.contains("max_backlog"), "{}", ended.stdout);
    }
}

#[test]
fn producers_alone_leave_everything_undelivered_and_keep_claims_about_confirms() {
    let folder = Folder::new("producers");
    let scenario = r#"
claims = ["confirm.p99 < 10s", "throughput >= 150/s", "unconfirmed == 0"]
[[queue]]
name = "alone"
[[producers]]
name = "publishers"
count = 2
to = { queue = "alone" }
rate = "200/s"
[timing]
warmup = "250ms"
measure = "2s"
interval = "250ms"
"#;
    for ended in run_both(&folder, scenario) {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.variant()["stop"]["reason"], "completed");
        ended.assert_balanced();
        assert_eq!(ended.total("planned"), 450);
        assert_eq!(ended.total("confirmed"), 450);
        assert_eq!(ended.total("undelivered"), 450);
        assert_eq!(ended.total("delivered"), 0);
    }
}

/// Puts messages of an earlier run, and of somebody else, into a queue that stays.
fn filled_queue(folder: &Folder, queue: &str) -> broker::Disturbed {
    let node = broker::disturbed();
    node.control(&["eval", &format!("rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>), true, false, [], none, <<\"test\">>).")]);
    let scenario = format!(
        r#"
[[queue]]
name = "{queue}"
existing = true
[[producers]]
name = "earlier"
to = {{ queue = "{queue}" }}
messages = 700
rate = "2k/s"
[timing]
warmup = "0s"
measure = "5s"
"#
    );
    let file = folder.scenario("earlier", &scenario);
    let mut run = start(folder, &file, "amqp", &uri(&node.address())).end();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.total("confirmed"), 700);
    std::fs::remove_dir_all(std::mem::take(&mut run.out)).unwrap();
    node
}

#[test]
fn messages_of_an_earlier_run_are_foreign_and_never_measured() {
    for driver in super::DRIVERS {
        let folder = Folder::new(&format!("foreign-{driver}"));
        let queue = format!("bad-days-foreign-{driver}");
        let node = filled_queue(&folder, &queue);
        let scenario = shorter("2s")
            .replace("\"steady\"", &format!("\"{queue}\""))
            .replace("[[producers]]", "existing = true\n\n[[producers]]");
        let file = folder.scenario("foreign", &scenario);
        let ended = start(&folder, &file, driver, &uri(&node.address())).end();
        node.control(&["delete_queue", &queue]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.assert_balanced();
        assert_eq!(ended.total("foreign"), 700);
        assert_eq!(ended.total("planned"), 1125);
        assert_eq!(ended.total("delivered"), 1125);
        assert_eq!(ended.series("delivery-response")["count"], 1000);
    }
}

#[test]
fn consumers_alone_empty_an_existing_queue_and_end() {
    for driver in super::DRIVERS {
        let folder = Folder::new(&format!("consumers-{driver}"));
        let queue = format!("bad-days-consumers-{driver}");
        let node = filled_queue(&folder, &queue);
        let scenario = format!(
            r#"
[[queue]]
name = "{queue}"
existing = true
[[consumers]]
name = "workers"
from = "{queue}"
[timing]
warmup = "0s"
measure = "2s"
"#
        );
        let file = folder.scenario("consumers", &scenario);
        let ended = start(&folder, &file, driver, &uri(&node.address())).end();
        let left = node.control(&["list_queues", "name", "messages"]);
        node.control(&["delete_queue", &queue]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.variant()["stop"]["reason"], "completed");
        assert_eq!(ended.total("foreign"), 700);
        assert_eq!(ended.total("sent") + ended.total("delivered"), 0);
        assert!(left.contains(&format!("{queue}\t0")), "{left}");
    }
}

#[test]
fn a_harness_that_was_stopped_for_a_second_says_so() {
    let folder = Folder::new("stopped-harness");
    let file = folder.scenario("stopped", &shorter("6s"));
    let mut runs = start_both(&folder, &file, &uri(&broker::shared()));
    for run in &mut runs {
        run.wait_until_measuring();
    }
    for run in &runs {
        run.signal("-STOP");
    }
    std::thread::sleep(Duration::from_secs(1));
    for run in &runs {
        run.signal("-CONT");
    }
    for run in runs {
        let ended = run.end();
        ended.assert_saved();
        ended.assert_balanced();
        assert_eq!(ended.variant()["stop"]["reason"], "completed");
        assert_eq!(ended.total("planned"), 3125);
        assert_eq!(ended.total("delivered"), 3125);
        for series in ["pacer-lag", "delivery-response", "confirm-response"] {
            let max = ended.max_ns(series);
            assert!(max >= 900_000_000, "{series}: {max} ns");
        }
        // The broker held nothing back: the fault is not put on it.
        let hold = ended.max_ns("hold");
        assert!(hold < 900_000_000, "{hold} ns");
    }
}
