//! Links: rates, latencies, what is lost on the way, and how they end.

use bytes::Bytes;
use causeway_core::Time;
use causeway_engine::{Direction, Input, LinkId, LinkKind};
use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;

use super::events::Happening;
use super::referee::Referee;
use super::{Actor, World};

/// What the network between the parties is like.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// Milliseconds that every byte is on its way; each link has its own.
    pub(crate) latency: Range<u64>,
    /// Of a thousand messages so many are lost at first and sent again, which holds up all that follow on their link.
    pub(crate) losses: u32,
    /// Bytes that a link takes before it has to have sent some. What is said on it waits behind them.
    pub(crate) buffer: usize,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: 2..30,
            losses: 0,
            buffer: 64 * 1024,
        }
    }
}

/// Two directions; `buffered` has not left yet, `travelling` was not received yet.
pub(super) struct Link {
    pub(super) parties: [usize; 2],
    pub(super) opened: Time,
    pub(super) latency: Duration,
    pub(super) is_open: [bool; 2],
    /// Nothing gets through any more, and nobody is told.
    pub(super) is_dead: bool,
    pub(super) buffered: [usize; 2],
    pub(super) travelling: [usize; 2],
    pub(super) last_arrival: [Time; 2],
    /// Knows what each side has asked the other for.
    pub(super) referee: Option<Box<Referee>>,
}

impl World {
    /// `from` opens a link to `to`.
    pub(crate) fn connect(&mut self, from: usize, to: usize) -> usize {
        let latency = Duration::from_millis(self.rng.u64(self.network.latency.clone()));
        let link = self.links.len();
        self.links.push(Link {
            parties: [from, to],
            opened: self.now,
            latency,
            is_open: [true; 2],
            is_dead: false,
            buffered: [0; 2],
            travelling: [0; 2],
            last_arrival: [self.now; 2],
            referee: (self.check_one_in < RARELY).then(Box::default),
        });
        let kind = self.kind_of(from, to);
        for (side, direction) in [(0, Direction::Outgoing), (1, Direction::Incoming)] {
            let party = self.links[link].parties[side];
            let other = self.links[link].parties[1 - side];
            self.parties[party].links.push(link);
            let introduced = self.is_introduced(party, other).then(|| self.node(other).peer_id);
            match &mut self.parties[party].actor {
                Actor::Node(_) => {
                    let id = link_id(link, side);
                    self.input(
                        party,
                        Input::LinkOpened {
                            link: id,
                            direction,
                            expected: introduced,
                            kind,
                            addr: self.address_of(other).map(|mut addr| {
                                if direction == Direction::Incoming {
                                    addr.set_port(EPHEMERAL);
                                }
                                addr
                            }),
                        },
                    );
                    let budget = self.network.buffer;
                    self.input(party, Input::Writable { link: id, budget });
                }
                Actor::Script(script) => {
                    let (bytes, is_restless) = (script.opened(), script.is_restless());
                    self.send(link, side, vec![bytes]);
                    if is_restless {
                        self.happen(self.now + TURN, Happening::Nudge { link, side });
                    }
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

    /// Nothing gets through this link any more, and neither side is told.
    pub(crate) fn kill(&mut self, link: usize) {
        self.links[link].is_dead = true;
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

    /// Whether there is a link between these.
    pub(crate) fn are_linked(&mut self, one: usize, other: usize) -> bool {
        let links = self.links_of(one);
        links
            .iter()
            .any(|link| self.links[*link].parties.contains(&other))
    }

    /// Peers that are told of each other's addresses have some.
    fn address_of(&self, party: usize) -> Option<SocketAddr> {
        let number = u32::try_from(party).expect("few");
        let [_, high, middle, low] = number.to_be_bytes();
        match &self.parties[party].actor {
            Actor::Node(node) if !node.is_classic => None,
            Actor::Node(_) | Actor::Script(_) => Some(([10, high, middle, low], PORT).into()),
        }
    }

    fn kind_of(&self, from: usize, to: usize) -> LinkKind {
        match (self.address_of(from), self.address_of(to)) {
            (Some(_), Some(_)) if (from + to).is_multiple_of(2) => LinkKind::Utp,
            (Some(_), Some(_)) => LinkKind::Tcp,
            _ => LinkKind::WebRtc,
        }
    }

    /// A peer was told that others are to be found there.
    pub(super) fn found(&mut self, from: usize, addrs: &[SocketAddr]) {
        assert!(addrs.len() <= 100, "{} addresses in one go", addrs.len());
        for addr in addrs {
            let SocketAddr::V4(addr) = addr else { continue };
            let [ten, high, middle, low] = addr.ip().octets();
            let to = u32::from_be_bytes([0, high, middle, low]) as usize;
            if ten == 10 && addr.port() == PORT && to < self.parties.len() {
                let at = self.now + Duration::from_millis(self.rng.u64(20..200));
                self.happen(at, Happening::Dial { from, to });
            }
        }
    }

    pub(super) fn dial(&mut self, from: usize, to: usize) {
        let is_there = |world: &Self, party: usize| {
            matches!(world.parties[party].actor, Actor::Node(_)) && !world.parties[party].has_ended
        };
        if from != to
            && is_there(self, from)
            && is_there(self, to)
            && self.node(from).torrent.wanted_peers() > 0
            && !self.are_linked(from, to)
        {
            self.met += 1;
            self.connect(from, to);
        }
    }

    pub(super) fn queue(&mut self, link: usize, side: usize, parts: Vec<Bytes>) {
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

    pub(super) fn arrive(&mut self, link: usize, side: usize, pieces: Vec<Bytes>) {
        self.links[link].travelling[1 - side] -= 1;
        let party = self.links[link].parties[side];
        for bytes in pieces {
            if !self.links[link].is_open[side] || self.links[link].is_dead {
                return;
            }
            match &mut self.parties[party].actor {
                Actor::Node(_) => {
                    // Where the stream is cut has no meaning.
                    let cut = match self.rng.u8(..8) {
                        0 => self.rng.usize(..=bytes.len()),
                        _ => 0,
                    };
                    for bytes in [bytes.slice(..cut), bytes.slice(cut..)] {
                        if let Some(referee) = &mut self.links[link].referee {
                            referee.received(side, bytes.clone());
                        }
                        let link = link_id(link, side);
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

    pub(super) fn left(&mut self, link: usize, side: usize, bytes: usize) {
        let sender = &mut self.links[link];
        sender.buffered[side] -= bytes;
        let budget = self.network.buffer.saturating_sub(sender.buffered[side]);
        let party = sender.parties[side];
        if sender.is_open[side] && !sender.is_dead && matches!(self.parties[party].actor, Actor::Node(_)) {
            let link = link_id(link, side);
            self.input(party, Input::Writable { link, budget });
        }
    }

    pub(super) fn nudge(&mut self, link: usize, side: usize) {
        if !self.links[link].is_open[side] {
            return;
        }
        let party = self.links[link].parties[side];
        if let Actor::Script(script) = &mut self.parties[party].actor {
            let bytes = script.nudged(&mut self.rng);
            self.send(link, side, vec![bytes]);
            self.happen(self.now + TURN, Happening::Nudge { link, side });
        }
    }

    pub(super) fn close_side(&mut self, link: usize, side: usize) {
        if !core::mem::replace(&mut self.links[link].is_open[side], false) {
            return;
        }
        let party = self.links[link].parties[side];
        match &mut self.parties[party].actor {
            Actor::Node(_) => {
                let id = link_id(link, side);
                self.input(party, Input::LinkClosed { link: id });
                self.was_closed(link, side);
            }
            Actor::Script(script) => script.closed = true,
        }
    }

    /// The torrent at this side has closed the link.
    pub(super) fn closed_by(&mut self, link: usize, side: usize) {
        self.links[link].is_open[side] = false;
        self.was_closed(link, side);
        if !self.links[link].is_dead {
            let at = self.links[link].last_arrival[side].max(self.now + self.links[link].latency);
            self.happen(at, Happening::Close { link, side: 1 - side });
        }
    }

    pub(super) fn send(&mut self, link: usize, side: usize, parts: Vec<Bytes>) {
        let length: usize = parts.iter().map(Bytes::len).sum();
        if length == 0 || !self.links[link].is_open[side] {
            return;
        }
        let now = self.now;
        let Link {
            parties,
            latency,
            is_dead,
            ..
        } = self.links[link];
        if is_dead {
            self.links[link].buffered[side] += length;
            return;
        }
        let left = match &mut self.parties[parties[side]].actor {
            Actor::Node(node) => {
                node.sending_until = node.sending_until.max(now) + time_for(length, node.up_rate);
                node.sending_until
            }
            Actor::Script(_) => now,
        };
        let is_late = self.network.losses > 0 && self.rng.u32(..1000) < self.network.losses;
        let again = if is_late {
            2 * latency + RETRANSMISSION
        } else {
            Duration::ZERO
        };
        let sender = &mut self.links[link];
        let arrival = (left + latency + again).max(sender.last_arrival[side]);
        sender.buffered[side] += length;
        let most = self.network.buffer + MOST_UNASKED_FOR;
        assert!(
            sender.buffered[side] <= most || !matches!(self.parties[parties[side]].actor, Actor::Node(_)),
            "{} bytes wait on a link that takes far less",
            sender.buffered[side]
        );
        sender.travelling[side] += 1;
        sender.last_arrival[side] = arrival;
        let bytes = length;
        self.happen(left, Happening::Leave { link, side, bytes });
        let side = 1 - side;
        self.happen(arrival, Happening::Queue { link, side, parts });
    }
}

fn time_for(bytes: usize, rate: u64) -> Duration {
    Duration::from_micros(bytes as u64 * 1_000_000 / rate)
}

pub(super) fn link_id(link: usize, side: usize) -> LinkId {
    LinkId((link * 2 + side) as u64)
}

pub(super) fn link_of(id: LinkId) -> (usize, usize) {
    let number = usize::try_from(id.0).expect("small");
    (number / 2, number % 2)
}

/// What small messages may take beyond that: a megabyte, after which the peer is given up, and what one input leads to.
const MOST_UNASKED_FOR: usize = 1024 * 1024 + 64 * 1024;
/// Where classic peers listen, and what they seem to have called from.
pub(crate) const PORT: u16 = 6881;
const EPHEMERAL: u16 = 50_000;
/// Every so often a script that does things of its own accord has its turn.
const TURN: Duration = Duration::from_millis(500);
/// How long it takes until a sender notices that something got lost, beside the way there and back.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// Worlds that are checked more rarely are there for their speed, and have no referee.
const RARELY: u32 = 1000;
