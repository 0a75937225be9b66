//! Virtual time, and the loop that drives every torrent.

use causeway_core::{PieceIndex, Time};
use causeway_engine::{Command, Input, LinkId};
use core::time::Duration;
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};

use crate::node::{Node, Shared, Start};
use crate::script::Script;
use crate::storage::Storage;
use crate::web_server::WebServer;

mod checks;
#[cfg(not(target_arch = "wasm32"))]
mod door;
mod effects;
mod events;
mod network;
mod referee;
mod servers;
#[cfg_attr(target_arch = "wasm32", path = "world/no_tracker.rs")]
mod signaling;

use events::{Agenda, Alarm};
use network::Link;
pub(crate) use network::{Network, PORT};
use signaling::{Announcer, Signaling};

/// Everything there is. Parties and links are numbered in the order they were added.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) shared: Shared,
    pub(crate) network: Network,
    /// The state of a torrent is gone through after one of so many inputs.
    pub(crate) check_one_in: u32,
    pub(crate) rng: Rng,
    /// How often somebody met another by what a peer or the tracker said.
    pub(crate) met: usize,
    parties: Vec<Party>,
    links: Vec<Link>,
    agenda: Agenda,
    wakes: BTreeSet<(Time, Alarm)>,
    web_seeds: Vec<(LinkId, WebServer)>,
    /// How many ranges were fetched so far, and those that were not stopped.
    fetched: u64,
    fetches: BTreeMap<LinkId, u64>,
    signaling: Option<Signaling>,
    /// The last node that verified a piece since it was asked.
    verified: Option<usize>,
}

struct Party {
    actor: Actor,
    wake: Option<Time>,
    /// Where it is introduced by a tracker.
    announcer: Option<Box<Announcer>>,
    client_wake: Option<Time>,
    /// Links that were not closed when last looked at.
    links: Vec<usize>,
    /// It is no more: nothing reaches it.
    has_ended: bool,
}

enum Actor {
    Node(Box<Node>),
    Script(Box<Script>),
}

impl World {
    pub(crate) fn new(seed: u64, shared: Shared) -> Self {
        Self {
            now: Time::from_micros(1_000_000),
            shared,
            network: Network::default(),
            check_one_in: 8,
            rng: Rng::with_seed(seed),
            met: 0,
            parties: Vec::new(),
            links: Vec::new(),
            agenda: Agenda::default(),
            wakes: BTreeSet::new(),
            web_seeds: Vec::new(),
            fetched: 0,
            fetches: BTreeMap::new(),
            signaling: None,
            verified: None,
        }
    }

    /// A real torrent.
    pub(crate) fn add(&mut self, start: Start) -> usize {
        let name = self.rng.u64(..);
        self.add_named(start, name, false)
    }

    /// A real torrent with this name, which may be one that was here before. A classic one has an address, and
    /// exchanges those of others.
    pub(crate) fn add_named(&mut self, start: Start, name: u64, is_classic: bool) -> usize {
        let chance = self.rng.u64(..);
        let node = Node::new(&self.shared, start, (name, chance), is_classic, self.now);
        self.add_party(Actor::Node(Box::new(node)));
        self.perform(self.parties.len() - 1);
        self.parties.len() - 1
    }

    /// A peer that does what its script says.
    pub(crate) fn add_script(&mut self, script: Script) -> usize {
        self.add_party(Actor::Script(Box::new(script)));
        self.parties.len() - 1
    }

    fn add_party(&mut self, actor: Actor) {
        self.parties.push(Party {
            actor,
            wake: None,
            announcer: None,
            client_wake: None,
            links: Vec::new(),
            has_ended: false,
        });
    }

    pub(crate) fn node(&self, node: usize) -> &Node {
        match &self.parties[node].actor {
            Actor::Node(node) => node,
            Actor::Script(_) => panic!("{node} is a script"),
        }
    }

    pub(crate) fn node_mut(&mut self, node: usize) -> &mut Node {
        match &mut self.parties[node].actor {
            Actor::Node(node) => node,
            Actor::Script(_) => panic!("{node} is a script"),
        }
    }

    pub(crate) fn script(&self, script: usize) -> &Script {
        match &self.parties[script].actor {
            Actor::Script(script) => script,
            Actor::Node(_) => panic!("{script} is a torrent"),
        }
    }

    /// The node that has verified a piece in the last step.
    pub(crate) fn take_verified(&mut self) -> Option<usize> {
        self.verified.take()
    }

    /// This node's program ends. Gives back what it stored.
    pub(crate) fn end(&mut self, node: usize) -> Storage {
        self.cut_all(node);
        self.drop_client(node);
        self.set_alarm(Alarm::Torrent(node), None);
        self.parties[node].has_ended = true;
        let empty = Storage::empty(&self.shared);
        core::mem::replace(&mut self.node_mut(node).storage, empty)
    }

    pub(crate) fn command(&mut self, node: usize, command: Command) {
        self.input(node, Input::Command(command));
    }

    /// This node's storage no longer has this piece.
    pub(crate) fn lose(&mut self, node: usize, piece: PieceIndex) {
        self.node_mut(node).storage.lose(piece);
        self.input(node, Input::PieceLost { piece });
    }

    /// Goes on until this holds; where it takes longer than `limit`, or nothing is left to happen, the test fails.
    pub(crate) fn run_until(&mut self, limit: Duration, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !holds(self) {
            assert!(
                self.step(end),
                "not within {limit:?}: {what}\n{}",
                self.describe()
            );
        }
    }

    /// Goes on for so long.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Goes on until these have everything, and compares the bytes.
    pub(crate) fn run_until_complete(&mut self, nodes: &[usize], limit: Duration) {
        let all = |world: &Self| nodes.iter().all(|node| world.node(*node).is_complete());
        self.run_until(limit, "everything is there", all);
        for node in nodes {
            self.node(*node).check_content();
        }
    }

    fn input(&mut self, node: usize, input: Input) {
        if self.parties[node].has_ended {
            return;
        }
        let now = self.now;
        // Going through the whole state after every input would take most of the time of large worlds.
        let check = self.rng.u32(..self.check_one_in) == 0;
        let torrent = &mut self.node_mut(node).torrent;
        torrent.handle_input(now, input);
        if check {
            torrent.check_invariants();
        }
        self.perform(node);
        if check {
            self.check_requests(node);
        }
        self.look_after_client(node);
    }
}
