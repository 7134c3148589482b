//! The command line as a user meets it: help, completions, mistakes, exit codes, signals.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use assert_cmd::assert::OutputAssertExt;
use assert_cmd::cargo::CommandCargoExt;

use crate::provision::processes_of;

const SUBCOMMANDS: [&str; 8] = [
    "run",
    "check",
    "load",
    "report",
    "broker",
    "clean",
    "completions",
    "help",
];

fn mqbench() -> Command {
    let mut command = Command::cargo_bin("mqbench").unwrap();
    // Nothing of the surroundings decides what these tests see.
    command
        .env_remove("MQBENCH_BROKER")
        .env_remove("MQBENCH_LOG")
        .stdin(Stdio::null());
    command
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

fn stderr_of_failure(command: &mut Command, code: i32) -> String {
    String::from_utf8(command.assert().code(code).get_output().stderr.clone()).unwrap()
}

/// A folder of this test's own, gone on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("mqbench-cli-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        std::fs::write(&file, text).unwrap();
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(name)
}

#[test]
fn the_help_names_every_subcommand_exit_code_and_variable() {
    let help = stdout(mqbench().arg("--help"));
    for word in SUBCOMMANDS.iter().filter(|word| **word != "help") {
        assert!(help.contains(&format!("  {word} ")), "no {word} in\n{help}");
    }
    for code in [
        "0  every",
        "1  a claim",
        "2  the scenario",
        "3  the broker",
        "4  invalid",
        "5  inconclusive",
        "130  interrupted",
    ] {
        assert!(help.contains(code), "no `{code}` in\n{help}");
    }
    assert!(help.contains("MQBENCH_BROKER"));
}

#[test]
fn the_help_of_a_run_lists_every_option_with_its_default() {
    let help = stdout(mqbench().args(["run", "--help"]));
    for (option, default) in [
        ("--set <KEY=VALUE>", ""),
        ("--broker <BROKER>", "[default: auto]"),
        ("--driver <DRIVER>", "[default: the scenario's, or amqp]"),
        ("--out <DIR>", "[default: results]"),
        ("--seed <N>", "[default: 1]"),
        ("--interval <TIME>", "[default: the scenario's, or 1s]"),
        ("--format <FORMAT>", "[default: text]"),
        ("--yes", ""),
        ("--quiet", ""),
    ] {
        assert!(help.contains(option), "no {option} in\n{help}");
        // Lines are broken where the terminal ends.
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(default), "no {default} in\n{help}");
    }
}

#[test]
fn the_help_of_a_load_lists_perftests_letters() {
    let help = stdout(mqbench().args(["load", "--help"]));
    for letter in [
        "-x", "-y", "-r", "-s", "-z", "-c", "-C", "-q", "-a", "-A", "-f", "-u",
    ] {
        assert!(
            help.contains(&format!("  {letter}, --")),
            "no {letter} in\n{help}"
        );
    }
    assert!(help.contains("--print-scenario"));
}

#[test]
fn completions_name_the_subcommands_in_each_shell_and_parse_where_the_shell_is_here() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(mqbench().args(["completions", shell]));
        for word in ["run", "check", "load", "completions"] {
            assert!(script.contains(word), "no {word} for {shell}");
        }
        // bash is on every machine that runs scripts/test; the others need not be.
        let parsed = Command::new(shell)
            .arg("-n")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        match parsed {
            Ok(mut child) => {
                std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes())
                    .unwrap();
                let output = child.wait_with_output().unwrap();
                assert!(
                    output.status.success(),
                    "{shell}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            Err(error) => assert!(shell != "bash", "{error}"),
        }
    }
}

#[test]
fn mistakes_on_the_command_line_end_with_2() {
    for line in [
        vec![],
        vec!["rnu"],
        vec!["run"],
        vec!["run", "x.toml", "--broker", "dcoker"],
        vec!["run", "x.toml", "--interval", "1"],
        vec!["run", "x.toml", "--set", "rate"],
        vec!["load", "-r", "0"],
        vec!["load", "-a", "-A", "5"],
        vec!["report", "/nonexistent/run"],
        vec!["completions", "tcsh2"],
    ] {
        mqbench().args(&line).assert().code(2);
    }
}

#[test]
fn a_password_in_a_bad_address_is_not_repeated() {
    let said = stderr_of_failure(
        mqbench()
            .args(["run", "x.toml"])
            .env("MQBENCH_BROKER", "amqp://u:s3cret@host:x/"),
        2,
    );
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn all_problems_of_all_files_are_told_at_once_and_end_with_2() {
    let folder = Folder::new("problems");
    let one = folder.file("one.toml", "[[queue]]\nnam = \"q\"\n\n[[producers]]\nname = \"p\"\nrate = \"-5/s\"\nto = { queue = \"q\" }\n");
    let two = folder.file("two.toml", "");
    let said = stderr_of_failure(
        mqbench()
            .arg("check")
            .args([&one, &two])
            .arg("/nonexistent.toml"),
        2,
    );
    for part in [
        "/nonexistent.toml",
        "one.toml:2",
        "nam",
        "one.toml:6",
        "-5/s",
        "two.toml",
    ] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
    // `run` refuses them as `check` does, before it looks for a broker.
    let run = stderr_of_failure(mqbench().arg("run").args([&one, &two]), 2);
    assert!(
        run.contains("one.toml:2") && run.contains("two.toml"),
        "{run}"
    );
    assert!(!run.contains("private"), "{run}");
}

#[test]
fn a_check_of_the_shipped_scenarios_tells_what_running_them_would_take() {
    let told = stdout(
        mqbench()
            .arg("check")
            .args([shipped("quick.toml"), shipped("adr-003.toml")]),
    );
    assert!(
        told.contains("quick.toml") && told.contains("adr-003.toml"),
        "{told}"
    );
    assert!(
        told.contains("runs") && told.contains("longest") && told.contains("most on the broker"),
        "{told}"
    );
}

#[test]
fn a_printed_load_is_a_scenario_that_checks() {
    let text = stdout(mqbench().args([
        "load",
        "-x",
        "2",
        "-r",
        "5k/s",
        "-c",
        "100",
        "--print-scenario",
    ]));
    let folder = Folder::new("printed");
    let file = folder.file("printed.toml", &text);
    mqbench().arg("check").arg(file).assert().success();
}

#[test]
fn a_broker_that_is_not_there_ends_with_3_and_is_named_without_its_password() {
    let folder = Folder::new("unreachable");
    let said = stderr_of_failure(
        mqbench()
            .args(["run", "--broker", "amqp://u:s3cret@127.0.0.1:1/", "--out"])
            .arg(&folder.0)
            .arg(shipped("quick.toml")),
        3,
    );
    assert!(said.contains("127.0.0.1:1"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_results_folder_that_cannot_be_written_ends_with_3_before_the_load() {
    let folder = Folder::new("unwritable");
    let file = folder.file("results", "not a folder");
    let said = stderr_of_failure(
        mqbench()
            .args(["run", "--broker", "amqp://127.0.0.1:1/", "--out"])
            .arg(&file)
            .arg(shipped("quick.toml")),
        3,
    );
    assert!(said.contains(&file.display().to_string()), "{said}");
}

#[test]
fn nothing_to_clean_is_said_and_ends_with_0() {
    let folder = Folder::new("clean");
    mqbench()
        .args(["clean", "--out"])
        .arg(&folder.0)
        .assert()
        .success();
}

/// A run on a private node whose first interval has been told on stderr.
fn running(folder: &Folder) -> (std::process::Child, BufReader<std::process::ChildStderr>) {
    let mut child = mqbench()
        .args([
            "run",
            "--broker",
            "local",
            "--set",
            "timing.measure=60s",
            "--out",
        ])
        .arg(&folder.0)
        .arg(shipped("quick.toml"))
        .env("TMPDIR", &folder.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("offered") {
        assert!(
            stderr.read_line(&mut said).unwrap() > 0,
            "it ended early: {said}"
        );
    }
    (child, stderr)
}

fn signal(child: &std::process::Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

fn node_folder(folder: &Folder) -> PathBuf {
    let mut found = std::fs::read_dir(&folder.0)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("mqbench1").exists());
    found.next().expect("a private node's folder")
}

#[test]
fn an_interrupted_run_drains_saves_takes_its_broker_down_and_ends_with_130() {
    let folder = Folder::new("interrupted");
    let (mut child, mut stderr) = running(&folder);
    let node = node_folder(&folder);
    assert!(!processes_of(&node).is_empty());
    signal(&child, "-INT");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut rest).unwrap();
    assert!(rest.contains("stopping"), "{rest}");
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(!node.exists());
    assert!(processes_of(&node).is_empty());
    let run = std::fs::read_dir(folder.0.join("quick"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["variants"][0]["stop"]["reason"], "interrupted");
    assert!(record["variants"][0]["totals"]["sent"].as_u64().unwrap() > 0);
    // What was measured can be looked at again, with the same exit code.
    mqbench().arg("report").arg(&run).assert().code(130);
}

#[test]
fn a_killed_run_leaves_its_intervals_and_no_broker() {
    let folder = Folder::new("killed");
    let (mut child, _stderr) = running(&folder);
    let node = node_folder(&folder);
    let processes = processes_of(&node);
    assert!(!processes.is_empty());
    signal(&child, "-KILL");
    child.wait().unwrap();
    crate::provision::assert_gone(&node, &processes);
    let run = std::fs::read_dir(folder.0.join("quick"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let rows = std::fs::read_to_string(run.join("intervals.csv")).unwrap();
    assert!(
        rows.lines().count() > 1,
        "a header and the intervals so far: {rows}"
    );
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["broker"]["product"], "RabbitMQ", "{record}");
}

#[test]
fn what_a_killed_run_left_on_a_broker_is_shown_and_deleted_after_a_yes() {
    let broker = crate::provision::private_node();
    let nodes = broker.nodes().unwrap();
    let address = format!("amqp://guest:guest@127.0.0.1:{}/", broker.addresses[0].port);
    let folder = Folder::new("leftovers");
    let mut child = mqbench()
        .args(["run", "--set", "timing.measure=60s", "--out"])
        .arg(&folder.0)
        .arg(shipped("quick.toml"))
        .env("MQBENCH_BROKER", &address)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("offered") {
        assert!(
            stderr.read_line(&mut said).unwrap() > 0,
            "it ended early: {said}"
        );
    }
    nodes.control(0, &["eval", "rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"somebodys\">>), true, false, [], none, <<\"test\">>)."]).unwrap();
    let clean = |more: &[&str]| {
        let mut command = mqbench();
        command
            .args(["clean", "--out"])
            .arg(&folder.0)
            .args(more)
            .env("MQBENCH_BROKER", &address);
        command
    };
    let queues = || nodes.control(0, &["list_queues", "name"]).unwrap();
    assert!(queues().contains("quick"), "{}", queues());
    // While the run goes on its names are left alone.
    clean(&["--yes"]).assert().success();
    assert!(queues().contains("quick"), "{}", queues());

    signal(&child, "-KILL");
    child.wait().unwrap();
    let asked = clean(&[]).assert().code(1).get_output().stdout.clone();
    assert!(
        String::from_utf8_lossy(&asked).contains("queue quick"),
        "{asked:?}"
    );
    assert!(queues().contains("quick"), "{}", queues());
    clean(&["--yes"]).assert().success();
    assert!(
        !queues().contains("quick") && queues().contains("somebodys"),
        "{}",
        queues()
    );
    let again = clean(&["--yes"])
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    assert!(again.is_empty(), "{again:?}");
}
