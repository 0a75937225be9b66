//! What to ask for next.
//!
//! A link works on one piece at a time and asks for its blocks in order, so that storage sees sequential writes
//! and pieces complete one by one. When its piece has no free block left it goes on, in this order, with
//! 1. a piece that only peers with everything have, where this is one of them: one that somebody began first. What others
//!    have too they can give, and a lone seed that sends it twice keeps everybody waiting,
//! 2. a piece that somebody began and nobody works on,
//! 3. a new piece: some random one as long as we have next to nothing to give, then the rarest that the peer has,
//!    of equally rare ones those that the peer suggests (BEP 6), then those that lie beside its last one (both ends read
//!    and write longer runs), unless enough is open already,
//! 4. a piece that others work on.
//!
//! Pieces of files that the user prefers are new pieces that come before all other new ones, the rarest of them first.
//!
//! Before all that come the pieces that a reader waits for, in the order of their deadlines. All links work on them
//! together, each as much as it delivers by the time at which all together can have the piece.
//!
//! When no block is free any more, the last ones are asked of several peers; whose, the torrent decides
//! ([`Picker::ask_also`]), since it knows how fast each is.

use causeway_core::{BLOCK_LENGTH, Bitfield, Block, Geometry, PieceIndex, SortedMap, SortedSet, Time};
use core::time::Duration;
use fastrand::Rng;

use crate::LinkId;
use open::{BlockState, OpenPiece};
use rarity::Rarity;

mod check;
mod choose;
mod open;
mod rarity;
#[cfg(test)]
mod tests;
mod urgent;

/// Which blocks are free, asked for, arrived or written, and how rare the pieces are.
///
/// Invariants: a piece is open, listed as one that may be opened, or neither (it is verified or not wanted);
/// `with_free` holds the open, wanted pieces that have a free block; `missing` counts the blocks of open, wanted
/// pieces that are still to arrive, `asked` those that somebody was asked for, of all open pieces; a block in
/// `duplicates` was asked of the links there besides the first one.
#[derive(Debug)]
pub(crate) struct Picker {
    geometry: Geometry,
    rarity: Rarity,
    open: SortedMap<PieceIndex, OpenPiece>,
    with_free: SortedSet<PieceIndex>,
    current: SortedMap<LinkId, PieceIndex>,
    duplicates: SortedMap<Block, Vec<LinkId>>,
    /// Pieces that are waited for, and when they have to be there; the earliest first.
    urgent: Vec<(PieceIndex, Time)>,
    /// Pieces that are fetched before all others which nobody waits for.
    preferred: SortedSet<PieceIndex>,
    missing: u32,
    asked: u32,
    verified: u32,
    epoch: u64,
}

/// Who is to be asked for blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) link: LinkId,
    /// How many at the most.
    pub(crate) count: usize,
    /// How fast it is beside the others; looked at where a reader waits for something.
    pub(crate) pace: Pace,
    /// What it would like to be asked for (BEP 6).
    pub(crate) suggested: &'a [PieceIndex],
    /// It has everything.
    pub(crate) is_seed: bool,
}

/// When a link delivers, and when all of them together do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) now: Time,
    /// When the next block of this link arrives that it is asked for now.
    pub(crate) arrives: Time,
    /// How long it takes for each further block.
    pub(crate) each: Duration,
    /// When the fastest link delivers its next block.
    pub(crate) first: Time,
    /// How long all links together take for a block.
    pub(crate) together: Duration,
}

/// What became of a block that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// It is wanted and to be written. These links were asked for it too.
    Needed(Vec<LinkId>),
    /// It is there already.
    Unneeded,
}

impl Picker {
    /// A picker that knows of no peer and wants nothing, of a torrent with so many pieces verified.
    pub(crate) fn new(geometry: Geometry, verified: u32) -> Self {
        Self {
            geometry,
            rarity: Rarity::new(geometry.pieces()),
            open: SortedMap::new(),
            with_free: SortedSet::new(),
            current: SortedMap::new(),
            duplicates: SortedMap::new(),
            urgent: Vec::new(),
            preferred: SortedSet::new(),
            missing: 0,
            asked: 0,
            verified,
            epoch: 0,
        }
    }

    /// A peer that lacks some pieces has these.
    pub(crate) fn add_peer(&mut self, have: &Bitfield, rng: &mut Rng) {
        for piece in have.iter_ones().filter_map(|piece| self.geometry.piece(piece)) {
            self.rarity.add(piece, rng);
        }
    }

    /// A peer that was added is gone; these are its pieces.
    pub(crate) fn remove_peer(&mut self, have: &Bitfield, rng: &mut Rng) {
        for piece in have.iter_ones().filter_map(|piece| self.geometry.piece(piece)) {
            self.rarity.sub(piece, rng);
        }
    }

    /// A peer that was added has got this piece.
    pub(crate) fn peer_got(&mut self, piece: PieceIndex, rng: &mut Rng) {
        self.rarity.add(piece, rng);
    }

    /// Fetch this piece from now on; it is not verified.
    pub(crate) fn want(&mut self, piece: PieceIndex, rng: &mut Rng) {
        self.epoch += 1;
        match self.open.get_mut(&piece) {
            Some(open) if !open.wanted => {
                open.wanted = true;
                self.missing += open.missing();
                if open.has_free() {
                    self.with_free.insert(piece);
                }
            }
            Some(_) => {}
            None => self.rarity.list(piece, rng),
        }
    }

    /// Don't fetch this piece any more; what is on its way still counts.
    pub(crate) fn unwant(&mut self, piece: PieceIndex) {
        self.rarity.unlist(piece);
        if let Some(open) = self.open.get_mut(&piece)
            && open.wanted
        {
            open.wanted = false;
            self.missing -= open.missing();
            self.with_free.remove(&piece);
        }
    }

    /// Forgets what came of a piece that is not wanted. Nobody is asked for any of it at the moment.
    pub(crate) fn forget(&mut self, piece: PieceIndex) {
        self.close(piece);
        self.urgent.retain(|(urgent, _)| *urgent != piece);
    }

    /// Whether storage has yet to say that it has some block of this piece.
    pub(crate) fn is_writing(&self, piece: PieceIndex) -> bool {
        self.open.get(&piece).is_some_and(OpenPiece::is_writing)
    }

    /// These blocks of the piece were stored by an earlier run. Says whether that is all of them.
    pub(crate) fn restore(&mut self, piece: PieceIndex, blocks: &Bitfield) -> bool {
        let wanted = self.rarity.is_listed(piece);
        let open = self.open(piece);
        blocks
            .iter_ones()
            .for_each(|index| open.set(index, BlockState::Written(None)));
        let whole = open.is_written();
        open.wanted = wanted;
        self.missing += if wanted { open.missing() } else { 0 };
        if wanted && !whole {
            self.with_free.insert(piece);
        }
        whole
    }

    /// The blocks of this piece that were asked of one link alone.
    pub(crate) fn asked_once(&self, piece: PieceIndex) -> impl Iterator<Item = (Block, LinkId)> {
        let asked = self.open.get(&piece).into_iter().flat_map(OpenPiece::asked);
        let blocks =
            asked.filter_map(move |(index, link)| Some((block_at(self.geometry, piece, index)?, link)));
        blocks.filter(|(block, _)| !self.duplicates.contains_key(block))
    }

    /// These pieces come before all others from now on, those aside that a reader waits for.
    pub(crate) fn prefer(&mut self, pieces: SortedSet<PieceIndex>) {
        self.preferred = pieces;
    }

    /// Adds the blocks to `blocks` that this link is to be asked for, of pieces that it `can` supply.
    pub(crate) fn pick(
        &mut self,
        asker: Asker,
        can: impl Fn(PieceIndex) -> bool,
        rng: &mut Rng,
        blocks: &mut Vec<Block>,
    ) {
        let mut pace = asker.pace;
        let link = asker.link;
        let enough = blocks.len() + asker.count;
        while blocks.len() < enough {
            let Some((piece, due)) = self.piece_for(Asker { pace, ..asker }, &can, rng) else {
                return;
            };
            let Some(open) = self.open.get_mut(&piece) else {
                return;
            };
            while blocks.len() < enough && due.is_none_or(|due| pace.arrives <= due) {
                let Some(index) = open.ask_next(link) else { break };
                self.asked += 1;
                pace.arrives += pace.each;
                blocks.extend(block_at(self.geometry, piece, index));
            }
            if !open.has_free() {
                self.with_free.remove(&piece);
            }
        }
    }

    /// The blocks that a link which `can` give these pieces is to be asked for in one go: up to `most` that follow one
    /// another, over several pieces where nobody has begun them.
    pub(crate) fn pick_run(
        &mut self,
        link: LinkId,
        most: usize,
        can: impl Fn(PieceIndex) -> bool,
        pace: Pace,
        rng: &mut Rng,
    ) -> Vec<Block> {
        let mut run = Vec::new();
        let asker = Asker {
            link,
            count: most,
            pace,
            suggested: &[],
            is_seed: true,
        };
        let mut next = self.piece_for(asker, &can, rng).map(|(piece, _)| piece);
        while let Some(piece) = next {
            let Some(open) = self.open.get_mut(&piece) else {
                break;
            };
            let mut last = None;
            while run.len() < most {
                let Some(index) = open.ask_next_after(last, link) else {
                    break;
                };
                last = Some(index);
                self.asked += 1;
                run.extend(block_at(self.geometry, piece, index));
            }
            let is_at_end = last.is_some_and(|last| last + 1 == self.geometry.blocks_in(piece));
            if !open.has_free() {
                self.with_free.remove(&piece);
            }
            if run.len() >= most || !is_at_end {
                break;
            }
            next = self
                .geometry
                .piece(piece.get() + 1)
                .filter(|piece| self.rarity.is_listed(*piece) && can(*piece));
            if let Some(piece) = next {
                self.begin(piece);
                self.leave(link);
                self.work_on(piece, link);
            }
        }
        run
    }

    /// Whether every wanted block is there or asked for: the time to ask for the last ones twice.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.with_free.is_empty() && self.rarity.listed() == 0
    }

    /// How many blocks were asked for and are still to arrive.
    pub(crate) const fn asked(&self) -> u32 {
        self.asked
    }

    /// Changes whenever a block may have become free that was not: until then a link that found nothing finds
    /// nothing.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// This link is asked too for a block that others were asked for. Says whether that makes sense.
    pub(crate) fn ask_also(&mut self, block: Block, link: LinkId) -> bool {
        let Some(open) = self.open.get(&block.piece()) else {
            return false;
        };
        let Some(BlockState::Asked(first)) = open.state(block.index()) else {
            return false;
        };
        let others = self.duplicates.get(&block).map_or(&[][..], Vec::as_slice);
        if open.alone || first == link || others.len() >= MAX_DUPLICATES || others.contains(&link) {
            return false;
        }
        self.duplicates.get_or_insert_with(block, Vec::new).push(link);
        true
    }

    /// The block arrived from this link, which had been asked for it.
    pub(crate) fn received(&mut self, block: Block, from: LinkId) -> Receipt {
        let Some(open) = self.open.get_mut(&block.piece()) else {
            return Receipt::Unneeded;
        };
        let mut others = Vec::new();
        match open.state(block.index()) {
            Some(BlockState::Free) => {}
            Some(BlockState::Asked(first)) => {
                self.asked -= 1;
                others = self.duplicates.remove(&block).unwrap_or_default();
                if first != from {
                    others.push(first);
                    others.retain(|link| *link != from);
                }
            }
            Some(BlockState::Writing(_) | BlockState::Written(_)) | None => return Receipt::Unneeded,
        }
        open.set(block.index(), BlockState::Writing(from));
        if open.wanted {
            self.missing -= 1;
        }
        if !open.has_free() {
            self.with_free.remove(&block.piece());
        }
        Receipt::Needed(others)
    }

    /// This link will not send the block after all.
    pub(crate) fn released(&mut self, block: Block, link: LinkId) {
        let Some(open) = self.open.get_mut(&block.piece()) else {
            return;
        };
        let Some(BlockState::Asked(first)) = open.state(block.index()) else {
            return;
        };
        let mut others = self.duplicates.remove(&block).unwrap_or_default();
        if first == link {
            let next = others.pop().map_or(BlockState::Free, BlockState::Asked);
            open.set(block.index(), next);
            if next == BlockState::Free {
                self.asked -= 1;
                self.freed(block.piece());
            }
        } else {
            others.retain(|other| *other != link);
        }
        if !others.is_empty() {
            self.duplicates.insert(block, others);
        }
    }

    /// This link works on no piece any more: it is gone, chokes or sends nothing.
    pub(crate) fn leave(&mut self, link: LinkId) {
        let piece = self.current.remove(&link);
        if let Some(open) = piece.and_then(|piece| self.open.get_mut(&piece)) {
            open.workers -= 1;
            self.epoch += u64::from(open.has_free());
        }
    }

    /// Storage has the block. Says whether the whole piece is there now.
    pub(crate) fn written(&mut self, block: Block) -> bool {
        let Some(open) = self.open.get_mut(&block.piece()) else {
            return false;
        };
        let Some(BlockState::Writing(link)) = open.state(block.index()) else {
            return false;
        };
        open.set(block.index(), BlockState::Written(Some(link)));
        open.is_written()
    }

    /// Storage does not have the block: it has to come again.
    pub(crate) fn write_failed(&mut self, block: Block) {
        let Some(open) = self.open.get_mut(&block.piece()) else {
            return;
        };
        if let Some(BlockState::Writing(_)) = open.state(block.index()) {
            open.set(block.index(), BlockState::Free);
            self.missing += u32::from(open.wanted);
            self.freed(block.piece());
        }
    }

    /// The piece is there and right.
    pub(crate) fn verified(&mut self, piece: PieceIndex) {
        self.close(piece);
        self.rarity.unlist(piece);
        self.urgent.retain(|(urgent, _)| *urgent != piece);
        self.preferred.remove(&piece);
        self.verified += 1;
    }

    /// Who supplied what is there of this piece, each once; `None` is an earlier run.
    pub(crate) fn suppliers(&self, piece: PieceIndex) -> Vec<Option<LinkId>> {
        self.open
            .get(&piece)
            .map(OpenPiece::suppliers)
            .unwrap_or_default()
    }

    /// Who supplied each block that is there of this piece.
    pub(crate) fn suppliers_by_block(&self, piece: PieceIndex) -> Vec<(Block, Option<LinkId>)> {
        let blocks = self.open.get(&piece).into_iter().flat_map(OpenPiece::supplied);
        let block = |(index, link)| Some((block_at(self.geometry, piece, index)?, link));
        blocks.filter_map(block).collect()
    }

    /// The piece is there and wrong: it is to be fetched again. Says who supplied it; `None` is an earlier run.
    pub(crate) fn failed(&mut self, piece: PieceIndex) -> Vec<Option<LinkId>> {
        let Some(open) = self.open.get(&piece) else {
            return Vec::new();
        };
        let (suppliers, wanted) = (open.suppliers(), open.wanted);
        self.close(piece);
        let again = self.open(piece);
        again.alone = suppliers.len() > 1;
        again.wanted = wanted;
        if wanted {
            self.missing += again.missing();
            self.freed(piece);
        }
        suppliers
    }

    /// The pieces of which some blocks are written, and which.
    pub(crate) fn partial(&self) -> impl Iterator<Item = (PieceIndex, Bitfield)> {
        let written = self.open.iter().map(|(piece, open)| (*piece, open.written()));
        written.filter(|(_, blocks)| blocks.count_ones() > 0)
    }

    /// Whether all blocks of this piece are written.
    pub(crate) fn is_written(&self, piece: PieceIndex) -> bool {
        self.open.get(&piece).is_some_and(OpenPiece::is_written)
    }

    /// Whether this piece is being fetched, or will be.
    pub(crate) fn is_wanted(&self, piece: PieceIndex) -> bool {
        self.rarity.is_listed(piece) || self.open.get(&piece).is_some_and(|open| open.wanted)
    }

    /// Whether this piece is wanted and nobody has begun it.
    pub(crate) fn is_fresh(&self, piece: PieceIndex) -> bool {
        self.rarity.is_listed(piece)
    }

    /// How many peers that lack some pieces have this one.
    pub(crate) fn availability(&self, piece: PieceIndex) -> u32 {
        self.rarity.availability(piece)
    }

    /// Whether some blocks of this piece are here or were asked for.
    pub(crate) fn is_open(&self, piece: PieceIndex) -> bool {
        self.open.contains_key(&piece)
    }

    /// Opens a piece that may be opened.
    fn begin(&mut self, piece: PieceIndex) {
        self.missing += self.open(piece).missing();
        self.with_free.insert(piece);
    }

    fn open(&mut self, piece: PieceIndex) -> &mut OpenPiece {
        self.rarity.unlist(piece);
        let blocks = self.geometry.blocks_in(piece);
        self.open.get_or_insert_with(piece, || OpenPiece::new(blocks))
    }

    fn close(&mut self, piece: PieceIndex) {
        let Some(open) = self.open.remove(&piece) else {
            return;
        };
        if open.wanted {
            self.missing -= open.missing();
        }
        self.with_free.remove(&piece);
        self.current.retain(|_, current| *current != piece);
    }

    fn freed(&mut self, piece: PieceIndex) {
        if self.open.get(&piece).is_some_and(|open| open.wanted) {
            self.with_free.insert(piece);
            self.epoch += 1;
        }
    }
}

/// The block with this number in its piece.
fn block_at(geometry: Geometry, piece: PieceIndex, index: u32) -> Option<Block> {
    let offset = index.checked_mul(BLOCK_LENGTH)?;
    let rest = geometry.length_of(piece).checked_sub(offset)?;
    geometry.block(piece.get(), offset, rest.min(BLOCK_LENGTH))
}

/// How many peers besides the first are asked for one of the last blocks.
const MAX_DUPLICATES: usize = 2;
