//! A results folder's whole life, on a real disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::fixture::{bad_day, kept, kept_intervals};
use super::*;
use crate::address::Address;
use crate::units::Span;

/// A new folder that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "mqbench-results-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The fixed run, stored interval by interval; gives its store and what should be read back.
fn stored(out: &Path) -> (Store, RunRecord) {
    let record = kept();
    let store = Store::create(out, &record.run).unwrap();
    let mut writer = store.begin_variant(&record.run, 0).unwrap();
    for interval in kept_intervals() {
        writer.append(&interval).unwrap();
    }
    let series = writer.finish();
    store.save(&record.run).unwrap();
    (
        store,
        RunRecord {
            run: record.run,
            series: vec![series],
        },
    )
}

fn assert_same(left: &VariantSeries, right: &VariantSeries) {
    assert_eq!(left.intervals, right.intervals);
    assert_eq!(left.histograms.len(), right.histograms.len());
    for (a, b) in left.histograms.iter().zip(&right.histograms) {
        assert_eq!((a.series, a.stream), (b.series, b.stream));
        assert_eq!(a.histogram, b.histogram, "{:?}", a.series);
        assert_eq!(a.histogram.max(), b.histogram.max());
        assert_eq!(a.histogram.min(), b.histogram.min());
    }
}

fn error_of(folder: &Path) -> String {
    load(folder).unwrap_err().to_string()
}

#[test]
fn what_was_stored_is_read_back_to_the_last_digit() {
    let scratch = Scratch::new();
    let (store, record) = stored(&scratch.0);
    let read = load(store.folder()).unwrap();
    assert_eq!(read.run, record.run);
    assert_same(&read.series[0], &record.series[0]);
    // What the engine added up in memory and what the fixture added up are the same too.
    assert_same(&read.series[0], &kept().series[0]);
    let by_file = load(&store.folder().join("run.json")).unwrap();
    assert_eq!(by_file.run, record.run);
}

#[test]
fn a_folder_is_named_by_the_time_and_never_used_twice() {
    let scratch = Scratch::new();
    let run = kept().run;
    let folders: Vec<PathBuf> = (0..3)
        .map(|_| Store::create(&scratch.0, &run).unwrap().folder().to_owned())
        .collect();
    let parent = scratch.0.join("work-queue");
    let names = [
        "2026-11-24T03-59-39Z",
        "2026-11-24T03-59-39Z-2",
        "2026-11-24T03-59-39Z-3",
    ];
    assert_eq!(folders, names.map(|name| parent.join(name)));
}

#[test]
fn a_kill_at_any_byte_leaves_every_interval_before_it() {
    let scratch = Scratch::new();
    let (store, record) = stored(&scratch.0);
    let rows = fs::read(store.folder().join("intervals.csv")).unwrap();
    let times = fs::read(store.folder().join("times.hlog")).unwrap();
    let ends: Vec<usize> = rows
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'\n')
        .map(|(at, _)| at + 1)
        .collect();
    // The head, then one line an interval: cut in the middle of the sixth interval's row.
    for (cut, whole, noted) in [
        (ends[6] - 1, 5, true),
        (ends[5] + 1, 5, true),
        (ends[6], 6, true),
        (ends[0], 0, true),
    ] {
        fs::write(store.folder().join("intervals.csv"), &rows[..cut]).unwrap();
        let read = load(store.folder()).unwrap();
        assert_eq!(
            read.series[0].intervals,
            record.series[0].intervals[..whole]
        );
        // Warm-up intervals have nothing in times.hlog: ten thousand messages a measured second of 1000.
        let counted: u64 = read.series[0]
            .histograms
            .iter()
            .filter(|part| part.series == crate::record::Series::DeliveryResponse)
            .map(|part| part.histogram.len())
            .sum();
        assert_eq!(
            counted,
            1000 * (whole as u64).saturating_sub(2),
            "cut at {cut}"
        );
        let note = read.run.notes.iter().any(|note| note.contains("cut off"));
        assert_eq!(note, noted, "cut at {cut}");
    }
    fs::write(store.folder().join("intervals.csv"), &rows).unwrap();
    fs::write(store.folder().join("times.hlog"), &times[..times.len() - 7]).unwrap();
    let read = load(store.folder()).unwrap();
    assert!(read.run.notes.iter().any(|note| note.contains("cut off")));
    assert_eq!(read.series[0].intervals.len(), 12);
}

#[test]
fn what_is_no_run_says_so_and_names_the_file() {
    let scratch = Scratch::new();
    let empty = scratch.0.join("empty");
    fs::create_dir_all(&empty).unwrap();
    assert!(error_of(&empty).contains("holds no run"));
    assert!(error_of(&scratch.0.join("absent")).contains("absent holds no run"));

    let (store, record) = stored(&scratch.0);
    let path = store.folder().join("run.json");
    let mut newer = record.run.clone();
    newer.version = VERSION + 1;
    for (text, part) in [
        (
            serde_json::to_string(&newer).unwrap(),
            "version 2 of the format",
        ),
        (
            "{\"format\": \"mqbench run\", \"version\": 1".to_owned(),
            "run.json is damaged: EOF",
        ),
        (
            "{\"format\": \"mqbench run\", \"version\": 1}".to_owned(),
            "missing field",
        ),
        ("{}".to_owned(), "expected a field `format`"),
    ] {
        fs::write(&path, text).unwrap();
        let error = error_of(store.folder());
        assert!(
            error.contains(part) && error.contains("run.json"),
            "{error}"
        );
    }
    let mut outside = record.run.clone();
    outside.variants[0].folder = "../../etc".into();
    fs::write(&path, serde_json::to_string(&outside).unwrap()).unwrap();
    assert!(error_of(store.folder()).contains("not inside"));

    store.save(&record.run).unwrap();
    fs::write(
        store.folder().join("times.hlog"),
        "Tag=delivery-response,0.0,1.0,2.0,!!\n",
    )
    .unwrap();
    let error = error_of(store.folder());
    assert!(error.contains("times.hlog is damaged"), "{error}");
    fs::remove_file(store.folder().join("times.hlog")).unwrap();
    assert!(error_of(store.folder()).contains("times.hlog"));
    let rows = fs::read_to_string(store.folder().join("intervals.csv")).unwrap();
    fs::write(
        store.folder().join("intervals.csv"),
        rows.replace("measure", "meansure"),
    )
    .unwrap();
    let error = error_of(store.folder());
    assert!(
        error.contains("line 4: column `phase` holds `meansure`"),
        "{error}"
    );
}

#[test]
fn places_that_cannot_hold_a_run_are_found_before_the_load() {
    let scratch = Scratch::new();
    let file = scratch.0.join("file");
    fs::write(&file, "").unwrap();
    let error = Store::create(&file, &kept().run).unwrap_err().to_string();
    assert!(
        error.contains("file/work-queue") && error.contains("--out"),
        "{error}"
    );

    let mut endless = kept().run;
    endless.variants[0].plan.timing.measure = Span::from_secs(1 << 33);
    let error = Store::create(&scratch.0, &endless).unwrap_err().to_string();
    assert!(
        error.contains("too little room") && error.contains("bytes free"),
        "{error}"
    );
}

#[test]
fn variants_get_folders_of_their_own_and_one_that_never_began_is_empty() {
    let scratch = Scratch::new();
    let record = bad_day();
    let store = Store::create(&scratch.0, &record.run).unwrap();
    for index in 0..3 {
        let mut writer = store.begin_variant(&record.run, index).unwrap();
        for interval in kept_intervals() {
            writer.append(&interval).unwrap();
        }
    }
    assert!(store.begin_variant(&record.run, 4).is_err());
    let read = load(store.folder()).unwrap();
    assert_eq!(read.run, record.run);
    let counts: Vec<usize> = read
        .series
        .iter()
        .map(|series| series.intervals.len())
        .collect();
    assert_eq!(counts, [12, 12, 12, 0]);
    assert!(store.folder().join("01-base/times.hlog").is_file());
}

#[test]
fn what_a_killed_run_declared_is_found_again_and_holds_no_password() {
    let scratch = Scratch::new();
    let (store, record) = stored(&scratch.0);
    let mut topology = record.run.variants[0].plan.topology.clone();
    let mut found = topology.queues[0].clone();
    found.name = "theirs".into();
    found.existing = true;
    topology.queues.push(found);
    let address: Address = "amqp://user:s3cret@broker:5672/%2f".parse().unwrap();
    store
        .declare(7, &topology, std::slice::from_ref(&address))
        .unwrap();
    store.declare(8, &topology, &[address]).unwrap();

    let text = fs::read_to_string(store.folder().join("declared.json")).unwrap();
    assert!(
        text.contains("user@broker") && !text.contains("s3cret"),
        "{text}"
    );
    let left = leftovers(&scratch.0);
    let runs: Vec<u32> = left.iter().map(|leftover| leftover.run).collect();
    assert_eq!(runs, [7, 8]);
    assert!(left[0].running, "this very process is the run");
    let names: Vec<&str> = left[0]
        .topology
        .queues
        .iter()
        .map(|q| q.broker_name.as_str())
        .collect();
    assert_eq!(
        names,
        ["send.email.mqb-00000007"],
        "what was found there is not ours"
    );

    // Process 1 is there for certain, and did not begin when this journal says.
    let killed = text.replacen(
        &format!("\"process\": {}", std::process::id()),
        "\"process\": 1",
        1,
    );
    fs::write(store.folder().join("declared.json"), killed).unwrap();
    assert!(!leftovers(&scratch.0)[0].running);

    store.removed(7).unwrap();
    leftovers(&scratch.0)[0].forget().unwrap();
    assert!(leftovers(&scratch.0).is_empty());
    assert!(!store.folder().join("declared.json").exists());
    assert!(leftovers(&scratch.0.join("absent")).is_empty());
}

#[test]
fn variants_with_alike_names_do_not_share_a_folder() {
    assert_eq!(variant_folder(1, 0, "base"), "");
    let long = "x".repeat(300);
    let folders = [
        variant_folder(3, 0, "key=a/b"),
        variant_folder(3, 1, "key=a b"),
        variant_folder(3, 2, &long),
    ];
    assert_eq!(&folders[..2], ["01-key=a_b", "02-key=a_b"]);
    assert_eq!(folders[2].len(), 100);
}
