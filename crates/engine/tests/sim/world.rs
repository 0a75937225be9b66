//! Virtual time, links with a rate and a latency, and the loop that drives every torrent.

use bytes::Bytes;
use causeway_core::Time;
use causeway_engine::{Command, Direction, Event, Input, LinkId, LinkKind, Output};
use core::time::Duration;
use fastrand::Rng;
use std::collections::BTreeMap;

use crate::node::{Node, Shared, Start};
use crate::script::Script;

/// Everything there is. Parties and links are numbered in the order they were added.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) shared: Shared,
    rng: Rng,
    parties: Vec<Party>,
    links: Vec<Link>,
    happenings: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    wakes: BTreeMap<usize, Time>,
}

enum Party {
    Node(Box<Node>),
    Script(Box<Script>),
}

/// Two directions, each with the bytes that have not left yet.
struct Link {
    parties: [usize; 2],
    latency: Duration,
    is_open: [bool; 2],
    buffered: [usize; 2],
}

enum Happening {
    /// Bytes reach this side of a link.
    Arrive { link: usize, side: usize, bytes: Bytes },
    /// So many bytes have left this side of a link.
    Leave { link: usize, side: usize, bytes: usize },
    /// This side of a link learns that it is closed.
    Close { link: usize, side: usize },
    /// Storage answers.
    Answer { node: usize, input: Input },
}

impl World {
    pub(crate) fn new(seed: u64, shared: Shared) -> Self {
        Self {
            now: Time::from_micros(1_000_000),
            shared,
            rng: Rng::with_seed(seed),
            parties: Vec::new(),
            links: Vec::new(),
            happenings: BTreeMap::new(),
            sequence: 0,
            wakes: BTreeMap::new(),
        }
    }

    /// A real torrent.
    pub(crate) fn add(&mut self, start: Start) -> usize {
        let chance = self.rng.u64(..);
        let node = Node::new(&self.shared, start, chance, self.now);
        self.parties.push(Party::Node(Box::new(node)));
        self.perform(self.parties.len() - 1);
        self.parties.len() - 1
    }

    /// A peer that does what its script says.
    pub(crate) fn add_script(&mut self, script: Script) -> usize {
        self.parties.push(Party::Script(Box::new(script)));
        self.parties.len() - 1
    }

    pub(crate) fn node(&self, node: usize) -> &Node {
        match &self.parties[node] {
            Party::Node(node) => node,
            Party::Script(_) => panic!("{node} is a script"),
        }
    }

    pub(crate) fn node_mut(&mut self, node: usize) -> &mut Node {
        match &mut self.parties[node] {
            Party::Node(node) => node,
            Party::Script(_) => panic!("{node} is a script"),
        }
    }

    pub(crate) fn script(&self, script: usize) -> &Script {
        match &self.parties[script] {
            Party::Script(script) => script,
            Party::Node(_) => panic!("{script} is a torrent"),
        }
    }

    /// `from` opens a link to `to`, with a latency of 2 to 30 ms.
    pub(crate) fn connect(&mut self, from: usize, to: usize) -> usize {
        let latency = Duration::from_millis(self.rng.u64(2..30));
        let link = self.links.len();
        self.links.push(Link {
            parties: [from, to],
            latency,
            is_open: [true; 2],
            buffered: [0; 2],
        });
        for (side, direction) in [(0, Direction::Outgoing), (1, Direction::Incoming)] {
            let party = self.links[link].parties[side];
            match &mut self.parties[party] {
                Party::Node(_) => {
                    let id = link_id(link, side);
                    self.input(
                        party,
                        Input::LinkOpened {
                            link: id,
                            direction,
                            expected: None,
                            kind: LinkKind::WebRtc,
                            addr: None,
                        },
                    );
                    self.input(
                        party,
                        Input::Writable {
                            link: id,
                            budget: BUFFER,
                        },
                    );
                }
                Party::Script(script) => {
                    let bytes = script.opened();
                    self.send(link, side, bytes);
                }
            }
        }
        link
    }

    /// Every one of these opens a link to every one after it.
    pub(crate) fn connect_all(&mut self, parties: &[usize]) {
        for (place, from) in parties.iter().enumerate() {
            for to in &parties[place + 1..] {
                self.connect(*from, *to);
            }
        }
    }

    /// The link breaks; both sides learn of it at once.
    pub(crate) fn cut(&mut self, link: usize) {
        for side in [0, 1] {
            self.close_side(link, side);
        }
    }

    /// All links of this party break.
    pub(crate) fn cut_all(&mut self, party: usize) {
        for link in 0..self.links.len() {
            if self.links[link].parties.contains(&party) {
                self.cut(link);
            }
        }
    }

    pub(crate) fn command(&mut self, node: usize, command: Command) {
        self.input(node, Input::Command(command));
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

    fn describe(&self) -> String {
        let nodes = self
            .parties
            .iter()
            .zip(0..)
            .filter_map(|(party, number)| match party {
                Party::Node(node) => Some(format!(
                    "{number}: {:?} {:?}\n   {:?}\n   closed {:?}\n",
                    node.torrent.state(),
                    node.torrent.stats(),
                    node.torrent.peers().collect::<Vec<_>>(),
                    node.closed
                )),
                Party::Script(_) => None,
            });
        nodes.collect()
    }

    /// Does what happens next, if it happens by then.
    fn step(&mut self, end: Time) -> bool {
        let happening = self.happenings.first_key_value().map(|((time, _), _)| *time);
        let wake = self
            .wakes
            .iter()
            .min_by_key(|(_, time)| **time)
            .map(|(node, time)| (*node, *time));
        if let Some((node, time)) = wake
            && happening.is_none_or(|happening| time <= happening)
        {
            if time > end {
                return false;
            }
            self.now = self.now.max(time);
            self.input(node, Input::TimedOut);
            return true;
        }
        let Some(entry) = self.happenings.first_entry().filter(|entry| entry.key().0 <= end) else {
            return false;
        };
        self.now = self.now.max(entry.key().0);
        match entry.remove() {
            Happening::Arrive { link, side, bytes } => self.arrive(link, side, bytes),
            Happening::Leave { link, side, bytes } => {
                let sender = &mut self.links[link];
                sender.buffered[side] -= bytes;
                let budget = BUFFER.saturating_sub(sender.buffered[side]);
                let party = sender.parties[side];
                if sender.is_open[side] && matches!(self.parties[party], Party::Node(_)) {
                    self.input(
                        party,
                        Input::Writable {
                            link: link_id(link, side),
                            budget,
                        },
                    );
                }
            }
            Happening::Close { link, side } => self.close_side(link, side),
            Happening::Answer { node, input } => self.input(node, input),
        }
        true
    }

    fn arrive(&mut self, link: usize, side: usize, bytes: Bytes) {
        if !self.links[link].is_open[side] {
            return;
        }
        let party = self.links[link].parties[side];
        match &mut self.parties[party] {
            Party::Node(_) => {
                // Where the stream is cut has no meaning.
                let cut = self.rng.usize(..=bytes.len());
                let link = link_id(link, side);
                self.input(
                    party,
                    Input::Received {
                        link,
                        bytes: bytes.slice(..cut),
                    },
                );
                self.input(
                    party,
                    Input::Received {
                        link,
                        bytes: bytes.slice(cut..),
                    },
                );
            }
            Party::Script(script) => {
                let answer = script.received(bytes, &mut self.rng);
                self.send(link, side, answer);
            }
        }
    }

    fn close_side(&mut self, link: usize, side: usize) {
        if !core::mem::replace(&mut self.links[link].is_open[side], false) {
            return;
        }
        let party = self.links[link].parties[side];
        match &mut self.parties[party] {
            Party::Node(_) => self.input(
                party,
                Input::LinkClosed {
                    link: link_id(link, side),
                },
            ),
            Party::Script(script) => script.closed = true,
        }
    }

    fn input(&mut self, node: usize, input: Input) {
        let now = self.now;
        // Going through the whole state after every input would take most of the time.
        let check = self.rng.u8(..8) == 0;
        let torrent = &mut self.node_mut(node).torrent;
        torrent.handle_input(now, input);
        if check {
            torrent.check_invariants();
        }
        self.perform(node);
    }

    /// Does what the torrent says.
    fn perform(&mut self, number: usize) {
        loop {
            let now = self.now;
            let slow = Duration::from_micros(self.rng.u64(100..5_000));
            let node = self.node_mut(number);
            match node.torrent.poll_output() {
                Output::Send { link, bytes } => {
                    let (link, side) = link_of(link);
                    self.send(link, side, bytes);
                }
                Output::CloseLink { link, reason } => {
                    node.closed.push(reason);
                    let (link, side) = link_of(link);
                    self.links[link].is_open[side] = false;
                    let at = now + self.links[link].latency;
                    self.happen(at, Happening::Close { link, side: 1 - side });
                }
                Output::Read { block } => {
                    let result = node.storage.read(block);
                    self.answer(now + slow, number, Input::BlockRead { block, result });
                }
                Output::Write { block, bytes } => {
                    let result = node.storage.write(block, bytes);
                    self.answer(now + slow, number, Input::BlockWritten { block, result });
                }
                Output::Hash { piece } => {
                    node.hashed += 1;
                    let result = node.storage.hash(piece);
                    self.answer(now + slow, number, Input::PieceHashed { piece, result });
                }
                Output::Announce(event) => node.announced.push(event),
                Output::Event(event) => {
                    if let Event::MetadataReceived(info) = &event {
                        assert_eq!(info.raw(), node.shared.info.raw());
                    }
                    node.events.push(event);
                }
                Output::Timeout(deadline) => {
                    assert!(
                        deadline.is_none_or(|deadline| deadline > now),
                        "the deadline lies ahead"
                    );
                    self.wakes.remove(&number);
                    self.wakes.extend(deadline.map(|deadline| (number, deadline)));
                    return;
                }
            }
        }
    }

    fn send(&mut self, link: usize, side: usize, bytes: Bytes) {
        if bytes.is_empty() || !self.links[link].is_open[side] {
            return;
        }
        let length = bytes.len();
        let party = self.links[link].parties[side];
        let left = match &mut self.parties[party] {
            Party::Node(node) => {
                let time = Duration::from_micros(length as u64 * 1_000_000 / node.up_rate);
                node.busy_until = node.busy_until.max(self.now) + time;
                node.busy_until
            }
            Party::Script(_) => self.now,
        };
        self.links[link].buffered[side] += length;
        let arrival = left + self.links[link].latency;
        self.happen(
            left,
            Happening::Leave {
                link,
                side,
                bytes: length,
            },
        );
        self.happen(
            arrival,
            Happening::Arrive {
                link,
                side: 1 - side,
                bytes,
            },
        );
    }

    fn answer(&mut self, at: Time, node: usize, input: Input) {
        self.happen(at, Happening::Answer { node, input });
    }

    fn happen(&mut self, at: Time, happening: Happening) {
        self.sequence += 1;
        self.happenings.insert((at, self.sequence), happening);
    }
}

fn link_id(link: usize, side: usize) -> LinkId {
    LinkId((link * 2 + side) as u64)
}

fn link_of(id: LinkId) -> (usize, usize) {
    let number = usize::try_from(id.0).expect("small");
    (number / 2, number % 2)
}

/// What a link takes before it has to have sent some.
const BUFFER: usize = 64 * 1024;
