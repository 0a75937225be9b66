//! Blocks on their way to peers: read in long runs, of which the last ones stay in memory.

use std::collections::VecDeque;

use bytes::Bytes;
use causeway_core::{Block, Geometry};

/// The runs in memory, and those that are being read with the blocks that wait for them. A run is an aligned part of the
/// torrent.
#[derive(Debug)]
pub(super) struct Reads {
    geometry: Geometry,
    most_runs: usize,
    /// By number, the one used last at the end.
    cached: VecDeque<(u64, Bytes)>,
    under_way: Vec<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    run: u64,
    waiting: Vec<Block>,
    /// Something was written to it since: what is read may be old.
    is_stale: bool,
}

/// What to do about a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Here it is.
    Found(Bytes),
    /// It comes with a run that is being read.
    Waits,
    /// Read this run: its number, and where it starts and how long it is.
    Read(u64, u64, usize),
    /// Read the block alone: it lies in two runs.
    Alone,
}

impl Reads {
    pub(super) fn new(geometry: Geometry, most_runs: usize) -> Self {
        Self {
            geometry,
            most_runs,
            cached: VecDeque::new(),
            under_way: Vec::new(),
        }
    }

    /// Looks a block up. It is remembered where it has to wait for its run.
    pub(super) fn find(&mut self, block: Block) -> Lookup {
        let start = self.start_of(block);
        let run = start / RUN;
        if (start + u64::from(block.length()) - 1) / RUN != run {
            return Lookup::Alone;
        }
        if let Some(place) = self.cached.iter().position(|(number, _)| *number == run) {
            let found = self.cached.remove(place);
            let bytes = found.as_ref().and_then(|(_, bytes)| self.part(bytes, run, block));
            self.cached.extend(found);
            return bytes.map_or(Lookup::Alone, Lookup::Found);
        }
        if let Some(under_way) = self.under_way.iter_mut().find(|under_way| under_way.run == run) {
            under_way.waiting.push(block);
            return Lookup::Waits;
        }
        self.under_way.push(UnderWay {
            run,
            waiting: vec![block],
            is_stale: false,
        });
        let length = RUN.min(self.geometry.total_length() - run * RUN);
        Lookup::Read(run, run * RUN, usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// A run was read: the blocks that waited for it, and the bytes of each where they can be used. The others have to be read
    /// alone.
    pub(super) fn was_read(&mut self, run: u64, bytes: Option<Bytes>) -> Vec<(Block, Option<Bytes>)> {
        let Some(place) = self.under_way.iter().position(|under_way| under_way.run == run) else {
            return Vec::new();
        };
        let under_way = self.under_way.swap_remove(place);
        let bytes = bytes.filter(|_| !under_way.is_stale);
        let part = |block: Block| {
            (
                block,
                bytes.as_ref().and_then(|bytes| self.part(bytes, run, block)),
            )
        };
        let blocks = under_way.waiting.into_iter().map(part).collect();
        if let Some(bytes) = bytes {
            if self.cached.len() >= self.most_runs {
                self.cached.pop_front();
            }
            self.cached.push_back((run, bytes));
        }
        blocks
    }

    /// The block was written.
    pub(super) fn forget(&mut self, block: Block) {
        if self.cached.is_empty() && self.under_way.is_empty() {
            return;
        }
        let start = self.start_of(block);
        let runs = start / RUN..=(start + u64::from(block.length()) - 1) / RUN;
        self.cached.retain(|(run, _)| !runs.contains(run));
        for under_way in &mut self.under_way {
            under_way.is_stale |= runs.contains(&under_way.run);
        }
    }

    /// Gives the memory back: nobody has read for a while.
    pub(super) fn clear(&mut self) {
        self.cached = VecDeque::new();
    }

    fn start_of(&self, block: Block) -> u64 {
        self.geometry.start_of(block.piece()) + u64::from(block.offset())
    }

    fn part(&self, bytes: &Bytes, run: u64, block: Block) -> Option<Bytes> {
        let start = usize::try_from(self.start_of(block) - run * RUN).ok()?;
        let end = start.checked_add(block.length() as usize)?;
        (end <= bytes.len()).then(|| bytes.slice(start..end))
    }
}

/// The length of a run in bytes.
const RUN: u64 = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const MOST_RUNS: usize = 16;

    fn block(geometry: Geometry, piece: u32, offset: u32) -> Block {
        geometry.block(piece, offset, 16 * 1024).expect("in range")
    }

    #[test]
    fn a_run_is_read_once_for_all_its_blocks_and_then_found() {
        let geometry = Geometry::new(10 * RUN, RUN / 2).expect("valid");
        let mut reads = Reads::new(geometry, MOST_RUNS);
        let (a, b) = (block(geometry, 2, 0), block(geometry, 3, 16 * 1024));
        assert_eq!(reads.find(a), Lookup::Read(1, RUN, 512 * 1024));
        assert_eq!(reads.find(b), Lookup::Waits);
        let bytes: Vec<u8> = (0..512 * 1024 / 4)
            .flat_map(|word: u32| word.to_be_bytes())
            .collect();
        let bytes = Bytes::from(bytes);
        let from = |at: usize| Some(bytes.slice(at..at + 16 * 1024));
        assert_eq!(
            reads.was_read(1, Some(bytes.clone())),
            [(a, from(0)), (b, from(256 * 1024 + 16 * 1024))]
        );
        assert_eq!(reads.find(a), Lookup::Found(bytes.slice(..16 * 1024)));
    }

    #[test]
    fn what_was_written_meanwhile_is_read_again() {
        let geometry = Geometry::new(10 * RUN, RUN).expect("valid");
        let mut reads = Reads::new(geometry, MOST_RUNS);
        let wanted = block(geometry, 0, 0);
        assert_eq!(reads.find(wanted), Lookup::Read(0, 0, 512 * 1024));
        reads.forget(block(geometry, 0, 16 * 1024));
        let bytes = Some(Bytes::from(vec![0; 512 * 1024]));
        assert_eq!(reads.was_read(0, bytes.clone()), [(wanted, None)]);
        assert_eq!(reads.find(wanted), Lookup::Read(0, 0, 512 * 1024));
        reads.was_read(0, bytes);
        reads.forget(block(geometry, 0, 32 * 1024));
        assert_eq!(
            reads.find(wanted),
            Lookup::Read(0, 0, 512 * 1024),
            "not in memory any more"
        );
    }

    #[test]
    fn a_block_in_two_runs_is_read_alone_and_memory_is_bounded() {
        let geometry = Geometry::new(100 * RUN, 100_000).expect("valid");
        let mut reads = Reads::new(geometry, MOST_RUNS);
        assert_eq!(reads.find(block(geometry, 5, 16 * 1024)), Lookup::Alone);
        for run in 0..2 * MOST_RUNS as u64 {
            let piece = u32::try_from(run * RUN / 100_000 + 1).expect("small");
            let wanted = geometry.block(piece, 0, 1).expect("in range");
            let Lookup::Read(run, _, length) = reads.find(wanted) else {
                panic!("{run} is read")
            };
            reads.was_read(run, Some(Bytes::from(vec![0; length])));
        }
        assert_eq!(reads.cached.len(), MOST_RUNS);
    }
}
