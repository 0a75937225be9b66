//! Pieces by how many peers have them: every change and nearly every pick takes constant time.

use causeway_core::{Geometry, PieceIndex};
use fastrand::Rng;

/// How many peers have each piece, and the pieces that may be opened, rarest first.
///
/// Peers that have everything are not counted: they change no order.
///
/// Invariant: a piece is listed in the bucket of its availability, at its position there, or in none and has the
/// position [`UNLISTED`]. The order within a bucket is random.
#[derive(Debug)]
pub(super) struct Rarity {
    pieces: u32,
    /// An entry a piece, like `position`; none before the first change, since a torrent that is complete and alone
    /// needs neither.
    availability: Vec<u32>,
    position: Vec<u32>,
    buckets: Vec<Vec<PieceIndex>>,
    listed: u32,
}

impl Rarity {
    pub(super) fn new(pieces: u32) -> Self {
        Self {
            pieces,
            availability: Vec::new(),
            position: Vec::new(),
            buckets: Vec::new(),
            listed: 0,
        }
    }

    /// One peer more has it.
    pub(super) fn add(&mut self, piece: PieceIndex, rng: &mut Rng) {
        self.change(piece, 1, rng);
    }

    /// One peer less has it.
    pub(super) fn sub(&mut self, piece: PieceIndex, rng: &mut Rng) {
        self.change(piece, -1, rng);
    }

    /// It may be opened from now on.
    pub(super) fn list(&mut self, piece: PieceIndex, rng: &mut Rng) {
        if self.is_listed(piece) {
            return;
        }
        self.make_room();
        let level = self.availability[piece.as_usize()] as usize;
        if self.buckets.len() <= level {
            self.buckets.resize_with(level + 1, Vec::new);
        }
        let bucket = &mut self.buckets[level];
        let last = bucket.len();
        bucket.push(piece);
        let place = rng.usize(..=last);
        bucket.swap(place, last);
        self.position[bucket[last].as_usize()] = number(last);
        self.position[piece.as_usize()] = number(place);
        self.listed += 1;
    }

    /// It may not be opened any more.
    pub(super) fn unlist(&mut self, piece: PieceIndex) {
        if !self.is_listed(piece) {
            return;
        }
        let place = self.position[piece.as_usize()] as usize;
        let bucket = &mut self.buckets[self.availability[piece.as_usize()] as usize];
        bucket.swap_remove(place);
        if let Some(moved) = bucket.get(place) {
            self.position[moved.as_usize()] = number(place);
        }
        self.position[piece.as_usize()] = UNLISTED;
        self.listed -= 1;
    }

    pub(super) fn is_listed(&self, piece: PieceIndex) -> bool {
        self.position
            .get(piece.as_usize())
            .is_some_and(|position| *position != UNLISTED)
    }

    /// Whether a listed piece is had by nobody who lacks some.
    pub(super) fn has_sole(&self) -> bool {
        self.buckets.first().is_some_and(|bucket| !bucket.is_empty())
    }

    /// How many peers have it, those aside that have everything.
    pub(super) fn availability(&self, piece: PieceIndex) -> u32 {
        self.availability.get(piece.as_usize()).copied().unwrap_or(0)
    }

    fn make_room(&mut self) {
        self.availability.resize(self.pieces as usize, 0);
        self.position.resize(self.pieces as usize, UNLISTED);
    }

    /// The number of listed pieces.
    pub(super) const fn listed(&self) -> u32 {
        self.listed
    }

    /// The first listed piece in order of rarity that is wanted.
    pub(super) fn rarest(&self, wants: impl Fn(PieceIndex) -> bool) -> Option<PieceIndex> {
        self.buckets.iter().flatten().copied().find(|piece| wants(*piece))
    }

    /// The first of `pieces` that is listed, wanted, and at least as rare as another one.
    pub(super) fn as_rare_in(
        &self,
        mut pieces: impl Iterator<Item = PieceIndex>,
        other: PieceIndex,
        wants: impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        let most = self.availability[other.as_usize()];
        pieces.find(|piece| {
            self.is_listed(*piece) && self.availability[piece.as_usize()] <= most && wants(*piece)
        })
    }

    /// Some listed piece that is wanted, found by a few guesses.
    pub(super) fn random(
        &self,
        geometry: Geometry,
        rng: &mut Rng,
        wants: impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        (0..GUESSES)
            .filter_map(|_| geometry.piece(rng.u32(..geometry.pieces())))
            .find(|piece| self.is_listed(*piece) && wants(*piece))
    }

    fn change(&mut self, piece: PieceIndex, by: i32, rng: &mut Rng) {
        self.make_room();
        let listed = self.is_listed(piece);
        self.unlist(piece);
        let count = &mut self.availability[piece.as_usize()];
        *count = count.saturating_add_signed(by);
        if listed {
            self.list(piece, rng);
        }
    }

    pub(super) fn check_invariants(&self, expected: &[u32]) {
        let counted = self.availability.iter().copied().chain(core::iter::repeat(0));
        assert!(
            counted.take(expected.len()).eq(expected.iter().copied()),
            "availability is the sum of the bitfields"
        );
        let in_buckets: usize = self.buckets.iter().map(Vec::len).sum();
        assert_eq!(in_buckets, self.listed as usize);
        for (level, bucket) in self.buckets.iter().enumerate() {
            for (place, piece) in bucket.iter().enumerate() {
                assert_eq!(self.availability[piece.as_usize()] as usize, level);
                assert_eq!(self.position[piece.as_usize()] as usize, place);
            }
        }
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(UNLISTED)
}

/// No piece has this position: [`Geometry::MAX_PIECES`] is far below.
const UNLISTED: u32 = u32::MAX;
const GUESSES: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A piece for each letter, had by as many peers as the digit says, listed unless it is `-`.
    fn rarity(digits: &str) -> (Rarity, Geometry, Rng) {
        let pieces = u32::try_from(digits.len()).expect("short");
        let geometry = Geometry::new(u64::from(pieces), 1).expect("valid");
        let (mut rarity, mut rng) = (Rarity::new(pieces), Rng::with_seed(1));
        for (piece, digit) in geometry.all_pieces().zip(digits.chars()) {
            let Some(count) = digit.to_digit(10) else { continue };
            rarity.list(piece, &mut rng);
            (0..count).for_each(|_| rarity.add(piece, &mut rng));
        }
        (rarity, geometry, rng)
    }

    #[test]
    fn the_rarest_listed_piece_that_is_wanted_comes_first() {
        for (digits, wanted, expected) in [
            ("312", "xxx", Some(1)),
            ("312", "x-x", Some(2)),
            ("3-2", "xxx", Some(2)),
            ("3-2", "-x-", None),
            ("000", "--x", Some(2)),
            ("", "", None),
        ] {
            if digits.is_empty() {
                continue;
            }
            let (rarity, _, _) = rarity(digits);
            let wants = |piece: PieceIndex| wanted.as_bytes()[piece.as_usize()] == b'x';
            assert_eq!(
                rarity.rarest(wants).map(PieceIndex::get),
                expected,
                "{digits} {wanted}"
            );
        }
    }

    #[test]
    fn equally_rare_pieces_come_in_no_fixed_order() {
        let first = |seed| {
            let geometry = Geometry::new(1000, 1).expect("valid");
            let (mut rarity, mut rng) = (Rarity::new(1000), Rng::with_seed(seed));
            geometry
                .all_pieces()
                .for_each(|piece| rarity.list(piece, &mut rng));
            rarity.rarest(|_| true).expect("all are listed")
        };
        let mut seen: Vec<_> = (0..8).map(first).collect();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 5, "{seen:?}");
    }

    #[test]
    fn any_sequence_of_changes_keeps_the_buckets_right() {
        let (mut rarity, geometry, mut rng) = rarity("0123012301230123");
        let mut counts: Vec<u32> = (0..16).map(|piece| piece % 4).collect();
        for _ in 0..2000 {
            let piece = geometry.piece(rng.u32(..16)).expect("in range");
            match rng.u32(..4) {
                0 => rarity.list(piece, &mut rng),
                1 => rarity.unlist(piece),
                2 => {
                    rarity.add(piece, &mut rng);
                    counts[piece.as_usize()] += 1;
                }
                _ if counts[piece.as_usize()] > 0 => {
                    rarity.sub(piece, &mut rng);
                    counts[piece.as_usize()] -= 1;
                }
                _ => {}
            }
            rarity.check_invariants(&counts);
        }
    }

    #[test]
    fn a_random_piece_is_listed_and_wanted() {
        let (rarity, geometry, mut rng) = rarity("0-0-0-0-");
        for _ in 0..100 {
            let piece = rarity.random(geometry, &mut rng, |piece| piece.get() != 2);
            assert!(
                piece.is_none_or(|piece| [0, 4, 6].contains(&piece.get())),
                "{piece:?}"
            );
        }
        assert!(rarity.random(geometry, &mut rng, |_| true).is_some());
    }
}
