//! The same tree in a folder and at a web server; and at a hub that gives each no more rights than it needs.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use as112d_fleet::carry::{Access, Address, Carrier, Fault};
use serde_json::json;

use crate::common::daemon::{free_port, wait_until};
use crate::common::hub::Hub;
use crate::publisher::token;
use crate::site::{Publisher, Site};

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_folder_is_followed_and_asked_once() {
    let tree = tempfile::tempdir().expect("a folder");
    let source = format!("dir:{}", tree.path().display());
    let publisher = Publisher::new(&source, &Access::default());
    fs::create_dir(tree.path().join("as112/status")).expect("there is room");
    let (one, two, three) = (token(), token(), token());
    publisher.publish(1, &one);
    let mut site = Site::new("ams1", &format!("{}\nsource = '{source}'", publisher.keys()));
    site.serve();
    let once = site.command("fetch").arg("--once").output().expect("it runs");
    assert!(once.status.success(), "{}", site.said());
    assert_eq!(
        site.answer().as_deref(),
        Some(one.as_str()),
        "it serves what was fetched when the command ends"
    );
    site.follow();
    publisher.publish(2, &two);
    site.answers(&two);
    wait_until("it has reported", || {
        publisher.report("ams1").is_some_and(|report| report["verdict"] == "settled")
    });
    let again = site.command("fetch").output().expect("it runs");
    assert!(!again.status.success(), "the agent has the folder");
    assert!(site.said().contains("another agent has this directory"));
    site.kill_agent();
    publisher.publish(3, &three);
    assert!(site.command("fetch").status().expect("it runs").success());
    assert_eq!(site.answer().as_deref(), Some(three.as_str()));
    // Where nothing can be had it says so, and the node keeps what it has.
    fs::remove_dir_all(tree.path().join("as112")).expect("it is there");
    assert!(!site.command("fetch").status().expect("it runs").success());
    assert_eq!(site.answer().as_deref(), Some(three.as_str()));
}

#[test]
fn a_web_server_is_followed() {
    let tree = tempfile::tempdir().expect("a folder");
    let publisher = Publisher::new(&format!("dir:{}", tree.path().display()), &Access::default());
    let (one, two) = (token(), token());
    publisher.publish(1, &one);
    let port = free_port();
    let mut web = Command::new("python3");
    web.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]).current_dir(tree.path());
    let web = Killed(web.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Python is there"));
    let source = format!("http://127.0.0.1:{port}");
    wait_until("it serves", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mut site = Site::new("ams1", &format!("{}\nsource = '{source}'", publisher.keys()));
    site.serve();
    assert!(site.command("fetch").status().expect("it runs").success(), "{}", site.said());
    assert_eq!(site.answer().as_deref(), Some(one.as_str()));
    publisher.publish(2, &two);
    assert!(site.command("fetch").status().expect("it runs").success(), "{}", site.said());
    assert_eq!(site.answer().as_deref(), Some(two.as_str()));
    drop(web);
    let gone = site.command("fetch").status().expect("it runs");
    assert!(!gone.success() && site.said().contains(&source), "{}", site.said());
}

#[test]
fn each_writes_what_is_its_own_alone() {
    let rights = |name: &str, publish: &str, subscribe: &str| {
        format!(
            "{{ user: {name}, password: secret, permissions: {{ publish: {{ allow: [{publish}] }}, \
             subscribe: {{ allow: [{subscribe}] }} }} }}"
        )
    };
    let node = rights(
        "ams1",
        "'$JS.API.DIRECT.GET.fleet_as112_pointers.>', '$JS.API.DIRECT.GET.OBJ_fleet_as112', \
         '$JS.API.DIRECT.GET.OBJ_fleet_as112.>', 'fleet.as112.status.ams1'",
        "'fleet.as112.pointer.>', '_INBOX.ams1.>'",
    );
    let hub = Hub::start(&format!(
        "authorization {{ users: [ {{ user: publisher, password: secret }}, {node} ] }}\n"
    ));
    let folder = tempfile::tempdir().expect("a folder");
    let password = folder.path().join("password");
    fs::write(&password, "secret\n").expect("there is room");
    let mut mode = fs::metadata(&password).expect("it is there").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o600);
    fs::set_permissions(&password, mode).expect("it is ours");
    let access = |user: &str| Access {
        user: Some(user.to_owned()),
        password_file: Some(password.clone()),
        name: Some(user.to_owned()),
        ..Access::default()
    };
    let publisher = Publisher::new(&hub.url(), &access("publisher"));
    let (one, two) = (token(), token());
    publisher.publish(1, &one);
    let local = format!(
        "{}\nsource = '{}'\nuser = 'ams1'\npassword_file = '{}'",
        publisher.keys(),
        hub.url(),
        password.display()
    );
    let mut site = Site::new("ams1", &local);
    site.serve();
    site.follow();
    site.answers(&one);
    publisher.publish(2, &two);
    site.answers(&two);
    wait_until("it may report", || {
        publisher.report("ams1").is_some_and(|report| report["has"] != json!(null))
    });

    let address: Address = hub.url().parse().expect("an address");
    publisher.wait(async {
        let stolen = Carrier::open(&address, &access("ams1"), "as112").await.expect("it can be opened");
        stolen.ready(Duration::from_secs(5)).await.expect("it gets in");
        let seen = stolen.read("pointers/fleet", 1 << 16).await.expect("it may read");
        for (what, done) in [
            ("a pointer", stolen.swap("pointers/fleet", seen.as_deref(), b"forged").await),
            ("the report of another", stolen.report("lhr1", b"{}").await),
            ("the log", stolen.append("forged").await),
            ("an object", stolen.store("objects/ab/abcd", b"forged").await.map(drop)),
        ] {
            assert!(matches!(&done, Err(Fault::Refused(_) | Fault::Away(_))), "{what}: {done:?}");
        }
        assert_eq!(stolen.read("pointers/fleet", 1 << 16).await, Ok(seen));
        let wrong = Access { user: Some("nobody".to_owned()), ..access("ams1") };
        let nobody = Carrier::open(&address, &wrong, "as112").await.expect("it can be opened");
        let refused = nobody.ready(Duration::from_secs(2)).await.unwrap_err().to_string();
        assert!(refused.to_lowercase().contains("authorization"), "{refused}");
    });
}
