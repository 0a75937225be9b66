//! Who is in which swarm, and who may be introduced to whom.
//!
//! The registry names no socket, no clock and no async runtime. Each connection of the outside world is a [`Link`], of
//! which it keeps clones, and has a [`Session`], which says what the link has joined:
//!
//! 1. [`Registry::announce`] puts the link's peer into a swarm (or takes it out), and says who gets which offer;
//! 2. [`Registry::answer`] says who gets an answer, if anybody;
//! 3. [`Registry::leave`] ends the session: the link is out of all its swarms at once (libtorrent never says `stopped`).
//!
//! Classic peers, who come over HTTP and UDP, hold no link: [`Registry::announce_classic`] is all that they say. A swarm
//! knows both kinds. Its counts are of both, offers go to WebRTC peers, and addresses to classic peers.
//!
//! [`Registry::expire`], called now and then, forgets who fell silent; it looks at those swarms alone that are due.
//! Swarms are kept in shards by info-hash, each behind a lock of its own that is held for one operation only. With the
//! same seed, times and calls, everything repeats.
//!
//! # When it is full
//! A member more than [`Config::max_members`] is refused, and so is one more than [`Config::max_members_per_address`] from
//! its address, while the others find room. In a full registry [`Registry::expire`] forgets the idlest sixteenth, measured
//! by the intervals in which they are to announce. Whoever has announced within half of its interval stays: a flood of
//! newcomers pushes out none of those.
//!
//! # Whom an offer goes to
//! The i-th offer of an announce goes to the i-th chosen peer, and the surplus is dropped. To a leecher seeders are chosen
//! first and then leechers, at random within each; to a seeder leechers alone, since a seeder gains nothing from a
//! seeder. Who has had as many offers as it asked for ([`Presence::wanted`]) comes after all who have not, until it
//! announces again: libtorrent drops what comes beyond its `numwant`. Beyond four times as many (20 at least, and 200 at
//! most) it gets none till then: whoever floods the tracker with offers floods nobody else. Nobody gets an offer that bears its own `peer_id`.
//! IPv4 and IPv6 peers share a swarm: WebRTC finds the path.
//!
//! # Whose answer is passed on
//! An answer is passed on only over the link that got the offer, under the `peer_id` to which the offer was addressed,
//! and once. The memory of what was relayed is kept with the peer that *offered* and is bounded there: whoever floods
//! the tracker with offers pushes out its own and nobody else's.
//!
//! # One `peer_id` on two links
//! It may be a client that reconnected while its old socket still looks alive. It may be a stranger who read the
//! `peer_id` in an offer. They can't be told apart, so both are served:
//!
//! * The first link *holds* the name: it alone is counted, and offers to the name go to it. The newcomer is a *rival*. It
//!   gets its replies, its own offers are relayed and the answers to them come back to it, and it gets the offers of
//!   others that would otherwise be surplus.
//! * The holder is asked for a sign of life ([`Announced::doubted`]), unless it has just given one. Until it does
//!   ([`Link::is_in_doubt`]), offers to the name go to the rival. A dead holder's link is closed by its owner soon after, and the rival takes its place.
//! * What a link says changes that link's own membership only. So a stranger can neither remove a live peer, nor change
//!   what it is, nor answer for it, nor take its offers but those that come before its sign of life; the stranger counts for less than under a name of its own.

mod classic;
mod home;
mod idle;
mod room;
mod sample;
mod shard;
mod stamp;
mod subscriber;
mod swarm;
#[cfg(test)]
mod tests;
mod webrtc;
mod wheel;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_core::{InfoHash, PeerId, Time};
use causeway_signal::{Event, OfferId, SwarmCounts};
use siphasher::sip::SipHasher13;

pub use self::home::Home;
use self::idle::Census;
use self::room::Room;
use self::shard::Shard;
use self::subscriber::Subscription;
pub use self::subscriber::{Announcer, Caller, Heard, Subscriber};
use self::webrtc::Member;
use crate::Config;

/// A way to reach one connection. Clones reach the same connection and are equal; others are not.
pub trait Link: Clone + Eq + Send + Sync {
    /// Sends a reply, which is JSON, to whoever is at the other end. It does not wait, and what is not read soon ends the
    /// connection.
    fn deliver(&self, json: &[u8]);

    /// Passes on what somebody else says, and answers whether it did. Where much waits to be read already, it does not: nobody
    /// ends another's connection by what he sends to it.
    fn relay(&self, json: &[u8]) -> bool;

    /// Asks the connection for a sign of life, unless it has just given one. Until it does, it is in doubt; without one it is
    /// closed soon.
    fn doubt(&self, now: Time);

    /// Whether the connection was asked for a sign of life and has not given one yet.
    fn is_in_doubt(&self) -> bool;
}

/// What one link has joined. Hand it back to [`Registry::leave`] when the link is closed.
#[derive(Debug)]
pub struct Session<L> {
    link: L,
    ipv4: bool,
    caller: Arc<Caller>,
    /// It may have been forgotten meanwhile.
    joined: BTreeMap<InfoHash, PeerId>,
    /// When `joined` was last compared with the swarms.
    looked_over: Option<Time>,
}

impl<L> Session<L> {
    /// The session of a connection from `address` that has joined nothing yet.
    pub fn new(link: L, address: IpAddr) -> Self {
        let address = address.to_canonical();
        let caller = Caller { address, token: None };
        Self {
            link,
            ipv4: address.is_ipv4(),
            caller: Arc::new(caller),
            joined: BTreeMap::new(),
            looked_over: None,
        }
    }

    /// The same of a connection that gave this token, which the [subscriber](Registry::subscribe) is told.
    #[must_use]
    pub fn with_token(self, token: Option<Box<str>>) -> Self {
        let address = self.caller.address;
        Self {
            caller: Arc::new(Caller { address, token }),
            ..self
        }
    }
}

/// What a peer says of itself in an announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The swarm.
    pub info_hash: InfoHash,
    /// Who announces.
    pub peer_id: PeerId,
    /// What happened.
    pub event: Event,
    /// Whether it has everything: `left` is 0.
    pub complete: bool,
    /// What it says that it has downloaded, in bytes.
    pub downloaded: u64,
    /// How many offers it takes until it announces again, where it says so.
    pub wanted: Option<u32>,
}

/// The outcome of an announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced<L> {
    /// The swarm as it is now.
    pub counts: SwarmCounts,
    /// Who gets the first offer, the second and so on. Never more than there are offers.
    pub receivers: Vec<L>,
    /// The holder of a name that is claimed by this link, too: ask it for a sign of life, and close it without one.
    pub doubted: Option<L>,
}

/// What a classic peer says of itself in an announce over HTTP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassicAnnounce {
    /// The swarm.
    pub info_hash: InfoHash,
    /// Who announces.
    pub peer_id: PeerId,
    /// Where it is: the address that the announce came from, and the port that it names. With port 0 it is told of others
    /// and no others of it.
    pub address: SocketAddr,
    /// What happened.
    pub event: Event,
    /// Whether it has everything: `left` is 0.
    pub complete: bool,
    /// What it says that it has downloaded, in bytes.
    pub downloaded: u64,
    /// How many others it would like to know, at most.
    pub numwant: usize,
    /// Whether it can be told of peers of the other address family, too (BEP 7).
    pub both_families: bool,
}

/// The outcome of an announce by a classic peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicAnnounced {
    /// The swarm as it is now.
    pub counts: SwarmCounts,
    /// Other classic peers.
    pub peers: Vec<ClassicPeer>,
}

/// A peer that can be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassicPeer {
    /// Its name.
    pub peer_id: PeerId,
    /// Where it is.
    pub address: SocketAddr,
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shore {
    /// Over TCP or uTP, at its address.
    Classic,
    /// Over WebRTC, after it was introduced.
    WebRtc,
}

/// Why an announce was refused, as a sentence for the peer's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The link is in as many swarms as one may be.
    #[error(
        "this connection announces {0} torrents already, which is all that this tracker allows: stop some first"
    )]
    TooManyTorrents(usize),
    /// As many members are from its address as may be.
    #[error(
        "your address announces {0} peers already, which is all that this tracker allows: stop some torrents first"
    )]
    TooManyFromAddress(usize),
    /// The tracker has as many members as it may have.
    #[error("this tracker is full: try again later, or use another one")]
    Full,
}

/// One member of one swarm, for statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// The swarm.
    pub info_hash: InfoHash,
    /// The member.
    pub peer_id: PeerId,
    /// Whether it has everything.
    pub complete: bool,
    /// Whether it came over IPv4.
    pub ipv4: bool,
    /// How it is reached.
    pub shore: Shore,
}

/// All swarms. See the [module](self).
#[derive(Debug)]
pub struct Registry<L> {
    config: Config,
    shards: Vec<Mutex<Shard<L>>>,
    room: Arc<Room>,
    /// Says which shard a swarm is in; strangers choose the info-hashes, but not this.
    key: SipHasher13,
    subscription: Subscription,
}

impl<L: Link> Registry<L> {
    /// A registry without members. `seed` decides which peers are chosen.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        let mut seeds = fastrand::Rng::with_seed(seed);
        let key = SipHasher13::new_with_keys(seeds.u64(..), seeds.u64(..));
        let room = Arc::new(Room::new(&config, key));
        let shard = || Mutex::new(Shard::new(key, Arc::clone(&room), seeds.fork()));
        Self {
            config,
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            room,
            key,
            subscription: Subscription::default(),
        }
    }

    /// Has `subscriber` told of every announce from now on. There is one at most: the first stays.
    pub fn subscribe(&self, subscriber: Box<dyn Subscriber>) {
        self.subscription.set(subscriber);
    }

    /// Takes note of what a peer says of itself, and chooses who gets its `offers`.
    ///
    /// A link has one name in a swarm: announced under another, it leaves under the first. `stopped` takes the peer out
    /// and relays nothing, even with offers (libtorrent sends some).
    ///
    /// # Errors
    /// See [`Refusal`]; then nothing was changed.
    pub fn announce(
        &self,
        now: Time,
        session: &mut Session<L>,
        presence: &Presence,
        offers: &[OfferId],
    ) -> Result<Announced<L>, Refusal> {
        let known = session.joined.get(&presence.info_hash).copied();
        if known.is_none() && presence.event != Event::Stopped {
            self.check_number(now, session)?;
        }
        let mut shard = self.shard(presence.info_hash);
        if let Some(name) = known
            && (name != presence.peer_id || presence.event == Event::Stopped)
        {
            shard.remove(presence.info_hash, name, &session.link);
            session.joined.remove(&presence.info_hash);
        }
        if presence.event == Event::Stopped {
            let counts = shard.counts(presence.info_hash);
            drop(shard);
            self.subscription
                .tell(|| Heard::of_link(&session.caller, presence, counts));
            return Ok(Announced {
                counts,
                receivers: Vec::new(),
                doubted: None,
            });
        }
        let announced = shard.announce(&self.config, now, session, presence, offers)?;
        drop(shard);
        session.joined.insert(presence.info_hash, presence.peer_id);
        self.subscription
            .tell(|| Heard::of_link(&session.caller, presence, announced.counts));
        Ok(announced)
    }

    /// Takes note of what a classic peer says of itself, and chooses others for it.
    ///
    /// # Errors
    /// [`Refusal::TooManyFromAddress`] and [`Refusal::Full`]; then nothing was changed.
    pub fn announce_classic(
        &self,
        now: Time,
        announce: &ClassicAnnounce,
    ) -> Result<ClassicAnnounced, Refusal> {
        let announced = self
            .shard(announce.info_hash)
            .announce_classic(&self.config, now, announce)?;
        self.subscription
            .tell(|| Heard::of_classic(announce, announced.counts));
        Ok(announced)
    }

    /// The link to which `session` may pass an answer from `from` to the offer `offer_id` of `to`; `None` where no such
    /// offer went out over this link, or too long ago, or it was answered already.
    pub fn answer(
        &self,
        now: Time,
        session: &Session<L>,
        info_hash: InfoHash,
        (from, to): (PeerId, PeerId),
        offer_id: OfferId,
    ) -> Option<L> {
        let from = Member {
            id: from,
            link: &session.link,
        };
        self.shard(info_hash)
            .swarm_mut(info_hash)?
            .answer(now, from, to, offer_id)
    }

    /// Takes the link out of every swarm.
    pub fn leave(&self, session: &mut Session<L>) {
        while let Some((info_hash, name)) = session.joined.pop_first() {
            let mut shard = self.shard(info_hash);
            shard.remove(info_hash, name, &session.link);
            let counts = shard.counts(info_hash);
            drop(shard);
            self.subscription
                .tell(|| Heard::of_leaving(&session.caller, info_hash, name, counts));
        }
    }

    /// Drops the swarms that are not to be kept, with their members. Links stay as they are.
    pub fn retain(&self, mut keep: impl FnMut(InfoHash) -> bool) {
        for shard in &self.shards {
            lock(shard).retain(&mut keep);
        }
    }

    /// Forgets members that have not announced for [`Config::member_timeout`] or [`Config::classic_timeout`], and offers
    /// that nobody answered in time; all this up to an eighth of the time late, or a minute. Where all places are taken
    /// still, it looks at all swarms, and forgets the idlest.
    pub fn expire(&self, now: Time) {
        for shard in &self.shards {
            lock(shard).expire(now, &self.config);
        }
        if self.room.is_full() {
            self.shed(now);
        }
    }

    fn shed(&self, now: Time) {
        let mut census = Census::new();
        for shard in &self.shards {
            lock(shard).visit_idleness(now, &self.config, &mut |idle| census.note(idle));
        }
        let mut shedding = census.idlest((self.config.max_members / 16).max(1));
        for shard in &self.shards {
            lock(shard).shed(now, &self.config, &mut shedding);
        }
    }

    /// The size of one swarm; zeros where nobody is in it.
    #[must_use]
    pub fn counts(&self, info_hash: InfoHash) -> SwarmCounts {
        self.shard(info_hash).counts(info_hash)
    }

    /// How many of a swarm's members are met over WebRTC and complete.
    #[must_use]
    pub fn webrtc_seeders(&self, info_hash: InfoHash) -> usize {
        self.shard(info_hash).webrtc_seeders(info_hash)
    }

    /// The links of a swarm's members that bear this name: that of a peer, and perhaps of others who say that they are it.
    #[must_use]
    pub fn links_of(&self, info_hash: InfoHash, id: PeerId) -> Vec<L> {
        self.shard(info_hash).links_of(info_hash, id)
    }

    /// Some of a swarm's classic members, at most `limit`.
    #[must_use]
    pub fn classic_peers(&self, info_hash: InfoHash, limit: usize) -> Vec<ClassicPeer> {
        self.shard(info_hash).classic_peers(info_hash, limit)
    }

    /// The sizes of some swarms, at most `limit`.
    #[must_use]
    pub fn some_counts(&self, limit: usize) -> Vec<(InfoHash, SwarmCounts)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let room = limit - all.len();
            if room == 0 {
                break;
            }
            let shard = lock(shard);
            let swarms = shard.swarms().take(room);
            all.extend(swarms.map(|swarm| (swarm.info_hash, swarm.counts())));
        }
        all
    }

    /// How many swarms there are, and how many members they have together, rivals included.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let swarms = self.shards.iter().map(|shard| lock(shard).len()).sum();
        (swarms, self.room.members())
    }

    /// Shows every member of every swarm to `visit`, a shard at a time. Rivals are left out.
    pub fn visit_members(&self, mut visit: impl FnMut(MemberView)) {
        for shard in &self.shards {
            for swarm in lock(shard).swarms() {
                swarm.visit(&mut visit);
            }
        }
    }

    /// Whether the link may be in one swarm more. What was forgotten does not count: libtorrent never says `stopped`. That is
    /// looked for once in an interval at most, since the link may be in many swarms.
    fn check_number(&self, now: Time, session: &mut Session<L>) -> Result<(), Refusal> {
        let max = self.config.max_torrents_per_socket;
        let was_lately = |at: Time| now.since(at) < self.config.interval;
        if session.joined.len() >= max && !session.looked_over.is_some_and(was_lately) {
            session.looked_over = Some(now);
            let link = &session.link;
            session.joined.retain(|info_hash, name| {
                let who = Member { id: *name, link };
                self.shard(*info_hash).contains(*info_hash, who)
            });
        }
        if session.joined.len() >= max {
            return Err(Refusal::TooManyTorrents(session.joined.len()));
        }
        Ok(())
    }

    fn shard(&self, info_hash: InfoHash) -> MutexGuard<'_, Shard<L>> {
        // Other bits than a shard's own table goes by.
        let [_, _, _, _, byte, ..] = self.key.hash(info_hash.as_bytes()).to_le_bytes();
        lock(&self.shards[usize::from(byte) % SHARDS])
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        let sources = self.shards.iter().map(|shard| lock(shard).check_invariants());
        self.room.check_invariants(sources.collect::<Vec<_>>().concat());
    }
}

/// A panic of another thread leaves no shard half changed that a later operation could not live with.
fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many operations can go on at once, at best. A sweep holds up one part in so many.
const SHARDS: usize = 64;
