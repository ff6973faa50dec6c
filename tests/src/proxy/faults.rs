//! Which fault meets which command, and how often it did.

use std::time::Duration;

use crate::wire::Message;

/// Which commands a fault meets.
#[derive(Debug, Clone, Copy)]
pub struct Commands {
    name: Option<&'static str>,
    collection: Option<&'static str>,
}

impl Commands {
    /// Every command but `hello`, by which the driver watches the server.
    pub const ANY: Commands = Commands { name: None, collection: None };

    /// Those of one name, such as `update`.
    pub const fn named(name: &'static str) -> Commands {
        Commands { name: Some(name), collection: None }
    }

    /// Of those, the ones on one collection.
    pub const fn on(self, collection: &'static str) -> Commands {
        Commands { collection: Some(collection), ..self }
    }

    fn has(self, message: &Message) -> bool {
        let Some((name, collection)) = message.command() else { return false };
        let is_watching = ["hello", "isMaster", "ismaster"].contains(&name);
        self.name.map_or(!is_watching, |wanted| wanted == name)
            && self.collection.is_none_or(|wanted| collection == Some(wanted))
    }
}

/// How often each fault hit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hits {
    /// Connections that [`cut_all`](super::Proxy::cut_all) closed.
    pub cut_connections: u64,
    /// Requests that were not forwarded.
    pub cut_requests: u64,
    /// Replies that were not forwarded.
    pub cut_replies: u64,
    /// Requests that were kept to be forwarded later.
    pub late: u64,
    /// Those of them that the server has answered since.
    pub landed: u64,
    /// Commands that began to wait; the driver's watching waits, too, and does not count.
    pub delayed: u64,
    /// Connections that a black hole has swallowed.
    pub swallowed: u64,
}

/// What is done to a command.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    CutRequest,
    CutReply,
    Late(Duration),
}

/// What is broken at a proxy now.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) hits: Hits,
    delay: Duration,
    rules: Vec<Rule>,
}

struct Rule {
    times: usize,
    which: Commands,
    fault: Fault,
}

impl Faults {
    pub(super) fn add(&mut self, times: usize, which: Commands, fault: Fault) {
        self.rules.push(Rule { times, which, fault });
    }

    pub(super) fn end(&mut self) {
        self.rules.clear();
        self.delay = Duration::ZERO;
    }

    pub(super) fn set_delay(&mut self, delay: Duration) {
        self.delay = delay;
    }

    /// How long this message has to wait.
    pub(super) fn delay(&mut self, message: &Message) -> Duration {
        if !self.delay.is_zero() && Commands::ANY.has(message) {
            self.hits.delayed += 1;
        }
        self.delay
    }

    /// The fault that meets this message: of those that could, the one that was set first.
    pub(super) fn take(&mut self, message: &Message) -> Option<Fault> {
        let rule = self.rules.iter_mut().find(|rule| rule.times > 0 && rule.which.has(message))?;
        rule.times -= 1;
        match rule.fault {
            Fault::CutRequest => self.hits.cut_requests += 1,
            // Only the reply can be hit, when there is one.
            Fault::CutReply => (),
            Fault::Late(_) => self.hits.late += 1,
        }
        Some(rule.fault)
    }
}
