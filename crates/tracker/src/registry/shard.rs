//! The swarms whose info-hashes end alike.

use core::hash::BuildHasher;
use std::collections::hash_map::RandomState;
use std::net::Ipv4Addr;

use causeway_core::{InfoHash, PeerId, Time};
use causeway_signal::{Event, OfferId, SwarmCounts};
use hashbrown::HashTable;

use super::stamp::{tick, ticks};
use super::swarm::Swarm;
use super::webrtc::Member;
use super::wheel::Wheel;
use super::{Announced, ClassicAnnounce, ClassicAnnounced, ClassicPeer, Link, Presence, Refusal, Session};
use crate::Config;

/// A part of the registry, behind a lock of its own.
///
/// Invariant: `slots` has each swarm in one slot, under which `table` and `wheel` know it, and `free` has the slots
/// without one. No swarm is empty, and `members` counts those of all of them, rivals included.
#[derive(Debug)]
pub(super) struct Shard<L> {
    /// Slots by info-hash. The hash is keyed, since strangers choose the info-hashes.
    table: HashTable<u32>,
    hasher: RandomState,
    slots: Vec<Option<Swarm<L>>>,
    free: Vec<u32>,
    wheel: Wheel,
    members: usize,
    rng: fastrand::Rng,
}

impl<L: Link> Shard<L> {
    pub(super) fn new(rng: fastrand::Rng) -> Self {
        Self {
            table: HashTable::new(),
            hasher: RandomState::new(),
            slots: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::new(),
            members: 0,
            rng,
        }
    }

    pub(super) fn members(&self) -> usize {
        self.members
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
        let is_member = known.is_some_and(|slot| self.at(slot).contains_link(who));
        if !is_member {
            self.make_room(config, now)?;
        }
        // Making room may have taken the swarm.
        let slot = self.find_or_insert(presence.info_hash, now);
        let swarm = at(&mut self.slots, slot);
        let (before, had_webrtc) = (swarm.members(), swarm.webrtc_members() > 0);
        let doubted = swarm.join(now, who, session.ipv4, presence);
        self.members = self.members + swarm.members() - before;
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
            self.make_room(config, now)?;
        }
        let slot = match self.find(announce.info_hash) {
            None if !joins => {
                return Ok(ClassicAnnounced {
                    counts: SwarmCounts::default(),
                    peers: Vec::new(),
                });
            }
            Some(slot) => slot,
            None => {
                let slot = self.find_or_insert(announce.info_hash, now);
                self.wheel
                    .file(slot, tick(now) + ticks(config.classic_timeout) + 1);
                slot
            }
        };
        let swarm = at(&mut self.slots, slot);
        if joins || is_member {
            let before = swarm.members();
            swarm.announce_classic(now, announce);
            self.members = self.members + swarm.members() - before;
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

    pub(super) fn swarm_mut(&mut self, info_hash: InfoHash) -> Option<&mut Swarm<L>> {
        let slot = self.find(info_hash)?;
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn remove(&mut self, info_hash: InfoHash, id: PeerId, link: &L) {
        let Some(slot) = self.find(info_hash) else {
            return;
        };
        let swarm = at(&mut self.slots, slot);
        let before = swarm.members();
        swarm.remove(Member { id, link });
        self.members = self.members + swarm.members() - before;
        self.drop_if_empty(slot);
    }

    /// Looks at the swarms that are due, and at no others.
    pub(super) fn expire(&mut self, now: Time, config: &Config) {
        let this_tick = tick(now);
        while let Some(slot) = self.wheel.pop_due(this_tick) {
            let swarm = at(&mut self.slots, slot);
            let before = swarm.members();
            let next = swarm.expire(now, config);
            self.members = self.members + swarm.members() - before;
            self.wheel.file(slot, this_tick + next.max(1));
            self.drop_if_empty(slot);
        }
    }

    /// Drops whole swarms.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(InfoHash) -> bool) {
        for slot in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            let swarm = self.slots[slot as usize].as_ref();
            if let Some(swarm) = swarm.filter(|swarm| !keep(swarm.info_hash)) {
                self.members -= swarm.members();
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
        self.slots.iter().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Sees to it that one more member finds room: where there is none, the idlest of some swarms chosen at random
    /// have to go, but nobody who has announced in time. So a flood of newcomers pushes out nobody who is there.
    fn make_room(&mut self, config: &Config, now: Time) -> Result<(), Refusal> {
        let max = config.max_members.div_ceil(super::SHARDS);
        let overdue = ticks(config.classic_interval) + 2;
        for _ in 0..SHED_TRIES {
            if self.members < max {
                return Ok(());
            }
            let slot = self
                .rng
                .u32(..u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
            if let Some(swarm) = &mut self.slots[slot as usize] {
                let before = swarm.members();
                swarm.expire_classic(now, overdue);
                self.members = self.members + swarm.members() - before;
                self.drop_if_empty(slot);
            }
        }
        Err(Refusal::Full)
    }

    fn find(&self, info_hash: InfoHash) -> Option<u32> {
        let is_it = |slot: &u32| self.at(*slot).info_hash == info_hash;
        self.table
            .find(self.hasher.hash_one(Some(info_hash)), is_it)
            .copied()
    }

    fn find_or_insert(&mut self, info_hash: InfoHash, now: Time) -> u32 {
        if let Some(slot) = self.find(info_hash) {
            return slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("the bound on members is far below")
        });
        self.slots[slot as usize] = Some(Swarm::new(info_hash));
        let (hasher, slots) = (&self.hasher, &self.slots);
        let rehash =
            |slot: &u32| hasher.hash_one(slots[*slot as usize].as_ref().map(|swarm| swarm.info_hash));
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
        let hash = self.hasher.hash_one(Some(swarm.info_hash));
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
    pub(super) fn check_invariants(&self) {
        let mut members = 0;
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
            members += swarm.members();
        }
        assert_eq!(self.table.len() + self.free.len(), self.slots.len());
        assert_eq!(members, self.members, "all members are counted");
    }
}

fn at<L>(slots: &mut [Option<Swarm<L>>], slot: u32) -> &mut Swarm<L> {
    slots[slot as usize].as_mut().expect("the slot has a swarm")
}

/// At how many slots one announce looks for room, at most.
const SHED_TRIES: usize = 16;
