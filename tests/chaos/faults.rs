//! What is done to the database, the network and the clients while these are at work.

use std::thread::sleep;
use std::time::Duration;

use code_service_tests::proxy::{Commands, Hits};
use code_service_tests::{Proxy, ReplicaSet};
use mongodb::bson::{Document, doc};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::clients::Clients;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    StepDown,
    KillPrimary,
    PausePrimary,
    PauseSecondary,
    LoseSecondary,
    LoseMajority,
    CutRequests,
    CutReplies,
    LateRequests,
    SlowNetwork,
    HalfOpen,
    CutConnections,
    FailingCommands,
    KillSessions,
    KillClient,
    PauseClient,
}

use Fault::*;

/// All of them: as the command line and the table of a run have them, and what they do to whom.
const FAULTS: [(Fault, &str, &str); 16] = [
    (StepDown, "step-down", "the primary steps down"),
    (KillPrimary, "kill-primary", "the primary is killed, and comes back"),
    (PausePrimary, "pause-primary", "the primary stands still until another is elected, and goes on"),
    (PauseSecondary, "pause-secondary", "a secondary stands still, and goes on with what it knew then"),
    (LoseSecondary, "lose-secondary", "a secondary is killed, and comes back"),
    (LoseMajority, "lose-majority", "both secondaries are killed, and come back"),
    (CutRequests, "cut-requests", "commands are cut off before the server has them"),
    (CutReplies, "cut-replies", "commands are carried out, and cut off before their replies"),
    (LateRequests, "late-requests", "commands are cut off, and reach the server seconds later"),
    (SlowNetwork, "slow-network", "all that clients send is slow"),
    (HalfOpen, "half-open", "connections to the primary fall silent, and nobody is told"),
    (CutConnections, "cut-connections", "all connections are closed"),
    (FailingCommands, "failing-commands", "commands fail on the primary, in all the ways that pass"),
    (KillSessions, "kill-sessions", "what clients do on the primary is killed there, and their cursors"),
    (KillClient, "kill-client", "a client process is killed, and another takes its place"),
    (PauseClient, "pause-client", "a client process stands still, and goes on"),
];

impl Fault {
    pub(crate) fn all() -> Vec<Fault> {
        FAULTS.map(|(fault, ..)| fault).to_vec()
    }

    pub(crate) fn names() -> String {
        FAULTS.map(|(_, name, _)| name).join(",")
    }

    pub(crate) fn named(name: &str) -> Option<Fault> {
        FAULTS.iter().find(|(_, own, _)| *own == name).map(|(fault, ..)| *fault)
    }

    /// Its name, and what it does.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        let found = FAULTS.iter().find(|(fault, ..)| *fault == self);
        found.map(|(_, name, what)| (*name, *what)).expect("every fault is in the list")
    }

    /// Lets it happen, and ends it. Returns how many commands, connections or processes it has met.
    pub(crate) fn strike(self, set: &mut ReplicaSet, clients: &mut Clients, rng: &mut StdRng) -> u64 {
        let before = self.hits(set);
        self.happen(set, clients, rng);
        match (before, self.hits(set)) {
            (Some(before), Some(after)) => after - before,
            // A member or a client, and always one.
            _ => 1,
        }
    }

    /// How often it has hit in the whole run, if it is one of the network.
    fn hits(self, set: &ReplicaSet) -> Option<u64> {
        let count = |hits: Hits| match self {
            CutRequests => Some(hits.cut_requests),
            CutReplies => Some(hits.cut_replies),
            LateRequests => Some(hits.late),
            SlowNetwork => Some(hits.delayed),
            HalfOpen => Some(hits.swallowed),
            CutConnections => Some(hits.cut_connections),
            _ => None,
        };
        set.proxies().iter().map(|proxy| count(proxy.hits())).sum()
    }

    fn happen(self, set: &mut ReplicaSet, clients: &mut Clients, rng: &mut StdRng) {
        let primary = set.wait_for_primary(Duration::from_secs(60));
        let secondary = (primary + rng.random_range(1..=2)) % 3;
        match self {
            StepDown => set.step_down(5),
            KillPrimary => {
                set.kill(primary);
                set.wait_for_primary(Duration::from_secs(60));
                set.start_again(primary);
            }
            PausePrimary => {
                set.pause(primary);
                set.wait_for_primary(Duration::from_secs(60));
                pause(rng, 0..2_000);
                set.resume(primary);
            }
            PauseSecondary => {
                set.pause(secondary);
                pause(rng, 200..2_000);
                set.resume(secondary);
            }
            LoseSecondary => {
                set.kill(secondary);
                pause(rng, 500..2_000);
                set.start_again(secondary);
            }
            LoseMajority => {
                let others = [(primary + 1) % 3, (primary + 2) % 3];
                others.iter().for_each(|member| set.kill(*member));
                pause(rng, 500..4_000);
                others.iter().for_each(|member| set.start_again(*member));
            }
            CutRequests | CutReplies | LateRequests => self.cut(&set.proxies()[primary], rng),
            SlowNetwork => {
                let delay = Duration::from_millis(rng.random_range(20..300));
                set.proxies().iter().for_each(|proxy| proxy.delay(delay));
                pause(rng, 1_000..3_000);
                set.proxies().iter().for_each(|proxy| proxy.delay(Duration::ZERO));
            }
            HalfOpen => {
                set.proxies()[primary].black_hole(true);
                pause(rng, 1_000..6_000);
                set.proxies()[primary].black_hole(false);
            }
            CutConnections => set.proxies().iter().for_each(Proxy::cut_all),
            FailingCommands => {
                let times = rng.random_range(1..=20);
                set.fail_point(primary, doc! { "times": times }, failure(rng));
                pause(rng, 500..2_000);
                // Whoever is not there any more fails nothing.
                if set.hello(primary).is_some() {
                    set.fail_point(primary, "off", doc! {});
                }
            }
            KillSessions => {
                for _ in 0..rng.random_range(1..=20) {
                    set.kill_sessions(primary);
                    pause(rng, 0..100);
                }
            }
            KillClient => clients.replace_one(rng),
            PauseClient => clients.pause_one(rng, |rng| pause(rng, 1_000..10_000)),
        }
    }

    fn cut(self, proxy: &Proxy, rng: &mut StdRng) {
        let times = rng.random_range(1..=6);
        let all = match rng.random_range(0..8) {
            0..4 => Commands::named("update").on("codes"),
            4 => Commands::named("update"),
            5 => Commands::named("insert"),
            6 => Commands::named("find"),
            _ => Commands::ANY,
        };
        let writes = ["update", "update", "update", "insert", "findAndModify", "delete"];
        let write = Commands::named(writes[rng.random_range(0..writes.len())]);
        match self {
            CutRequests => proxy.cut_requests(times, all),
            CutReplies => proxy.cut_replies(times, all),
            _ => proxy.late(times, Duration::from_millis(rng.random_range(100..12_000)), write),
        }
        pause(rng, 500..1_500);
    }
}

fn pause(rng: &mut StdRng, milliseconds: std::ops::Range<u64>) {
    sleep(Duration::from_millis(rng.random_range(milliseconds)));
}

/// A way for commands of clients to fail.
fn failure(rng: &mut StdRng) -> Document {
    let commands = match rng.random_range(0..4) {
        0 | 1 => vec!["update"],
        2 => vec!["update", "insert", "findAndModify", "delete"],
        _ => vec!["find", "getMore", "aggregate", "update"],
    };
    let mut data = doc! { "failCommands": commands, "appName": "code-service" };
    match rng.random_range(0..4) {
        0 => data.insert("closeConnection", true),
        1 => data.insert("writeConcernError", doc! { "code": 64, "errmsg": "waiting for replication" }),
        // Hosts and networks that are not there, limits of time, locks that were not had, conflicts, servers that are
        // primary no more or shut down, no server that fits, and commands that somebody kills.
        _ => {
            let codes = [
                6, 7, 24, 50, 89, 91, 112, 133, 134, 189, 262, 9_001, 10_107, 11_600, 11_601, 11_602, 13_435,
                13_436,
            ];
            data.insert("errorCode", codes[rng.random_range(0..codes.len())])
        }
    };
    if rng.random_bool(0.3) {
        data.insert("blockConnection", true);
        data.insert("blockTimeMS", rng.random_range(10..1_500));
    }
    data
}
