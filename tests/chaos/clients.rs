//! The client processes of a run.

use std::process::Command;
use std::time::Duration;

use code_service_tests::clock;
use code_service_tests::supervised::Supervised;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::plan::{Kind, Orders};
use crate::record;

struct Client {
    process: Supervised,
    orders: Orders,
    /// Its clock is wrong.
    ahead: bool,
}

impl Client {
    fn start(orders: Orders, ahead: bool) -> Client {
        let program = std::env::current_exe().expect("this program has a path");
        // `env` without more only runs the program.
        let mut command = Command::new("env");
        if ahead {
            command.args(&clock::ahead()[1..]);
        }
        command.arg(program).arg("client").arg(serde_json::to_string(&orders).expect("plain data"));
        let mut process = Supervised::new(&command, None);
        process.start();
        Client { process, orders, ahead }
    }

    fn kill(&mut self) {
        let pid = self.process.pid();
        self.process.kill();
        clock::tidy(pid);
    }
}

/// All clients that run.
pub(crate) struct Clients {
    running: Vec<Client>,
    next: u32,
}

impl Clients {
    /// So many of ours, the last with a wrong clock, and one of the deployed service.
    pub(crate) fn start(ours: usize, model: &Orders, old: Kind) -> Clients {
        let mut clients = Clients { running: Vec::new(), next: model.number };
        for number in 0..ours {
            let orders = clients.orders(model);
            clients.running.push(Client::start(orders, number + 1 == ours));
        }
        let mut orders = clients.orders(model);
        orders.what = old;
        clients.running.push(Client::start(orders, false));
        clients
    }

    fn orders(&mut self, model: &Orders) -> Orders {
        self.next += 1;
        Orders { number: self.next, ..model.clone() }
    }

    /// Kills one in the middle of what it does, and starts another in its place.
    pub(crate) fn replace_one(&mut self, rng: &mut StdRng) {
        let place = rng.random_range(0..self.running.len());
        self.running[place].kill();
        record::gone(&self.running[place].orders.history());
        let (model, ahead) = (self.running[place].orders.clone(), self.running[place].ahead);
        self.running[place] = Client::start(self.orders(&model), ahead);
    }

    /// Lets one stand still for a while.
    pub(crate) fn pause_one(&mut self, rng: &mut StdRng, pause: impl FnOnce(&mut StdRng)) {
        let place = rng.random_range(0..self.running.len());
        self.running[place].process.signal("STOP");
        pause(rng);
        self.running[place].process.signal("CONT");
    }

    /// What those said that have ended before their time.
    pub(crate) fn failed(&self) -> Option<String> {
        let ended = self.running.iter().find(|client| client.process.ended())?;
        Some(format!("client {} has ended: {}", ended.orders.number, ended.process.stderr().join("\n")))
    }

    /// Waits for all of them to end by themselves. Returns what those said who did not, or not well.
    pub(crate) fn wait(self, limit: Duration) -> Vec<String> {
        let end = |mut client: Client| {
            let status = client.process.wait(limit);
            let finished = client.process.finish();
            (status != Some(0)).then(|| {
                format!(
                    "client {} ended with {status:?}: {}",
                    client.orders.number,
                    finished.stderr.join("\n")
                )
            })
        };
        self.running.into_iter().filter_map(end).collect()
    }
}
