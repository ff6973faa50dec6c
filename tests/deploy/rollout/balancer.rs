//! HAProxy in the place of the cluster's balancer, and of the controller that tells it of pods.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use code_service_tests::supervised::{Supervised, wait_until};
use code_service_tests::{free_port, fresh_database};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running balancer. Dropping it ends it.
pub(super) struct Balancer {
    // Ends it, and removes the folder.
    _process: Supervised,
    folder: PathBuf,
    port: u16,
}

impl Balancer {
    /// One with room for so many hosts, which it asks for `path` every `period`, and takes for away after three refusals.
    pub(super) fn start(places: usize, path: &str, period: Duration, idle: Duration) -> Balancer {
        let folder = std::env::temp_dir().join(format!("code-service-balancer-{}", fresh_database()));
        let port = free_port();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
        let mut process = Supervised::new(&command, Some(&folder));
        wait_until("there is a folder", PATIENCE, || folder.exists());
        // Nothing is tried again: a request that a host does not answer has failed.
        let config = format!(
            "global
    stats socket {socket} mode 600 level admin
    maxconn 1000
defaults
    mode http
    retries 0
    timeout connect 2s
    timeout client {idle}ms
    timeout server {idle}ms
frontend callers
    bind 127.0.0.1:{port}
    default_backend hosts
backend hosts
    balance roundrobin
    option httpchk GET {path}
    http-check expect status 200
    default-server check inter {period}ms fall 3 rise 1 disabled
    server-template host {places} 127.0.0.1:1
",
            socket = folder.join("admin").display(),
            idle = idle.as_millis(),
            period = period.as_millis(),
        );
        std::fs::write(folder.join("haproxy.cfg"), config).expect("ours");
        process.start();
        let balancer = Balancer { _process: process, folder, port };
        wait_until("the balancer runs", PATIENCE, || balancer.ask("show version").is_some());
        balancer
    }

    /// Where callers connect.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Tells it that a host is at this port, and waits until it has found it well.
    pub(super) fn add(&self, place: usize, port: u16) {
        self.set(place, &format!("addr 127.0.0.1 port {port}"));
        self.set(place, "state ready");
        let is_up =
            || self.look(place, "status").starts_with("UP") && self.look(place, "check_status") == "L7OK";
        wait_until("the balancer uses the host", PATIENCE, is_up);
    }

    /// Changes something about a host.
    pub(super) fn set(&self, place: usize, what: &str) {
        let said = self.ask(&format!("set server hosts/host{} {what}", place + 1)).expect("it answers");
        let fine = said.trim().is_empty() || said.contains("changed");
        assert!(fine, "{what}: {said}");
    }

    /// How many requests a host has had.
    pub(super) fn requests(&self, place: usize) -> u64 {
        self.look(place, "stot").parse().expect("a number")
    }

    /// What it knows of a host.
    fn look(&self, place: usize, field: &str) -> String {
        let table = self.ask("show stat").expect("it answers");
        let mut lines = table.lines();
        let names = lines.next().expect("a head").trim_start_matches("# ").split(',');
        let column = names.into_iter().position(|name| name == field).expect("it knows the field");
        let host = format!("hosts,host{},", place + 1);
        let line = lines.find(|line| line.starts_with(&host)).expect("it knows the host");
        line.split(',').nth(column).expect("every line has all fields").to_owned()
    }

    fn ask(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.folder.join("admin")).ok()?;
        stream.write_all(format!("{command}\n").as_bytes()).ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        Some(said)
    }
}
