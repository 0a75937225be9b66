//! One torrent's classic peers of one address family, as small as they can be kept: a public tracker's memory is full of
//! them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use causeway_core::PeerId;

use super::ClassicPeer;
use super::room::{Room, Source};
use super::sample::sample;
use super::stamp::Stamp;

/// The peers whose addresses have `N` bytes.
///
/// A peer *is* its address and port: nobody can speak for another one's. Its `peer_id` has to match where it leaves.
///
/// Invariant: all seeders stand before all leechers, `seeders` says how many, and each address and port is in here once.
/// Where there are many, `places` says where each of them stands; else it is empty.
#[derive(Debug)]
pub(super) struct ClassicPeers<const N: usize> {
    peers: Vec<Peer<N>>,
    #[expect(
        clippy::box_collection,
        reason = "most of millions of swarms have none: it is to take 8 bytes there"
    )]
    places: Option<Box<BTreeMap<Endpoint<N>, u32>>>,
    seeders: u32,
}

/// An address and a port: what a compact peer list is made of (BEP 23, BEP 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Endpoint<const N: usize> {
    pub(super) address: [u8; N],
    pub(super) port: u16,
}

#[derive(Clone, Copy, Debug)]
struct Peer<const N: usize> {
    endpoint: Endpoint<N>,
    id: PeerId,
    /// When it announced, and whether its `completed` was counted.
    announced: Stamp,
}

/// What a peer says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<const N: usize> {
    pub(super) endpoint: Endpoint<N>,
    pub(super) id: PeerId,
    pub(super) complete: bool,
    pub(super) now: Stamp,
}

impl<const N: usize> ClassicPeers<N> {
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn seeders(&self) -> usize {
        self.seeders as usize
    }

    pub(super) fn leechers(&self) -> usize {
        self.peers.len() - self.seeders()
    }

    pub(super) fn contains(&self, endpoint: Endpoint<N>) -> bool {
        self.find(endpoint).is_some()
    }

    /// Adds or updates a peer. `finished` says whether it says that it has just completed its download; answers
    /// whether this is news.
    pub(super) fn join(&mut self, arrival: Arrival<N>, finished: bool) -> bool {
        let known = self.find(arrival.endpoint);
        // Another program on that port has not been counted yet.
        let counted = known
            .map(|place| (self.peers[place], place < self.seeders()))
            .is_some_and(|(peer, seeds)| peer.id == arrival.id && (peer.announced.mark() || seeds));
        let completes = finished && !counted;
        if let Some(place) = known {
            self.take(place);
        }
        self.put(
            Peer {
                endpoint: arrival.endpoint,
                id: arrival.id,
                announced: arrival.now.marked(counted || completes),
            },
            arrival.complete,
        );
        completes
    }

    /// Takes a peer out, where it is this one.
    pub(super) fn leave(&mut self, room: &Room, endpoint: Endpoint<N>, id: PeerId)
    where
        [u8; N]: Into<IpAddr>,
    {
        if let Some(place) = self.find(endpoint)
            && self.peers[place].id == id
        {
            self.take(place);
            room.give_back(room.source(endpoint.address.into()));
        }
    }

    /// Takes out those of whom `is_late` says so, which is asked once for each, with how many ticks ago it announced.
    pub(super) fn forget(&mut self, room: &Room, now: Stamp, mut is_late: impl FnMut(u16) -> bool)
    where
        [u8; N]: Into<IpAddr>,
    {
        for place in (0..self.peers.len()).rev() {
            let Peer {
                endpoint, announced, ..
            } = self.peers[place];
            if is_late(now.since(announced)) {
                // What takes its place comes from behind, and has been looked at.
                self.take(place);
                room.give_back(room.source(endpoint.address.into()));
            }
        }
        if self.peers.len() * 2 < self.peers.capacity() {
            self.peers.shrink_to_fit();
        }
    }

    /// How many ticks ago each announced.
    pub(super) fn ages(&self, now: Stamp) -> impl Iterator<Item = u16> {
        self.peers.iter().map(move |peer| now.since(peer.announced))
    }

    /// Appends up to `count` peers for the one at `asking`: leechers alone for one that is complete, since a seeder gains
    /// nothing from a seeder.
    pub(super) fn choose(
        &self,
        rng: &mut fastrand::Rng,
        asking: Option<Endpoint<N>>,
        complete: bool,
        count: usize,
        chosen: &mut Vec<ClassicPeer>,
    ) where
        [u8; N]: Into<IpAddr>,
    {
        let own_place = asking.and_then(|endpoint| self.find(endpoint));
        let first = if complete { self.seeders() } else { 0 };
        let mut places = Vec::with_capacity(count.min(self.peers.len()));
        sample(rng, first..self.peers.len(), own_place, count, &mut places);
        chosen.extend(places.iter().map(|place| ClassicPeer::from(self.peers[*place])));
    }

    /// Shows every peer, with whether it is complete.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, bool)> {
        self.peers
            .iter()
            .enumerate()
            .map(|(place, peer)| (peer.id, place < self.seeders()))
    }

    /// Whose places the peers take.
    pub(super) fn sources(&self, room: &Room) -> impl Iterator<Item = Source>
    where
        [u8; N]: Into<IpAddr>,
    {
        self.peers
            .iter()
            .map(|peer| room.source(peer.endpoint.address.into()))
    }

    fn find(&self, endpoint: Endpoint<N>) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(&endpoint).map(|place| *place as usize),
            None => self.peers.iter().position(|peer| peer.endpoint == endpoint),
        }
    }

    fn put(&mut self, peer: Peer<N>, complete: bool) {
        if self.peers.len() == self.peers.capacity() {
            // Most swarms are tiny, and there are many of them.
            self.peers.reserve_exact((self.peers.len() / 2).max(1));
        }
        let last = self.peers.len();
        self.peers.push(peer);
        if let Some(places) = &mut self.places {
            places.insert(peer.endpoint, index(last));
        } else if self.peers.len() > MANY {
            let places = self.peers.iter().enumerate();
            self.places = Some(Box::new(
                places
                    .map(|(place, peer)| (peer.endpoint, index(place)))
                    .collect(),
            ));
        }
        if complete {
            self.swap(last, self.seeders());
            self.seeders += 1;
        }
    }

    fn take(&mut self, mut place: usize) {
        if place < self.seeders() {
            self.seeders -= 1;
            self.swap(place, self.seeders());
            place = self.seeders();
        }
        self.swap(place, self.peers.len() - 1);
        if let (Some(peer), Some(places)) = (self.peers.pop(), &mut self.places) {
            places.remove(&peer.endpoint);
        }
        if self.peers.len() < MANY / 2 {
            self.places = None;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        self.peers.swap(a, b);
        if let Some(places) = &mut self.places {
            for place in [a, b] {
                places.insert(self.peers[place].endpoint, index(place));
            }
        }
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        assert!(self.seeders() <= self.peers.len(), "seeders are peers");
        let mut endpoints: Vec<_> = self.peers.iter().map(|peer| peer.endpoint).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        assert_eq!(endpoints.len(), self.peers.len(), "each is in here once");
        if let Some(places) = &self.places {
            assert_eq!(places.len(), self.peers.len(), "all have a place");
        }
        for (place, peer) in self.peers.iter().enumerate() {
            assert_eq!(
                self.find(peer.endpoint),
                Some(place),
                "places are where the peers are"
            );
        }
    }
}

impl<const N: usize> Default for ClassicPeers<N> {
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            places: None,
            seeders: 0,
        }
    }
}

impl<const N: usize> From<Peer<N>> for ClassicPeer
where
    [u8; N]: Into<IpAddr>,
{
    fn from(peer: Peer<N>) -> Self {
        Self {
            peer_id: peer.id,
            address: SocketAddr::new(peer.endpoint.address.into(), peer.endpoint.port),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the bound on all members is far below"
)]
fn index(place: usize) -> u32 {
    place as u32
}

/// Among more peers than this one is not looked for by passing over all of them.
const MANY: usize = 48;
