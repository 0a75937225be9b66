//! What a seed tells peers to ask for, so that a whole copy is out soon (BEP 6 and 16).

use super::{Bitfield, LinkId, Metadata, Peer, SortedSet, Torrent};
use crate::content::Content;
use crate::first_copy::{FirstCopy, Known, ahead};
use causeway_core::{Block, Geometry, PieceIndex};
use causeway_wire::Message;

impl Torrent {
    /// The user wants super-seeding, or no longer. It concerns links that are opened from now on.
    pub(super) fn super_seed(&mut self, wanted: bool) {
        self.super_seeds = wanted;
        if wanted {
            self.first_copy = FirstCopy::Ahead;
        } else {
            self.peers.values_mut().for_each(|peer| peer.offers.reveal());
        }
    }

    /// Whether a new peer is told that we have nothing.
    pub(super) fn hides(&self) -> bool {
        let has_all = |content: &Content| !content.is_checking() && content.have().is_all();
        self.super_seeds && !matches!(self.first_copy, FirstCopy::Over) && self.content().is_some_and(has_all)
    }

    /// Tells this peer what to ask for next.
    pub(super) fn offer_pieces(&mut self, link: LinkId) {
        if matches!(self.first_copy, FirstCopy::Over) {
            return self.offer_what_was_read(link);
        }
        self.start_spreading();
        let missing = self.offers_missing(link);
        if missing == 0 {
            return;
        }
        let (promised, few) = (self.promised_to_others(link), self.few_holders());
        let (Metadata::Known(content), Some(peer)) = (&self.metadata, self.peers.get_mut(&link)) else {
            return;
        };
        let Some(have) = peer.pieces.known() else { return };
        let is_out = |piece| content.picker.availability(piece) > few;
        for _ in 0..missing {
            let suits = |piece| !have.has(piece) && !peer.offers.has(piece) && !promised.contains(&piece);
            let Some(piece) = self.first_copy.next(is_out, suits) else {
                break;
            };
            peer.offers
                .push(piece, content.geometry().length_of(piece), self.now);
            let message = if peer.offers.is_hidden() {
                Message::Have
            } else {
                Message::Suggest
            };
            peer.outbox.push(&message(piece.get()));
        }
        if matches!(self.first_copy, FirstCopy::Over) {
            self.end_first_copy();
        }
    }

    /// How many may have a piece that is not out for all that: it is offered to others too, after all those that nobody has, as its
    /// only holder may pass nothing on. A super-seed waits for that instead.
    const fn few_holders(&self) -> u32 {
        if self.super_seeds { 0 } else { 1 }
    }

    /// Sees who keeps what nobody else was given, and ends the turn of whoever turns out to.
    fn judge_hoarders(&mut self) {
        let (Metadata::Known(content), true) = (&self.metadata, self.first_copy.is_spreading()) else {
            return;
        };
        let others_have = |piece| content.picker.availability(piece) > 1;
        let length = content.geometry().piece_length();
        let mut found = false;
        for peer in self.peers.values_mut() {
            found |= peer.offers.judge(self.now, length, others_have) && peer.is_served();
        }
        if found {
            self.rechoke();
        }
    }

    /// How many more pieces this peer is to be told of, those aside that it was and has not done with.
    fn offers_missing(&mut self, link: LinkId) -> usize {
        let is_other = |(other, peer): (&LinkId, &Peer)| *other != link && peer.them.is_interested;
        let is_alone = !self.peers.iter().any(is_other);
        let (Metadata::Known(content), Some(peer)) = (&self.metadata, self.peers.get_mut(&link)) else {
            return 0;
        };
        let is_hidden = peer.offers.is_hidden();
        let takes = is_hidden || (peer.is_served() && peer.has_fast());
        let (FirstCopy::Spreading(_), true, Some(have)) = (&self.first_copy, takes, peer.pieces.known())
        else {
            return 0;
        };
        if is_hidden && !peer.them.is_interested && peer.offers.is_unmoved(self.now) {
            peer.offers.reveal();
        }
        let known = |piece| {
            let by_it = have.has(piece);
            // Where there is nobody to pass it on to, it is as good as passed on.
            let by_others = is_alone || content.picker.availability(piece) > u32::from(by_it);
            Known { by_it, by_others }
        };
        let enough = match (is_hidden, peer.is_served()) {
            (true, true) => SHOWN,
            (true, false) => 1,
            (false, _) => {
                let rate = peer.up.rate.per_second(self.now);
                ahead(rate, content.geometry().piece_length())
            }
        };
        enough.saturating_sub(peer.offers.settle(self.now, known))
    }

    /// The pieces that a peer which is not to know what we have must not be shown: others are being sent them. Near the end
    /// of the copy each would go to several otherwise.
    fn promised_to_others(&self, link: LinkId) -> SortedSet<PieceIndex> {
        let is_hidden = |peer: &Peer| peer.offers.is_hidden();
        if !self.peers.get(&link).is_some_and(is_hidden) {
            return SortedSet::new();
        }
        let others = self.peers.iter().filter(|(other, _)| **other != link);
        let served = others.filter(|(_, peer)| is_hidden(peer) && peer.is_served());
        served.flat_map(|(_, peer)| peer.offers.open()).collect()
    }

    /// This peer is gone, or has lost this piece: what nobody has any more is to be brought out again.
    pub(super) fn spread_again(&mut self, have: &Bitfield) {
        if let (FirstCopy::Spreading(_), Metadata::Known(content)) = (&self.first_copy, &self.metadata) {
            let geometry = content.geometry();
            let pieces = have.iter_ones().filter_map(|piece| geometry.piece(piece));
            let lost = pieces.filter(|piece| content.picker.availability(*piece) == 0);
            self.first_copy.lost(&lost.collect::<Vec<_>>());
        }
    }

    /// Starts as soon as there are two to send the first copy to, or one that is not to know that we have it.
    fn start_spreading(&mut self) {
        let (FirstCopy::Ahead, Metadata::Known(content)) = (&self.first_copy, &self.metadata) else {
            return;
        };
        if content.is_checking() {
            return;
        }
        if !content.have().is_all() || self.peers.values().any(|peer| peer.pieces.is_all()) {
            // Who has it from others, or meets another seed, has no first copy to give.
            return self.end_first_copy();
        }
        let served = self.peers.values().filter(|peer| peer.is_served()).count();
        if served >= 2 || self.peers.values().any(|peer| peer.offers.is_hidden()) {
            let geometry = content.geometry();
            let is_out = |piece: &PieceIndex| content.picker.availability(*piece) > 0;
            let pieces: Vec<_> = geometry.all_pieces().filter(|piece| !is_out(piece)).collect();
            self.first_copy = FirstCopy::start(&pieces, run_of(geometry), &mut self.rng);
        }
    }

    /// The first copy is out, or others have the torrent, or we don't: nothing is hidden or spread from here on.
    pub(super) fn end_first_copy(&mut self) {
        self.first_copy = FirstCopy::Over;
        self.peers.values_mut().for_each(|peer| peer.offers.reveal());
    }

    /// Once a second: sees whether the copy is out, and tells those who were not to know what we have.
    pub(super) fn look_after_first_copy(&mut self) {
        self.judge_hoarders();
        let few = self.few_holders();
        if let Metadata::Known(content) = &self.metadata {
            let is_over = matches!(self.first_copy, FirstCopy::Over);
            self.first_copy
                .forget(|piece| content.picker.availability(piece) > few);
            if !is_over && matches!(self.first_copy, FirstCopy::Over) {
                self.end_first_copy();
            }
        }
        self.reveal_some();
    }

    fn reveal_some(&mut self) {
        let hidden = self.peers.iter().filter(|(_, peer)| peer.offers.is_hidden());
        let links: Vec<_> = hidden.map(|(link, _)| *link).collect();
        for link in links {
            let Some(have) = self.content().map(|content| content.have().clone()) else {
                return;
            };
            let Some(mut peer) = self.peers.remove(&link) else {
                continue;
            };
            for piece in peer
                .offers
                .reveal_some()
                .into_iter()
                .filter(|piece| have.bit(*piece))
            {
                peer.outbox.push(&Message::Have(piece));
            }
            if !peer.offers.is_hidden() {
                self.send_extended_handshake(&mut peer);
            }
            self.peers.insert(link, peer);
        }
    }

    /// Suggests what lies in storage's memory to a peer that has just been given a slot (BEP 6).
    fn offer_what_was_read(&mut self, link: LinkId) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        if !core::mem::take(&mut peer.offers.is_new) || !peer.has_fast() {
            return;
        }
        let Some(have) = peer.pieces.known() else { return };
        for piece in self.lately_read.iter().filter(|piece| !have.has(**piece)) {
            peer.outbox.push(&Message::Suggest(piece.get()));
        }
    }

    /// Remembers the last pieces of which the last block was read.
    pub(super) fn was_read_whole(&mut self, block: Block) {
        let is_last = self.content().is_some_and(|content| {
            block.offset() + block.length() == content.geometry().length_of(block.piece())
        });
        if is_last && !self.lately_read.contains(&block.piece()) {
            if self.lately_read.len() >= MOST_READ {
                self.lately_read.pop_front();
            }
            self.lately_read.push_back(block.piece());
        }
    }
}

/// How many small pieces are given to one peer after the other in a row, so that storage reads 1 MiB at a time.
fn run_of(geometry: Geometry) -> usize {
    (RUN / geometry.piece_length()).max(1) as usize
}

const RUN: u32 = 1024 * 1024;
/// Pieces that a super-seed shows to one peer before another has them: one is being sent, one follows.
const SHOWN: usize = 2;
/// Pieces that are suggested because they were read lately.
pub(super) const MOST_READ: usize = 4;
