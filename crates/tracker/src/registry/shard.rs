//! A part of all swarms.

use std::net::Ipv4Addr;
use std::sync::Arc;

use causeway_core::{InfoHash, PeerId, Time};
use causeway_signal::{Event, OfferId, SwarmCounts};
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::idle::{Idle, Shedding};
use super::room::Room;
#[cfg(test)]
use super::room::Source;
use super::stamp::{tick, ticks};
use super::swarm::Swarm;
use super::webrtc::Member;
use super::wheel::Wheel;
use super::{Announced, ClassicAnnounce, ClassicAnnounced, ClassicPeer, Link, Presence, Refusal, Session};
use crate::Config;

/// A part of the registry, behind a lock of its own.
///
/// Invariant: `slots` has each swarm in one slot, under which `table` and `wheel` know it, and `free` has the slots
/// without one. No swarm is empty. Every member, rivals included, has its place in `room`.
#[derive(Debug)]
pub(super) struct Shard<L> {
    /// Slots by info-hash. The hash is keyed, since strangers choose the info-hashes.
    table: HashTable<u32>,
    key: SipHasher13,
    slots: Vec<Option<Swarm<L>>>,
    free: Vec<u32>,
    wheel: Wheel,
    /// That of all shards.
    room: Arc<Room>,
    rng: fastrand::Rng,
}

impl<L: Link> Shard<L> {
    pub(super) fn new(key: SipHasher13, room: Arc<Room>, rng: fastrand::Rng) -> Self {
        Self {
            table: HashTable::new(),
            key,
            slots: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::new(),
            room,
            rng,
        }
    }

    pub(super) fn announce(
        &mut self,
        config: &Config,
        now: Time,
        session: &Session<L>,
        presence: &Presence,
        offers: &[OfferId],
    ) -> Result<Announced<L>, Refusal> {
        let who = Member {
            id: presence.peer_id,
            link: &session.link,
        };
        let known = self.find(presence.info_hash);
        if !known.is_some_and(|slot| self.at(slot).contains_link(who)) {
            self.room.take(self.room.source(session.caller.address))?;
        }
        let slot = known.unwrap_or_else(|| self.insert(presence.info_hash, now));
        let swarm = at(&mut self.slots, slot);
        let had_webrtc = swarm.webrtc_members() > 0;
        let doubted = swarm.join(&self.room, now, session, presence);
        let receivers = swarm.relay(now + config.offer_timeout, &mut self.rng, who, offers);
        let counts = swarm.counts();
        if !had_webrtc {
            self.wheel.file(slot, tick(now) + 1);
        }
        Ok(Announced {
            counts,
            receivers,
            doubted,
        })
    }

    pub(super) fn announce_classic(
        &mut self,
        config: &Config,
        now: Time,
        announce: &ClassicAnnounce,
    ) -> Result<ClassicAnnounced, Refusal> {
        let known = self.find(announce.info_hash);
        let is_member = known.is_some_and(|slot| self.at(slot).contains_address(announce.address));
        // Whoever can't be connected to is told of others, and no others are told of it.
        let joins = announce.event != Event::Stopped && announce.address.port() != 0;
        if joins && !is_member {
            self.room.take(self.room.source(announce.address.ip()))?;
        }
        let slot = match known {
            None if !joins => {
                return Ok(ClassicAnnounced {
                    counts: SwarmCounts::default(),
                    peers: Vec::new(),
                });
            }
            Some(slot) => slot,
            None => {
                let slot = self.insert(announce.info_hash, now);
                self.wheel
                    .file(slot, tick(now) + ticks(config.classic_timeout) + 1);
                slot
            }
        };
        let swarm = at(&mut self.slots, slot);
        if joins || is_member {
            swarm.announce_classic(&self.room, now, announce);
        }
        let announced = ClassicAnnounced {
            counts: swarm.counts(),
            peers: if announce.event == Event::Stopped {
                Vec::new()
            } else {
                swarm.classic_peers(&mut self.rng, announce, config.max_peers)
            },
        };
        self.drop_if_empty(slot);
        Ok(announced)
    }

    pub(super) fn contains(&self, info_hash: InfoHash, who: Member<'_, L>) -> bool {
        let slot = self.find(info_hash);
        slot.is_some_and(|slot| self.at(slot).contains_link(who))
    }

    pub(super) fn swarm_mut(&mut self, info_hash: InfoHash) -> Option<&mut Swarm<L>> {
        let slot = self.find(info_hash)?;
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn remove(&mut self, info_hash: InfoHash, id: PeerId, link: &L) {
        let Some(slot) = self.find(info_hash) else {
            return;
        };
        at(&mut self.slots, slot).remove(&self.room, Member { id, link });
        self.drop_if_empty(slot);
    }

    /// Looks at the swarms that are due, and at no others.
    pub(super) fn expire(&mut self, now: Time, config: &Config) {
        let this_tick = tick(now);
        while let Some(slot) = self.wheel.pop_due(this_tick) {
            let next = at(&mut self.slots, slot).expire(&self.room, now, config);
            self.wheel.file(slot, this_tick + next.max(1));
            self.drop_if_empty(slot);
        }
    }

    /// Shows how idle each member is.
    pub(super) fn visit_idleness(&self, now: Time, config: &Config, visit: &mut impl FnMut(Idle)) {
        for swarm in self.swarms() {
            swarm.visit_idleness(now, config, visit);
        }
    }

    /// Forgets members whose places others are to have.
    pub(super) fn shed(&mut self, now: Time, config: &Config, shedding: &mut Shedding) {
        for slot in self.taken() {
            at(&mut self.slots, slot).shed(&self.room, now, config, shedding);
            self.drop_if_empty(slot);
        }
    }

    /// Drops whole swarms.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(InfoHash) -> bool) {
        for slot in self.taken() {
            let swarm = self.at(slot);
            if !keep(swarm.info_hash) {
                for source in swarm.sources(&self.room) {
                    self.room.give_back(source);
                }
                self.drop_slot(slot);
            }
        }
    }

    pub(super) fn counts(&self, info_hash: InfoHash) -> SwarmCounts {
        self.find(info_hash)
            .map(|slot| self.at(slot).counts())
            .unwrap_or_default()
    }

    pub(super) fn webrtc_seeders(&self, info_hash: InfoHash) -> usize {
        self.find(info_hash)
            .map_or(0, |slot| self.at(slot).webrtc_seeders())
    }

    /// See [`WebRtcPeers::links_of`](super::webrtc::WebRtcPeers::links_of).
    pub(super) fn links_of(&self, info_hash: InfoHash, id: PeerId) -> Vec<L> {
        self.find(info_hash)
            .map_or_else(Vec::new, |slot| self.at(slot).links_of(id))
    }

    /// Some classic members, as one is told of who lacks something and can't be connected to.
    pub(super) fn classic_peers(&mut self, info_hash: InfoHash, limit: usize) -> Vec<ClassicPeer> {
        let Some(slot) = self.find(info_hash) else {
            return Vec::new();
        };
        let asking = ClassicAnnounce {
            info_hash,
            peer_id: PeerId::new([0; 20]),
            address: (Ipv4Addr::UNSPECIFIED, 0).into(),
            event: Event::Update,
            complete: false,
            downloaded: 0,
            numwant: limit,
            both_families: true,
        };
        let swarm = self.slots[slot as usize].as_ref();
        swarm.map_or_else(Vec::new, |swarm| {
            swarm.classic_peers(&mut self.rng, &asking, limit)
        })
    }

    pub(super) fn swarms(&self) -> impl Iterator<Item = &Swarm<L>> {
        // The table has no more holes than its memory needs, and `slots` has as many as there ever were swarms.
        self.table.iter().map(|slot| self.at(*slot))
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// The slots that have swarms.
    fn taken(&self) -> Vec<u32> {
        self.table.iter().copied().collect()
    }

    fn find(&self, info_hash: InfoHash) -> Option<u32> {
        let is_it = |slot: &u32| self.at(*slot).info_hash == info_hash;
        self.table
            .find(self.key.hash(info_hash.as_bytes()), is_it)
            .copied()
    }

    /// Adds a swarm that is not there.
    fn insert(&mut self, info_hash: InfoHash, now: Time) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("the bound on members is far below")
        });
        self.slots[slot as usize] = Some(Swarm::new(info_hash));
        let (key, slots) = (&self.key, &self.slots);
        let rehash = |slot: &u32| {
            let swarm = slots[*slot as usize].as_ref();
            swarm.map_or(0, |swarm| key.hash(swarm.info_hash.as_bytes()))
        };
        let hash = rehash(&slot);
        self.table.insert_unique(hash, slot, rehash);
        self.wheel.file(slot, tick(now) + 1);
        slot
    }

    fn drop_if_empty(&mut self, slot: u32) {
        if self.at(slot).members() == 0 {
            self.drop_slot(slot);
        }
    }

    fn drop_slot(&mut self, slot: u32) {
        let Some(swarm) = self.slots[slot as usize].take() else {
            return;
        };
        let hash = self.key.hash(swarm.info_hash.as_bytes());
        if let Ok(entry) = self.table.find_entry(hash, |known| *known == slot) {
            entry.remove();
        }
        self.wheel.unfile(slot);
        self.free.push(slot);
        if self.table.is_empty() {
            // The memory of a flood is given back.
            self.slots = Vec::new();
            self.free = Vec::new();
            self.table = HashTable::new();
            self.wheel.shrink();
        }
    }

    fn at(&self, slot: u32) -> &Swarm<L> {
        self.slots[slot as usize].as_ref().expect("the slot has a swarm")
    }

    #[cfg(test)]
    /// Answers whose places the members take.
    pub(super) fn check_invariants(&self) -> Vec<Source> {
        let mut sources = Vec::new();
        for (slot, swarm) in self.slots.iter().enumerate() {
            let slot = u32::try_from(slot).expect("few");
            let Some(swarm) = swarm else {
                assert!(self.free.contains(&slot), "what has no swarm is free");
                assert!(!self.wheel.contains(slot), "and is never due");
                continue;
            };
            swarm.check_invariants();
            assert!(swarm.members() > 0, "empty swarms are gone");
            assert_eq!(self.find(swarm.info_hash), Some(slot), "each is found");
            assert!(self.wheel.contains(slot), "each is looked at some time");
            sources.extend(swarm.sources(&self.room));
            assert_eq!(swarm.sources(&self.room).count(), swarm.members());
        }
        assert_eq!(self.table.len() + self.free.len(), self.slots.len());
        sources
    }
}

fn at<L>(slots: &mut [Option<Swarm<L>>], slot: u32) -> &mut Swarm<L> {
    slots[slot as usize].as_mut().expect("the slot has a swarm")
}
