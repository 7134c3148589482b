//! The shipped docker-compose.yml. No container engine is needed: the file is held against compose's own schema, and
//! the configuration that it mounts is run by nodes of the installed RabbitMQ.

use std::net::TcpStream;
use std::process::{Command, Output};

use mqbench::provision::{LocalNodes, NodeSpec, Unattended};

use crate::provision::{host, installation};

const SINGLE: &str = include_str!("../../deploy/rabbitmq/single.conf");
const CLUSTER: &str = include_str!("../../deploy/rabbitmq/cluster.conf");

/// Runs the compose that is here: the distribution's program, or docker's plugin.
fn compose(arguments: &[&str]) -> String {
    let folder = env!("CARGO_MANIFEST_DIR");
    let run = |program: &str, first: &[&str]| -> std::io::Result<Output> {
        Command::new(program)
            .args(first)
            .args(arguments)
            .current_dir(folder)
            .output()
    };
    let output = run("docker-compose", &[])
        .or_else(|_| run("docker", &["compose"]))
        .expect("a docker-compose; scripts/test installs one");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn sorted_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_compose_file_is_valid_with_one_node_and_with_the_cluster() {
    compose(&["config", "--quiet"]);
    let all = compose(&["--profile", "cluster", "config", "--services"]);
    assert_eq!(
        sorted_lines(&all),
        ["rabbitmq", "rabbitmq1", "rabbitmq2", "rabbitmq3"]
    );
    let whole = compose(&["--profile", "cluster", "config"]);
    let members = whole.lines().filter(|line| line.trim() == "- cluster");
    assert_eq!(
        members.count(),
        3,
        "the one node starts without a profile: {whole}"
    );
}

#[test]
fn the_compose_file_publishes_each_port_on_loopback_and_no_port_twice() {
    let config = compose(&["--profile", "cluster", "config"]);
    // The older compose prints `- 127.0.0.1:5672:5672/tcp`, the newer one a table with `host_ip` and `published`.
    let short = config.lines().map(str::trim).filter_map(|line| {
        let (address, container) = line
            .strip_prefix("- ")?
            .trim_matches('"')
            .rsplit_once(':')?;
        container.ends_with("/tcp").then(|| address.to_owned())
    });
    let values = |key: &str| -> Vec<String> {
        config
            .lines()
            .filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "))
            .map(|value| value.trim_matches('"').to_owned())
            .collect()
    };
    let long = values("host_ip")
        .into_iter()
        .zip(values("published"))
        .map(|(ip, port)| format!("{ip}:{port}"));
    let mut published: Vec<String> = short.chain(long).collect();
    assert_eq!(
        published.len(),
        12,
        "four nodes with three ports each: {config}"
    );
    for address in &published {
        assert!(address.starts_with("127.0.0.1:"), "{address}");
    }
    published.sort();
    published.dedup();
    assert_eq!(published.len(), 12);
}

#[test]
fn the_single_nodes_configuration_boots_on_the_installed_rabbitmq() {
    let spec = NodeSpec {
        config: SINGLE.to_owned(),
    };
    let node = LocalNodes::start(&installation(), &host(), &[spec], &mut Unattended).unwrap();
    TcpStream::connect(node.management()[0]).expect("the management plugin answers");
    let plugins = node.control(0, &["environment"]).unwrap();
    assert!(plugins.contains("rabbitmq_prometheus"), "{plugins}");
    // `loopback_users = none` leaves nobody who may come from this machine only.
    assert!(plugins.contains("{loopback_users,[]}"), "{plugins}");
}

/// Only the names of the nodes differ from the containers': three nodes of one machine cannot all be called `rabbit`,
/// and hosts `rabbitmq1` to `rabbitmq3` exist in compose's network alone. Ports come from the provision.
#[test]
fn the_clusters_configuration_makes_three_nodes_of_the_installed_rabbitmq_a_cluster() {
    let mut config = CLUSTER.to_owned();
    for index in 0..3 {
        let name = format!("rabbit@rabbitmq{}", index + 1);
        assert!(config.contains(&name), "{name}");
        config = config.replace(&name, &LocalNodes::name(index));
    }
    let specs = vec![NodeSpec { config }; 3];
    let nodes = LocalNodes::start(&installation(), &host(), &specs, &mut Unattended).unwrap();
    for index in 0..3 {
        let status = nodes
            .control(index, &["cluster_status", "--formatter", "json"])
            .unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let mut running: Vec<&str> = status["running_nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        running.sort_unstable();
        assert_eq!(
            running,
            [
                "mqbench1@localhost",
                "mqbench2@localhost",
                "mqbench3@localhost"
            ]
        );
        assert_eq!(status["cluster_name"], "mqbench");
    }
}
