//! `amqps`: refused with a reason, accepted with an authority, accepted with a certificate of one's own.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mqbench::provision::{LocalNodes, NodeSpec, Unattended};

use super::{Ended, Folder, Running, STEADY, start_both, uri};
use crate::broker;
use crate::provision::{host, installation};

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl runs");
    assert!(output.status.success(), "openssl {arguments}: {output:?}");
}

/// An authority, a server's certificate for 127.0.0.1 and a client's, in a folder.
fn certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        folder,
        &format!("req -x509 {key} -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=bad-days-ca"),
    );
    for (name, subject, extensions) in [
        (
            "server",
            "localhost",
            "subjectAltName=IP:127.0.0.1,DNS:localhost",
        ),
        ("client", "bad-days-client", "extendedKeyUsage=clientAuth"),
    ] {
        std::fs::write(folder.join(format!("{name}.ext")), extensions).unwrap();
        openssl(
            folder,
            &format!("req {key} -keyout {name}-key.pem -out {name}.csr -subj /CN={subject}"),
        );
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out {name}.pem -days 2 -extfile {name}.ext"
            ),
        );
    }
}

/// A private node that takes TLS connections too, with or without a client's certificate.
fn node(folder: &Path) -> (LocalNodes, u16) {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let at = folder.display();
    let config = format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\n\
         ssl_options.cacertfile = {at}/ca.pem\n\
         ssl_options.certfile = {at}/server.pem\n\
         ssl_options.keyfile = {at}/server-key.pem\n\
         ssl_options.verify = verify_peer\n\
         ssl_options.fail_if_no_peer_cert = false\n"
    );
    let nodes = LocalNodes::start(
        &installation(),
        &host(),
        &[NodeSpec { config }],
        &mut Unattended,
    )
    .expect("a node with TLS starts");
    (nodes, port)
}

fn with_tls(table: &str) -> String {
    format!("{STEADY}\n[connection.tls]\n{table}\n")
}

fn run_both(folder: &Folder, scenario: &str, address: &str) -> Vec<Running> {
    let file = folder.scenario("tls", scenario);
    start_both(folder, &file, address)
}

fn refused(folder: &Folder, scenario: &str, address: &str) -> Vec<Ended> {
    run_both(folder, scenario, address)
        .into_iter()
        .map(|run| {
            let ended = run.end_within(Duration::from_secs(15));
            std::fs::remove_dir_all(&ended.out).unwrap_or_default();
            ended
        })
        .collect()
}

#[test]
fn a_plain_port_is_no_place_for_tls() {
    let folder = Folder::new("plain");
    let mut address = broker::shared();
    address.tls = true;
    let file = folder.scenario("plain", STEADY);
    for run in start_both(&folder, &file, &uri(&address)) {
        let ended = run.end_within(Duration::from_secs(15));
        let place = format!("127.0.0.1:{}", address.port);
        ended.assert_broker_failed(&["TLS with", &place]);
    }
}

#[test]
fn certificates_are_verified_and_presented() {
    let folder = Folder::new("tls");
    certificates(&folder.0);
    let (nodes, port) = node(&folder.0);
    let address = format!("amqps://guest:guest@127.0.0.1:{port}/");

    for ended in refused(&folder, STEADY, &address) {
        assert_eq!(ended.code, Some(3), "{ended:?}");
        for word in ["TLS with", "127.0.0.1", "certificate"] {
            assert!(ended.stderr.contains(word), "{ended:?}");
        }
    }

    // Only mqbench's own data path can leave a certificate unchecked; lapin says so.
    let unchecked = with_tls("verify = false").replace("measure = \"40s\"", "measure = \"1s\"");
    let ended = refused(&folder, &unchecked, &address);
    assert_eq!(ended[0].code, Some(0), "{ended:?}");
    assert_eq!(ended[1].code, Some(3), "{ended:?}");
    assert!(ended[1].stderr.contains("driver `amqp`"), "{ended:?}");

    for (table, subject) in [
        ("ca = \"ca.pem\"", None),
        (
            "ca = \"ca.pem\"\ncertificate = \"client.pem\"\nkey = \"client-key.pem\"",
            Some("CN=bad-days-client"),
        ),
    ] {
        let mut runs = run_both(&folder, &with_tls(table), &address);
        for run in &mut runs {
            run.wait_until_measuring();
        }
        // An administrator's, two producers' and two consumers' connections of each. The broker lists one that has
        // just ended for a moment longer, without its certificate: what counts is what it comes to.
        let as_expected = |line: &&str| match subject {
            Some(subject) => line.contains(subject),
            None => !line.contains("CN="),
        };
        let mut listed = String::new();
        let settled = (0..50).any(|attempt| {
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(200));
            }
            listed = nodes
                .control(0, &["list_connections", "ssl", "peer_cert_subject"])
                .unwrap();
            let lines: Vec<&str> = listed.lines().filter(|l| l.contains("true")).collect();
            lines.len() >= 8 && lines.iter().all(as_expected)
        });
        assert!(settled, "{table}: {listed}");
        for run in runs {
            run.signal("-INT");
            let ended = run.end();
            assert_eq!(ended.code, Some(130), "{ended:?}");
            ended.assert_saved();
            ended.assert_balanced();
            std::fs::remove_dir_all(&ended.out).unwrap();
        }
    }
}
