//! Private brokers: they are ready when they are handed over, listen on loopback only, and leave nothing behind in
//! whatever way their owner ends. Against real nodes of the installed RabbitMQ.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mqbench::provision::{
    Attendant, Availability, Consent, Host, Installation, ProvisionError, Provisioned, Request,
    Source, Unattended, obtain, survey,
};

pub(crate) fn host() -> Host {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Host::new(std::env::split_paths(&path).collect(), std::env::temp_dir())
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

pub(crate) fn assert_gone(folder: &Path, processes: &BTreeSet<u32>) {
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

/// A folder of programs that stand in for real ones, gone on drop.
struct Programs {
    folder: PathBuf,
}

impl Programs {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("mqbench-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    fn add(&self, name: &str, script: &str) -> &Self {
        use std::os::unix::fs::PermissionsExt;
        let file = self.folder.join(name);
        std::fs::write(&file, script).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// A machine that has these programs first.
    fn host(&self) -> Host {
        Host {
            search_path: vec![self.folder.clone()],
            ..host()
        }
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// No container engine runs where these tests do, so `docker` is a script that writes down how it is called.
#[test]
fn a_container_is_started_as_a_project_of_its_own_and_goes_with_its_volumes() {
    let programs = Programs::new("docker");
    let calls = programs.folder.join("calls");
    programs.add(
        "docker",
        &format!(
            "#!/bin/sh\n\
             echo \"$* in $PWD amqp=$MQBENCH_AMQP_PORT\" >>{}\n\
             case $* in\n\
             *Server.Version*) echo 27.0 ;;\n\
             'compose version --short') echo 2.30 ;;\n\
             *up*) [ -s docker-compose.yml ] && [ -s deploy/rabbitmq/single.conf ] ;;\n\
             esac\n",
            calls.display()
        ),
    );
    let request = Request {
        source: Source::Docker,
        named: None,
        consent: Consent::Withheld,
    };
    let broker = obtain(&request, &programs.host(), &mut Unattended).expect("the script says yes");
    assert!(
        broker.origin.contains("compose 2.30, engine 27.0"),
        "{}",
        broker.origin
    );
    let port = broker.addresses[0].port;
    let read = || std::fs::read_to_string(&calls).unwrap();
    let up = read()
        .lines()
        .find(|line| line.contains(" up "))
        .unwrap()
        .to_owned();
    assert!(
        up.contains("--project-name mqbench-") && up.contains("up --detach --wait"),
        "{up}"
    );
    assert!(up.ends_with(&format!("amqp={port}")), "{up}");
    let folder = PathBuf::from(up.split(" in ").nth(1).unwrap().split(' ').next().unwrap());
    assert!(folder.exists());

    broker.take_down().unwrap();
    let down = read().lines().last().unwrap().to_owned();
    let project = folder.file_name().unwrap().to_str().unwrap();
    assert!(
        down.contains(&format!("--project-name {project} ")) && down.contains(" down --volumes"),
        "{down}"
    );
    assert!(!folder.exists());
}

#[test]
fn a_container_that_does_not_come_up_is_told_with_its_output_and_taken_down() {
    let programs = Programs::new("docker-fails");
    let calls = programs.folder.join("calls");
    programs.add(
        "docker",
        &format!(
            "#!/bin/sh\n\
             echo \"$*\" >>{}\n\
             case $* in *' up '*) echo 'no space left for the image'; exit 1 ;; esac\n",
            calls.display()
        ),
    );
    let request = Request {
        source: Source::Docker,
        named: None,
        consent: Consent::Withheld,
    };
    let error = obtain(&request, &programs.host(), &mut Unattended).unwrap_err();
    assert!(
        error.to_string().contains("no space left for the image"),
        "{error}"
    );
    let calls = std::fs::read_to_string(&calls).unwrap();
    assert!(calls.lines().last().unwrap().contains(" down "), "{calls}");
}

#[test]
fn a_node_that_does_not_come_up_is_told_with_its_output_and_leaves_nothing() {
    let programs = Programs::new("rabbit-fails");
    programs
        .add(
            "rabbitmq-server",
            "#!/bin/sh\necho 'the disk is made of cheese'\nexit 7\n",
        )
        .add("rabbitmqctl", "#!/bin/sh\nexit 1\n");
    let temp = programs.folder.join("temp");
    std::fs::create_dir(&temp).unwrap();
    let request = Request {
        source: Source::Local(Some(programs.folder.clone())),
        named: None,
        consent: Consent::Withheld,
    };
    let host = Host {
        temp: temp.clone(),
        ..programs.host()
    };
    let error = obtain(&request, &host, &mut Unattended)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("code 7") && error.contains("made of cheese"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0);
}

/// Ends the wait at the first question.
struct Impatient;

impl Attendant for Impatient {
    fn say(&mut self, _step: &str) {}
    fn interrupted(&self) -> bool {
        true
    }
}

#[test]
fn a_start_that_is_called_off_leaves_nothing() {
    let programs = Programs::new("called-off");
    let request = Request {
        source: Source::Local(Some(installation().folder().to_owned())),
        named: None,
        consent: Consent::Withheld,
    };
    let host = Host {
        temp: programs.folder.clone(),
        ..host()
    };
    let error = obtain(&request, &host, &mut Impatient).unwrap_err();
    assert!(matches!(error, ProvisionError::Interrupted), "{error}");
    assert_eq!(std::fs::read_dir(&programs.folder).unwrap().count(), 0);
}

#[test]
fn an_address_that_the_surroundings_name_comes_before_everything_else() {
    let request = Request {
        source: Source::Auto,
        named: Some((
            vec!["amqp://u:s3cret@broker.example/".parse().unwrap()],
            "$MQBENCH_BROKER".to_owned(),
        )),
        consent: Consent::Withheld,
    };
    let broker = obtain(&request, &host(), &mut Unattended).unwrap();
    assert_eq!(broker.addresses[0].host, "broker.example");
    assert_eq!(broker.origin, "the address in $MQBENCH_BROKER");
    assert!(!format!("{broker:?}").contains("s3cret"));
}

/// Somebody's broker on a port of its own, on a machine that has nothing else.
fn machine_with_a_running_broker(programs: &Programs, broker: &Provisioned) -> Host {
    let address = &broker.addresses[0];
    Host {
        search_path: vec![programs.folder.clone()],
        usual_folders: Vec::new(),
        temp: programs.folder.clone(),
        common: (std::net::Ipv4Addr::LOCALHOST, address.port).into(),
    }
}

#[test]
fn a_broker_of_unknown_owner_is_used_with_consent_only() {
    let somebodys = private_node();
    let programs = Programs::new("consent");
    let host = machine_with_a_running_broker(&programs, &somebodys);
    let mut request = Request {
        source: Source::Auto,
        named: None,
        consent: Consent::Withheld,
    };
    let error = obtain(&request, &host, &mut Unattended)
        .unwrap_err()
        .to_string();
    for part in [
        "private node: rabbitmq-server",
        "docker compose: docker",
        "RabbitMQ",
        "it may be somebody's",
        "--yes",
    ] {
        assert!(error.contains(part), "no {part} in: {error}");
    }
    request.consent = Consent::Given;
    let broker = obtain(&request, &host, &mut Unattended).unwrap();
    assert_eq!(broker.addresses[0].port, somebodys.addresses[0].port);
    assert!(
        broker.origin.contains("already running"),
        "{}",
        broker.origin
    );
    broker.take_down().unwrap();
    let nodes = somebodys.nodes().unwrap();
    nodes
        .control(0, &["ping"])
        .expect("what was not started here is not taken down");
}

#[test]
fn a_survey_tells_each_source_with_its_version_or_the_reason_against_it() {
    let somebodys = private_node();
    let programs = Programs::new("survey");
    let host = machine_with_a_running_broker(&programs, &somebodys);
    let offers = survey(&host);
    let told: Vec<(&str, Availability)> = offers
        .iter()
        .map(|offer| (offer.source, offer.availability))
        .collect();
    assert_eq!(
        told,
        [
            ("private node", Availability::No),
            ("docker compose", Availability::No),
            ("running broker", Availability::WithConsent)
        ]
    );
    assert!(
        offers[0].detail.contains("apt-get install rabbitmq-server"),
        "{}",
        offers[0].detail
    );
    assert!(
        offers[1].detail.contains("docker was not found"),
        "{}",
        offers[1].detail
    );
    let version = somebodys.nodes().unwrap().control(0, &["version"]).unwrap();
    assert_eq!(
        offers[2].version,
        Some(format!("RabbitMQ {}", version.trim()))
    );

    let here = Host {
        usual_folders: vec![installation().folder().to_owned()],
        ..host
    };
    let offers = survey(&here);
    assert_eq!(
        offers[0].availability,
        Availability::Yes,
        "{}",
        offers[0].detail
    );
    assert_eq!(offers[0].version, offers[2].version);
    assert_eq!(
        std::fs::read_dir(&programs.folder).unwrap().count(),
        0,
        "a survey leaves nothing"
    );
}
