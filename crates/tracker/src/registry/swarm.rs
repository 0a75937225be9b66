//! One torrent: its classic peers and those that are met over WebRTC.

use core::cell::RefCell;
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};

use causeway_core::{InfoHash, PeerId, Time};
use causeway_signal::{Event, OfferId, SwarmCounts};

use super::classic::{Arrival, ClassicPeers, Endpoint};
use super::idle::{Idle, Shedding};
use super::room::{Room, Source};
use super::stamp::{Stamp, age, tick, ticks};
use super::webrtc::{Member, WebRtcPeers};
use super::{ClassicAnnounce, ClassicPeer, Link, MemberView, Presence, Session, Shore};
use crate::Config;

/// The peers of one torrent. What most swarms lack is not in it, but behind a pointer: there are many swarms.
#[derive(Debug)]
pub(super) struct Swarm<L> {
    pub(super) info_hash: InfoHash,
    downloaded: u32,
    four: ClassicPeers<4>,
    six: Option<Box<ClassicPeers<16>>>,
    webrtc: Option<Box<WebRtcPeers<L>>>,
}

impl<L: Link> Swarm<L> {
    pub(super) fn new(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            downloaded: 0,
            four: ClassicPeers::default(),
            six: None,
            webrtc: None,
        }
    }

    /// How many are in it, rivals included.
    pub(super) fn members(&self) -> usize {
        let six = self.six.as_ref().map_or(0, |six| six.len());
        self.four.len() + six + self.webrtc.as_ref().map_or(0, |webrtc| webrtc.members())
    }

    pub(super) fn counts(&self) -> SwarmCounts {
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let mut counts = (self.four.seeders(), self.four.leechers());
        if let Some(six) = &self.six {
            counts = (counts.0 + six.seeders(), counts.1 + six.leechers());
        }
        if let Some(webrtc) = &self.webrtc {
            counts = (counts.0 + webrtc.seeders(), counts.1 + webrtc.leechers());
        }
        SwarmCounts {
            complete: count(counts.0),
            incomplete: count(counts.1),
            downloaded: self.downloaded,
        }
    }

    pub(super) fn visit(&self, visit: &mut impl FnMut(MemberView)) {
        if let Some(webrtc) = &self.webrtc {
            webrtc.visit(self.info_hash, visit);
        }
        let six = self
            .six
            .iter()
            .flat_map(|six| six.iter())
            .map(|peer| (peer, false));
        for ((peer_id, complete), ipv4) in self.four.iter().map(|peer| (peer, true)).chain(six) {
            visit(MemberView {
                info_hash: self.info_hash,
                peer_id,
                complete,
                ipv4,
                shore: Shore::Classic,
            });
        }
    }

    pub(super) fn contains_link(&self, who: Member<'_, L>) -> bool {
        self.webrtc.as_ref().is_some_and(|webrtc| webrtc.contains(who))
    }

    pub(super) fn contains_address(&self, address: SocketAddr) -> bool {
        match family(address) {
            Family::Four(endpoint) => self.four.contains(endpoint),
            Family::Six(endpoint) => self.six.as_ref().is_some_and(|six| six.contains(endpoint)),
        }
    }

    /// Adds or updates a peer that holds a link. Returns the link that holds its name, see
    /// [`Joined::doubted`](super::webrtc::Joined::doubted).
    pub(super) fn join(
        &mut self,
        room: &Room,
        now: Time,
        session: &Session<L>,
        presence: &Presence,
    ) -> Option<L> {
        let webrtc = self.webrtc.get_or_insert_default();
        let joined = webrtc.join(room, now, session, presence);
        self.downloaded = self.downloaded.saturating_add(joined.completes.into());
        joined.doubted
    }

    /// Takes a peer that holds a link out.
    pub(super) fn remove(&mut self, room: &Room, who: Member<'_, L>) {
        if let Some(webrtc) = &mut self.webrtc {
            webrtc.remove(room, who);
        }
        self.webrtc.take_if(|webrtc| webrtc.members() == 0);
    }

    /// See [`WebRtcPeers::relay`].
    pub(super) fn relay(
        &mut self,
        until: Time,
        rng: &mut fastrand::Rng,
        from: Member<'_, L>,
        offers: &[OfferId],
    ) -> Vec<L> {
        self.webrtc
            .as_mut()
            .map_or_else(Vec::new, |webrtc| webrtc.relay(until, rng, from, offers))
    }

    /// See [`WebRtcPeers::answer`].
    pub(super) fn answer(&mut self, now: Time, from: Member<'_, L>, to: PeerId, offer: OfferId) -> Option<L> {
        self.webrtc.as_mut()?.answer(now, from, to, offer)
    }

    /// Adds or updates a classic peer, or takes it out where it has stopped.
    pub(super) fn announce_classic(&mut self, room: &Room, now: Time, announce: &ClassicAnnounce) {
        let completes = match family(announce.address) {
            Family::Four(endpoint) => update(room, &mut self.four, endpoint, now, announce),
            Family::Six(endpoint) => {
                let six = self.six.get_or_insert_default();
                let completes = update(room, six, endpoint, now, announce);
                self.six.take_if(|six| six.len() == 0);
                completes
            }
        };
        self.downloaded = self.downloaded.saturating_add(completes.into());
    }

    /// Classic peers for the one that announces: those of its own address family first, and those of the other one as far
    /// as there is room, where it can be told of both.
    pub(super) fn classic_peers(
        &self,
        rng: &mut fastrand::Rng,
        announce: &ClassicAnnounce,
        max: usize,
    ) -> Vec<ClassicPeer> {
        let count = announce.numwant.min(max);
        let (own_four, own_six) = match family(announce.address) {
            Family::Four(endpoint) => (Some(endpoint), None),
            Family::Six(endpoint) => (None, Some(endpoint)),
        };
        let complete = announce.complete;
        let mut chosen = Vec::with_capacity(count.min(self.members()));
        let mut families = [own_four.is_some(), own_six.is_some()];
        for _ in 0..families.len() {
            let room = count - chosen.len();
            if families[0] {
                self.four.choose(rng, own_four, complete, room, &mut chosen);
            } else if let Some(six) = &self.six {
                six.choose(rng, own_six, complete, room, &mut chosen);
            }
            if !announce.both_families {
                break;
            }
            families.reverse();
        }
        chosen
    }

    /// Forgets who fell silent. Answers in how many ticks the swarm is to be looked at again.
    pub(super) fn expire(&mut self, room: &Room, now: Time, config: &Config) -> u64 {
        if let Some(webrtc) = &mut self.webrtc {
            webrtc.expire_offers(now);
        }
        let limit = ticks(config.classic_timeout) + 1;
        let mut idlest = 0;
        self.forget(
            room,
            now,
            |silent| silent >= config.member_timeout,
            |ticks| {
                let is_late = u64::from(ticks) >= limit;
                idlest = idlest.max(if is_late { 0 } else { ticks });
                is_late
            },
        );
        if self.webrtc.is_some() {
            return WEBRTC_TICKS;
        }
        // Not for each single peer: those of a large swarm would have it looked at all the time.
        (limit - u64::from(idlest).min(limit)).max(limit / 8)
    }

    /// Shows how idle each member is.
    pub(super) fn visit_idleness(&self, now: Time, config: &Config, visit: &mut impl FnMut(Idle)) {
        if let Some(webrtc) = &self.webrtc {
            let silences = webrtc.silences(now);
            silences.for_each(|silent| visit(Idle::new(silent, config.interval)));
        }
        let now = Stamp::new(tick(now));
        let six = self.six.iter().flat_map(|six| six.ages(now));
        let ages = self.four.ages(now).chain(six);
        ages.for_each(|ticks| visit(Idle::new(age(ticks), config.classic_interval)));
    }

    /// Forgets members whose places others are to have.
    pub(super) fn shed(&mut self, room: &Room, now: Time, config: &Config, shedding: &mut Shedding) {
        let shedding = RefCell::new(shedding);
        self.forget(
            room,
            now,
            |silent| shedding.borrow_mut().takes(Idle::new(silent, config.interval)),
            |ticks| {
                let idle = Idle::new(age(ticks), config.classic_interval);
                shedding.borrow_mut().takes(idle)
            },
        );
    }

    /// Forgets the WebRTC peers that have been silent for too long, and the classic peers that have for too many ticks.
    fn forget(
        &mut self,
        room: &Room,
        now: Time,
        is_silent: impl FnMut(Duration) -> bool,
        mut is_late: impl FnMut(u16) -> bool,
    ) {
        if let Some(webrtc) = &mut self.webrtc {
            webrtc.forget(room, now, is_silent);
        }
        self.webrtc.take_if(|webrtc| webrtc.members() == 0);
        let now = Stamp::new(tick(now));
        self.four.forget(room, now, &mut is_late);
        if let Some(six) = &mut self.six {
            six.forget(room, now, &mut is_late);
        }
        self.six.take_if(|six| six.len() == 0);
    }

    /// Whose places its members take.
    pub(super) fn sources(&self, room: &Room) -> impl Iterator<Item = Source> {
        let six = self.six.iter().flat_map(|six| six.sources(room));
        let webrtc = self.webrtc.iter().flat_map(|webrtc| webrtc.sources());
        self.four.sources(room).chain(six).chain(webrtc)
    }

    /// How many of its members are WebRTC peers and complete.
    pub(super) fn webrtc_seeders(&self) -> usize {
        self.webrtc.as_ref().map_or(0, |webrtc| webrtc.seeders())
    }

    /// See [`WebRtcPeers::links_of`].
    pub(super) fn links_of(&self, id: PeerId) -> Vec<L> {
        self.webrtc
            .as_ref()
            .map_or_else(Vec::new, |webrtc| webrtc.links_of(id))
    }

    /// How many of its members are WebRTC peers.
    pub(super) fn webrtc_members(&self) -> usize {
        self.webrtc.as_ref().map_or(0, |webrtc| webrtc.members())
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        self.four.check_invariants();
        if let Some(six) = &self.six {
            six.check_invariants();
            assert!(six.len() > 0, "what is empty is not kept");
        }
        if let Some(webrtc) = &self.webrtc {
            webrtc.check_invariants();
            assert!(webrtc.members() > 0, "what is empty is not kept");
        }
    }
}

enum Family {
    Four(Endpoint<4>),
    Six(Endpoint<16>),
}

/// An IPv4 address is one, however it was written.
fn family(address: SocketAddr) -> Family {
    let port = address.port();
    match address.ip().to_canonical() {
        IpAddr::V4(address) => Family::Four(Endpoint {
            address: address.octets(),
            port,
        }),
        IpAddr::V6(address) => Family::Six(Endpoint {
            address: address.octets(),
            port,
        }),
    }
}

/// Answers whether a download has come to its end.
fn update<const N: usize>(
    room: &Room,
    peers: &mut ClassicPeers<N>,
    endpoint: Endpoint<N>,
    now: Time,
    announce: &ClassicAnnounce,
) -> bool
where
    [u8; N]: Into<IpAddr>,
{
    if announce.event == Event::Stopped {
        peers.leave(room, endpoint, announce.peer_id);
        return false;
    }
    // As with WebRTC peers: who says `completed` without having downloaded anything made the torrent.
    let finished = announce.event == Event::Completed && announce.complete && announce.downloaded > 0;
    let arrival = Arrival {
        endpoint,
        id: announce.peer_id,
        complete: announce.complete,
        now: Stamp::new(tick(now)),
    };
    peers.join(arrival, finished)
}

/// How often a swarm with WebRTC peers is looked at, in ticks: offers, which last for a minute, are not to stay in memory
/// for much longer.
const WEBRTC_TICKS: u64 = 4;
