//! Pieces that came wrong: who is to blame.

use super::{CloseReason, LinkId, Metadata, Output, Torrent};
use crate::Event;
use crate::trial::{Finding, Supplier};
use causeway_core::{Block, PeerId, PieceIndex, sha1};

impl Torrent {
    /// The piece has to come again. Who alone supplied it is not asked any more. Where several did, what each sent is
    /// remembered, and the next try is one link's alone, so that it ends with a right piece or with one liar less.
    pub(super) fn piece_is_wrong(&mut self, piece: PieceIndex) {
        if self.trials.is_hearing(piece) {
            return;
        }
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        let blocks = content.picker.suppliers_by_block(piece);
        self.totals.wasted += u64::from(content.geometry().length_of(piece));
        self.tell(Event::PieceFailed(piece));
        let mut suppliers: Vec<_> = blocks.iter().map(|(_, link)| *link).collect();
        suppliers.sort_unstable();
        suppliers.dedup();
        for link in suppliers.iter().flatten() {
            if let Some(peer) = self.peers.get_mut(link) {
                peer.bad_pieces += 1;
            }
        }
        if let [_] = suppliers[..] {
            self.fetch_again(piece);
            if let [Some(liar)] = suppliers[..] {
                self.ban(liar);
            }
            return;
        }
        let known = blocks.into_iter().filter_map(|(block, link)| {
            let link = link?;
            Some((block, (link, self.peers.get(&link).map(|peer| peer.id))))
        });
        let known: Vec<_> = known.collect();
        if known.is_empty() || !self.trials.accuse(piece, known) {
            return self.fetch_again(piece);
        }
        self.read_evidence(piece);
    }

    /// The piece is right: who supplied it gains by that, and who supplied it wrongly before is found out.
    pub(super) fn piece_is_right(&mut self, piece: PieceIndex, suppliers: &[Option<LinkId>]) {
        for link in suppliers.iter().flatten() {
            if let Some(peer) = self.peers.get_mut(link) {
                peer.good_pieces += 1;
            }
        }
        if self.trials.resolve(piece) {
            self.read_evidence(piece);
        }
    }

    /// A block was read of which a trial may want to know.
    pub(super) fn evidence_read(&mut self, block: Block, data: Option<&[u8]>) {
        let piece = block.piece();
        match self.trials.was_read(block, data.map(sha1)) {
            None => self.read_evidence(piece),
            Some(Finding::Taken) => {
                self.fetch_again(piece);
                self.touch_all();
            }
            Some(Finding::Liars(liars)) => {
                for (link, id) in liars {
                    self.convict((link, id));
                }
            }
        }
    }

    fn read_evidence(&mut self, piece: PieceIndex) {
        while let Some(block) = self.trials.next_read(piece) {
            if self.reads.inspect(block) {
                self.out.push_back(Output::Read { block });
            }
        }
    }

    fn fetch_again(&mut self, piece: PieceIndex) {
        if let Metadata::Known(content) = &mut self.metadata {
            content.picker.failed(piece);
        }
    }

    /// This one lied. It may have gone, or have come back over another link.
    fn convict(&mut self, (link, id): Supplier) {
        let Some(id) = id else {
            return self.close_web_seed(link, CloseReason::WrongData);
        };
        self.remember_liar(id);
        let links: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.id == id)
            .map(|(link, _)| *link)
            .collect();
        for link in links {
            self.close(link, CloseReason::WrongData);
        }
    }

    /// Remembers a peer that is not to come back, and closes its link.
    pub(super) fn ban(&mut self, link: LinkId) {
        self.close_web_seed(link, CloseReason::WrongData);
        let Some(peer) = self.peers.get(&link) else { return };
        let id = peer.id;
        self.remember_liar(id);
        self.close(link, CloseReason::WrongData);
    }

    fn remember_liar(&mut self, id: PeerId) {
        if self.banned.len() >= MOST_BANNED {
            self.banned.pop_front();
        }
        self.banned.push_back(id);
    }
}

/// Peers that are remembered for wrong data.
pub(super) const MOST_BANNED: usize = 256;
