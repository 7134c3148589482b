//! The broker is not there or says no: told with the step and the broker's words, within seconds, before any load.

use std::net::TcpListener;
use std::time::Duration;

use super::{DRIVERS, Ended, Folder, STEADY, files_with, start, start_both, uri};
use crate::broker;

/// Each step of connecting takes a fraction of a second; a busy machine some more.
const SOON: Duration = Duration::from_secs(15);

fn refused(folder: &Folder, scenario: &str, address: &str) -> Vec<Ended> {
    let file = folder.scenario("refused", scenario);
    start_both(folder, &file, address)
        .into_iter()
        .map(|run| run.end_within(SOON))
        .collect()
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let folder = Folder::new("absent");
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let address = format!("amqp://guest:s3cret-of-nobody@127.0.0.1:{port}/");
    for ended in refused(&folder, STEADY, &address) {
        let place = format!("127.0.0.1:{port}");
        ended.assert_broker_failed(&["cannot reach the broker", &place, "refused"]);
        assert_eq!(ended.total("sent"), 0);
    }
    assert_eq!(
        files_with(&folder.0, "s3cret-of-nobody"),
        Vec::<std::path::PathBuf>::new()
    );
}

#[test]
fn a_wrong_password_is_told_as_the_broker_tells_it_and_shown_nowhere() {
    let folder = Folder::new("password");
    let mut address = broker::shared();
    address.password = "wr0ng-passw0rd".into();
    for ended in refused(&folder, STEADY, &uri(&address)) {
        ended.assert_broker_failed(&["403", "ACCESS_REFUSED"]);
        assert!(!ended.stdout.contains("wr0ng"), "{ended:?}");
        assert!(!ended.stderr.contains("wr0ng"), "{ended:?}");
    }
    assert_eq!(
        files_with(&folder.0, "wr0ng-passw0rd"),
        Vec::<std::path::PathBuf>::new()
    );
}

#[test]
fn the_right_password_is_shown_nowhere_while_a_run_lasts_and_after_it() {
    let node = broker::disturbed();
    let secret = "r1ght-passw0rd";
    node.control(&["add_user", "bad-days-secret", secret]);
    node.control(&["set_permissions", "bad-days-secret", ".*", ".*", ".*"]);
    let folder = Folder::new("secret");
    let file = folder.scenario("secret", STEADY);
    let mut address = node.address();
    address.user = "bad-days-secret".into();
    address.password = secret.into();
    for driver in DRIVERS {
        let mut run = start(&folder, &file, driver, &uri(&address));
        run.wait_until_measuring();
        let process = format!("/proc/{}", run.child.id());
        for title in ["cmdline", "comm"] {
            let title = std::fs::read(format!("{process}/{title}")).unwrap();
            let title = String::from_utf8_lossy(&title).into_owned();
            assert!(!title.contains(secret), "{title}");
        }
        for thread in std::fs::read_dir(format!("{process}/task")).unwrap() {
            let name = std::fs::read_to_string(thread.unwrap().path().join("comm"));
            assert!(!name.unwrap_or_default().contains("r1ght"));
        }
        run.signal("-INT");
        let ended = run.end();
        assert_eq!(ended.code, Some(130), "{ended:?}");
        assert!(!ended.stdout.contains(secret), "{ended:?}");
        assert!(!ended.stderr.contains(secret), "{ended:?}");
        // The user is shown: the address was used, and printed without its password.
        assert!(ended.stdout.contains("bad-days-secret@"), "{ended:?}");
    }
    assert_eq!(
        files_with(&folder.0, secret),
        Vec::<std::path::PathBuf>::new()
    );
    node.control(&["delete_user", "bad-days-secret"]);
}

#[test]
fn an_unknown_virtual_host_is_named() {
    let folder = Folder::new("vhost");
    let address = format!("{}no-such-vhost", uri(&broker::shared()));
    for ended in refused(&folder, STEADY, &address) {
        ended.assert_broker_failed(&["530", "no-such-vhost"]);
    }
}

#[test]
fn a_user_who_may_not_declare_is_told_what_the_broker_refused() {
    let node = broker::disturbed();
    node.control(&["add_user", "bad-days-reader", "reader-passw0rd"]);
    node.control(&["set_permissions", "bad-days-reader", "^$", "^$", ".*"]);
    let folder = Folder::new("permission");
    let mut address = node.address();
    address.user = "bad-days-reader".into();
    address.password = "reader-passw0rd".into();
    for ended in refused(&folder, STEADY, &uri(&address)) {
        ended.assert_broker_failed(&["declare queue", "403", "ACCESS_REFUSED", "bad-days-reader"]);
    }
    assert_eq!(
        files_with(&folder.0, "reader-passw0rd"),
        Vec::<std::path::PathBuf>::new()
    );
    node.control(&["delete_user", "bad-days-reader"]);
}

#[test]
fn an_existing_queue_that_is_not_there_is_named() {
    let folder = Folder::new("missing");
    let scenario = STEADY.replace(
        "name = \"steady\"",
        "name = \"bad-days-missing\"\nexisting = true",
    );
    let scenario = scenario
        .replace("queue = \"steady\"", "queue = \"bad-days-missing\"")
        .replace("from = \"steady\"", "from = \"bad-days-missing\"");
    for ended in refused(&folder, &scenario, &uri(&broker::shared())) {
        ended.assert_broker_failed(&["404", "NOT_FOUND", "bad-days-missing"]);
    }
}
