//! Bad days: what the program does, as a user sees it, when the broker, the network, the disk or the user gets in its
//! way. With the real binary on real nodes; where a driver matters, both run side by side and meet the same disturbance.

mod disturbed; // something happens to the broker in mid-run
mod load; // more load than fits, halves of a load, what others left, a harness that was stopped
mod machine; // the disk, the results folder, Ctrl-C
mod refused; // the broker says no before the load
mod tls; // certificates of all sorts

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use assert_cmd::cargo::CommandCargoExt;
use mqbench::address::Address;
use serde_json::Value;

const DRIVERS: [&str; 2] = ["amqp", "lapin"];
/// Far more than any step takes on a busy machine, far less than what a run that hangs would take.
const LIMIT: Duration = Duration::from_secs(60);

/// A load that any machine keeps, for as long as a disturbance needs.
const STEADY: &str = r#"
title = "Steady"
claims = ["lost == 0", "duplicated == 0", "corrupt == 0"]

[[queue]]
name = "steady"

[[producers]]
name = "publishers"
count = 2
to = { queue = "steady" }
rate = "500/s"

[[consumers]]
name = "workers"
count = 2
from = "steady"

[timing]
warmup = "250ms"
measure = "40s"
drain = "20s"
interval = "250ms"
overload = "30s"
"#;

/// A folder of a test's own for scenarios and results, gone on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("mqbench-bad-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn scenario(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(format!("{name}.toml"));
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Where a driver's results go.
    fn out(&self, driver: &str) -> PathBuf {
        self.0.join(format!("results-{driver}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An address as a user would write it, password and all.
fn uri(address: &Address) -> String {
    let scheme = if address.tls { "amqps" } else { "amqp" };
    let Address {
        user,
        password,
        host,
        port,
        ..
    } = address;
    format!("{scheme}://{user}:{password}@{host}:{port}/")
}

/// `mqbench run` of one scenario by one driver against one broker, which stands in the environment.
fn mqbench(scenario: &Path, driver: &str, out: &Path, broker: &str) -> Command {
    let mut command = Command::cargo_bin("mqbench").unwrap();
    command
        .env_remove("MQBENCH_LOG")
        .env("MQBENCH_BROKER", broker)
        .args(["run", "--driver", driver, "--out"])
        .arg(out)
        .arg(scenario);
    command
}

/// A run under way.
struct Running {
    child: Child,
    out: PathBuf,
    said: Arc<Mutex<String>>,
    stderr: JoinHandle<()>,
    stdout: JoinHandle<String>,
}

/// A run that is over.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    out: PathBuf,
}

impl Running {
    fn start(mut command: Command, out: PathBuf) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let lines = BufReader::new(child.stderr.take().unwrap());
        let mut stdout = child.stdout.take().unwrap();
        Self {
            child,
            out,
            said,
            stderr: std::thread::spawn(move || {
                for line in lines.lines() {
                    let mut heard = heard.lock().unwrap();
                    heard.push_str(&line.unwrap());
                    heard.push('\n');
                }
            }),
            stdout: std::thread::spawn(move || {
                let mut text = String::new();
                stdout.read_to_string(&mut text).unwrap();
                text
            }),
        }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until stderr holds `text` so many times.
    fn wait_for(&mut self, text: &str, times: usize) {
        let start = Instant::now();
        while self.said().matches(text).count() < times {
            let over = self.child.try_wait().unwrap();
            assert!(over.is_none(), "it ended early, {over:?}: {}", self.said());
            assert!(start.elapsed() < LIMIT, "no {text:?}: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Some intervals of the measure phase have been told and saved.
    fn wait_until_measuring(&mut self) {
        self.wait_for("s  measure ", 3);
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    fn end(self) -> Ended {
        self.end_within(LIMIT)
    }

    /// Waits for its end; one that takes longer is killed, and the test fails.
    fn end_within(mut self, limit: Duration) -> Ended {
        let start = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            if start.elapsed() > limit {
                self.child.kill().unwrap();
                panic!("it did not end within {limit:?}: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        self.stderr.join().unwrap();
        let stderr = self.said.lock().unwrap().clone();
        Ended {
            code,
            stdout: self.stdout.join().unwrap(),
            stderr,
            out: self.out,
        }
    }
}

/// Starts one run by each driver, all at once.
fn start_both(folder: &Folder, scenario: &Path, broker: &str) -> Vec<Running> {
    DRIVERS
        .iter()
        .map(|driver| start(folder, scenario, driver, broker))
        .collect()
}

fn start(folder: &Folder, scenario: &Path, driver: &str, broker: &str) -> Running {
    let out = folder.out(driver);
    Running::start(mqbench(scenario, driver, &out, broker), out)
}

impl Ended {
    /// The one run folder that it left.
    fn folder(&self) -> PathBuf {
        let folders = |parent: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(parent).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect()
        };
        let scenarios = folders(&self.out);
        assert_eq!(scenarios.len(), 1, "{self:?}");
        let runs = folders(&scenarios[0]);
        assert_eq!(runs.len(), 1, "{self:?}");
        runs[0].clone()
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.folder().join("run.json")).unwrap()).unwrap()
    }

    /// The only variant.
    fn variant(&self) -> Value {
        self.record()["variants"][0].clone()
    }

    /// A column of `intervals.csv`.
    fn column(&self, name: &str) -> Vec<f64> {
        let mut file = csv::Reader::from_path(self.folder().join("intervals.csv")).unwrap();
        let headers = file.headers().unwrap().clone();
        let at = headers.iter().position(|header| header == name).unwrap();
        let rows = file.records().map(Result::unwrap);
        rows.map(|row| row[at].parse().unwrap_or(0.0)).collect()
    }

    fn total(&self, name: &str) -> u64 {
        let variant = self.variant();
        let total = variant["totals"][name].as_u64();
        total.unwrap_or_else(|| panic!("no {name} in {variant}"))
    }

    /// The greatest time of a series in ns; all of it came.
    fn max_ns(&self, series: &str) -> u64 {
        let max = self.series(series)["max"].clone();
        let measured = max["ns"].as_u64();
        measured.unwrap_or_else(|| panic!("{series} has {max}"))
    }

    /// The summary of a series over all fleets.
    fn series(&self, name: &str) -> Value {
        let variant = self.variant();
        let all = variant["series"].as_array().unwrap().clone();
        let found = all.iter().find(|series| series["series"] == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {all:?}"))
            .clone()
    }

    fn claim_verdicts(&self) -> Vec<String> {
        let record = self.record();
        let claims = record["claims"].as_array().unwrap();
        claims
            .iter()
            .map(|claim| claim["verdict"].as_str().unwrap_or("none").to_owned())
            .collect()
    }

    /// What was measured is on disk and can be printed again, with the same exit code.
    fn assert_saved(&self) {
        let sent: f64 = self.column("sent").iter().sum();
        assert!(sent > 0.0, "{self:?}");
        assert_eq!(sent as u64, self.total("sent"), "{self:?}");
        let report = Command::cargo_bin("mqbench")
            .unwrap()
            .arg("report")
            .arg(self.folder())
            .output()
            .unwrap();
        assert_eq!(report.status.code(), self.code, "{report:?}");
        let told = String::from_utf8_lossy(&report.stdout).into_owned();
        assert!(told.contains("Ledger"), "{told}");
    }

    /// The run ended because of the broker, with these words in the record and on stderr.
    fn assert_broker_failed(&self, words: &[&str]) {
        assert_eq!(self.code, Some(3), "{self:?}");
        let stop = self.variant()["stop"].clone();
        assert_eq!(stop["reason"], "broker-failed", "{stop}");
        for word in words {
            for text in [stop["detail"].as_str().unwrap(), &self.stderr, &self.stdout] {
                // Reports are wrapped: words count, not lines.
                let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(flat.contains(word), "no {word:?} in {flat:?}");
            }
        }
    }

    /// Every message that was sent is accounted for, none of them lost, doubled or spoilt.
    fn assert_balanced(&self) {
        assert_eq!(self.total("duplicated"), 0, "{self:?}");
        self.assert_accounted_for();
    }

    /// The same for a run whose connections ended one after the other: what the first consumer had not acknowledged may
    /// have gone to the next one, and the broker then says so.
    fn assert_accounted_for(&self) {
        let total = |name| self.total(name);
        assert_eq!(
            total("planned"),
            total("sent") + total("unsent"),
            "{self:?}"
        );
        assert_eq!(
            total("owed"),
            total("delivered") + total("undelivered"),
            "{self:?}"
        );
        for name in [
            "lost_confirmed",
            "lost_unconfirmed",
            "corrupt",
            "out_of_range",
        ] {
            assert_eq!(total(name), 0, "{name} in {self:?}");
        }
        assert!(total("duplicated") <= total("redelivered"), "{self:?}");
    }
}

/// Every file below a folder whose bytes hold `secret`.
fn files_with(folder: &Path, secret: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, secret));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        if bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes())
        {
            found.push(path);
        }
    }
    found
}
