//! Virtual time, links with a rate and a latency, and the loop that drives every torrent.

use bytes::Bytes;
use causeway_core::Time;
use causeway_engine::{Command, Direction, Event, Input, LinkId, LinkKind, Output};
use core::cmp::{Ordering, Reverse};
use core::time::Duration;
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::node::{Node, Shared, Start};
use crate::script::Script;
use crate::storage::Storage;
use crate::web_server::WebServer;

mod checks;
mod servers;

/// Everything there is. Parties and links are numbered in the order they were added.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) shared: Shared,
    /// The state of a torrent is gone through after one of so many inputs.
    pub(crate) check_one_in: u32,
    pub(crate) rng: Rng,
    parties: Vec<Party>,
    links: Vec<Link>,
    happenings: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    wakes: BTreeSet<(Time, usize)>,
    web_seeds: Vec<(LinkId, WebServer)>,
    /// The fetches that were not stopped.
    fetches: BTreeMap<LinkId, u64>,
    /// The last node that verified a piece since it was asked.
    verified: Option<usize>,
}

struct Party {
    actor: Actor,
    wake: Option<Time>,
    /// Links that were not closed when last looked at.
    links: Vec<usize>,
    /// It is no more: nothing reaches it.
    has_ended: bool,
}

enum Actor {
    Node(Box<Node>),
    Script(Box<Script>),
}

/// Two directions; `buffered` has not left yet, `travelling` was not received yet.
struct Link {
    parties: [usize; 2],
    latency: Duration,
    is_open: [bool; 2],
    buffered: [usize; 2],
    travelling: [usize; 2],
    last_arrival: [Time; 2],
}

enum Happening {
    /// Bytes come to where this side takes them off, one after the other, at its own rate.
    Queue {
        link: usize,
        side: usize,
        parts: Vec<Bytes>,
    },
    /// Bytes reach this side of a link.
    Arrive {
        link: usize,
        side: usize,
        parts: Vec<Bytes>,
    },
    /// So many bytes have left this side of a link.
    Leave { link: usize, side: usize, bytes: usize },
    /// This side of a link learns that it is closed.
    Close { link: usize, side: usize },
    /// Storage answers.
    Answer { node: usize, input: Input },
    /// A web seed sends something, unless it was told to stop.
    Fetched { node: usize, fetch: u64, input: Input },
}

/// A happening at its time; what was set for the same time comes in the order of setting.
struct Entry {
    at: (Time, u64),
    happening: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl World {
    pub(crate) fn new(seed: u64, shared: Shared) -> Self {
        Self {
            now: Time::from_micros(1_000_000),
            shared,
            check_one_in: 8,
            rng: Rng::with_seed(seed),
            parties: Vec::new(),
            links: Vec::new(),
            happenings: BinaryHeap::new(),
            sequence: 0,
            wakes: BTreeSet::new(),
            web_seeds: Vec::new(),
            fetches: BTreeMap::new(),
            verified: None,
        }
    }

    /// A real torrent.
    pub(crate) fn add(&mut self, start: Start) -> usize {
        let chance = self.rng.u64(..);
        let node = Node::new(&self.shared, start, chance, self.now);
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

    /// `from` opens a link to `to`, with a latency of 2 to 30 ms.
    pub(crate) fn connect(&mut self, from: usize, to: usize) -> usize {
        let latency = Duration::from_millis(self.rng.u64(2..30));
        let link = self.links.len();
        self.links.push(Link {
            parties: [from, to],
            latency,
            is_open: [true; 2],
            buffered: [0; 2],
            travelling: [0; 2],
            last_arrival: [self.now; 2],
        });
        for (side, direction) in [(0, Direction::Outgoing), (1, Direction::Incoming)] {
            let party = self.links[link].parties[side];
            self.parties[party].links.push(link);
            match &mut self.parties[party].actor {
                Actor::Node(_) => {
                    let id = link_id(link, side);
                    let opened = Input::LinkOpened {
                        link: id,
                        direction,
                        expected: None,
                        kind: LinkKind::WebRtc,
                        addr: None,
                    };
                    self.input(party, opened);
                    let budget = BUFFER;
                    self.input(party, Input::Writable { link: id, budget });
                }
                Actor::Script(script) => {
                    let bytes = script.opened();
                    self.send(link, side, vec![bytes]);
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
        for link in self.links_of(party) {
            self.cut(link);
        }
    }

    /// The links of this party that are open at its side.
    pub(crate) fn links_of(&mut self, party: usize) -> Vec<usize> {
        let links = &self.links;
        let open = |link: &usize| {
            let Link { parties, is_open, .. } = &links[*link];
            (0..2).any(|side| parties[side] == party && is_open[side])
        };
        self.parties[party].links.retain(open);
        self.parties[party].links.clone()
    }

    /// The node that has verified a piece in the last step.
    pub(crate) fn take_verified(&mut self) -> Option<usize> {
        self.verified.take()
    }

    /// This node's program ends. Gives back what it stored.
    pub(crate) fn end(&mut self, node: usize) -> Storage {
        self.cut_all(node);
        self.set_wake(node, None);
        self.parties[node].has_ended = true;
        let empty = Storage::empty(&self.shared);
        core::mem::replace(&mut self.node_mut(node).storage, empty)
    }

    /// Whether there is a link between these.
    pub(crate) fn are_linked(&mut self, one: usize, other: usize) -> bool {
        let links = self.links_of(one);
        links
            .iter()
            .any(|link| self.links[*link].parties.contains(&other))
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

    /// Does what happens next, if it happens by then.
    pub(crate) fn step(&mut self, end: Time) -> bool {
        let happening = self.happenings.peek().map(|entry| entry.0.at.0);
        if let Some((time, node)) = self.wakes.first().copied()
            && happening.is_none_or(|happening| time <= happening)
        {
            if time > end {
                return false;
            }
            self.now = self.now.max(time);
            self.input(node, Input::TimedOut);
            return true;
        }
        if happening.is_none_or(|happening| happening > end) {
            return false;
        }
        let Some(Reverse(entry)) = self.happenings.pop() else {
            return false;
        };
        self.now = self.now.max(entry.at.0);
        match entry.happening {
            Happening::Queue { link, side, parts } => self.queue(link, side, parts),
            Happening::Arrive { link, side, parts } => self.arrive(link, side, parts),
            Happening::Leave { link, side, bytes } => {
                let sender = &mut self.links[link];
                sender.buffered[side] -= bytes;
                let budget = BUFFER.saturating_sub(sender.buffered[side]);
                let party = sender.parties[side];
                if sender.is_open[side] && matches!(self.parties[party].actor, Actor::Node(_)) {
                    let link = link_id(link, side);
                    self.input(party, Input::Writable { link, budget });
                }
            }
            Happening::Close { link, side } => self.close_side(link, side),
            Happening::Answer { node, input } => self.input(node, input),
            Happening::Fetched { node, fetch, input } => {
                if self.fetches.values().any(|other| *other == fetch) {
                    if let Input::FetchEnded { link, .. } = &input {
                        self.fetches.remove(link);
                    }
                    self.input(node, input);
                }
            }
        }
        true
    }

    fn queue(&mut self, link: usize, side: usize, parts: Vec<Bytes>) {
        let length = parts.iter().map(Bytes::len).sum();
        let now = self.now;
        if let Actor::Node(node) = &mut self.parties[self.links[link].parties[side]].actor {
            let time = time_for(length, node.down_rate);
            node.receiving_until = node.receiving_until.max(now) + time;
            if node.receiving_until > now {
                let at = node.receiving_until;
                let last = &mut self.links[link].last_arrival[1 - side];
                *last = at.max(*last);
                return self.happen(at, Happening::Arrive { link, side, parts });
            }
        }
        self.arrive(link, side, parts);
    }

    fn arrive(&mut self, link: usize, side: usize, pieces: Vec<Bytes>) {
        self.links[link].travelling[1 - side] -= 1;
        let party = self.links[link].parties[side];
        for bytes in pieces {
            if !self.links[link].is_open[side] {
                return;
            }
            match &mut self.parties[party].actor {
                Actor::Node(_) => {
                    // Where the stream is cut has no meaning.
                    let cut = match self.rng.u8(..8) {
                        0 => self.rng.usize(..=bytes.len()),
                        _ => 0,
                    };
                    let link = link_id(link, side);
                    for bytes in [bytes.slice(..cut), bytes.slice(cut..)] {
                        self.input(party, Input::Received { link, bytes });
                    }
                }
                Actor::Script(script) => {
                    let answer = script.received(bytes, &mut self.rng);
                    self.send(link, side, vec![answer]);
                }
            }
        }
    }

    fn close_side(&mut self, link: usize, side: usize) {
        if !core::mem::replace(&mut self.links[link].is_open[side], false) {
            return;
        }
        let party = self.links[link].parties[side];
        match &mut self.parties[party].actor {
            Actor::Node(_) => {
                let link = link_id(link, side);
                self.input(party, Input::LinkClosed { link });
            }
            Actor::Script(script) => script.closed = true,
        }
    }

    fn input(&mut self, node: usize, input: Input) {
        if self.parties[node].has_ended {
            return;
        }
        let now = self.now;
        // Going through the whole state after every input would take most of the time.
        let check = self.rng.u32(..self.check_one_in) == 0;
        let torrent = &mut self.node_mut(node).torrent;
        torrent.handle_input(now, input);
        if check {
            torrent.check_invariants();
        }
        self.perform(node);
    }

    /// Does what the torrent says.
    fn perform(&mut self, number: usize) {
        // What is said on one link between two inputs travels together, up to a block.
        let mut said: Vec<(LinkId, Vec<Bytes>)> = Vec::new();
        loop {
            let now = self.now;
            let slow = Duration::from_micros(self.rng.u64(100..5_000));
            let output = self.node_mut(number).torrent.poll_output();
            if matches!(output, Output::Event(Event::PieceVerified(_))) {
                self.verified = Some(number);
            }
            let node = self.node_mut(number);
            match output {
                Output::Send { link, bytes } => match said.iter_mut().rev().find(|(other, _)| *other == link)
                {
                    Some((_, parts)) if parts.iter().all(|part| part.len() < SMALL) => parts.push(bytes),
                    Some(_) | None => said.push((link, vec![bytes])),
                },
                Output::CloseLink { link, reason } => {
                    node.closed.push(reason);
                    if self.web_seeds.iter().any(|(other, _)| *other == link) {
                        continue;
                    }
                    for (link, parts) in said.extract_if(.., |(other, _)| *other == link) {
                        self.say(link, parts);
                    }
                    let (link, side) = link_of(link);
                    self.links[link].is_open[side] = false;
                    let at = self.links[link].last_arrival[side].max(now + self.links[link].latency);
                    self.happen(at, Happening::Close { link, side: 1 - side });
                }
                Output::PeersFound { .. } => panic!("links here have no addresses"),
                Output::Fetch { link, bytes } => self.fetch(number, link, bytes),
                Output::StopFetch { link } => drop(self.fetches.remove(&link)),
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
                    match &event {
                        Event::MetadataReceived(info) => {
                            assert_eq!(info.raw(), node.shared.info.raw());
                        }
                        Event::PieceVerified(piece) => {
                            assert!(node.storage.is_right(*piece), "{piece:?} is as shared");
                        }
                        Event::StateChanged(_) | Event::PieceFailed(_) | Event::FileCompleted(_) => {}
                    }
                    node.events.push(event);
                }
                Output::Timeout(deadline) => {
                    assert!(
                        deadline.is_none_or(|deadline| deadline > now),
                        "the deadline lies ahead"
                    );
                    self.set_wake(number, deadline);
                    break;
                }
            }
        }
        for (link, parts) in said {
            self.say(link, parts);
        }
    }

    fn set_wake(&mut self, number: usize, wake: Option<Time>) {
        let party = &mut self.parties[number];
        if party.wake == wake {
            return;
        }
        if let Some(old) = core::mem::replace(&mut party.wake, wake) {
            self.wakes.remove(&(old, number));
        }
        self.wakes.extend(wake.map(|time| (time, number)));
    }

    fn say(&mut self, link: LinkId, parts: Vec<Bytes>) {
        let (link, side) = link_of(link);
        self.send(link, side, parts);
    }

    fn send(&mut self, link: usize, side: usize, parts: Vec<Bytes>) {
        let length: usize = parts.iter().map(Bytes::len).sum();
        if length == 0 || !self.links[link].is_open[side] {
            return;
        }
        let now = self.now;
        let Link { parties, latency, .. } = self.links[link];
        let left = match &mut self.parties[parties[side]].actor {
            Actor::Node(node) => {
                node.sending_until = node.sending_until.max(now) + time_for(length, node.up_rate);
                node.sending_until
            }
            Actor::Script(_) => now,
        };
        let arrival = left + latency;
        let sender = &mut self.links[link];
        sender.buffered[side] += length;
        sender.travelling[side] += 1;
        sender.last_arrival[side] = arrival;
        let leave = Happening::Leave {
            link,
            side,
            bytes: length,
        };
        self.happen(left, leave);
        let side = 1 - side;
        self.happen(arrival, Happening::Queue { link, side, parts });
    }

    fn answer(&mut self, at: Time, node: usize, input: Input) {
        self.happen(at, Happening::Answer { node, input });
    }

    fn happen(&mut self, time: Time, happening: Happening) {
        self.sequence += 1;
        let at = (time, self.sequence);
        self.happenings.push(Reverse(Entry { at, happening }));
    }
}

fn time_for(bytes: usize, rate: u64) -> Duration {
    Duration::from_micros(bytes as u64 * 1_000_000 / rate)
}

fn link_id(link: usize, side: usize) -> LinkId {
    LinkId((link * 2 + side) as u64)
}

fn link_of(id: LinkId) -> (usize, usize) {
    let number = usize::try_from(id.0).expect("small");
    (number / 2, number % 2)
}

/// Longer parts are blocks.
const SMALL: usize = 1024;
/// What a link takes before it has to have sent some.
const BUFFER: usize = 64 * 1024;
