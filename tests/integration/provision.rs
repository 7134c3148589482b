//! Private brokers: they are ready when they are handed over, listen on loopback only, and leave nothing behind in
//! whatever way their owner ends. Against real nodes of the installed RabbitMQ.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mqbench::provision::{
    Consent, Host, Installation, ProvisionError, Provisioned, Request, Source, Unattended, obtain,
};

pub(crate) fn host() -> Host {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Host {
        search_path: std::env::split_paths(&path).collect(),
        temp: std::env::temp_dir(),
        common: Host::COMMON,
    }
}

/// The RabbitMQ under test: the one that is installed, or the one in `$MQBENCH_TEST_RABBITMQ`.
pub(crate) fn installation() -> Installation {
    match std::env::var_os("MQBENCH_TEST_RABBITMQ") {
        Some(folder) => Installation::in_folder(Path::new(&folder)),
        None => Installation::find(&host()),
    }
    .expect("a RabbitMQ to test with; scripts/test installs one")
}

fn private_node() -> Provisioned {
    let request = Request {
        source: Source::Local(Some(installation().folder().to_owned())),
        named: None,
        consent: Consent::Withheld,
    };
    obtain(&request, &host(), &mut Unattended).expect("the installed RabbitMQ starts")
}

/// All processes that carry the folder in their environment, as the take-down finds them.
pub(crate) fn processes_of(folder: &Path) -> BTreeSet<u32> {
    let mark = format!("MQBENCH_NODE={}", folder.display());
    let entries = std::fs::read_dir("/proc").unwrap();
    entries
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|&byte| byte == 0)
                .any(|variable| variable == mark.as_bytes())
        })
        .collect()
}

/// The local addresses, as the kernel prints them, on which these processes listen.
fn listening_addresses(processes: &BTreeSet<u32>) -> Vec<String> {
    let sockets: BTreeSet<String> = processes
        .iter()
        .filter_map(|pid| std::fs::read_dir(format!("/proc/{pid}/fd")).ok())
        .flatten()
        .filter_map(|entry| {
            let target = std::fs::read_link(entry.unwrap().path()).ok()?;
            let inode = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let table = |file| std::fs::read_to_string(file).unwrap_or_default();
    let lines = table("/proc/net/tcp") + &table("/proc/net/tcp6");
    lines
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        // Columns of proc(5): local address, state (0A listens), inode.
        .filter(|columns| columns.len() > 9 && columns[3] == "0A" && sockets.contains(columns[9]))
        .map(|columns| columns[1].to_owned())
        .collect()
}

fn is_loopback(kernel_address: &str) -> bool {
    let address = kernel_address.split(':').next().unwrap_or_default();
    // Words in the byte order of the machine: 127.0.0.1 and ::1.
    ["0100007F", "00000000000000000000000001000000"].contains(&address)
}

fn assert_gone(folder: &Path, processes: &BTreeSet<u32>) {
    let start = Instant::now();
    loop {
        let left: Vec<u32> = processes
            .iter()
            .copied()
            .filter(|pid| processes_of(folder).contains(pid))
            .collect();
        if left.is_empty() && !folder.exists() {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "still there after 30 s: processes {left:?}, folder {}",
            folder.exists()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_private_node_listens_on_loopback_only_and_is_gone_when_dropped() {
    let broker = private_node();
    assert!(broker.origin.contains("private node"), "{}", broker.origin);
    let address = broker.addresses[0].clone();
    TcpStream::connect((address.host.as_str(), address.port)).expect("it takes connections");
    TcpStream::connect(broker.management.unwrap()).expect("its management plugin answers");
    let nodes = broker.nodes().unwrap();
    let status = nodes.control(0, &["list_vhosts"]).unwrap();
    assert!(status.contains('/'), "{status}");

    let folder = nodes.folder().to_owned();
    let processes = processes_of(&folder);
    let listening = listening_addresses(&processes);
    // AMQP, distribution, management, Prometheus, port mapper.
    assert!(listening.len() >= 5, "{listening:?}");
    for address in &listening {
        assert!(is_loopback(address), "{address} in {listening:?}");
    }

    drop(broker);
    assert!(!folder.exists());
    assert_eq!(processes_of(&folder), BTreeSet::new());
    assert!(TcpStream::connect((address.host.as_str(), address.port)).is_err());
}

/// Not a test of its own: the process that the next two start, and end while it holds a node.
#[test]
#[ignore = "started by the tests of killed owners"]
fn owner_of_a_node() {
    let broker = private_node();
    println!("\nfolder {}", broker.nodes().unwrap().folder().display());
    // Until the end of the input, which the starting test holds open.
    let _ = std::io::stdin().read(&mut [0]);
}

fn start_owner() -> (Child, PathBuf) {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "provision::owner_of_a_node",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(owner.stdout.take().unwrap());
    let folder = output
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("folder ").map(PathBuf::from))
        .expect("the owner names its folder");
    (owner, folder)
}

#[test]
fn a_private_node_is_gone_after_its_owner_was_killed() {
    let (mut owner, folder) = start_owner();
    let processes = processes_of(&folder);
    assert!(!processes.is_empty());
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert_gone(&folder, &processes);
}

#[test]
fn a_private_node_is_gone_after_its_owner_was_terminated() {
    let (mut owner, folder) = start_owner();
    let processes = processes_of(&folder);
    let sent = Command::new("kill")
        .args(["-TERM", &owner.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    owner.wait().unwrap();
    assert_gone(&folder, &processes);
}

#[test]
fn a_folder_without_programs_is_refused_with_its_name() {
    let request = Request {
        source: Source::Local(Some("/nonexistent/rabbit".into())),
        named: None,
        consent: Consent::Withheld,
    };
    let error = obtain(&request, &host(), &mut Unattended).unwrap_err();
    assert!(matches!(error, ProvisionError::Missing { .. }), "{error}");
    assert!(
        error.to_string().contains("/nonexistent/rabbit/bin"),
        "{error}"
    );
}
