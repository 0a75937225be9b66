//! Web seeds (BEP 19): ranges of bytes that the driver fetches over HTTP.

use super::{Bytes, CloseReason, LinkId, LinkKind, Metadata, Output, Peer, Run, SECOND, Timer, Torrent};
use crate::FetchError;
use crate::web_seed::WebSeed;
use causeway_core::{Block, PeerId};

impl Torrent {
    pub(super) fn web_seed_added(&mut self, link: LinkId, peer: Option<PeerId>) {
        if self.peers.contains_key(&link) || self.greetings.contains_key(&link) {
            // The name is another's: what is asked of one would be owed by the other.
            return;
        }
        self.forget_web_seed(link);
        self.web_seeds.insert(link, WebSeed::new(peer, self.now));
        self.timers.start(Timer::Housekeeping, self.now + SECOND);
    }

    /// Asks every web seed that has nothing to do for the next range.
    pub(super) fn fetch_from_web_seeds(&mut self) {
        let may_ask = matches!(self.run, Run::Running)
            && !self.is_storage_behind()
            && self.content().is_some_and(|content| !content.is_hashing_behind());
        if !may_ask {
            return;
        }
        let links: Vec<_> = self
            .web_seeds
            .iter()
            .filter(|(_, seed)| seed.is_free(self.now))
            .map(|(link, _)| *link)
            .collect();
        for link in links {
            if !self.allowances.down.is_open(self.now) {
                return self
                    .timers
                    .start_at(Timer::Allowance, self.allowances.down.opens_at());
            }
            self.fetch_from(link);
        }
    }

    fn fetch_from(&mut self, link: LinkId) {
        let pace = self.pace(link);
        let (Metadata::Known(content), Some(seed)) = (&mut self.metadata, self.web_seeds.get_mut(&link))
        else {
            return;
        };
        let id = seed.peer;
        let mut peers = self.peers.values_mut();
        let mut peer = peers.find(|peer| Some(peer.id) == id && !peer.them.chokes);
        let have = peer.as_ref().and_then(|peer| peer.pieces.known());
        if id.is_some() && have.is_none() {
            return;
        }
        let can = |piece| have.is_none_or(|have| have.has(piece));
        let dry_at = peer.as_ref().map_or(seed.dry_at, |peer| peer.dry_at);
        if dry_at == Some(content.picker.epoch()) && self.readers.is_empty() {
            return;
        }
        let most = seed
            .appetite(self.now)
            .min(self.allowances.down.blocks_in_flight());
        let blocks = content.picker.pick_run(link, most, can, pace, &mut self.rng);
        let geometry = content.geometry();
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
            let dry_at = peer.as_mut().map_or(&mut seed.dry_at, |peer| &mut peer.dry_at);
            *dry_at = Some(content.picker.epoch());
            return;
        };
        let start_of = |block: &Block| geometry.start_of(block.piece()) + u64::from(block.offset());
        let bytes = start_of(first)..start_of(last) + u64::from(last.length());
        seed.fetches(&blocks, self.now);
        self.timers.start(Timer::Housekeeping, self.now + SECOND);
        self.out.push_back(Output::Fetch { link, bytes });
    }

    /// The next bytes of the range.
    pub(super) fn fetched(&mut self, link: LinkId, bytes: Bytes) {
        let Some(seed) = self.web_seeds.get_mut(&link) else {
            return;
        };
        let length = bytes.len() as u64;
        self.allowances.down.charge(length);
        self.totals.down.add(self.now, length);
        self.totals.carried[LinkKind::Http as usize].downloaded += length;
        seed.down.add(self.now, length);
        for (block, data) in seed.received(bytes, self.now) {
            self.take_block(link, block, data.into());
        }
    }

    /// The fetch is over: where something is missing, that is the server's fault.
    pub(super) fn fetch_ended(&mut self, link: LinkId, result: &Result<(), FetchError>) {
        let Some(seed) = self.web_seeds.get_mut(&link) else {
            return;
        };
        let is_whole = !seed.is_incomplete();
        match result {
            Ok(()) if is_whole => {}
            Ok(()) | Err(FetchError::Failed) => seed.back_off(None, self.now),
            Err(FetchError::Busy(pause)) => seed.back_off(Some(*pause), self.now),
            Err(FetchError::Useless) => {
                self.end_fetch(link);
                self.web_seeds.remove(&link);
                return;
            }
        }
        self.end_fetch(link);
    }

    /// Forgets a web seed, and says so.
    pub(super) fn close_web_seed(&mut self, link: LinkId, reason: CloseReason) {
        if self.web_seeds.contains_key(&link) {
            self.stop_fetch(link);
            self.web_seeds.remove(&link);
            self.out.push_back(Output::CloseLink { link, reason });
        }
    }

    /// The driver says that it is gone.
    pub(super) fn forget_web_seed(&mut self, link: LinkId) {
        self.end_fetch(link);
        self.web_seeds.remove(&link);
    }

    /// Whether what this peer gives comes over HTTP at the moment.
    pub(super) fn comes_over_http(&self, peer: &Peer) -> bool {
        let mut seeds = self.web_seeds.values();
        seeds.any(|seed| seed.peer == Some(peer.id) && !seed.is_resting(self.now))
    }

    /// Stops what is fetched from the web seeds of a peer that is gone.
    pub(super) fn stop_fetches_of(&mut self, peer: PeerId) {
        if self.peers.values().any(|other| other.id == peer) {
            return;
        }
        let seeds = self.web_seeds.iter();
        let of_peer = seeds.filter(|(_, seed)| seed.peer == Some(peer));
        for link in of_peer.map(|(link, _)| *link).collect::<Vec<_>>() {
            self.stop_fetch(link);
        }
    }

    /// Stops every fetch, as the torrent does.
    pub(super) fn stop_fetches(&mut self) {
        let links: Vec<_> = self.web_seeds.keys().copied().collect();
        for link in links {
            self.stop_fetch(link);
        }
    }

    /// Once a second: gives up what brings nothing, or nothing that is wanted.
    pub(super) fn look_after_fetches(&mut self) {
        let now = self.now;
        let (mut stuck, mut pointless) = (Vec::new(), Vec::new());
        for (link, seed) in &self.web_seeds {
            if seed.is_stuck(now) {
                stuck.push(*link);
            } else if seed.is_pointless() {
                pointless.push(*link);
            }
        }
        for link in &stuck {
            if let Some(seed) = self.web_seeds.get_mut(link) {
                seed.back_off(None, now);
            }
        }
        for link in stuck.into_iter().chain(pointless) {
            self.stop_fetch(link);
        }
    }

    /// What is not wanted any more is not waited for.
    pub(super) fn disown_unwanted(&mut self) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        for (link, seed) in &mut self.web_seeds {
            let unwanted: Vec<_> = seed
                .owed()
                .filter(|block| !content.lacks(block.piece()))
                .collect();
            for block in unwanted {
                seed.disown(block);
                content.picker.released(block, *link);
            }
        }
        self.look_after_fetches();
    }

    fn stop_fetch(&mut self, link: LinkId) {
        if self.end_fetch(link) {
            self.out.push_back(Output::StopFetch { link });
        }
    }

    /// What the fetch has not brought is asked of others. Says whether anything was to come.
    fn end_fetch(&mut self, link: LinkId) -> bool {
        let Some(seed) = self.web_seeds.get_mut(&link) else {
            return false;
        };
        let was_busy = seed.is_busy();
        if let Metadata::Known(content) = &mut self.metadata {
            for block in seed.owed() {
                content.picker.released(block, link);
            }
            content.picker.leave(link);
        }
        seed.end();
        if was_busy {
            self.touch_all();
        }
        was_busy
    }
}
