//! What was read last: blocks are asked for one by one and mostly in order, storage is read in longer runs.

use std::ops::Range;

use bytes::Bytes;
use causeway_core::{Block, Geometry};

/// The last runs that were read, each with the offset in the torrent where it starts; the latest at the end.
#[derive(Debug)]
pub(super) struct ReadCache {
    runs: Vec<(u64, Bytes)>,
    reads_on: bool,
}

impl ReadCache {
    /// `reads_on` where the whole torrent is there: a run may go on past its piece.
    pub(super) const fn new(reads_on: bool) -> Self {
        let runs = Vec::new();
        Self { runs, reads_on }
    }

    /// These bytes of the torrent, if they were read lately.
    pub(super) fn find(&mut self, wanted: &Range<u64>) -> Option<Bytes> {
        let at = self
            .runs
            .iter()
            .position(|(start, run)| *start <= wanted.start && wanted.end <= start + run.len() as u64)?;
        let run = self.runs.remove(at);
        let from = usize::try_from(wanted.start - run.0).ok()?;
        let to = usize::try_from(wanted.end - run.0).ok()?;
        let bytes = run.1.slice(from..to);
        self.runs.push(run);
        Some(bytes)
    }

    /// What to read for a block that was not found. It starts with the block and ends with its piece; where a run
    /// goes on that was read before, the peer takes piece after piece, and so does this.
    pub(super) fn run_for(&self, geometry: Geometry, block: Block) -> Range<u64> {
        let start = geometry.start_of(block.piece()) + u64::from(block.offset());
        let goes_on = self.reads_on
            && self
                .runs
                .iter()
                .any(|(other, run)| other + run.len() as u64 == start);
        let end = if goes_on {
            (start / RUN_LENGTH + 1) * RUN_LENGTH
        } else {
            let piece = geometry.whole(block.piece());
            start
                .saturating_add(RUN_LENGTH)
                .min(range_of(geometry, piece).end)
        };
        let least = start + u64::from(block.length());
        start..end.max(least).min(geometry.total_length())
    }

    /// Keeps a run that was read.
    pub(super) fn insert(&mut self, start: u64, bytes: Bytes) {
        if self.runs.len() >= RUNS {
            self.runs.remove(0);
        }
        self.runs.push((start, bytes));
    }
}

/// The bytes of the torrent that a block names.
pub(super) fn range_of(geometry: Geometry, block: Block) -> Range<u64> {
    let start = geometry.start_of(block.piece()) + u64::from(block.offset());
    start..start + u64::from(block.length())
}

/// Bytes that are read at once: each time costs a browser over a millisecond, whatever the length.
const RUN_LENGTH: u64 = 1024 * 1024;
/// Runs that are kept: several peers may read in different places.
const RUNS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn geometry() -> Geometry {
        Geometry::new(4 * MIB - 5, MIB / 4).expect("valid")
    }

    fn block(piece: u32, offset: u32) -> Block {
        geometry().block(piece, offset, 16_384).expect("in range")
    }

    fn bytes(run: &Range<u64>) -> Bytes {
        run.clone().map(|byte| byte.to_le_bytes()[1]).collect()
    }

    #[test]
    fn blocks_are_found_in_the_run_that_was_read_for_the_first_of_them() {
        let mut cache = ReadCache::new(true);
        let wanted = range_of(geometry(), block(1, 32_768));
        assert_eq!(cache.find(&wanted), None);
        let run = cache.run_for(geometry(), block(1, 16_384));
        assert_eq!(run, MIB / 4 + 16_384..MIB / 2, "to the end of the piece");
        cache.insert(run.start, bytes(&run));
        assert_eq!(cache.find(&wanted), Some(bytes(&wanted)));
        assert_eq!(
            cache.find(&range_of(geometry(), block(1, 0))),
            None,
            "before the run"
        );
        assert_eq!(cache.find(&range_of(geometry(), block(2, 0))), None, "after it");
    }

    #[test]
    fn a_run_that_goes_on_is_read_to_the_next_long_one() {
        let mut cache = ReadCache::new(true);
        cache.insert(0, bytes(&(0..MIB / 4)));
        assert_eq!(cache.run_for(geometry(), block(1, 0)), MIB / 4..MIB);
        cache.insert(MIB, bytes(&(MIB..2 * MIB)));
        assert_eq!(cache.run_for(geometry(), block(8, 0)), 2 * MIB..3 * MIB);
        cache.insert(2 * MIB, bytes(&(2 * MIB..3 * MIB)));
        assert_eq!(cache.run_for(geometry(), block(12, 0)), 3 * MIB..4 * MIB - 5);
        cache.reads_on = false;
        assert_eq!(cache.run_for(geometry(), block(8, 0)), 2 * MIB..9 * MIB / 4);
    }

    #[test]
    fn the_run_that_was_used_longest_ago_goes_first() {
        let mut cache = ReadCache::new(true);
        let start = |run| run * 10;
        for run in 0..RUNS as u64 {
            cache.insert(start(run), bytes(&(0..10)));
        }
        assert!(cache.find(&(0..10)).is_some());
        cache.insert(start(RUNS as u64), bytes(&(0..10)));
        assert!(cache.find(&(10..20)).is_none());
        assert!(cache.find(&(0..10)).is_some());
    }
}
