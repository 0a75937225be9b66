//! Which piece a link works on next.

use super::{Asker, OpenPiece, Picker};
use crate::LinkId;
use causeway_core::{Geometry, PieceIndex, SortedSet, Time};
use fastrand::Rng;

impl Picker {
    /// The piece that this link is to work on, and by when what it is asked for must arrive.
    pub(super) fn piece_for(
        &mut self,
        asker: Asker<'_>,
        can: impl Fn(PieceIndex) -> bool,
        rng: &mut Rng,
    ) -> Option<(PieceIndex, Option<Time>)> {
        let Asker { link, pace, .. } = asker;
        if let Some((piece, due)) = self.urgent_for(link, pace, &can) {
            if self.rarity.is_listed(piece) {
                self.begin(piece);
            }
            if self.current.get(&link) != Some(&piece) {
                self.leave(link);
                self.work_on(piece, link);
            }
            return Some((piece, Some(due)));
        }
        let last = self.current.get(&link).copied();
        if let Some(piece) = last {
            if self.with_free.contains(&piece) && can(piece) {
                return Some((piece, None));
            }
            self.leave(link);
        }
        let too_soon = self
            .urgent
            .partition_point(|(_, deadline)| *deadline < pace.arrives);
        let urgent: SortedSet<_> = self.urgent[..too_soon].iter().map(|(piece, _)| *piece).collect();
        let can = |piece: PieceIndex| can(piece) && !urgent.contains(&piece);
        let sole = self.sole(asker, last, can, rng);
        let abandoned = sole.or_else(|| self.find_open(can, |open| open.workers == 0));
        let piece = match abandoned {
            Some(piece) => piece,
            None if self.missing < ENOUGH_OPEN => self
                .fresh(asker, last, can, rng)
                .or_else(|| self.find_open(can, |open| !open.alone))?,
            None => self
                .find_open(can, |open| !open.alone)
                .or_else(|| self.fresh(asker, last, can, rng))?,
        };
        self.work_on(piece, link);
        Some((piece, None))
    }

    /// A piece that only peers with everything have, for one of these.
    fn sole(
        &mut self,
        asker: Asker<'_>,
        last: Option<PieceIndex>,
        can: impl Fn(PieceIndex) -> bool,
        rng: &mut Rng,
    ) -> Option<PieceIndex> {
        if !asker.is_seed {
            return None;
        }
        let begun = |piece: &PieceIndex| {
            let is_free = self.open.get(piece).is_some_and(|open| open.workers == 0);
            is_free && self.availability(*piece) == 0 && can(*piece)
        };
        let begun = self.with_free.iter().copied().find(begun);
        let may_begin = self.missing < ENOUGH_OPEN && self.rarity.has_sole();
        begun.or_else(|| may_begin.then(|| self.fresh(asker, last, can, rng)).flatten())
    }

    pub(super) fn work_on(&mut self, piece: PieceIndex, link: LinkId) {
        self.current.insert(link, piece);
        if let Some(open) = self.open.get_mut(&piece) {
            open.workers += 1;
        }
    }

    fn find_open(
        &self,
        can: impl Fn(PieceIndex) -> bool,
        suits: impl Fn(&OpenPiece) -> bool,
    ) -> Option<PieceIndex> {
        let suitable = |piece: &PieceIndex| self.open.get(piece).is_some_and(&suits) && can(*piece);
        self.with_free.iter().copied().find(suitable)
    }

    fn fresh(
        &mut self,
        asker: Asker<'_>,
        last: Option<PieceIndex>,
        can: impl Fn(PieceIndex) -> bool,
        rng: &mut Rng,
    ) -> Option<PieceIndex> {
        if let Some(piece) = self.preferred_fresh(&can, rng) {
            self.begin(piece);
            return Some(piece);
        }
        let suggested = asker.suggested;
        let early = self.verified < RANDOM_FIRST;
        let random = early
            .then(|| {
                let fresh = |piece: &PieceIndex| self.is_fresh(*piece) && can(*piece);
                let suggested = suggested.iter().copied().find(fresh);
                suggested.or_else(|| self.rarity.random(self.geometry, rng, &can))
            })
            .flatten();
        let piece = random.or_else(|| {
            let rarest = self.rarity.rarest(&can)?;
            let suggested = self.rarity.as_rare_in(suggested.iter().copied(), rarest, &can);
            if suggested.is_some() {
                return suggested;
            }
            let near = |piece| self.rarity.as_rare_in(extent(self.geometry, piece), rarest, &can);
            last.and_then(near).or_else(|| near(rarest))
        })?;
        self.begin(piece);
        Some(piece)
    }

    /// The rarest of the preferred pieces that may be opened, a random one of equally rare ones.
    fn preferred_fresh(&self, can: impl Fn(PieceIndex) -> bool, rng: &mut Rng) -> Option<PieceIndex> {
        let first = rng.usize(..self.preferred.len().max(1));
        let pieces = self.preferred.iter().skip(first);
        let pieces = pieces.chain(self.preferred.iter().take(first)).copied();
        let fresh = pieces.filter(|piece| self.is_fresh(*piece) && can(*piece));
        fresh.min_by_key(|piece| self.availability(*piece))
    }
}

/// The pieces around this one that a link fetches together if they are equally rare: at most [`EXTENT`] bytes, and
/// never so much of a torrent that peers would all hold the same parts.
fn extent(geometry: Geometry, piece: PieceIndex) -> impl Iterator<Item = PieceIndex> {
    let most = (geometry.pieces() / 64).min(EXTENT / geometry.piece_length());
    let pieces = 1 << most.max(1).ilog2();
    let first = piece.get() / pieces * pieces;
    (first..first.saturating_add(pieces)).map_while(move |piece| geometry.piece(piece))
}

/// Bytes that a link fetches one piece after the other.
const EXTENT: u32 = 4 * 1024 * 1024;
/// Blocks to come, of all open pieces, from which on links share pieces before they open more: 32 MiB.
pub(super) const ENOUGH_OPEN: u32 = 2048;
/// Pieces that are chosen at random before the rarest ones, to have something to give early.
pub(super) const RANDOM_FIRST: u32 = 4;
