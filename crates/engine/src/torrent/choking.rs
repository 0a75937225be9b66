//! Whom we serve.

use super::{LinkId, Peer, Time, Timer, Torrent};
use crate::choker::{self, Candidate, Role};
use crate::content::Content;
use causeway_wire::{BlockRequest, Message};

impl Torrent {
    /// Decides anew; every ten seconds while there are links.
    pub(super) fn rechoke(&mut self) {
        if self.peers.is_empty() && self.greetings.is_empty() {
            return;
        }
        self.timers.set(Timer::Rechoke, self.now + choker::INTERVAL);
        let (role, slots) = (self.role(), self.slots());
        let served = choker::decide(role, slots, self.candidates(), self.now, &mut self.rng);
        for (link, peer) in &mut self.peers {
            let serve = if peer.them.is_interested {
                served.contains(link)
            } else {
                // It may stay unchoked as long as it takes nobody's place when it becomes interested.
                !peer.us.chokes && served.len() < slots
            };
            if serve == peer.us.chokes {
                set_choke(peer, !serve, self.now);
                self.touched.insert(*link);
            }
        }
    }

    /// Serves somebody at once where a slot is free: waiting for the next round would cost a newcomer seconds.
    pub(super) fn fill_slots(&mut self) {
        let mut candidates = self.candidates();
        let served = candidates.iter().filter(|candidate| candidate.unchoked).count();
        let (role, slots) = (self.role(), self.slots());
        for _ in served..slots {
            let Some(link) = choker::fill(role, slots, &candidates) else {
                return;
            };
            if let Some(peer) = self.peers.get_mut(&link) {
                set_choke(peer, false, self.now);
                self.touched.insert(link);
            }
            for candidate in candidates.iter_mut().filter(|candidate| candidate.link == link) {
                candidate.unchoked = true;
            }
        }
    }

    /// How many may be served at once.
    pub(super) fn slots(&self) -> usize {
        self.config.limits.upload_slots.min(self.allowances.up.slots())
    }

    fn candidates(&self) -> Vec<Candidate> {
        let role = self.role();
        let candidate = |(link, peer): (&LinkId, &Peer)| Candidate {
            link: *link,
            unchoked: !peer.us.chokes,
            since: peer.choke_changed,
            is_causeway: peer.extensions.causeway.is_some(),
            hoards: self.first_copy.is_spreading() && peer.offers.hoards(),
            rate: match role {
                _ if peer.score(self.now) < 0 => 0,
                Role::Leech => peer.down.rate.per_second(self.now),
                Role::Seed => peer.up.rate.per_second(self.now),
            },
        };
        self.peers
            .iter()
            .filter(|(_, peer)| peer.them.is_interested)
            .map(candidate)
            .collect()
    }

    fn role(&self) -> Role {
        if self.config.relay || self.content().is_some_and(Content::is_finished) {
            Role::Seed
        } else {
            Role::Leech
        }
    }
}

fn set_choke(peer: &mut Peer, chokes: bool, now: Time) {
    peer.us.chokes = chokes;
    peer.choke_changed = now;
    if !chokes {
        peer.offers.is_new = true;
        return peer.outbox.push(&Message::Unchoke);
    }
    peer.outbox.push(&Message::Choke);
    // BEP 6: what is not going to be served is rejected one by one; without it the choke says so for all.
    let dropped = peer.uploads.cancel_all();
    if peer.has_fast() {
        for block in dropped {
            peer.outbox.push(&Message::Reject(BlockRequest::from(block)));
        }
    }
}
