//! What was read last: blocks are asked for one by one and mostly in order, the disk is read in longer runs.

use bytes::Bytes;
use causeway_core::{Block, Geometry};

/// The last runs that were read, the latest at the end.
#[derive(Debug)]
pub(super) struct ReadCache {
    runs: Vec<(Block, Bytes)>,
    run_length: u32,
    capacity: usize,
}

impl ReadCache {
    /// Keeps `capacity` runs of `run_length` bytes.
    pub(super) fn new(run_length: u32, capacity: usize) -> Self {
        Self {
            runs: Vec::new(),
            run_length,
            capacity,
        }
    }

    /// The bytes of this block, if they were read lately.
    pub(super) fn find(&mut self, block: Block) -> Option<Bytes> {
        let at = self.runs.iter().position(|(run, _)| {
            run.piece() == block.piece() && run.offset() <= block.offset() && end(block) <= end(*run)
        })?;
        let run = self.runs.remove(at);
        let start = (block.offset() - run.0.offset()) as usize;
        let bytes = run.1.slice(start..start + block.length() as usize);
        self.runs.push(run);
        Some(bytes)
    }

    /// The run to read for a block that was not found: it starts with the block, so that runs of requests that
    /// don't start at a multiple of anything are served as well.
    pub(super) fn run_for(&self, geometry: Geometry, block: Block) -> Block {
        let rest = geometry.length_of(block.piece()) - block.offset();
        let length = self.run_length.max(block.length()).min(rest);
        geometry
            .block(block.piece().get(), block.offset(), length)
            .unwrap_or(block)
    }

    /// Keeps a run that was read.
    pub(super) fn insert(&mut self, run: Block, bytes: Bytes) {
        if self.runs.len() >= self.capacity {
            self.runs.remove(0);
        }
        self.runs.push((run, bytes));
    }
}

fn end(block: Block) -> u32 {
    block.offset() + block.length()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_in_the_run_that_was_read_for_the_first_of_them() {
        let geometry = Geometry::new(100_000, 50_000).expect("valid");
        let block = |offset| geometry.block(1, offset, 10_000).expect("in range");
        let mut cache = ReadCache::new(30_000, 1);
        assert_eq!(cache.find(block(10_000)), None);
        let run = cache.run_for(geometry, block(10_000));
        assert_eq!((run.offset(), run.length()), (10_000, 30_000));
        cache.insert(run, (0..30_000u32).map(|byte| byte.to_le_bytes()[0]).collect());
        assert_eq!(
            cache.find(block(30_000)).map(|bytes| bytes[0]),
            Some(20_000u32.to_le_bytes()[0])
        );
        assert_eq!(cache.find(block(0)), None, "before the run");
        assert_eq!(cache.find(block(40_000)), None, "after it");
        assert_eq!(
            cache.run_for(geometry, block(40_000)).length(),
            10_000,
            "a run ends with its piece"
        );
    }

    #[test]
    fn the_run_that_was_used_longest_ago_goes_first() {
        let geometry = Geometry::new(100, 10).expect("valid");
        let block = |piece| geometry.block(piece, 0, 10).expect("in range");
        let mut cache = ReadCache::new(10, 2);
        for piece in [0, 1] {
            cache.insert(block(piece), Bytes::from(vec![0; 10]));
        }
        assert!(cache.find(block(0)).is_some());
        cache.insert(block(2), Bytes::from(vec![0; 10]));
        assert!(cache.find(block(1)).is_none());
        assert!(cache.find(block(0)).is_some());
    }
}
