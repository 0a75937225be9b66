//! A piece some of whose blocks are there or on their way.

use causeway_core::{Bitfield, sort_by_key};

use crate::LinkId;

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockState {
    /// Nobody was asked for it.
    Free,
    /// This link was asked; further ones stand in the picker's table of duplicates.
    Asked(LinkId),
    /// It came from this link and storage has yet to say that it has it.
    Writing(LinkId),
    /// Storage has it; from this link, or from an earlier run.
    Written(Option<LinkId>),
}

/// The blocks of one piece.
///
/// Invariant: `free` and `unwritten` count the blocks that are free and that are not written; no block before
/// `first_free` is free; `workers` counts the links whose current piece this is.
#[derive(Debug)]
pub(super) struct OpenPiece {
    blocks: Vec<BlockState>,
    free: u32,
    unwritten: u32,
    first_free: u32,
    /// Links that take their blocks from here at the moment.
    pub(super) workers: u32,
    /// One link is to supply all of it, so that it can be blamed: the piece failed before, and by whom is unclear.
    pub(super) alone: bool,
    /// Somebody wants the file; if not, what is there is kept and nothing is asked for.
    pub(super) wanted: bool,
}

impl OpenPiece {
    pub(super) fn new(blocks: u32) -> Self {
        Self {
            blocks: vec![BlockState::Free; blocks as usize],
            free: blocks,
            unwritten: blocks,
            first_free: 0,
            workers: 0,
            alone: false,
            wanted: true,
        }
    }

    pub(super) fn state(&self, index: u32) -> Option<BlockState> {
        self.blocks.get(index as usize).copied()
    }

    /// The one place where a block's state changes; an index past the end changes nothing.
    pub(super) fn set(&mut self, index: u32, state: BlockState) {
        let Some(block) = self.blocks.get_mut(index as usize) else {
            return;
        };
        let old = core::mem::replace(block, state);
        self.free -= u32::from(old == BlockState::Free);
        self.unwritten += u32::from(matches!(old, BlockState::Written(_)));
        if state == BlockState::Free {
            self.free += 1;
            self.first_free = self.first_free.min(index);
        }
        self.unwritten -= u32::from(matches!(state, BlockState::Written(_)));
    }

    /// The first free block is asked of this link from now on.
    pub(super) fn ask_next(&mut self, link: LinkId) -> Option<u32> {
        if self.free == 0 {
            return None;
        }
        let rest = self.blocks.iter().zip(0u32..).skip(self.first_free as usize);
        let (_, index) = rest.into_iter().find(|(block, _)| **block == BlockState::Free)?;
        self.set(index, BlockState::Asked(link));
        self.first_free = index + 1;
        Some(index)
    }

    /// The block after this one is asked of this link from now on, if it is free; the first free block where there is
    /// none to follow.
    pub(super) fn ask_next_after(&mut self, last: Option<u32>, link: LinkId) -> Option<u32> {
        let Some(last) = last else {
            return self.ask_next(link);
        };
        let is_free = self.state(last + 1) == Some(BlockState::Free);
        is_free.then(|| self.ask_next(link)).flatten()
    }

    pub(super) fn free(&self) -> u32 {
        self.free
    }

    pub(super) fn has_free(&self) -> bool {
        self.free > 0
    }

    pub(super) fn is_written(&self) -> bool {
        self.unwritten == 0
    }

    /// Whether storage has yet to say that it has some block.
    pub(super) fn is_writing(&self) -> bool {
        let mut blocks = self.blocks.iter();
        blocks.any(|block| matches!(block, BlockState::Writing(_)))
    }

    /// Blocks that are still to arrive.
    pub(super) fn missing(&self) -> u32 {
        let missing = self.blocks.iter().filter(|block| match block {
            BlockState::Free | BlockState::Asked(_) => true,
            BlockState::Writing(_) | BlockState::Written(_) => false,
        });
        u32::try_from(missing.count()).unwrap_or(u32::MAX)
    }

    /// A bit for each block that is written.
    pub(super) fn written(&self) -> Bitfield {
        let mut bits = Bitfield::none(u32::try_from(self.blocks.len()).unwrap_or(u32::MAX));
        for (block, index) in self.blocks.iter().zip(0u32..) {
            if matches!(block, BlockState::Written(_)) {
                bits.set_bit(index, true);
            }
        }
        bits
    }

    /// The blocks that are there and who supplied each; `None` is an earlier run.
    pub(super) fn supplied(&self) -> impl Iterator<Item = (u32, Option<LinkId>)> {
        let supplier = |(block, index): (&BlockState, u32)| match *block {
            BlockState::Free | BlockState::Asked(_) => None,
            BlockState::Writing(link) => Some((index, Some(link))),
            BlockState::Written(link) => Some((index, link)),
        };
        self.blocks.iter().zip(0u32..).filter_map(supplier)
    }

    /// Who supplied what is there, each once.
    pub(super) fn suppliers(&self) -> Vec<Option<LinkId>> {
        let mut suppliers: Vec<_> = self.supplied().map(|(_, supplier)| supplier).collect();
        sort_by_key(&mut suppliers, |link| *link);
        suppliers.dedup();
        suppliers
    }

    pub(super) fn check_invariants(&self) {
        let count = |is: fn(&BlockState) -> bool| self.blocks.iter().filter(|block| is(block)).count();
        assert_eq!(count(|block| *block == BlockState::Free), self.free as usize);
        assert_eq!(
            count(|block| !matches!(block, BlockState::Written(_))),
            self.unwritten as usize
        );
        let first = self.blocks.iter().position(|block| *block == BlockState::Free);
        assert!(first.is_none_or(|first| first >= self.first_free as usize));
    }

    /// The links that were asked first for blocks that are still to come.
    pub(super) fn asked(&self) -> impl Iterator<Item = (u32, LinkId)> {
        self.blocks
            .iter()
            .zip(0u32..)
            .filter_map(|(block, index)| match *block {
                BlockState::Asked(link) => Some((index, link)),
                BlockState::Free | BlockState::Writing(_) | BlockState::Written(_) => None,
            })
    }
}
