//! One torrent's peers that are met over WebRTC, each through a link that it holds open to the tracker.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use causeway_core::{InfoHash, PeerId, Time};
use causeway_signal::{Event, OfferId};

use super::room::{Room, Source};
use super::sample::sample;
use super::{Link, MemberView, Presence, Session, Shore};

/// The peers of one torrent that hold links.
///
/// Invariant: `holders` has all seeders before all leechers, `seeders` says how many, and `places` says where each name is;
/// a name among the `rivals` is among the holders, with another link; `members` counts both. Every link is in here once.
#[derive(Debug)]
pub(super) struct WebRtcPeers<L> {
    holders: Vec<Peer<L>>,
    seeders: usize,
    places: BTreeMap<PeerId, usize>,
    /// In the order in which they came.
    rivals: BTreeMap<PeerId, Vec<Peer<L>>>,
    members: usize,
}

/// What came of a peer's announce.
#[derive(Debug)]
pub(super) struct Joined<L> {
    /// The link that holds its name, where that is another one and was not in doubt.
    pub(super) doubted: Option<L>,
    /// It has just downloaded the torrent to its end.
    pub(super) completes: bool,
}

/// A name and the link that bears it: what makes one member.
#[derive(Debug)]
pub(super) struct Member<'a, L> {
    pub(super) id: PeerId,
    pub(super) link: &'a L,
}

impl<L> Clone for Member<'_, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Member<'_, L> {}

#[derive(Debug)]
struct Peer<L> {
    id: PeerId,
    link: L,
    source: Source,
    ipv4: bool,
    complete: bool,
    /// Its `completed` was counted.
    counted: bool,
    announced: Time,
    /// How many offers of others it takes until it announces again, and how many it has had.
    wanted: u32,
    received: u32,
    /// What it offered and has no answer to, oldest first.
    offers: VecDeque<Relayed<L>>,
}

impl<L> Peer<L> {
    fn as_member(&self) -> Member<'_, L> {
        Member {
            id: self.id,
            link: &self.link,
        }
    }

    /// Whether it is to get more offers than it takes, where nobody else does.
    fn takes_more(&self) -> bool {
        let most = self.wanted.saturating_mul(4);
        self.received < most.clamp(LEAST_RECEIVED, MOST_RECEIVED)
    }
}

/// An offer that went out.
#[derive(Debug)]
struct Relayed<L> {
    id: OfferId,
    to: PeerId,
    link: L,
    until: Time,
}

impl<L> Default for WebRtcPeers<L> {
    fn default() -> Self {
        Self {
            holders: Vec::new(),
            seeders: 0,
            places: BTreeMap::new(),
            rivals: BTreeMap::new(),
            members: 0,
        }
    }
}

impl<L: Link> WebRtcPeers<L> {
    pub(super) fn members(&self) -> usize {
        self.members
    }

    pub(super) fn contains(&self, who: Member<'_, L>) -> bool {
        self.find(who).is_some()
    }

    pub(super) fn seeders(&self) -> usize {
        self.seeders
    }

    pub(super) fn leechers(&self) -> usize {
        self.holders.len() - self.seeders
    }

    pub(super) fn visit(&self, info_hash: InfoHash, visit: &mut impl FnMut(MemberView)) {
        for peer in &self.holders {
            visit(MemberView {
                info_hash,
                peer_id: peer.id,
                complete: peer.complete,
                ipv4: peer.ipv4,
                shore: Shore::WebRtc,
            });
        }
    }

    /// Whose places the members take.
    pub(super) fn sources(&self) -> impl Iterator<Item = Source> {
        self.all().map(|peer| peer.source)
    }

    /// The holders and their rivals.
    fn all(&self) -> impl Iterator<Item = &Peer<L>> {
        self.holders.iter().chain(self.rivals.values().flatten())
    }

    /// Adds or updates a member; there is room for it.
    pub(super) fn join(
        &mut self,
        room: &Room,
        now: Time,
        session: &Session<L>,
        presence: &Presence,
    ) -> Joined<L> {
        let who = Member {
            id: presence.peer_id,
            link: &session.link,
        };
        if let Some(peer) = self.find_mut(who) {
            peer.announced = now;
            (peer.wanted, peer.received) = (presence.wanted.unwrap_or(u32::MAX), 0);
            // A page that seeds says `completed` before `started`; a client may say it again: it counts once.
            let completes = presence.event == Event::Completed && !peer.counted && !peer.complete;
            peer.counted |= completes;
            self.set_complete(who, presence.complete);
            return Joined {
                doubted: None,
                completes,
            };
        }
        // A newcomer that says `completed` without having downloaded anything made the torrent.
        let completes = presence.event == Event::Completed && presence.downloaded > 0;
        let peer = Peer {
            id: who.id,
            link: who.link.clone(),
            source: room.source(session.caller.address),
            ipv4: session.ipv4,
            complete: presence.complete,
            counted: completes,
            announced: now,
            wanted: presence.wanted.unwrap_or(u32::MAX),
            received: 0,
            offers: VecDeque::new(),
        };
        self.members += 1;
        let Some(place) = self.places.get(&who.id) else {
            self.push_holder(peer);
            return Joined {
                doubted: None,
                completes,
            };
        };
        let rivals = self.rivals.entry(who.id).or_default();
        if rivals.len() == MAX_RIVALS {
            room.give_back(rivals.remove(0).source);
            self.members -= 1;
        }
        rivals.push(peer);
        let holder = &self.holders[*place].link;
        Joined {
            doubted: (!holder.is_in_doubt()).then(|| holder.clone()),
            completes,
        }
    }

    /// Takes a member out. Where it held its name, the rival that came last holds it from now on.
    pub(super) fn remove(&mut self, room: &Room, who: Member<'_, L>) {
        let Some(place) = self.places.get(&who.id).copied() else {
            return;
        };
        let heir = if self.holders[place].link == *who.link {
            room.give_back(self.remove_holder(place).source);
            self.members -= 1;
            self.rivals.get_mut(&who.id).and_then(Vec::pop)
        } else {
            if let Some(rivals) = self.rivals.get_mut(&who.id)
                && let Some(place) = rivals.iter().position(|peer| peer.link == *who.link)
            {
                room.give_back(rivals.remove(place).source);
                self.members -= 1;
            }
            None
        };
        if self.rivals.get(&who.id).is_some_and(Vec::is_empty) {
            self.rivals.remove(&who.id);
        }
        if let Some(heir) = heir {
            self.push_holder(heir);
        }
    }

    /// Chooses a receiver for each offer as far as there are any, and remembers who may answer it until `until`.
    pub(super) fn relay(
        &mut self,
        until: Time,
        rng: &mut fastrand::Rng,
        from: Member<'_, L>,
        offers: &[OfferId],
    ) -> Vec<L> {
        let Some(sender) = self.find(from) else {
            return Vec::new();
        };
        let receivers = self.choose(rng, from.id, sender.complete, offers.len());
        let links = receivers.iter().map(|receiver| receiver.link.clone()).collect();
        let relayed: Vec<_> = (offers.iter().zip(receivers))
            .map(|(offer, receiver)| Relayed {
                id: *offer,
                to: receiver.id,
                link: receiver.link.clone(),
                until,
            })
            .collect();
        for Relayed { to, link, .. } in &relayed {
            if let Some(receiver) = self.find_mut(Member { id: *to, link }) {
                receiver.received = receiver.received.saturating_add(1);
            }
        }
        if let Some(sender) = self.find_mut(from) {
            sender.offers.extend(relayed);
            let surplus = sender.offers.len().saturating_sub(MAX_RELAYED);
            sender.offers.drain(..surplus);
        }
        links
    }

    /// The link of the peer `to`, where it made this very offer to this very member.
    pub(super) fn answer(&mut self, now: Time, from: Member<'_, L>, to: PeerId, offer: OfferId) -> Option<L> {
        self.claims_mut(to).find_map(|peer| {
            let place = peer.offers.iter().position(|relayed| {
                relayed.id == offer
                    && relayed.to == from.id
                    && relayed.link == *from.link
                    && relayed.until > now
            })?;
            peer.offers.remove(place);
            Some(peer.link.clone())
        })
    }

    /// Forgets the offers whose time has passed.
    pub(super) fn expire_offers(&mut self, now: Time) {
        for peer in self.holders.iter_mut().chain(self.rivals.values_mut().flatten()) {
            peer.offers.retain(|relayed| relayed.until > now);
            peer.offers.shrink_to_fit();
        }
    }

    /// For how long each has not announced.
    pub(super) fn silences(&self, now: Time) -> impl Iterator<Item = Duration> {
        self.all().map(move |peer| now.since(peer.announced))
    }

    /// Takes out those of whom `is_silent` says so, which is asked once for each, with how long it has not announced.
    pub(super) fn forget(&mut self, room: &Room, now: Time, mut is_silent: impl FnMut(Duration) -> bool) {
        let silent = self.all().filter(|peer| is_silent(now.since(peer.announced)));
        let gone: Vec<_> = silent.map(|peer| (peer.id, peer.link.clone())).collect();
        for (id, link) in gone {
            self.remove(room, Member { id, link: &link });
        }
    }

    /// Up to `count` members for the offers of `sender`.
    fn choose(
        &self,
        rng: &mut fastrand::Rng,
        sender: PeerId,
        complete: bool,
        count: usize,
    ) -> Vec<Member<'_, L>> {
        let own_place = self.places.get(&sender).copied();
        let seeders = (!complete).then_some(0..self.seeders);
        let leechers = self.seeders..self.holders.len();
        let mut chosen = Vec::with_capacity(count.min(self.holders.len()));
        let mut sated = Vec::new();
        for range in seeders.into_iter().chain([leechers]) {
            if chosen.len() >= count {
                break;
            }
            let mut places = Vec::with_capacity((LOOKED_AT * count).min(range.len()));
            sample(rng, range, own_place, LOOKED_AT * count, &mut places);
            // The sample is fair, its order is not.
            rng.shuffle(&mut places);
            for holder in places.iter().map(|place| &self.holders[*place]) {
                let peer = self.reachable(holder);
                if peer.takes_more() {
                    let is_sated = peer.received >= peer.wanted;
                    let chosen = if is_sated { &mut sated } else { &mut chosen };
                    chosen.push(peer.as_member());
                }
            }
        }
        chosen.extend(sated);
        chosen.truncate(count);
        // What is left over goes to the rivals, in case they are who they say they are.
        let others = self
            .rivals
            .iter()
            .filter(|(id, _)| **id != sender)
            .flat_map(|(_, rivals)| rivals);
        for rival in others.filter(|rival| !(complete && rival.complete) && rival.takes_more()) {
            if chosen.len() >= count {
                break;
            }
            if chosen.iter().all(|member| *member.link != rival.link) {
                chosen.push(rival.as_member());
            }
        }
        chosen
    }

    /// Where an offer to this holder's name goes: to its latest rival, as long as the holder itself is in doubt.
    fn reachable<'a>(&'a self, holder: &'a Peer<L>) -> &'a Peer<L> {
        let rival = holder
            .link
            .is_in_doubt()
            .then(|| self.rivals.get(&holder.id))
            .flatten();
        rival.and_then(|rivals| rivals.last()).unwrap_or(holder)
    }

    fn find(&self, who: Member<'_, L>) -> Option<&Peer<L>> {
        self.claims(who.id).find(|peer| peer.link == *who.link)
    }

    fn find_mut(&mut self, who: Member<'_, L>) -> Option<&mut Peer<L>> {
        self.claims_mut(who.id).find(|peer| peer.link == *who.link)
    }

    /// The links of all that bear this name.
    pub(super) fn links_of(&self, id: PeerId) -> Vec<L> {
        self.claims(id).map(|peer| peer.link.clone()).collect()
    }

    /// All that bear this name, the holder first.
    fn claims(&self, id: PeerId) -> impl Iterator<Item = &Peer<L>> {
        let holder = self.places.get(&id).map(|place| &self.holders[*place]);
        holder
            .into_iter()
            .chain(self.rivals.get(&id).into_iter().flatten())
    }

    fn claims_mut(&mut self, id: PeerId) -> impl Iterator<Item = &mut Peer<L>> {
        let holder = self.places.get(&id).map(|place| &mut self.holders[*place]);
        holder
            .into_iter()
            .chain(self.rivals.get_mut(&id).into_iter().flatten())
    }

    fn set_complete(&mut self, who: Member<'_, L>, complete: bool) {
        let Some(peer) = self.find_mut(who).filter(|peer| peer.complete != complete) else {
            return;
        };
        peer.complete = complete;
        let place = self.places[&who.id];
        if self.holders[place].link == *who.link {
            let peer = self.remove_holder(place);
            self.push_holder(peer);
        }
    }

    fn push_holder(&mut self, peer: Peer<L>) {
        let complete = peer.complete;
        let last = self.holders.len();
        self.places.insert(peer.id, last);
        self.holders.push(peer);
        if complete {
            self.swap(last, self.seeders);
            self.seeders += 1;
        }
    }

    fn remove_holder(&mut self, mut place: usize) -> Peer<L> {
        if place < self.seeders {
            self.seeders -= 1;
            self.swap(place, self.seeders);
            place = self.seeders;
        }
        self.swap(place, self.holders.len() - 1);
        let peer = self.holders.pop().expect("a place is that of a holder");
        self.places.remove(&peer.id);
        peer
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.holders.swap(a, b);
        for place in [a, b] {
            self.places.insert(self.holders[place].id, place);
        }
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        assert_eq!(
            self.places.len(),
            self.holders.len(),
            "every holder has a place of its own"
        );
        for (place, peer) in self.holders.iter().enumerate() {
            assert_eq!(
                self.places.get(&peer.id),
                Some(&place),
                "places are where the names are"
            );
            assert_eq!(peer.complete, place < self.seeders, "seeders come first");
        }
        for (id, rivals) in &self.rivals {
            assert!(self.places.contains_key(id), "a rival has a holder");
            assert!((1..=MAX_RIVALS).contains(&rivals.len()), "rivals are bounded");
        }
        let rivals: usize = self.rivals.values().map(Vec::len).sum();
        assert_eq!(
            self.members,
            self.holders.len() + rivals,
            "all members are counted"
        );
        for peer in self.all() {
            assert!(
                peer.offers.len() <= MAX_RELAYED,
                "the memory of offers is bounded"
            );
            assert_eq!(
                self.claims(peer.id)
                    .filter(|claim| claim.link == peer.link)
                    .count(),
                1,
                "a link is in once"
            );
        }
    }
}

/// How many links beside its holder may bear one name; a further one takes the place of the first of them. A client that
/// reconnects has one, until its old socket is found to be dead.
const MAX_RIVALS: usize = 4;

/// For each offer so many peers are looked at, to find one that still takes offers.
const LOOKED_AT: usize = 2;

/// So many offers a peer gets between two of its announces in any case, where there are some: who wants none may not know
/// better, or make none itself.
const LEAST_RECEIVED: u32 = 20;

/// And so many at most, whatever it wants.
const MOST_RECEIVED: u32 = 200;

/// How many unanswered offers of one peer are remembered: clients make 5 to 10 a minute.
const MAX_RELAYED: usize = 128;
