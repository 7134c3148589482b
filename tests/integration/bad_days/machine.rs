//! The disk is full, the results folder is no folder, the user has had enough.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use super::{DRIVERS, Folder, Running, STEADY, mqbench, start, uri};
use crate::broker;

#[test]
fn too_little_room_for_the_results_is_found_before_the_load() {
    let folder = Folder::new("room");
    // Samples of 10 ms for a hundred thousand hours: more than any disk here holds.
    let scenario = STEADY
        .replace("measure = \"40s\"", "measure = \"100000h\"")
        .replace("interval = \"250ms\"", "interval = \"10ms\"");
    let file = folder.scenario("room", &scenario);
    let ended = start(&folder, &file, "amqp", "amqp://127.0.0.1:1/").end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    for word in ["too little room", "results-amqp", "--out"] {
        assert!(ended.stderr.contains(word), "{ended:?}");
    }
}

#[test]
fn a_folder_where_nothing_may_be_written_is_found_before_the_load() {
    let folder = Folder::new("unwritable");
    let file = folder.scenario("unwritable", STEADY);
    let out = folder.out("amqp");
    std::fs::create_dir(&out).unwrap();
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write anywhere but in /proc.
    let root = std::fs::write(out.join("probe"), "").is_ok();
    let named = if root { "/proc/mqbench".into() } else { out };
    let command = mqbench(&file, "amqp", &named, "amqp://127.0.0.1:1/");
    let ended = Running::start(command, named.clone()).end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(
        ended.stderr.contains(&named.display().to_string()),
        "{ended:?}"
    );
    assert!(!ended.stderr.contains("cannot reach"), "{ended:?}");
}

/// A run whose files may not grow beyond so many bytes (setrlimit(2), as a quota would): the kernel refuses the write.
fn run_with_small_files(folder: &Folder, driver: &str, bytes: u64) -> super::Ended {
    let file = folder.scenario("small-files", STEADY);
    let run = mqbench(&file, driver, &folder.out(driver), &uri(&broker::shared()));
    let mut command = Command::new("bash");
    // In units of 1,024 bytes. An ignored signal stays ignored in the program that follows.
    let limit = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 1024);
    command
        .args(["-c", &limit, "bash"])
        .arg(run.get_program())
        .args(run.get_args());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Running::start(command, folder.out(driver)).end()
}

#[test]
fn a_disk_that_is_full_in_mid_run_ends_it_saved_and_named() {
    for driver in DRIVERS {
        let folder = Folder::new(&format!("full-{driver}"));
        // Room for run.json, and not for all histograms.
        let ended = run_with_small_files(&folder, driver, 40 << 10);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let stop = ended.variant()["stop"].clone();
        assert_eq!(stop["reason"], "system-failed", "{stop}");
        let path = ended.folder().join("times.hlog").display().to_string();
        assert!(stop["detail"].as_str().unwrap().contains(&path), "{stop}");
        assert!(ended.stderr.contains(&path), "{ended:?}");
        assert!(ended.stdout.contains("Ledger"), "{ended:?}");
        assert!(ended.column("sent").iter().sum::<f64>() > 0.0);
        ended.assert_balanced();
    }
}

#[test]
fn where_not_even_the_record_can_be_saved_the_report_is_printed_all_the_same() {
    for driver in DRIVERS {
        let folder = Folder::new(&format!("fuller-{driver}"));
        // Room for the first run.json, and not for the last.
        let ended = run_with_small_files(&folder, driver, 8 << 10);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.stderr.contains("run.json"), "{ended:?}");
        assert!(ended.stdout.contains("Ledger"), "{ended:?}");
        // An earlier record stands as it was, with the intervals beside it.
        assert!(ended.record()["verdict"].is_null(), "{ended:?}");
        assert!(ended.column("sent").iter().sum::<f64>() > 0.0);
        let report = Command::new(env!("CARGO_BIN_EXE_mqbench"))
            .arg("report")
            .arg(ended.folder())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&report.stdout).into_owned();
        assert!(told.contains("Measured"), "{report:?}");
    }
}

#[test]
fn a_second_interrupt_stops_at_once_and_saves() {
    for driver in DRIVERS {
        let folder = Folder::new(&format!("twice-{driver}"));
        // Work that takes minutes, so that a drain would take all of its time.
        let scenario = STEADY
            .replace("drain = \"20s\"", "drain = \"300s\"")
            .replace("from = \"steady\"", "from = \"steady\"\nthink = \"1s\"");
        let file = folder.scenario("twice", &scenario);
        let mut run = start(&folder, &file, driver, &uri(&broker::shared()));
        run.wait_until_measuring();
        run.signal("-INT");
        run.wait_for("s  drain ", 2);
        run.signal("-INT");
        let ended = run.end_within(Duration::from_secs(20));
        assert_eq!(ended.code, Some(130), "{ended:?}");
        assert_eq!(ended.variant()["stop"]["reason"], "interrupted");
        ended.assert_saved();
        ended.assert_balanced();
        assert!(ended.total("undelivered") > 0);
    }
}
