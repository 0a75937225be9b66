//! Bringing out the first copy of a torrent: a seed that is alone sends each piece once before it sends any twice.
//!
//! Left to themselves, peers that do not know of each other's pieces yet ask the seed for the same ones. So the seed
//! names to each that it serves pieces that nobody else has, to each others, in one of two ways.
//! - It **suggests** them (BEP 6), of its own accord. That hides nothing: who reads a film or wants one file alone goes on
//!   asking for that, and who does not heed suggestions loses nothing.
//! - It **super-seeds** (BEP 16), where the user asks for that: it says that it has nothing, and shows one piece after the other,
//!   the next once somebody else has announced the last. That binds every client, and makes those wait who pass nothing on.
//!
//! A piece whose only holder passes it on to nobody is not out, and who keeps nearly all pieces that it is the first to have
//! loses its turn: what such a peer gets has to be sent again, and everybody waits for it.
//!
//! Either ends for good once a whole copy is out, or another seed is there.

use causeway_core::{Bitfield, Block, PieceIndex, Time};
use core::time::Duration;
use fastrand::Rng;
use std::collections::VecDeque;

/// How far the first copy is.
#[derive(Debug)]
pub(crate) enum FirstCopy {
    /// Nobody to send it to so far, or one alone.
    Ahead,
    /// Pieces that nobody else is known to have, or one alone, those first that were offered least.
    Spreading(VecDeque<PieceIndex>),
    /// It is out, or nothing that we could do.
    Over,
}

impl FirstCopy {
    /// Starts with these pieces, in runs of so many that follow one another: a seed reads more than a small piece in one go.
    pub(crate) fn start(pieces: &[PieceIndex], run: usize, rng: &mut Rng) -> Self {
        let mut runs: Vec<_> = pieces.chunks(run.max(1)).collect();
        rng.shuffle(&mut runs);
        Self::Spreading(runs.into_iter().flatten().copied().collect())
    }

    pub(crate) const fn is_spreading(&self) -> bool {
        matches!(self, Self::Spreading(_))
    }

    /// The next piece that suits somebody. Pieces that are out are forgotten on the way.
    pub(crate) fn next(
        &mut self,
        is_out: impl Fn(PieceIndex) -> bool,
        suits: impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        let Self::Spreading(queue) = self else { return None };
        let mut found = None;
        for _ in 0..MOST_LOOKED_AT {
            let Some(piece) = queue.pop_front() else { break };
            if is_out(piece) {
                continue;
            }
            queue.push_back(piece);
            if suits(piece) {
                found = Some(piece);
                break;
            }
        }
        if queue.is_empty() {
            *self = Self::Over;
        }
        found
    }

    /// Nobody but us has these pieces any more, which are in order: who had them is gone, or has lost them.
    pub(crate) fn lost(&mut self, pieces: &[PieceIndex]) {
        if let Self::Spreading(queue) = self {
            let mut is_queued = vec![false; pieces.len()];
            for piece in queue.iter() {
                if let Ok(place) = pieces.binary_search(piece) {
                    is_queued[place] = true;
                }
            }
            let lost = pieces.iter().zip(is_queued).filter(|(_, is_queued)| !is_queued);
            queue.extend(lost.map(|(piece, _)| *piece));
        }
    }

    /// Forgets the pieces that are out, for when nobody wants the next one.
    pub(crate) fn forget(&mut self, is_out: impl Fn(PieceIndex) -> bool) {
        if let Self::Spreading(queue) = self {
            queue.retain(|piece| !is_out(*piece));
            if queue.is_empty() {
                *self = Self::Over;
            }
        }
    }
}

/// What one peer was offered, and what it made of that.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    open: Vec<Offer>,
    /// What a peer was shown that is not to know that we have everything.
    hidden: Option<Hidden>,
    /// It has just been given a slot.
    pub(crate) is_new: bool,
    /// Pieces that it has of us and was the first to have, since when; at most [`MOST_PROOFS`].
    firsts: Vec<(PieceIndex, Time)>,
    /// How many of those others had soon, too, and how many nobody.
    passed_on: u32,
    kept: u32,
}

#[derive(Debug)]
struct Offer {
    piece: PieceIndex,
    /// Bytes that the peer has not asked for.
    unasked: u32,
    since: Time,
}

#[derive(Debug)]
struct Hidden {
    shown: Bitfield,
    /// From which piece on it is told of all that we have, once it is.
    reveal_from: Option<u32>,
}

/// What is known of an offered piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// The peer itself has it.
    pub(crate) by_it: bool,
    /// Somebody else has it, too.
    pub(crate) by_others: bool,
}

impl Offers {
    /// Of a peer that is told that we have nothing.
    pub(crate) fn hide(pieces: u32) -> Self {
        let hidden = Hidden {
            shown: Bitfield::none(pieces),
            reveal_from: None,
        };
        Self {
            hidden: Some(hidden),
            ..Self::default()
        }
    }

    /// Whether the peer is not to know all that we have.
    pub(crate) const fn is_hidden(&self) -> bool {
        self.hidden.is_some()
    }

    /// The peer asks for this block.
    pub(crate) fn asked(&mut self, block: Block) {
        let offer = self.open.iter_mut().find(|offer| offer.piece == block.piece());
        if let Some(offer) = offer {
            offer.unasked = offer.unasked.saturating_sub(block.length());
        }
    }

    /// What the peer was offered and is still to take or to pass on.
    pub(crate) fn open(&self) -> impl Iterator<Item = PieceIndex> {
        self.open.iter().map(|offer| offer.piece)
    }

    /// Whether the peer was offered this piece, or shown it.
    pub(crate) fn has(&self, piece: PieceIndex) -> bool {
        self.open.iter().any(|offer| offer.piece == piece)
            || self.hidden.as_ref().is_some_and(|hidden| hidden.shown.has(piece))
    }

    /// The peer is offered this piece of so many bytes.
    pub(crate) fn push(&mut self, piece: PieceIndex, bytes: u32, now: Time) {
        if let Some(hidden) = &mut self.hidden {
            hidden.shown.insert(piece);
        }
        self.open.push(Offer {
            piece,
            unasked: bytes,
            since: now,
        });
    }

    /// Forgets offers that have served their purpose, and those that the peer does not care for. Says how many are left.
    pub(crate) fn settle(&mut self, now: Time, known: impl Fn(PieceIndex) -> Known) -> usize {
        let is_strict = self.hidden.is_some();
        self.open.retain(|offer| {
            let Known { by_it, by_others } = known(offer.piece);
            let age = now.since(offer.since);
            if is_strict {
                // The next one comes when another peer has this one, or when there is no hope of that.
                let is_passed_on = by_it && by_others;
                let is_taken = by_it || offer.unasked == 0;
                !is_passed_on && age < if is_taken { PROOF_PATIENCE } else { OFFER_PATIENCE }
            } else {
                !by_it && offer.unasked > 0 && age < OFFER_PATIENCE
            }
        });
        self.open.len()
    }

    /// Whether a hidden peer wants none of what it was shown: it looks for something else.
    pub(crate) fn is_unmoved(&self, now: Time) -> bool {
        self.open
            .iter()
            .any(|offer| now.since(offer.since) >= OFFER_PATIENCE)
    }

    /// The peer is the first to have this piece.
    pub(crate) fn is_first(&mut self, piece: PieceIndex, now: Time) {
        if self.firsts.len() < MOST_PROOFS {
            self.firsts.push((piece, now));
        }
    }

    /// Sees which of those pieces others have by now, where that would be time. Says whether that shows that it hoards.
    pub(crate) fn judge(
        &mut self,
        now: Time,
        piece_length: u32,
        others_have: impl Fn(PieceIndex) -> bool,
    ) -> bool {
        let before = self.hoards();
        let time = PASSING_ON + Duration::from_secs(1) * piece_length / SLOWLY;
        let due = self.firsts.extract_if(.., |(_, since)| now.since(*since) >= time);
        for (piece, _) in due {
            if others_have(piece) {
                self.passed_on += 1;
            } else {
                self.kept += 1;
            }
        }
        !before && self.hoards()
    }

    /// Whether hardly anything has come to others that the peer was given.
    pub(crate) const fn hoards(&self) -> bool {
        self.kept >= 2 && self.kept > 3 * self.passed_on
    }

    /// For tests: the bounds.
    pub(crate) fn check_invariants(&self) {
        let (open, firsts) = (self.open.len(), self.firsts.len());
        assert!(open <= MOST_AHEAD, "{open} pieces are offered");
        assert!(firsts <= MOST_PROOFS, "{firsts} pieces are watched");
    }

    /// The peer is told of everything from now on.
    pub(crate) fn reveal(&mut self) {
        if let Some(hidden) = &mut self.hidden {
            hidden.reveal_from.get_or_insert(0);
        }
    }

    /// The pieces that the peer is told of now. Call it once a second: many at once would fill the link. The peer is
    /// hidden no longer after the last.
    pub(crate) fn reveal_some(&mut self) -> Vec<u32> {
        let Some(Hidden {
            shown,
            reveal_from: Some(from),
        }) = &mut self.hidden
        else {
            return Vec::new();
        };
        let some: Vec<_> = (*from..shown.len())
            .filter(|piece| !shown.bit(*piece))
            .take(MOST_REVEALED)
            .collect();
        match some.last() {
            Some(last) if some.len() == MOST_REVEALED => *from = last + 1,
            Some(_) | None => {
                self.hidden = None;
                self.open.clear();
            }
        }
        some
    }
}

/// How many pieces are offered ahead to a peer that takes so many bytes a second: the next has to be known before the
/// last is asked for.
pub(crate) fn ahead(bytes_per_second: u64, piece_length: u32) -> usize {
    let pieces = bytes_per_second / u64::from(piece_length.max(1));
    usize::try_from(pieces).unwrap_or(MOST_AHEAD).min(MOST_AHEAD - 2) + 2
}

/// Pieces that one peer is offered at once.
const MOST_AHEAD: usize = 64;
/// Pieces of one peer that are watched until others have them.
const MOST_PROOFS: usize = 64;
/// Within this time others have a piece that somebody passes on, and within that which it takes to send it at so many bytes
/// a second.
const PASSING_ON: Duration = Duration::from_secs(3);
const SLOWLY: u32 = 64 * 1024;
/// Pieces that are looked at for one that suits a peer.
const MOST_LOOKED_AT: usize = 256;
/// A piece that the peer does not ask for in this time is offered to others.
const OFFER_PATIENCE: Duration = Duration::from_secs(30);
/// How long a super-seed waits for another peer to announce a piece.
const PROOF_PATIENCE: Duration = Duration::from_mins(1);
/// Pieces that a peer is told of at once: 4.5 KiB.
const MOST_REVEALED: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_core::Geometry;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn pieces(count: u32) -> Vec<PieceIndex> {
        Geometry::new(count.into(), 1)
            .expect("valid")
            .all_pieces()
            .collect()
    }

    fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn every_piece_is_offered_once_before_any_is_twice() {
        let mut copy = FirstCopy::start(&pieces(20), 4, &mut Rng::with_seed(1));
        let mut next = || copy.next(|_| false, |_| true).map(PieceIndex::get);
        let mut first: Vec<_> = (0..20).filter_map(|_| next()).collect();
        assert!(first[..4].windows(2).all(|two| two[0] + 1 == two[1]), "{first:?}");
        let again: Vec<_> = (0..20).filter_map(|_| next()).collect();
        assert_eq!(first, again);
        first.sort_unstable();
        assert_eq!(first, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_out_is_not_offered_and_the_last_one_ends_it() {
        let mut copy = FirstCopy::start(&pieces(8), 1, &mut Rng::with_seed(1));
        let is_out = |piece: PieceIndex| piece.get() != 5;
        assert_eq!(copy.next(is_out, |_| false), None, "it suits nobody");
        assert_eq!(copy.next(is_out, |_| true).map(PieceIndex::get), Some(5));
        assert_eq!(copy.next(|_| true, |_| true), None);
        assert!(matches!(copy, FirstCopy::Over));
    }

    const NOBODY: Known = Known {
        by_it: false,
        by_others: false,
    };
    const IT: Known = Known {
        by_it: true,
        by_others: false,
    };
    const BOTH: Known = Known {
        by_it: true,
        by_others: true,
    };

    #[test]
    fn a_suggestion_is_over_once_it_was_followed_or_ignored() {
        let piece = pieces(1)[0];
        let block = |length| Geometry::new(1, 1).expect("valid").block(0, 0, length);
        for (asked, known, seconds, left) in [
            (false, NOBODY, 29, 1),
            (false, NOBODY, 30, 0),
            (true, NOBODY, 1, 0),
            (false, IT, 1, 0),
        ] {
            let mut offers = Offers::default();
            offers.push(piece, 1, at(0));
            if asked {
                offers.asked(block(1).expect("in range"));
            }
            assert_eq!(
                offers.settle(at(seconds), |_| known),
                left,
                "{asked} {known:?} {seconds}"
            );
        }
    }

    #[test]
    fn a_super_seed_waits_until_another_has_the_piece() {
        let piece = pieces(1)[0];
        for (known, seconds, left) in [
            (NOBODY, 29, 1),
            (NOBODY, 30, 0),
            (IT, 59, 1),
            (IT, 60, 0),
            (BOTH, 1, 0),
        ] {
            let mut offers = Offers::hide(1);
            offers.push(piece, 1, at(0));
            assert_eq!(offers.settle(at(seconds), |_| known), left, "{known:?} {seconds}");
        }
    }

    #[test]
    fn who_keeps_most_of_what_it_is_the_first_to_have_hoards() {
        for (kept, passed_on, hoards) in [(1, 0, false), (2, 0, true), (3, 1, false), (4, 1, true)] {
            let mut offers = Offers::default();
            let all = pieces(kept + passed_on);
            for piece in &all {
                offers.is_first(*piece, at(0));
            }
            let others_have = |piece: PieceIndex| piece.get() < passed_on;
            assert!(!offers.judge(at(3), SLOWLY, others_have), "small pieces have 4 s");
            assert!(
                !offers.judge(at(18), 16 * SLOWLY, others_have),
                "and large ones more"
            );
            assert_eq!(offers.judge(at(4), SLOWLY, others_have), hoards);
            assert_eq!(offers.hoards(), hoards, "{kept} {passed_on}");
            assert!(!offers.judge(at(9), SLOWLY, others_have), "it is said once");
        }
    }

    #[test]
    fn what_was_hidden_is_told_in_parts_and_nothing_twice() {
        let mut offers = Offers::hide(1000);
        offers.push(pieces(1000)[3], 1, at(0));
        assert!(offers.reveal_some().is_empty(), "not yet");
        offers.reveal();
        let (first, second) = (offers.reveal_some(), offers.reveal_some());
        assert_eq!((first.len(), second.len()), (512, 487));
        assert!(!first.contains(&3));
        assert!(!offers.is_hidden());
        assert!(offers.reveal_some().is_empty());
    }
}
