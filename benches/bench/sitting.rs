//! One sitting: a broker of our own, the rows in rounds with the drivers alternating, then what is counted.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mqbench::provision::{Consent, Host, Request, Source, Unattended, obtain};
use serde_json::{Value, json};

use super::Outcome;

const USAGE: &str = "options: --rounds N (default 3), --broker amqp://.. (default: a private node from the installed \
    rabbitmq-server), --rabbitmq DIR (the installation to take), --keep (write benches/instructions.json anew)";
/// Messages of the two runs whose difference is divided: what a run costs apart from its messages cancels out.
const COUNTED: (u64, u64) = (20_000, 60_000);
/// How much instructions a message may rise over those that are kept.
const MOST_RISE: f64 = 1.03;

struct Options {
    rounds: usize,
    source: Source,
    keep: bool,
}

/// Runs the whole benchmark.
pub(crate) fn run(words: &[&str]) -> Outcome {
    let options = options(words)?;
    let search_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    let host = Host::new(search_path, std::env::temp_dir());
    let request = Request {
        source: options.source,
        named: None,
        consent: Consent::Withheld,
    };
    let broker = obtain(&request, &host, &mut Unattended)?;
    let first = broker
        .addresses
        .first()
        .ok_or("the broker has no address")?;
    let uri = format!(
        "amqp://{}:{}@{}:{}/%2f",
        first.user, first.password, first.host, first.port
    );
    eprintln!("broker: {}", broker.origin);
    let mut measured = Vec::new();
    for round in 1..=options.rounds {
        for row in ["flood", "closed", "paced"] {
            for driver in ["amqp", "lapin"] {
                measured.push(measure(&["child", row, driver, &uri], round)?);
            }
        }
    }
    for driver in ["amqp", "lapin"] {
        measured.push(measure(&["child", "idle", driver, &uri], 1)?);
    }
    let calls = ["flood", "closed"].map(|row| (row, system_calls(row, &uri)));
    for (row, per_message) in &calls {
        println!(
            "{}",
            json!({ "row": row, "driver": "amqp", "system_calls_per_message": per_message.as_ref().ok() })
        );
    }
    let version = measured
        .iter()
        .find_map(|line| line["broker"].as_str())
        .map_or("unknown broker", |all| {
            all.rsplit_once('.').map_or(all, |(minor, _)| minor)
        })
        .to_owned();
    let instructions = [
        ("core", None),
        ("flood", Some(uri.as_str())),
        ("closed", Some(uri.as_str())),
    ]
    .map(|(row, uri)| {
        let name = uri.map_or_else(|| row.to_owned(), |_| format!("{row}, {version}"));
        instructions(row, uri).map(|count| (name, count))
    });
    let instructions = instructions.into_iter().collect::<Result<Vec<_>, _>>()?;
    broker.take_down()?;
    table(&measured);
    for (row, per_message) in &calls {
        match per_message {
            Ok(count) => eprintln!("{row}: {count:.2} system calls a message"),
            Err(reason) => eprintln!("{row}: system calls not counted ({reason})"),
        }
    }
    hold_instructions(&instructions, options.keep)
}

fn options(words: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        rounds: 3,
        source: Source::Local(None),
        keep: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .copied()
                .ok_or_else(|| format!("{word} wants a value; {USAGE}"))
        };
        match *word {
            "--rounds" => options.rounds = value()?.parse().map_err(|_| USAGE)?,
            "--broker" => {
                options.source =
                    Source::Address(vec![value()?.parse().map_err(|e| format!("{e}"))?])
            }
            "--rabbitmq" => options.source = Source::Local(Some(PathBuf::from(value()?))),
            "--keep" => options.keep = true,
            _ => return Err(format!("found {word}; {USAGE}")),
        }
    }
    Ok(options)
}

fn myself() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// Runs one measurement and prints its line.
fn measure(arguments: &[&str], round: usize) -> Result<Value, Box<dyn std::error::Error>> {
    let output = Command::new(myself()?)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut line: Value = serde_json::from_str(text.trim())
        .map_err(|error| format!("{arguments:?} printed {text:?}: {error}"))?;
    line["round"] = json!(round);
    println!("{line}");
    Ok(line)
}

/// System calls a message of the amqp driver, by the kernel's tracepoint.
fn system_calls(row: &str, uri: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let output = Command::new("perf")
        .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter"])
        .arg(myself()?)
        .args(["child", row, "amqp", uri])
        .output()
        .map_err(|error| format!("perf: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let count: f64 = told
        .lines()
        .find(|line| line.contains("sys_enter"))
        .and_then(|line| line.split(',').next()?.parse().ok())
        .ok_or_else(|| format!("perf said {told:?}"))?;
    let line: Value = serde_json::from_slice(&output.stdout)?;
    Ok(count / line["delivered"].as_f64().unwrap_or(f64::NAN))
}

/// User instructions a message, by callgrind: the difference of two runs over the difference of their messages.
fn instructions(row: &str, uri: Option<&str>) -> Result<f64, Box<dyn std::error::Error>> {
    let count = |messages: u64| -> Result<u64, Box<dyn std::error::Error>> {
        let number = messages.to_string();
        let mut arguments = match uri {
            Some(uri) => vec!["child", row, "amqp", uri],
            None => vec![row],
        };
        arguments.push(&number);
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(myself()?)
            .args(arguments)
            .output()
            .map_err(|error| format!("valgrind: {error}"))?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let collected = told
            .lines()
            .find_map(|line| line.split("Collected :").nth(1));
        let collected = collected.and_then(|text| text.trim().parse().ok());
        collected.ok_or_else(|| format!("valgrind said {told:?}").into())
    };
    // Over sockets a message's share of a batch depends on what else the machine does; the least of three runs is the
    // path itself. The simulator gives the same count every time.
    let runs = if uri.is_some() { 3 } else { 1 };
    let mut per_message = f64::INFINITY;
    for _ in 0..runs {
        let more = count(COUNTED.1)?.saturating_sub(count(COUNTED.0)?);
        per_message = per_message.min(more as f64 / (COUNTED.1 - COUNTED.0) as f64);
    }
    println!(
        "{}",
        json!({ "row": row, "driver": "amqp", "instructions_per_message": per_message.round() })
    );
    Ok(per_message)
}

/// Holds the counts against those that are kept for this broker (a broker that packs less into a packet makes more work);
/// with `--keep` writes them down.
fn hold_instructions(found: &[(String, f64)], keep: bool) -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.json");
    let mut kept: serde_json::Map<String, Value> = serde_json::from_slice(&std::fs::read(&path)?)?;
    let mut risen = Vec::new();
    for (row, count) in found {
        if keep {
            kept.insert(row.clone(), json!(count.round()));
            continue;
        }
        let Some(before) = kept.get(row).and_then(Value::as_f64) else {
            eprintln!("{row}: {count:.0} instructions a message, none kept (--keep does)");
            continue;
        };
        eprintln!("{row}: {count:.0} instructions a message, {before:.0} kept");
        if *count > before * MOST_RISE {
            risen.push(row.as_str());
        }
    }
    if keep {
        std::fs::write(&path, format!("{:#}\n", Value::Object(kept)))?;
    }
    if risen.is_empty() {
        return Ok(());
    }
    Err(format!(
        "instructions a message rose by more than 3%: {}",
        risen.join(", ")
    )
    .into())
}

/// Medians over the rounds, side by side.
fn table(measured: &[Value]) {
    let median = |row: &str, driver: &str, field: &str| -> f64 {
        let mut values: Vec<f64> = measured
            .iter()
            .filter(|line| line["row"] == row && line["driver"] == driver)
            .filter_map(|line| line[field].as_f64())
            .collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    eprintln!(
        "| row | driver | CPU us a message | delivered a second | pacer lag P99 us | hiccup P99 us | MiB | threads |"
    );
    eprintln!("|---|---|---|---|---|---|---|---|");
    for row in ["flood", "closed", "paced", "idle"] {
        for driver in ["amqp", "lapin"] {
            let of = |field| median(row, driver, field);
            eprintln!(
                "| {row} | {driver} | {:.2} | {:.0} | {:.0} | {:.0} | {:.1} | {:.0} |",
                of("cpu_us_per_message"),
                of("delivered_per_s"),
                of("pacer_lag_p99_us"),
                of("hiccup_p99_us"),
                of("resident_mib"),
                of("threads"),
            );
        }
    }
    for row in ["flood", "closed"] {
        let cpu =
            median(row, "lapin", "cpu_us_per_message") / median(row, "amqp", "cpu_us_per_message");
        let rate = median(row, "amqp", "delivered_per_s") / median(row, "lapin", "delivered_per_s");
        eprintln!(
            "{row}: lapin takes {cpu:.1} times the CPU of amqp for a message; amqp carries {rate:.2} times its rate"
        );
    }
    for line in measured.iter().filter(|line| line["row"] == "paced") {
        let windows = |field: &str| -> Vec<i64> {
            let list = line[field].as_array();
            list.map_or(Vec::new(), |list| {
                list.iter().filter_map(Value::as_i64).collect()
            })
        };
        let (planned, sent) = (windows("windows_planned"), windows("windows_sent"));
        let apart = planned
            .iter()
            .zip(&sent)
            .map(|(planned, sent)| (planned - sent).abs())
            .max();
        eprintln!(
            "paced {} round {}: {} sent of {} planned; in no second more than {} apart",
            line["driver"],
            line["round"],
            line["sent"],
            line["planned"],
            apart.unwrap_or(-1)
        );
    }
}
