//! Finding the liar among several who supplied a piece that came wrong.
//!
//! What each of them sent is remembered by its hash, which storage still has when the piece has failed. When the piece
//! has come right, its blocks are compared with that: whoever sent another one lied, and nobody else is blamed.

use causeway_core::{BLOCK_LENGTH, Block, Geometry, PeerId, PieceIndex, Sha1Hash, SortedMap};
use std::collections::VecDeque;

use crate::LinkId;

/// Who supplied a block: the link, and who was at its other end.
pub(crate) type Supplier = (LinkId, Option<PeerId>);

/// Pieces that came wrong from several peers.
#[derive(Debug, Default)]
pub(crate) struct Trials {
    trials: SortedMap<PieceIndex, Trial>,
}

#[derive(Debug, Default)]
struct Trial {
    evidence: Vec<(Block, Supplier, Sha1Hash)>,
    hearing: Option<Hearing>,
}

/// Blocks of a piece that are being read.
#[derive(Debug)]
struct Hearing {
    is_right: bool,
    to_read: VecDeque<(Block, Option<Supplier>)>,
    reading: Vec<(Block, Option<Supplier>)>,
    liars: Vec<Supplier>,
}

/// What a hearing came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The evidence is taken: the piece may come again.
    Taken,
    /// The piece is right, and these sent something else.
    Liars(Vec<Supplier>),
}

impl Trials {
    /// The piece is wrong and came from these. Says whether its blocks are to be read; `false` where there are enough
    /// trials already.
    pub(crate) fn accuse(&mut self, piece: PieceIndex, suppliers: Vec<(Block, Supplier)>) -> bool {
        if self.trials.len() >= MOST_TRIALS && !self.trials.contains_key(&piece) {
            return false;
        }
        let trial = self.trials.get_or_insert_with(piece, Trial::default);
        if trial.evidence.len() >= MOST_EVIDENCE {
            return false;
        }
        let to_read = suppliers
            .into_iter()
            .map(|(block, supplier)| (block, Some(supplier)));
        trial.hearing = Some(Hearing::new(false, to_read.collect()));
        true
    }

    /// The piece is right. Says whether its blocks are to be read to find out who lied before.
    pub(crate) fn resolve(&mut self, piece: PieceIndex) -> bool {
        let Some(trial) = self.trials.get_mut(&piece) else {
            return false;
        };
        let mut to_read: Vec<_> = trial
            .evidence
            .iter()
            .map(|(block, _, _)| (*block, None))
            .collect();
        to_read.sort_unstable();
        to_read.dedup();
        if to_read.is_empty() {
            self.trials.remove(&piece);
            return false;
        }
        trial.hearing = Some(Hearing::new(true, to_read.into()));
        true
    }

    /// Whether evidence is being taken of a piece that came wrong.
    pub(crate) fn is_hearing(&self, piece: PieceIndex) -> bool {
        self.trials
            .get(&piece)
            .is_some_and(|trial| trial.hearing.is_some())
    }

    /// The next block that is to be read, unless enough are.
    pub(crate) fn next_read(&mut self, piece: PieceIndex) -> Option<Block> {
        let hearing = self.trials.get_mut(&piece)?.hearing.as_mut()?;
        if hearing.reading.len() >= MOST_READING {
            return None;
        }
        let next = hearing.to_read.pop_front()?;
        hearing.reading.push(next);
        Some(next.0)
    }

    /// The block was read, or could not be. Says what that comes to, once it was the last.
    pub(crate) fn was_read(&mut self, block: Block, hash: Option<Sha1Hash>) -> Option<Finding> {
        let trial = self.trials.get_mut(&block.piece())?;
        let hearing = trial.hearing.as_mut()?;
        let place = hearing.reading.iter().position(|(other, _)| *other == block)?;
        let (_, supplier) = hearing.reading.swap_remove(place);
        match (supplier, hash) {
            (Some(supplier), Some(hash)) => trial.evidence.push((block, supplier, hash)),
            (None, Some(hash)) => {
                let lies = trial
                    .evidence
                    .iter()
                    .filter(|(other, _, sent)| *other == block && *sent != hash);
                hearing.liars.extend(lies.map(|(_, supplier, _)| *supplier));
            }
            (_, None) => {}
        }
        if !hearing.reading.is_empty() || !hearing.to_read.is_empty() {
            return None;
        }
        let Hearing {
            is_right, mut liars, ..
        } = trial.hearing.take()?;
        if !is_right {
            return Some(Finding::Taken);
        }
        self.trials.remove(&block.piece());
        liars.sort_unstable();
        liars.dedup();
        Some(Finding::Liars(liars))
    }

    /// For tests: the bounds.
    pub(crate) fn check_invariants(&self) {
        assert!(self.trials.len() <= MOST_TRIALS, "{} trials", self.trials.len());
        for trial in self.trials.values() {
            // The last attempt comes on top.
            let most = MOST_EVIDENCE + (Geometry::MAX_PIECE_LENGTH / BLOCK_LENGTH) as usize;
            assert!(
                trial.evidence.len() < most,
                "{} pieces of evidence",
                trial.evidence.len()
            );
            let reading = trial
                .hearing
                .iter()
                .map(|hearing| hearing.reading.len())
                .sum::<usize>();
            assert!(reading <= MOST_READING, "{reading} blocks are read");
        }
    }
}

impl Hearing {
    fn new(is_right: bool, to_read: VecDeque<(Block, Option<Supplier>)>) -> Self {
        Self {
            is_right,
            to_read,
            reading: Vec::new(),
            liars: Vec::new(),
        }
    }
}

/// Pieces in doubt at once.
const MOST_TRIALS: usize = 64;
/// Blocks that are remembered of one piece, of all attempts: above that a piece of 64 MiB is fetched again without.
const MOST_EVIDENCE: usize = 4096;
/// Blocks that are read at once.
const MOST_READING: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const A: Supplier = (LinkId(1), Some(PeerId::new([1; 20])));
    const B: Supplier = (LinkId(2), Some(PeerId::new([2; 20])));
    const C: Supplier = (LinkId(3), None);

    fn blocks() -> [Block; 3] {
        let length = 3 * BLOCK_LENGTH;
        let geometry = Geometry::new(length.into(), length.into()).expect("valid");
        let block = |index| {
            geometry
                .block(0, index * BLOCK_LENGTH, BLOCK_LENGTH)
                .expect("in range")
        };
        [block(0), block(1), block(2)]
    }

    /// A letter for what was read of each block.
    fn read(trials: &mut Trials, letters: [u8; 3]) -> Option<Finding> {
        let mut finding = None;
        while let Some(block) = trials.next_read(blocks()[0].piece()) {
            let hash = Sha1Hash::new([letters[block.index() as usize]; 20]);
            assert_eq!(finding, None);
            finding = trials.was_read(block, Some(hash));
        }
        finding
    }

    #[test]
    fn who_sent_another_block_is_found_and_nobody_else() {
        let [a, b, c] = blocks();
        let mut trials = Trials::default();
        assert!(trials.accuse(a.piece(), vec![(a, A), (b, B), (c, C)]));
        assert_eq!(read(&mut trials, *b"a?c"), Some(Finding::Taken));
        assert!(trials.accuse(a.piece(), vec![(a, C), (b, A), (c, A)]));
        assert_eq!(read(&mut trials, *b"?bc"), Some(Finding::Taken));
        assert!(trials.resolve(a.piece()));
        assert_eq!(read(&mut trials, *b"abc"), Some(Finding::Liars(vec![B, C])));
        assert!(!trials.resolve(a.piece()), "the trial is over");
    }

    #[test]
    fn what_can_not_be_read_accuses_nobody() {
        let [a, b, _] = blocks();
        let mut trials = Trials::default();
        assert!(trials.accuse(a.piece(), vec![(a, A), (b, B)]));
        let (first, second) = (trials.next_read(a.piece()), trials.next_read(a.piece()));
        assert_eq!((first, second), (Some(a), Some(b)));
        assert_eq!(trials.was_read(a, None), None);
        assert!(trials.is_hearing(a.piece()));
        assert_eq!(trials.was_read(b, None), Some(Finding::Taken));
        assert!(!trials.resolve(a.piece()), "there is nothing to compare");
    }
}
