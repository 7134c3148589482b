//! Something happens to the broker in mid-run. It ends the run, saved and soon, or is measured where it is measurable.

use std::time::{Duration, Instant};

use super::{Ended, Folder, LIMIT, Running, STEADY, start_both, uri};
use crate::broker::{self, Disturbed};
use crate::provision::private_node;

/// No node answers, so nothing is worth waiting for: saying goodbye takes 5 s at the most, removing what was declared
/// no longer than being refused.
const PROMPTLY: Duration = Duration::from_secs(20);

fn measuring(folder: &Folder, scenario: &str, broker: &str) -> Vec<Running> {
    let file = folder.scenario("disturbed", scenario);
    let mut runs = start_both(folder, &file, broker);
    for run in &mut runs {
        run.wait_until_measuring();
    }
    runs
}

fn all_end_promptly(runs: Vec<Running>) -> Vec<Ended> {
    let since = Instant::now();
    let left = |since: Instant| PROMPTLY.saturating_sub(since.elapsed());
    runs.into_iter()
        .map(|run| run.end_within(left(since)))
        .collect()
}

fn assert_saved_after_a_failure(ended: &Ended, words: &[&str]) {
    ended.assert_broker_failed(words);
    ended.assert_saved();
    ended.assert_accounted_for();
    assert!(ended.column("delivered").iter().sum::<f64>() > 0.0);
    assert!(ended.folder().join("report.html").exists());
}

#[test]
fn connections_closed_by_the_broker_end_the_run_with_its_reason() {
    let node = broker::disturbed();
    let folder = Folder::new("closed");
    let runs = measuring(&folder, STEADY, &uri(&node.address()));
    node.control(&["close_all_connections", "the operator said so"]);
    for ended in all_end_promptly(runs) {
        assert_saved_after_a_failure(&ended, &["320", "the operator said so"]);
    }
    // Removed over a new connection, for the broker itself is well.
    assert_eq!(
        node.control(&["list_queues", "--no-table-headers", "name"])
            .trim(),
        ""
    );
}

/// Starts the broker's application again however the test ends.
struct Started<'a>(&'a Disturbed);

impl Drop for Started<'_> {
    fn drop(&mut self) {
        self.0.restore(&["start_app"]);
        self.0.restore(&["await_startup"]);
        for queue in self
            .0
            .restore(&["list_queues", "--no-table-headers", "name"])
            .lines()
        {
            self.0.restore(&["delete_queue", queue.trim()]);
        }
    }
}

#[test]
fn a_node_that_is_stopped_ends_the_run_with_its_reason() {
    let node = broker::disturbed();
    let folder = Folder::new("stopped");
    let runs = measuring(&folder, STEADY, &uri(&node.address()));
    let _started = Started(&node);
    node.control(&["stop_app"]);
    for ended in all_end_promptly(runs) {
        // The reason too where it could still be read: a reset may overtake it.
        assert_saved_after_a_failure(&ended, &["of", "to amqp://guest@127.0.0.1:", "ended"]);
    }
}

#[test]
fn a_node_that_dies_ends_the_run_and_what_it_left_is_noted_for_clean() {
    let broker = private_node();
    let nodes = broker.nodes().unwrap();
    let folder = Folder::new("killed");
    let runs = measuring(&folder, STEADY, &uri(&broker.addresses[0]));
    // `halt` at once: nobody closes anything in an orderly way.
    let _ = nodes.control(0, &["eval", "erlang:halt(1, [{flush, false}])."]);
    for ended in all_end_promptly(runs) {
        assert_saved_after_a_failure(&ended, &["of", "to amqp://guest@127.0.0.1:", "ended"]);
        assert!(ended.folder().join("declared.json").exists());
        let notes = ended.record()["notes"].to_string();
        assert!(notes.contains("mqbench clean"), "{notes}");
    }
}

#[test]
fn a_queue_that_is_deleted_under_its_consumers_is_told_and_not_counted_as_loss() {
    let node = broker::disturbed();
    let folder = Folder::new("deleted");
    let runs = measuring(&folder, STEADY, &uri(&node.address()));
    let queues = node.control(&["list_queues", "--no-table-headers", "name"]);
    assert_eq!(queues.lines().count(), 2, "{queues}");
    for queue in queues.lines() {
        node.control(&["delete_queue", queue.trim()]);
    }
    for ended in all_end_promptly(runs) {
        // By the name that the scenario gives it.
        assert_saved_after_a_failure(&ended, &["cancelled", "steady"]);
    }
}

/// Lifts the alarm however the test ends.
struct Alarm<'a>(&'a Disturbed);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.restore(&["set_vm_memory_high_watermark", "0.8"]);
    }
}

#[test]
fn a_blocked_connection_is_measured_time_and_no_error() {
    let node = broker::disturbed();
    let folder = Folder::new("blocked");
    let scenario = STEADY.replace("measure = \"40s\"", "measure = \"12s\"");
    let runs = measuring(&folder, &scenario, &uri(&node.address()));
    let alarm = Alarm(&node);
    node.control(&["set_vm_memory_high_watermark", "0.0001"]);
    let since = Instant::now();
    std::thread::sleep(Duration::from_secs(2));
    let blocked = since.elapsed();
    drop(alarm);
    for run in runs {
        let ended = run.end_within(LIMIT);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.variant()["stop"]["reason"], "completed");
        ended.assert_balanced();
        assert_eq!(ended.total("undelivered"), 0);
        assert_eq!(ended.total("unsent"), 0, "all was sent in the end");
        // The broker blocks a connection at its next publish, a few milliseconds later.
        let slack = Duration::from_millis(250);
        let at_least = (blocked - slack).as_nanos() as u64;
        let accounts = ended.variant()["time_account"].clone();
        let waited = accounts[0]["blocked_ns"].as_u64().unwrap();
        assert!(waited >= 2 * at_least, "two producers: {accounts}");
        for series in ["delivery-response", "confirm-response", "hold"] {
            let max = ended.max_ns(series);
            assert!(max >= at_least, "{series}: {max} ns");
        }
        let most = ended.column("blocked_producers");
        assert!(most.contains(&2.0), "{most:?}");
        let notes = ended.record()["notes"].to_string();
        assert!(notes.contains("connection.blocked"), "{notes}");
        assert!(notes.contains("unblocked"), "{notes}");
    }
}
